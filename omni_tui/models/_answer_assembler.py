"""Assemble a streamed answer of LiteLLM: its text, its thoughts and its calls.

Some models write their thinking into the text, between tags. Only tags at the start of an answer count: an
opening tag, or a closing tag without an opening one (servers that put the opening tag into the prompt).
Later tags and tags in code are part of the answer.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from omni_tui.models._provider_streams import CallFragments, as_text, parts_of
from omni_tui.models.base import UNFINISHED, FinishReason, Message, ToolCall, ToolSpec
from omni_tui.models.message_history import arguments_of

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
_PAIRS = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
_LONGEST = max(len(opening) for opening, _ in _PAIRS)
_CODE = re.compile(
    r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)|(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE
)


class SplitAnswer(NamedTuple):
    """An answer's text, and the thinking before it."""

    thought: str
    text: str


class ThinkingSplitter:
    """Splits an answer while it comes. Text that may be a tag is held back."""

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._before = ""
        self.thought = False
        """Whether the answer began with a tag."""
        self._answers = False

    def add(self, text: str) -> SplitAnswer:
        """Take more text; return the thinking and the answer that are certain."""
        if self._answers:
            return SplitAnswer("", text)
        self._held += text
        thought = ""
        while True:
            if self._closing:
                more, ended = self._think()
                thought += more
                if not ended:
                    return SplitAnswer(thought, "")
                continue
            begins = self._begins()
            if begins != "thinking":
                held = ""
                if begins == "answer":
                    self._answers = True
                    held, self._held = self._held, ""
                return SplitAnswer(thought, held)

    def rest(self) -> SplitAnswer:
        """Return the text that was held back, at the end."""
        held, self._held = self._held, ""
        if self._closing:
            return SplitAnswer(held, "")
        return SplitAnswer("", held.lstrip() if self.thought else held)

    def _begins(self) -> Literal["thinking", "answer", ""]:
        """Return what begins here, "" if it is not certain yet."""
        start = self._held.lstrip()
        for opening, closing in _PAIRS:
            if start[: len(opening)].lower() == opening.lower():
                self._held, self._closing, self._before = start[len(opening) :], closing, ""
                self.thought = True
                return "thinking"
        low = start.lower()
        if len(start) < _LONGEST and any(opening.lower().startswith(low) for opening, _ in _PAIRS):
            return ""
        self._held = start if self.thought else self._held
        return "answer"

    def _think(self) -> tuple[str, bool]:
        """Return the thinking so far, and whether it has ended."""
        at = _closes(self._held, self._closing, self._before)
        if at >= 0:
            thought = self._held[:at]
            self._held, self._closing = self._held[at + len(self._closing) :].lstrip(), ""
            return thought, True
        held, closing = self._held, self._closing.lower()
        sizes = range(min(len(closing) - 1, len(held)), 0, -1)
        keep = next((size for size in sizes if closing.startswith(held[-size:].lower())), 0)
        thought, self._held = held[: len(held) - keep], held[len(held) - keep :]
        self._before = thought[-1:] or self._before
        return thought, False


def _closes(text: str, closing: str, before: str = "") -> int:
    """Return where thinking ends, -1 if it does not. A tag in backticks does not count."""
    low, tag, at = text.lower(), closing.lower(), -1
    while (at := low.find(tag, at + 1)) >= 0:
        if (text[at - 1] if at else before) != "`":
            return at
    return -1


def split_thinking(text: str, *, whole: bool = True) -> SplitAnswer:
    """Split a finished text; `whole` if the model ended it.

    After a tag that was never closed, the rest of a whole text is the answer.
    """
    thoughts: list[str] = []
    rest = text
    while True:
        start = rest.lstrip()
        pair = next((pair for pair in _PAIRS if start[: len(pair[0])].lower() == pair[0].lower()), None)
        if pair is None:
            break
        inside = start[len(pair[0]) :]
        at = _closes(inside, pair[1])
        if at < 0:
            if whole and not thoughts:
                return SplitAnswer("", text)
            thoughts.append(inside)
            rest = ""
            break
        thoughts.append(inside[:at].strip())
        rest = inside[at + len(pair[1]) :].lstrip()
    if thoughts:
        return SplitAnswer("\n\n".join(each for each in thoughts if each), rest)
    return _behind_a_lone_closing(text)


def _behind_a_lone_closing(text: str) -> SplitAnswer:
    prose = _CODE.sub(lambda code: " " * len(code[0]), text).lower()
    for opening, closing in _PAIRS:
        at = prose.find(closing.lower())
        if at >= 0 and opening.lower() not in prose[:at]:
            return SplitAnswer(text[:at].strip(), text[at + len(closing) :].lstrip())
    return SplitAnswer("", text)


