"""The message history of a model, for any provider: results framed as data, closed calls, role order,
tokens.

`ClosedHistory` gives each call exactly one result. `in_order` alternates the roles: a stopped or failed
answer leaves two messages of the person side by side or one right after a result, which Mistral and the
templates of many local models refuse.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from omni_tui.models.base import Image, Message, ToolCall
from omni_tui.models.origin import is_elsewhere
from omni_tui.security.text import count_hidden, encodable
from omni_tui.security.text_digest import text_digest

RESULT_LIMIT = 16_000
"""The default for the characters of one result that a model gets."""

WINDOW_SHARE = 0.8
"""The share of a model's window that a request may fill."""

FROM_SERVER = frozenset({"succeeded", "failed", "result_rejected"})
"""States of a call whose text a server wrote: it is data. In other states Omni TUI wrote it."""

_FRAME = re.compile(
    r'\A<tool_result id="(?P<id>[0-9a-f]{12})" tool="[^"\n]*" status="(?P<status>\w+)"[^\n]*>\n'
    r'(?P<text>.*)\n</tool_result id="(?P=id)">',
    re.DOTALL,
)
_decode = msgspec.json.Decoder(Message).decode
_MISSING = {
    "uncertain": "interrupted: the outcome is unknown. It may or may not have happened; check with a tool "
    "that only reads, and do not repeat it",
    "rejected": "rejected by the user; do not repeat it with the same arguments",
    "cancelled": "cancelled by the user; if it was running already, it may have taken effect",
    "expired": "the approval timed out; nothing was sent",
    "denied": "denied by policy; nothing was sent",
    "unsent": "not sent: who answers here has no tools; nothing happened",
    "withheld": "not sent: it needs an approval, and nobody is there to give it",
}


def decode_message(body: str) -> Message:
    """Return a message as the journal has it. A result without a status gets the one in its text."""
    message = _decode(body)
    if message.role != "tool" or message.status:
        return message
    return msgspec.structs.replace(message, status=read_result(message.text)[0])


def read_json(text: str | bytes) -> Any:
    """Return a JSON value, None if the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- the history ------------------------------------------------------------------------------


def unanswered(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the calls of the last assistant message that have no result yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role != "tool":
            return tuple(call for call in message.calls if call.id not in answered)
        answered.add(message.call_id)
    return ()


def last_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the calls of the last assistant message."""
    return next((message.calls for message in reversed(messages) if message.role == "assistant"), ())


def missing_result(call: ToolCall, state: str) -> Message:
    """Return the result for a call that never got one, in Omni TUI's words."""
    text = host_result(state, _MISSING.get(state, _MISSING["uncertain"]))
    return Message(role="tool", text=text, call_id=call.id, name=call.name, status=state)


def steps_since_user(messages: Sequence[Message]) -> int:
    """Return the number of answers since the person's last message."""
    count = 0
    for message in reversed(messages):
        if message.role == "user":
            break
        count += message.role == "assistant"
    return count


def arguments_of(call: ToolCall) -> dict[str, object] | None:
    """Return a call's arguments, None if they are not a JSON object. Empty text is an empty object."""
    text = plain_arguments(call.arguments)
    value = read_json(text) if text.strip() else {}
    return value if isinstance(value, dict) else None


def plain_arguments(text: str) -> str:
    """Return the arguments without the usual distortions of providers.

    Those are: `null` or an empty list for an empty object, an empty object before the real one, and an
    object encoded twice. Anything else is unchanged.
    """
    plain = text
    for _ in range(3):
        if not plain.strip():
            return plain
        try:
            value = json.loads(plain)
        except (ValueError, RecursionError):
            return _without_empty(plain) or text
        if isinstance(value, dict):
            return plain
        if value is None or value == []:
            return "{}"
        if not isinstance(value, str):
            return text
        plain = value or "{}"
    return text


def _without_empty(text: str) -> str:
    """Return the one object among empty ones in a row, "" if there is anything else."""
    decode = json.JSONDecoder().raw_decode
    found, at = "", len(text) - len(text.lstrip())
    while at < len(text):
        try:
            value, end = decode(text, at)
        except (ValueError, RecursionError):
            return ""
        if isinstance(value, dict) and value:
            if found:
                return ""
            found = text[at:end]
        elif value not in ({}, None, ""):
            return ""
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found or "{}"


# --- results ----------------------------------------------------------------------------------


