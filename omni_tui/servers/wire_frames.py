"""A message on the wire as a JSON value: its kind, method and id, and a copy within limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from omni_tui.protocol.wire_log import WireKind

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

MAX_FRAME = 32 * 1024
"""Limit of one frame when it is shown, in characters."""
_MARGIN = 8 * 1024
"""Recorded beyond the limit, so that a secret across it is still recognised."""
_NODE = 8
"""Least cost of a value, in characters: limits how many are copied."""
_DEPTH = 40


def message_parts(item: SessionMessage | Exception) -> tuple[WireKind, str, str, Any]:
    """Return a message's kind, method and id, and the message as a JSON value (not copied)."""
    if isinstance(item, Exception):
        return "broken", type(item).__name__, "", str(item)[: MAX_FRAME + _MARGIN]
    from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest  # the SDK is loaded by now

    from omni_tui.servers.transports.json_rpc import message_body

    message = item.message
    body = message_body(message)
    key = "" if body.get("id") is None else str(body["id"])[:200]
    if isinstance(message, JSONRPCNotification):
        return "note", message.method, key, body
    if isinstance(message, JSONRPCRequest):
        return "request", message.method, key, body
    return "error" if isinstance(message, JSONRPCError) else "answer", "", key, body


class FrameCopier:
    """Copies a JSON value up to a limit. `size` is the length of the copy as JSON."""

    def __init__(self) -> None:
        self.kept = 0
        self.size = 0
        self.cut = False
        self._left = MAX_FRAME + _MARGIN

    def take(self, value: Any, depth: int = 0) -> Any:
        """Return a copy, cut at the limit."""
        self._spend(_NODE, 0)
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool):
            self.size += 5 if value is False else 4
            return value
        if isinstance(value, int):
            if value.bit_length() > 4096:  # writing it takes time, and Python refuses the longest
                self.cut = True
                return "… (a very long number)"
            self.size += len(str(value))
            return value
        if isinstance(value, float):
            self.size += len(repr(value))
            return value
        if depth >= _DEPTH:
            self.cut = True
            return "… (nested deeper)"
        if isinstance(value, dict):
            return self._table(value, depth)
        if isinstance(value, list | tuple):
            return self._list(value, depth)
        dump = getattr(value, "model_dump", None)
        return self.take(dump(by_alias=True, exclude_none=True) if dump else repr(value)[:200], depth + 1)

    def _table(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        self.size += 2 + max(0, len(value) - 1)
        for done, (name, content) in enumerate(value.items()):
            if self._left <= 0:
                self.cut = True
                kept["…"] = f"{len(value) - done} more"
                break
            self.size += 1
            kept[self._text(str(name))] = self.take(content, depth + 1)
        return kept

    def _list(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        kept: list[Any] = []
        self.size += 2 + max(0, len(value) - 1)
        for done, content in enumerate(value):
            if self._left <= 0:
                self.cut = True
                kept.append(f"… {len(value) - done} more")
                break
            kept.append(self.take(content, depth + 1))
        return kept

    def _text(self, value: str) -> str:
        length = len(value)
        if length <= self._left:
            self._spend(length, _json_size(value))
            return value
        self.cut = True
        kept = value[: max(0, self._left)]
        self._spend(max(0, self._left), length + 2)
        return f"{kept}… ({length - len(kept)} more characters)"

    def _spend(self, characters: int, size: int) -> None:
        self._left -= characters
        self.kept += characters
        self.size += size


def _json_size(value: str) -> int:
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return len(value) + 2
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
