"""What the model was told and has said in a session: a fold over its journal that rewinding shortens."""

from __future__ import annotations

from omni_tui.models.base import Message
from omni_tui.models.message_history import decode_message
from omni_tui.protocol import Event
from omni_tui.protocol.events import ModelMessage, SessionRewound, Steered


class ModelHistory:
    """The messages of the root agent, and where in them each message of the person is."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._starts: dict[str, int] = {}
        self._steered = ""

    def take(self, event: Event) -> None:
        """Take one event of the journal, in order."""
        if isinstance(event, Steered):
            self._steered = event.by
        elif isinstance(event, ModelMessage) and event.agent == "root":
            if event.role == "user":
                # A message that a running turn took in stands in that turn.
                self._starts.setdefault(self._steered or event.turn, len(self.messages))
                self._steered = ""
            self.messages.append(decode_message(event.body_json))
        elif isinstance(event, SessionRewound) and (start := self.start_of(event.turn)) is not None:
            del self.messages[start:]
            self._starts = {turn: at for turn, at in self._starts.items() if at < start}

    def start_of(self, turn: str) -> int | None:
        """Return where the message of a turn is, None if the model does not have it."""
        return self._starts.get(turn)