def tool_message(
    call: ToolCall,
    text: str,
    status: str,
    *,
    limit: int = RESULT_LIMIT,
    note: str = "",
    ref: str = "",
    images: tuple[Image, ...] = (),
) -> Message:
    """Return the message that answers a call.

    A server's text is cut to `limit` characters (head and tail) and framed as data, with the number of its
    invisible characters; Omni TUI's own text is marked as such. `note` is a note of Omni TUI after it,
    `ref` the id of the whole in the journal.
    """
    size = 0
    if status in FROM_SERVER:
        body = _framed(call, text, status, limit, ref or call.id)
        size = len(text) if len(text) > limit else 0
    else:
        body = host_result(status, text[:limit])
    return Message(
        role="tool",
        text=body + note,
        call_id=call.id,
        name=call.name,
        ref=ref,
        size=size,
        status=status,
        images=images,
    )


def shrunk(message: Message, limit: int) -> Message:
    """Return a result cut to about `limit` characters, with a pointer to the whole."""
    status, text = message.status, result_text(message)
    if len(text) <= limit:
        return message
    size = message.size or len(text)
    pointer = f"a result of {size} characters"
    if message.ref:
        pointer = f"result of call {message.ref}, {size} characters, read it with read_result"
    note = f"\n[Omni TUI: shortened to save room: {pointer}]"
    if status in FROM_SERVER or not status:
        call = ToolCall(message.call_id, message.name, "")
        body = _framed(call, text, status or "unknown", limit, message.ref or call.id, size)
    else:
        body = host_result(status, text[:limit])
    return msgspec.structs.replace(message, text=body + note, size=size)


def host_result(status: str, message: str) -> str:
    """Return a result in Omni TUI's own words, as JSON, unlike any server's text."""
    return json.dumps({"from": "Omni TUI", "status": status, "message": message}, ensure_ascii=False)


def result_text(message: Message) -> str:
    """Return the text of a result without its frame and note."""
    return read_result(message.text)[1]


def read_result(text: str) -> tuple[str, str]:
    """Return the status ("" if none) and the bare text of a framed result."""
    framed = _FRAME.match(text)
    if framed:
        return framed["status"], framed["text"]
    try:
        # A note may follow the object.
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return "", text
    if isinstance(value, dict) and value.get("from") == "Omni TUI":
        return str(value.get("status", "")), str(value.get("message", ""))
    return "", text


def bound(text: str, limit: int, call: str = "", size: int = 0) -> str:
    """Cut a text to about `limit` characters: three quarters from its head, one from its tail.

    `call`: the id of the result that the journal keeps. `size`: the length of the whole if `text` was cut
    before.
    """
    if len(text) <= limit:
        return text
    head = limit * 3 // 4
    kept = f"; the whole result is kept, id {call}" if call else ""
    cut = f"[{(size or len(text)) - limit} characters cut{kept}]"
    return f"{text[:head]}\n{cut}\n{text[head - limit :]}"


def _framed(call: ToolCall, text: str, status: str, limit: int, ref: str, size: int = 0) -> str:
    # Cut first: a huge result is not searched as a whole.
    shown = encodable(bound(text, limit, ref, size))
    unseen = count_hidden(shown)
    mark = frame_mark(call.id, text)
    name = re.sub(r"[^\w.-]", "_", call.name)
    says = f' hidden="{unseen} characters that do not show"' if unseen else ""
    opening = f'<tool_result id="{mark}" tool="{name}" status="{status}"{says}>'
    return f'{opening}\n{shown}\n</tool_result id="{mark}">'


def frame_mark(*parts: str) -> str:
    """Return the id in both tags around quoted data, a digest of it: it cannot contain its closing tag."""
    return text_digest(*parts)[:12]


# --- tokens -----------------------------------------------------------------------------------


def estimate(messages: Sequence[Message]) -> int:
    """Estimate tokens: one for about four bytes of text, and a few for each message."""
    total = 0
    for message in messages:
        total += 4 + _size(message.text) // 4
        for call in message.calls:
            total += 8 + (_size(call.name) + _size(call.arguments)) // 4
        total += _size(message.reasoning) // 4
        for block in message.thinking:
            total += sum(_size(value) for value in block.values() if isinstance(value, str)) // 4
    return total


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


