"""What the transcript asks the screen for."""

from __future__ import annotations

from textual.message import Message

from omni_tui.face.transcript.item_types import UserItem


class EditAndResend(Message):
    """The person wants to say one of their messages in other words."""

    def __init__(self, item: UserItem) -> None:
        super().__init__()
        self.item = item


class OpenResult(Message):
    """Show the whole result of a call. `title` says which call, `parts` how many parts it has."""

    def __init__(self, call: str, title: str = "", parts: int = 1) -> None:
        super().__init__()
        self.call = call
        self.title = title
        self.parts = parts
