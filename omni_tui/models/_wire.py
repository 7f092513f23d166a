"""Between our messages and LiteLLM's: what is sent, and how a streamed answer is put together again."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from omni_tui.models._fragments import Fragments, as_text
from omni_tui.models._streams import parts_of
from omni_tui.models._thinking import Thinking, divide
from omni_tui.models.base import UNFINISHED, Finish, Message, ModelRequest, ToolCall, ToolSpec
from omni_tui.models.context import arguments_of
from omni_tui.models.schema import for_provider

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_KEEPS_IDS = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})
_FINISH: dict[str, Finish] = {
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


class Delta(Protocol):
    """What is read of a chunk's delta. Each of them may be missing."""

    content: str | list[Any] | None
    reasoning_content: str | None
    thinking_blocks: list[dict[str, Any]] | None
    tool_calls: list[Any] | None


# --- what is sent -----------------------------------------------------------------------------


MOST_IMAGES = 8
"""Pictures in one request; of more, the newest are sent."""
IMAGE_TOKENS = 1_600
"""What a picture is reckoned at: the most that Anthropic scales one to; others take less."""


def to_wire(
    messages: Sequence[Message], provider: str, model: str, *, images: bool = False
) -> list[dict[str, Any]]:
    """Return closed messages in the form LiteLLM takes.

    Thinking goes back verbatim, but only to the family it came from. Call ids that another provider
    made and this one would refuse are replaced, the same way in call and result. Pictures go along
    if the model takes `images`, those of results only to the family that takes them there; where one
    is left out, a line says so.
    """
    claude = provider == "anthropic" or "claude" in model.lower()
    if provider in _KEEPS_IDS:
        messages = _without_twins(messages)
    out: list[dict[str, Any]] = []
    pictures = _Pictures(messages, images=images, in_results=claude)
    for message in messages:
        content = pictures.content(message)
        if message.role == "tool":
            ident = _id(message.call_id, provider)
            out.append({"role": "tool", "tool_call_id": ident, "content": content or "(empty)"})
            continue
        wire: dict[str, Any] = {"role": message.role, "content": content}
        if message.calls:
            wire["content"] = message.text or None
            wire["tool_calls"] = [_call(call, provider) for call in message.calls]
        if claude and message.thinking:
            wire["thinking_blocks"] = [dict(block) for block in message.thinking]
        out.append(wire)
    return out


def _without_twins(messages: Sequence[Message]) -> list[Message]:
    """Leave out calls that are the same as one beside them, and their results.

    LiteLLM sends one of them to Gemini but both results, and Gemini wants as many of each.
    """
    out: list[Message] = []
    dropped: set[str] = set()
    for message in messages:
        if message.role == "tool" and message.call_id in dropped:
            continue
        if message.calls:
            seen = {(call.name, call.arguments): call for call in reversed(message.calls)}
            kept = tuple(call for call in message.calls if seen[call.name, call.arguments] is call)
            dropped = {call.id for call in message.calls} - {call.id for call in kept}
            message = msgspec.structs.replace(message, calls=kept)
        out.append(message)
    return out


class _Pictures:
    """Which pictures of a conversation are sent: the newest, to who takes them."""

    def __init__(self, messages: Sequence[Message], *, images: bool, in_results: bool) -> None:
        self._images = images
        self._in_results = in_results
        total = sum(len(message.images) for message in messages if self._may(message))
        self._old = max(0, total - MOST_IMAGES)

    def _may(self, message: Message) -> bool:
        return self._images and (message.role == "user" or (message.role == "tool" and self._in_results))

    def content(self, message: Message) -> str | list[dict[str, Any]]:
        """Return a message's content: text, or text with pictures."""
        if not message.images:
            return message.text
        if not self._may(message):
            why = "this model takes none in results" if self._images else "this model takes none"
            return message.text + _left_out(len(message.images), why)
        old = min(self._old, len(message.images))
        self._old -= old
        text = message.text + (_left_out(old, "only the newest are sent") if old else "")
        parts: list[dict[str, Any]] = [{"type": "text", "text": text or "(a picture)"}]
        for image in message.images[old:]:
            url = f"data:{image.mime};base64,{image.data}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
        return parts if len(parts) > 1 else text