class ClosedHistory:
    """A history that any provider accepts, updated as it grows.

    Each call has exactly one result, right after its message, in the order of the calls. Unknown and
    repeated results are left out. A missing result is replaced by its state in `states` (by call id), or
    "outcome unknown", until it comes. Arguments that are not a JSON object become `{}`. Assistant messages
    without text and calls are left out. Messages never move; only such a replacement changes.
    """

    def __init__(self, states: Mapping[str, str] | None = None) -> None:
        self.messages: list[Message] = []
        self.rebuilt = 0
        """How often it had to start over because the history was not a continuation."""
        self._states = states or {}
        self._raw: tuple[Message, ...] = ()
        self._open: dict[str, deque[int]] = {}

    def update(self, history: Sequence[Message]) -> list[int]:
        """Take the whole history; return the places that are new or changed, in order."""
        history = tuple(history)
        known = len(self._raw)
        # Compared by identity first, so an unchanged prefix costs next to nothing.
        if history[:known] != self._raw:
            known = 0
            self.messages, self._raw, self._open = [], (), {}
            self.rebuilt += 1
        changed: set[int] = set()
        for message in history[known:]:
            self._add(message, changed)
        self._raw = history
        return sorted(changed)

    def _add(self, message: Message, changed: set[int]) -> None:
        if message.role == "tool":
            if waiting := self._open.get(message.call_id):
                place = waiting.popleft()
                self.messages[place] = message
                changed.add(place)
            return
        if message.role == "assistant" and not message.calls and not message.text:
            return
        # A call never takes the result of a later one of the same id.
        for call in message.calls:
            self._open.pop(call.id, None)
        changed.add(len(self.messages))
        calls = tuple(_plain(call) for call in message.calls)
        changes = calls != message.calls
        self.messages.append(msgspec.structs.replace(message, calls=calls) if changes else message)
        for call in message.calls:
            self._open.setdefault(call.id, deque()).append(len(self.messages))
            changed.add(len(self.messages))
            self.messages.append(missing_result(call, self._states.get(call.id, "uncertain")))


def _plain(call: ToolCall) -> ToolCall:
    """Return a call whose arguments are a JSON object."""
    if arguments_of(call) is None:
        return ToolCall(call.id, call.name, "{}")
    text = plain_arguments(call.arguments)
    return call if text == call.arguments else ToolCall(call.id, call.name, text)


NO_ANSWER = "(no answer was given here)"
"""The answer between a result and the person's next message, if a provider requires one."""
BEGIN = "(the conversation begins with the answer below)"
GO_ON = "Go on."

_ANY_ORDER = frozenset({"anthropic", "azure", "bedrock", "gemini", "vertex_ai", "vertex_ai_beta"})


def is_strict(provider: str, address: str = "") -> bool:
    """Whether a provider refuses a message of the person right after a result; assumed if unknown."""
    return is_elsewhere(address) if provider == "openai" else provider not in _ANY_ORDER


def in_order(messages: Sequence[Message], *, strict: bool, system: bool = True) -> list[Message]:
    """Return closed messages with alternating roles, without losing any text.

    Neighbours of one role are joined; the first message is the person's, and so is the last unless it is a
    result. With `strict`, there is an answer between a result and the person's next message. Without
    `system`, the system prompt becomes part of the person's first message.
    """
    rest = list(itertools.dropwhile(lambda message: message.role == "system", messages))
    head = messages[: len(messages) - len(rest)]
    out = _alternating(rest, strict=strict)
    if out and out[0].role != "user":
        out.insert(0, Message("user", BEGIN))
    if out and out[-1].role == "assistant":
        out.append(Message("user", GO_ON))
    if not head:
        return out
    if len(head) > 1:
        head = [Message("system", "\n\n".join(filter(None, (each.text for each in head))))]
    if system:
        return [*head, *out]
    prompt = Message("user", head[0].text)
    return [join_messages(prompt, out[0]), *out[1:]] if out else [prompt]


def _alternating(messages: Sequence[Message], *, strict: bool) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and last.role == message.role and message.role != "tool" and not last.calls:
            out[-1] = join_messages(last, message)
            continue
        if strict and message.role == "user" and last is not None and last.role == "tool":
            out.append(Message("assistant", NO_ANSWER))
        out.append(message)
    return out


def join_messages(one: Message, other: Message) -> Message:
    """Return the second message with the text and the images of the first before its own."""
    text = "\n\n".join(filter(None, (one.text, other.text)))
    return msgspec.structs.replace(other, text=text, images=one.images + other.images)
