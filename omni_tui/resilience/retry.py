"""The one place where a model request is sent again, visibly and cancellably."""

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
    """How often and when. Times in seconds.

    A transient failure is tried again after each of `delays`, give or take a quarter so that many
    clients do not come back together, but never before the provider said; one that asks for more
    than `longest_wait` is not waited for. A stream that was cut is tried again `cut_retries` times.
    """

    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    cut_retries: int = 1
    longest_wait: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Retry:
    """The next try: its number (2 is the first repetition) of how many, and the wait before it."""

    attempt: int
    of: int
    delay_s: float
    error: ModelError


async def with_retries(
    attempt: Callable[[int], Awaitable[_T]],
    policy: RetryPolicy,
    on_retry: Callable[[Retry], None],
) -> _T:
    """Call `attempt(number)` until it succeeds; `on_retry` is told before each wait.

    Raises the last `ModelError` when the kind is not one to try again or the tries are used up.
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
    """Return the seconds to wait before the next try, None if there is to be none."""
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
