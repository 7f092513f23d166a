"""How a streamed answer of LiteLLM is put together again."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from omni_tui.models._fragments import CallFragments, as_text
from omni_tui.models._provider_streams import parts_of
from omni_tui.models._thinking_tags import ThinkingSplitter, split_thinking
from omni_tui.models.base import UNFINISHED, FinishReason, Message, ToolCall, ToolSpec
from omni_tui.models.message_history import arguments_of

_FINISH: dict[str, FinishReason] = {
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "window",
    "model_length": "window",
    "content_filter": "filtered",
    "content_filtered": "filtered",
    "guardrail_intervened": "filtered",
    "refusal": "filtered",
    "sensitive": "filtered",
    "safety": "filtered",
    "recitation": "filtered",
    "language": "filtered",
    "blocklist": "filtered",
    "prohibited_content": "filtered",
    "spii": "filtered",
    "image_safety": "filtered",
}


class ChunkDelta(Protocol):
    """What is read of a chunk's delta. Each of them may be missing."""

    content: str | list[Any] | None
    reasoning_content: str | None
    thinking_blocks: list[dict[str, Any]] | None
    tool_calls: list[Any] | None


# --- what comes back --------------------------------------------------------------------------


class AnswerAssembler:
    """Puts an answer together, chunk by chunk. `names` are those of the tools on offer."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._text: list[str] = []
        self._fragments = CallFragments(names)
        self._tags = ThinkingSplitter()
        self._thinking: list[dict[str, Any]] = []
        self.began = False

    def add(self, delta: ChunkDelta) -> tuple[str, str]:
        """Take one delta; return the thought and the text that are new in it."""
        said, thought = parts_of(getattr(delta, "content", None))
        thought += getattr(delta, "reasoning_content", None) or ""
        text = ""
        if said:
            self._text.append(said)
            more, text = self._tags.add(said)
            thought += more
        fragments = getattr(delta, "tool_calls", None)
        if fragments:
            for fragment in fragments:
                self._fragment(fragment)
        blocks = getattr(delta, "thinking_blocks", None)
        if blocks:
            for block in blocks:
                self._block(dict(block))
        if said or thought or fragments:
            self.began = True
        return thought, text

    def rest(self) -> tuple[str, str]:
        """Return the thought and the text that were held back, at the end."""
        return self._tags.rest()

    def message(self, *, whole: bool = True) -> Message:
        """Return the whole message. Calls without an id, or with one that came before, get a new one.

        `whole` says whether the model had ended it.
        """
        calls: list[ToolCall] = []
        seen: set[str] = set()
        for call in sorted(self._fragments.calls, key=lambda call: call.slot):
            if not call.name and not call.pieces:
                continue
            ident = call.id if call.id and call.id not in seen else f"call_{uuid.uuid4().hex[:24]}"
            seen.add(ident)
            calls.append(ToolCall(ident, call.name, call.arguments()))
        thinking = tuple(block for block in self._thinking if block.get("signature") or block.get("data"))
        said = "".join(self._text)
        _, text = split_thinking(said, whole=whole and not calls)
        return Message(
            role="assistant",
            text=text,
            calls=tuple(calls),
            thinking=thinking,
            raw=said if text != said else "",
        )

    def late_thought(self) -> str:
        """Return the thinking that was taken for the answer until a closing tag came."""
        return "" if self._tags.thought else split_thinking("".join(self._text)).thought

    def _fragment(self, fragment: Any) -> None:
        function = getattr(fragment, "function", None)
        self._fragments.add(
            getattr(fragment, "index", None),
            getattr(fragment, "id", None) or "",
            getattr(function, "name", None) or "",
            as_text(getattr(function, "arguments", None)),
        )

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


def finish_of(reason: str | None) -> FinishReason:
    """Return a provider's reason to stop in our words."""
    return _FINISH.get((reason or "").lower(), "stop")


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


class StreamEnd(NamedTuple):
    """How a stream ended: the reason, whether that is an end, and whether it is one for calls too."""

    reason: str
    whole: bool
    surely: bool


class JudgedMessage(NamedTuple):
    """A message, why it ends, and whether it is complete: else nothing of it may be run."""

    message: Message
    finish: FinishReason
    complete: bool


def judge(collector: AnswerAssembler, end: StreamEnd, tools: Mapping[str, ToolSpec]) -> JudgedMessage:
    """Judge whether an answer is whole.

    A reason that is not "tool_calls" is believed for calls only if they hold together; one that says
    that the answer was cut short is the end of no call.
    """
    finish = finish_of(end.reason)
    message = collector.message(whole=end.whole and finish not in UNFINISHED)
    if not message.calls:
        return JudgedMessage(message, finish, end.whole)
    complete = end.surely and finish not in UNFINISHED
    if finish != "tool_calls" and not holds_together(message, tools):
        complete = False
    return JudgedMessage(message, "tool_calls" if finish == "stop" else finish, complete)
