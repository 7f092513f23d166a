"""Trying again: which kinds, how often, how long in between, and that it can be stopped."""

from __future__ import annotations

import asyncio

import pytest

from omni_tui.models.base import ErrorKind, ModelError
from omni_tui.resilience.retry import Retry, RetryPolicy, with_retries


class Tries:
    """Fails as told, then succeeds."""

    def __init__(self, *errors: ModelError) -> None:
        self.errors = list(errors)
        self.numbers: list[int] = []
        self.told: list[Retry] = []
        self.slept: list[float] = []

    async def attempt(self, number: int) -> str:
        self.numbers.append(number)
        if self.errors:
            raise self.errors.pop(0)
        return "ok"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(self, random: float = 0.5, **settings: float) -> str:
        policy = RetryPolicy(sleep=self.sleep, random=lambda: random, **settings)  # type: ignore[arg-type]
        return await with_retries(self.attempt, policy, self.told.append)


def transient(retry_after: float | None = None) -> ModelError:
    return ModelError("transient", "busy", retry_after_s=retry_after)


async def test_transient_failures_wait_longer_each_time() -> None:
    tries = Tries(*[transient() for _ in range(4)])
    assert await tries.run() == "ok"
    assert tries.slept == [1, 2, 4, 8]
    assert tries.numbers == [1, 2, 3, 4, 5]
    assert [(told.attempt, told.of) for told in tries.told] == [(2, 5), (3, 5), (4, 5), (5, 5)]


async def test_the_fifth_failure_is_raised() -> None:
    tries = Tries(*[transient() for _ in range(5)])
    with pytest.raises(ModelError, match="busy"):
        await tries.run()
    assert len(tries.numbers) == 5


@pytest.mark.parametrize(("random", "delay"), [(0.0, 0.75), (1.0, 1.25)])
async def test_the_wait_is_jittered_by_a_quarter(random: float, delay: float) -> None:
    tries = Tries(transient())
    await tries.run(random)
    assert tries.slept == [delay]


async def test_the_provider_is_never_asked_before_it_said() -> None:
    tries = Tries(transient(7), transient(0.1))
    await tries.run()
    assert tries.slept == [7, 2]


async def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    tries = Tries(transient(301))
    with pytest.raises(ModelError):
        await tries.run()
    assert tries.slept == []


async def test_a_cut_is_repeated_once_and_at_once() -> None:
    tries = Tries(ModelError("cut", "lost"))
    assert await tries.run() == "ok"
    assert tries.slept == [0]
    tries = Tries(ModelError("cut", "lost"), ModelError("cut", "lost"))
    with pytest.raises(ModelError):
        await tries.run()


async def test_kinds_are_counted_apart() -> None:
    tries = Tries(transient(), ModelError("cut", "lost"), transient())
    assert await tries.run() == "ok"
    assert tries.slept == [1, 0, 2]


@pytest.mark.parametrize("kind", ["quota", "auth", "request", "overflow", "permanent"])
async def test_the_other_kinds_are_not_repeated(kind: ErrorKind) -> None:
    tries = Tries(ModelError(kind, "no"))
    with pytest.raises(ModelError):
        await tries.run()
    assert tries.told == []


async def test_other_exceptions_pass_through() -> None:
    async def attempt(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await with_retries(attempt, RetryPolicy(), lambda _: None)


async def test_the_wait_can_be_cancelled() -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    tries = Tries(transient())
    policy = RetryPolicy(sleep=sleep)
    task = asyncio.create_task(with_retries(tries.attempt, policy, tries.told.append))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tries.numbers == [1]
