"""How much the tests try: some of it where somebody waits for them, all of it with `OMNI_TUI_LONG=1`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TypeVar

_T = TypeVar("_T")

LONG = os.environ.get("OMNI_TUI_LONG", "") not in ("", "0")

SEED = int(os.environ.setdefault("OMNI_TUI_SEED", str(random.randrange(10**9))))
"""What the samples of `tests/proof` are drawn from: another one each time, unless it is set."""


def times(short: int, long: int) -> int:
    """Return how often something is tried: `long` is what the measure asks for."""
    return long if LONG else short


def examples(long: int) -> int:
    """Return how many examples Hypothesis tries where it is to try more or fewer than by default."""
    return times(max(12, long // 8), long)


def some(values: Iterable[_T], count: int) -> list[_T]:
    """Return `count` of the cases of a test, the first and the last among them, and all in a long run."""
    cases = list(values)
    if LONG or count >= len(cases):
        return cases
    last = len(cases) - 1
    return [cases[at * last // max(1, count - 1)] for at in range(count)]
