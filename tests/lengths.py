"""How much the tests try: little where somebody waits for them, all of it with `OMNI_TUI_LONG=1`."""

from __future__ import annotations

import os

LONG = os.environ.get("OMNI_TUI_LONG", "") not in ("", "0")


def times(short: int, long: int) -> int:
    """Return how often something is tried: `long` is what the measure asks for."""
    return long if LONG else short


def examples(long: int) -> int:
    """Return how many examples Hypothesis tries where it is to try more or fewer than by default."""
    return times(max(20, long // 5), long)
