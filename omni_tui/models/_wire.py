"""How a streamed answer of LiteLLM is put together again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from omni_tui.models.base import Finish, Message, ToolCall, ToolSpec
from omni_tui.models.context import arguments_of

_FINISH: dict[str, Finish] = {
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filtered",
    "refusal": "filtered",
}


class Delta(Protocol):
    """What is read of a chunk's delta. Each of them may be missing."""

    content: str | None
    reasoning_content: str | None
    thinking_blocks: list[dict[str, Any]] | None
    tool_calls: list[Any] | None


# --- what comes back --------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """A call as its fragments come; id and name are in the first of them only."""

    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)


def _begins(call: _Call, ident: str) -> bool:
    """Whether a fragment with a name and this id is another call than the one in its place."""
    if ident and call.id:
        return ident != call.id
    text = "".join(call.pieces)
    return bool(text) and arguments_of(ToolCall("", "", text)) is not None


class Collector:
    """Puts an answer together, chunk by chunk."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._aliases: dict[int, int] = {}
        self._thinking: list[dict[str, Any]] = []
        self.began = False

    def add(self, delta: Delta) -> tuple[str, str]:
        """Take one delta; return the thought and the text that are new in it."""
        text = getattr(delta, "content", None) or ""
        thought = getattr(delta, "reasoning_content", None) or ""
        if text:
            self._text.append(text)
        fragments = getattr(delta, "tool_calls", None)
        if fragments:
            for fragment in fragments:
                self._fragment(fragment)
        blocks = getattr(delta, "thinking_blocks", None)
        if blocks:
            for block in blocks:
                self._block(dict(block))
        if text or thought or fragments:
            self.began = True
        return thought, text

    def message(self) -> Message:
        """Return the whole message. Calls without an id, or with one that came before, get a new one."""
        calls: list[ToolCall] = []
        seen: set[str] = set()
        for call in self._calls.values():
            ident = call.id if call.id and call.id not in seen else f"call_{uuid.uuid4().hex[:24]}"
            seen.add(ident)
            calls.append(ToolCall(ident, call.name, "".join(call.pieces)))
        thinking = tuple(block for block in self._thinking if block.get("signature") or block.get("data"))
        return Message(role="assistant", text="".join(self._text), calls=tuple(calls), thinking=thinking)

    def _fragment(self, fragment: Any) -> None:
        index = getattr(fragment, "index", None) or 0
        ident = getattr(fragment, "id", None) or ""
        function = getattr(fragment, "function", None)
        name = getattr(function, "name", None) or ""
        slot = self._aliases.get(index, index)
        call = self._calls.get(slot)
        if call is not None and name and call.name and _begins(call, ident):
            # Some servers number every call 0: another id, or a whole call before it, begins another.
            slot = self._aliases[index] = max(self._calls) + 1
            call = None
        if call is None:
            call = self._calls[slot] = _Call()
        call.id = call.id or ident
        call.name = call.name or name
        if arguments := getattr(function, "arguments", None):
            call.pieces.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def _block(self, block: dict[str, Any]) -> None:
        """Join fragments of thinking. A signature ends a block; a redacted one comes whole."""
        last = self._thinking[-1] if self._thinking else None
        joins = last is not None and last.get("type") == block.get("type") == "thinking"
        if last is None or not joins or (last.get("signature") and block.get("thinking")):
            self._thinking.append(block)
            return
        for key in ("thinking", "signature"):
            if block.get(key):
                last[key] = (last.get(key) or "") + block[key]


def finish_of(reason: str | None) -> Finish:
    """Return a provider's reason to stop in our words."""
    return _FINISH.get(reason or "", "stop")


def holds_together(message: Message, tools: Mapping[str, ToolSpec]) -> bool:
    """Whether every call of a message is whole: a name, an object, and all that is required."""
    for call in message.calls:
        arguments = arguments_of(call)
        if not call.name or arguments is None:
            return False
        tool = tools.get(call.name)
        required = tool.parameters.get("required") if tool else None
        if isinstance(required, list) and any(key not in arguments for key in required):
            return False
    return True
