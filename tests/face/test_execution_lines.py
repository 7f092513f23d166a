"""What the transcript says of a cached result, of a call that is tried again, and of one that stands in."""

from __future__ import annotations

from omni_tui.face.transcript.call_lines import state_of
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import CallItem
from omni_tui.protocol import SafeText
from omni_tui.protocol import events as e


def proposed(**more: object) -> e.CallProposed:
    return e.CallProposed(
        call="c", server="slow", tool="t", label=SafeText("t"), arguments=SafeText("{}"),
        size=2, digest="d", origin="agent", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def item(*events: e.Event) -> CallItem:
    fold = Fold()
    for event in events:
        fold.apply(event)  # type: ignore[arg-type]
    (found,) = [each for each in fold.items if isinstance(each, CallItem)]
    return found


def test_a_cached_result_says_how_old_it_is() -> None:
    ended = e.CallFinished(call="c", state="succeeded", parts=(), elapsed_ms=0.0, size=1, cached_s=12.0)
    words, _ = state_of(item(proposed(), ended), 0.0)
    assert words == "✓ from the cache · 12 s old"


def test_the_next_attempt_and_its_reason_are_shown() -> None:
    sent = e.CallChanged(call="c", state="dispatching")
    ahead = e.AttemptScheduled(call="c", attempt=2, of=3, delay_s=0.5, reason=SafeText("not connected"))
    assert item(proposed(), sent, ahead).message == "attempt 2 of 3 in 0.5 s, after: not connected"


def test_a_stand_in_says_for_what() -> None:
    made = item(proposed(fallback=SafeText("it stands in for fast › t")))
    assert made.fallback == "it stands in for fast › t"