def _left_out(count: int, why: str) -> str:
    return f"\n[Omni TUI: {count} picture{'s were' if count > 1 else ' was'} left out here: {why}]"


def _call(call: ToolCall, provider: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments.strip() or "{}"}
    return {"id": _id(call.id, provider), "type": "function", "function": function}


def _id(ident: str, provider: str) -> str:
    # Gemini's ids carry a signature that it wants back.
    if provider in _KEEPS_IDS or _ID.fullmatch(ident):
        return ident
    return "call_" + hashlib.sha256(ident.encode(errors="surrogatepass")).hexdigest()[:24]


class Tools:
    """The tools of a request in wire form; schemas are cleaned once."""

    def __init__(self) -> None:
        self._cleaned: dict[int, tuple[ToolSpec, dict[str, Any]]] = {}

    def of(self, request: ModelRequest) -> list[dict[str, Any]]:
        """Return the tools on offer; if none are, stubs of those used before, as some providers insist."""
        if request.tools:
            if len(self._cleaned) > 4 * len(request.tools) + 64:
                self._cleaned.clear()
            return [self._one(tool) for tool in request.tools]
        used = dict.fromkeys(call.name for message in request.messages for call in message.calls)
        return [self._wire(ToolSpec(name, "Not available now.", {"type": "object"})) for name in used]

    def _one(self, tool: ToolSpec) -> dict[str, Any]:
        known = self._cleaned.get(id(tool))
        if known is None or known[0] is not tool:
            known = self._cleaned[id(tool)] = (tool, self._wire(tool))
        return known[1]

    @staticmethod
    def _wire(tool: ToolSpec) -> dict[str, Any]:
        function = {
            "name": tool.name,
            "description": tool.description[:8_000],
            "parameters": for_provider(tool.parameters),
        }
        return {"type": "function", "function": function}


# --- what comes back --------------------------------------------------------------------------


class Collector:
    """Puts an answer together, chunk by chunk. `names` are those of the tools on offer."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._text: list[str] = []
        self._fragments = Fragments(names)
        self._tags = Thinking()
        self._thinking: list[dict[str, Any]] = []
        self.began = False

    def add(self, delta: Delta) -> tuple[str, str]:
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
        for call in self._fragments.calls:
            ident = call.id if call.id and call.id not in seen else f"call_{uuid.uuid4().hex[:24]}"
            seen.add(ident)
            calls.append(ToolCall(ident, call.name, call.arguments()))
        thinking = tuple(block for block in self._thinking if block.get("signature") or block.get("data"))
        said = "".join(self._text)
        _, text = divide(said, whole=whole and not calls)
        return Message(
            role="assistant",
            text=text,
            calls=tuple(calls),
            thinking=thinking,
            raw=said if text != said else "",
        )

    def late_thought(self) -> str:
        """Return the thinking that was taken for the answer until a closing tag came."""
        return "" if self._tags.thought else divide("".join(self._text)).thought

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


def finish_of(reason: str | None) -> Finish:
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


class End(NamedTuple):
    """How a stream ended: the reason, whether that is an end, and whether it is one for calls too."""

    reason: str
    whole: bool
    surely: bool


class Judged(NamedTuple):
    """A message, why it ends, and whether it is complete: else nothing of it may be run."""

    message: Message
    finish: Finish
    complete: bool


def judge(collector: Collector, end: End, tools: Mapping[str, ToolSpec]) -> Judged:
    """Judge whether an answer is whole.

    A reason that is not "tool_calls" is believed for calls only if they hold together; one that says
    that the answer was cut short is the end of no call.
    """
    finish = finish_of(end.reason)
    message = collector.message(whole=end.whole and finish not in UNFINISHED)
    if not message.calls:
        return Judged(message, finish, end.whole)
    complete = end.surely and finish not in UNFINISHED
    if finish != "tool_calls" and not holds_together(message, tools):
        complete = False
    return Judged(message, "tool_calls" if finish == "stop" else finish, complete)
