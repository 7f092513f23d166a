"""What a server asks of the person while a call runs, for the screen of the call: a fold over events."""

from __future__ import annotations

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened


class OpenServerRequests:
    """The questions that wait for the person."""

    def __init__(self) -> None:
        self._open: dict[str, ServerRequestOpened] = {}

    def apply(self, event: AnyEvent) -> bool:
        """Take an event into account; True if it was about a question."""
        if isinstance(event, ServerRequestOpened):
            self._open[event.ask] = event
        elif isinstance(event, ServerRequestClosed):
            self._open.pop(event.ask, None)
        else:
            return False
        return True

    def about(self, call: str, server: str) -> bool:
        """Return whether a running call waits for an answer of the person.

        A question that names no call may be about any call of its server.
        """
        return any(
            ask.call == call if ask.call else ask.server == server
            for ask in self._open.values()
            if ask.stage != "answering"
        )
