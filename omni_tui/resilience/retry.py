"""The one place where model requests are retried; the person sees that and can cancel it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from omni_tui.models.base import ModelError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to retry. Times in seconds.

    A transient failure is retried after each of `delays`, plus or minus a quarter, but not earlier than
    the provider says; longer than `longest_wait` is not waited. A cut stream is retried `cut_retries`
    times.
    """

    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    cut_retries: int = 1
    longest_wait: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt: its number (the first retry is 2), of how many, and the wait before it."""

    attempt: int
    of: int
    delay_s: float
    error: ModelError


async def with_retries(
    attempt: Callable[[int], Awaitable[_T]],
    policy: RetryPolicy,
    on_retry: Callable[[Retry], None],
) -> _T:
    """Call `attempt(number)` until it succeeds; call `on_retry` before each wait.

    Raises the last `ModelError` if its kind is not retried or the retries are used up.
    """
    transient = cuts = 0
    number = 1
    while True:
        try:
            return await attempt(number)
        except ModelError as error:
            delay = _delay(policy, error, transient, cuts)
            if delay is None:
                raise
            transient += error.kind == "transient"
            cuts += error.kind == "cut"
            left = (
                len(policy.delays) - transient if error.kind == "transient" else policy.cut_retries - cuts
            )
            number += 1
            on_retry(Retry(number, number + left, delay, error))
        await policy.sleep(delay)


def _delay(policy: RetryPolicy, error: ModelError, transient: int, cuts: int) -> float | None:
    """Return the seconds until the next attempt, None for no further one."""
    if error.kind == "cut":
        return 0.0 if cuts < policy.cut_retries else None
    if error.kind != "transient" or transient >= len(policy.delays):
        return None
    delay = policy.delays[transient] * (0.75 + policy.random() / 2)
    if error.retry_after_s is not None:
        if error.retry_after_s > policy.longest_wait:
            return None
        delay = max(delay, error.retry_after_s)
    return delay
