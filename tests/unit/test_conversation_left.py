"""What a message is told as that was left behind when the app ended."""

from __future__ import annotations

import pytest

from omni_tui.engine.conversation import conversation_from
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import SessionOpened, TurnStarted, UserMessage
from omni_tui.protocol.prompts_and_resources import AttachedResource

DOCUMENT = AttachedResource(
    server=SafeText("files"), label=SafeText("a.md"), address=SafeText("file:///a.md"), size=3
)


def said(turn: str, *attachments: AttachedResource) -> UserMessage:
    return UserMessage(turn=turn, text=SafeText(f"words of {turn}"), attachments=attachments)


@pytest.mark.parametrize("attached", [True, False])
def test_what_was_attached_is_not_left_out_in_silence(attached: bool) -> None:
    more = (DOCUMENT,) if attached else ()
    events: list[AnyEvent] = [
        SessionOpened(title=SafeText("s"), mode="chat", model=SafeText("m")),
        said("t1", *more),
        TurnStarted(turn="t1", mode="chat", model=SafeText("m")),
        said("t2", *more),
    ]
    left = conversation_from(events)
    for text, turn in ((left.untold, "t1"), (left.queued["t2"], "t2")):
        assert text.startswith(f"words of {turn}")
        assert ("files › a.md" in text) == attached
        assert ("lost when the app ended" in text) == attached
