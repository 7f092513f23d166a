"""What a run prints: everything until its turn ends, and nothing after that."""

from __future__ import annotations

from omni_tui.cli.run import PromptTurn
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import JournalFailed, TurnEnded, UserMessage
from omni_tui.protocol.replies import CommandDone

SAID = UserMessage(turn="t1", text=SafeText("add"))


def printed(*events: AnyEvent) -> tuple[list[AnyEvent], PromptTurn]:
    shown: list[AnyEvent] = []
    turn = PromptTurn(shown.append)
    for event in events:
        turn.heard(event)
    return shown, turn


def test_the_end_of_the_turn_is_the_last_that_is_printed() -> None:
    late = CommandDone(text=SafeText("the day's usage"))
    shown, turn = printed(SAID, TurnEnded(turn="t1", status="done"), late, late)
    assert shown == [SAID, TurnEnded(turn="t1", status="done")]
    assert turn.is_over("t1")
    assert turn.status("t1") == 0


def test_the_end_of_another_turn_ends_nothing() -> None:
    other = TurnEnded(turn="t0", status="failed")
    shown, turn = printed(other, SAID, other, CommandDone())
    assert shown == [other, SAID, other, CommandDone()]
    assert not turn.is_over("t1")


def test_what_cannot_be_saved_is_printed_and_ends_the_wait() -> None:
    failed = JournalFailed(what=SafeText("the disk is full"))
    shown, turn = printed(SAID, failed)
    assert shown == [SAID, failed]
    assert turn.is_over("t1")
    assert turn.status("t1") == 1
