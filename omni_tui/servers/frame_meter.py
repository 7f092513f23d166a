"""Tells whoever watches which messages pass a connection, how large they are and how long they take.

Nothing of their contents is kept, and nothing is done while nobody watches.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from omni_tui.observability.debug_recorder import DebugRecorder, FrameFacts
from omni_tui.servers.wire_frames import FrameCopier, message_parts

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

_OPEN = 512


class FrameMeter:
    """The watchers of one connection."""

    def __init__(self) -> None:
        self._watchers: list[DebugRecorder] = []
        self._open: OrderedDict[tuple[bool, str], tuple[str, float]] = OrderedDict()

    @property
    def on(self) -> bool:
        """Whether somebody watches. Forgets who does not any more."""
        if not self._watchers:
            return False
        self._watchers = [watcher for watcher in self._watchers if watcher.on]
        if not self._watchers:
            self._open.clear()
        return bool(self._watchers)

    def watch(self, watcher: DebugRecorder) -> None:
        """Tell a watcher of what passes from now on, as long as it is on."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)

    def note(self, server: str, item: SessionMessage | Exception, *, sent: bool, size: int) -> None:
        """Tell of a message. Raises nothing: watching must not disturb the connection."""
        with contextlib.suppress(Exception):
            self._note(server, item, sent=sent, size=size)

    def _note(self, server: str, item: SessionMessage | Exception, *, sent: bool, size: int) -> None:
        now = time.perf_counter()
        kind, method, key, body = message_parts(item)
        exact, took = size > 0, None
        if not size:
            copier = FrameCopier()
            copier.take(body)
            size, exact = copier.size, not copier.cut
        if key and kind == "request":
            self._open[(sent, key)] = (method, now)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        elif key and (asked := self._open.pop((not sent, key), None)) is not None:
            method, took = asked[0], (now - asked[1]) * 1000
        facts = FrameFacts(server, sent, kind, method, size, exact, took)
        for watcher in self._watchers:
            watcher.frame_passed(facts)