DETAILS = "reasoning."
"""How the kinds of OpenRouter's `reasoning_details` begin."""
SIGNED_TEXT = "thought_signature"
"""The kind of a block that holds Gemini's signature of the text of an answer."""

_JOINED = ("text", "summary", "data", "signature")


class Thoughts:
    """The thoughts of one answer: plain ones as text, signed ones as blocks."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._signatures: list[str] = []

    def add(self, delta: Any) -> None:
        """Take the thoughts in a delta of LiteLLM, except Anthropic's blocks."""
        thought = getattr(delta, "reasoning_content", None)
        if isinstance(thought, str):
            self._open.append(thought)
        details = getattr(delta, "reasoning_details", None)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and str(detail.get("type", "")).startswith(DETAILS):
                self._detail(detail)
        fields = getattr(delta, "provider_specific_fields", None)
        signed = fields.get("thought_signatures") if isinstance(fields, dict) else None
        for signature in signed if isinstance(signed, list) else ():
            if isinstance(signature, str) and signature and signature not in self._signatures:
                self._signatures.append(signature)

    @property
    def text(self) -> str:
        """The plain thoughts."""
        return "".join(self._open)

    @property
    def blocks(self) -> tuple[dict[str, Any], ...]:
        """The signed thoughts."""
        signed = [{"type": SIGNED_TEXT, "signature": each} for each in self._signatures]
        return (*self._details, *signed)

    def _detail(self, detail: dict[str, Any]) -> None:
        """Join the fragments of one detail; another kind or index begins the next."""
        last = self._details[-1] if self._details else None
        same = last is not None and all(last.get(key) == detail.get(key) for key in ("type", "index"))
        if last is None or not same or "index" not in detail:
            self._details.append(dict(detail))
            return
        for key, value in detail.items():
            if key in _JOINED and isinstance(value, str) and isinstance(last.get(key), str):
                last[key] += value
            elif value is not None:
                last[key] = value


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


class AnswerAssembler:
    """Assembles an answer, chunk by chunk. `names` are those of the request's tools."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._text: list[str] = []
        self._fragments = CallFragments(names)
        self._tags = ThinkingSplitter()
        self._thinking: list[dict[str, Any]] = []
        self.began = False

    def add(self, delta: Any) -> tuple[str, str]:
        """Take one delta of LiteLLM; return its new thought and text."""
        said, thought = parts_of(getattr(delta, "content", None))
        thought += getattr(delta, "reasoning_content", None) or ""
        text = ""
        if said:
            self._text.append(said)
            more, text = self._tags.add(said)
            thought += more
        fragments = getattr(delta, "tool_calls", None) or ()
        for fragment in fragments:
            function = getattr(fragment, "function", None)
            self._fragments.add(
                getattr(fragment, "index", None),
                getattr(fragment, "id", None) or "",
                getattr(function, "name", None) or "",
                as_text(getattr(function, "arguments", None)),
            )
        for block in getattr(delta, "thinking_blocks", None) or ():
            self._block(dict(block))
        if said or thought or fragments:
            self.began = True
        return thought, text

    def rest(self) -> tuple[str, str]:
        """Return the thought and the text that were held back."""
        return self._tags.rest()

    def message(self, *, whole: bool = True) -> Message:
        """Return the message; `whole` if the model ended it. Missing and repeated call ids are replaced."""
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
        """Return thinking that looked like the answer until a closing tag came."""
        return "" if self._tags.thought else split_thinking("".join(self._text)).thought

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


def _holds_together(message: Message, tools: Mapping[str, ToolSpec]) -> bool:
    """Whether every call of a message is complete: a name, an object, and all required arguments."""
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
    """How a stream ended: the reason, whether it is complete, and whether its calls are too."""

    reason: str
    whole: bool
    surely: bool


class JudgedMessage(NamedTuple):
    """A message, its finish reason, and whether it is complete: else none of its calls may run."""

    message: Message
    finish: FinishReason
    complete: bool


def judge(collector: AnswerAssembler, end: StreamEnd, tools: Mapping[str, ToolSpec]) -> JudgedMessage:
    """Decide whether an answer is complete.

    With another reason than "tool_calls", the calls must be complete in themselves; with a reason that
    means the answer was cut short, no call is complete.
    """
    finish = _FINISH.get(end.reason.lower(), "stop")
    message = collector.message(whole=end.whole and finish not in UNFINISHED)
    if not message.calls:
        return JudgedMessage(message, finish, end.whole)
    complete = end.surely and finish not in UNFINISHED
    complete = complete and (finish == "tool_calls" or _holds_together(message, tools))
    return JudgedMessage(message, "tool_calls" if finish == "stop" else finish, complete)
