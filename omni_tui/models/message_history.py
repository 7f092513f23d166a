"""What a model is told: results bounded and marked as data, what is missing, what it costs.

Pure functions over messages. Nothing here knows a provider.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

import msgspec

from omni_tui.models.base import Image, Message, ToolCall
from omni_tui.protocol.events import Event, ModelMessage
from omni_tui.security.text import count_hidden, encodable

RESULT_LIMIT = 16_000
"""Characters of one result that a model gets if nothing else is set."""

WINDOW_SHARE = 0.8
"""How much of a model's window a request may fill."""

FROM_SERVER = frozenset({"succeeded", "failed", "result_rejected"})
"""States of a call whose text was written by a server, so it is data. The others are the host's words."""

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


def history_from(events: Iterable[Event], agent: str = "root") -> list[Message]:
    """Fold a journal into the messages of one agent's `ModelMessage` events, in order."""
    return [
        decode_message(event.body_json)
        for event in events
        if isinstance(event, ModelMessage) and event.agent == agent
    ]


def decode_message(body: str) -> Message:
    """Return a message as the journal has it. A result without a status gets the one in its text."""
    message = _decode(body)
    if message.role != "tool" or message.status:
        return message
    return msgspec.structs.replace(message, status=read_result(message.text)[0])


# --- the history ------------------------------------------------------------------------------


def unanswered(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the calls of the last assistant message that have no result yet."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return ()
        if messages[at].role == "assistant":
            answered = {message.call_id for message in messages[at + 1 :]}
            return tuple(call for call in messages[at].calls if call.id not in answered)
    return ()


def last_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return all the calls of the last assistant message."""
    return next((message.calls for message in reversed(messages) if message.role == "assistant"), ())


def missing_result(call: ToolCall, state: str) -> Message:
    """Return the result of a call that never got one, in the host's words."""
    words = _MISSING.get(state, _MISSING["uncertain"])
    return Message(
        role="tool", text=host_result(state, words), call_id=call.id, name=call.name, status=state
    )


def steps_since_user(messages: Sequence[Message]) -> int:
    """Return how many answers a model gave since the person last spoke."""
    count = 0
    for message in reversed(messages):
        if message.role == "user":
            break
        count += message.role == "assistant"
    return count


def arguments_of(call: ToolCall) -> dict[str, object] | None:
    """Return a call's arguments, None if its text is not a JSON object. Empty text is an empty object."""
    text = plain_arguments(call.arguments)
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def plain_arguments(text: str) -> str:
    """Return the text of the object that is meant by arguments that a provider dressed up.

    Those are: `null` or an empty list for none, an empty object in front of the real one, and an object
    that was encoded twice. Anything else stays as it is.
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
    """Return the one object among empty ones that stand in a row, "" if there is more than that."""
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

    What a server wrote stays as it is, is cut to `limit` characters (head and tail) and framed as data,
    and characters in it that do not show are counted; what the host wrote is told as the host's.
    `note` is the host's word behind it, `ref` the id under which the journal keeps the whole, `images`
    are the pictures of the result.
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
    """Return a result cut to about `limit` characters, with a pointer to the whole; else the message."""
    status, text = message.status, result_text(message)
    if len(text) <= limit:
        return message
    call = ToolCall(message.call_id, message.name, "")
    size = message.size or len(text)
    if message.ref:
        pointer = f"result of call {message.ref}, {size} characters, read it with read_result"
    else:
        pointer = f"a result of {size} characters"
    note = f"\n[Omni TUI: shortened to save room: {pointer}]"
    if status in FROM_SERVER or not status:
        body = _framed(call, text, status or "unknown", limit, message.ref or call.id, size)
    else:
        body = host_result(status, text[:limit])
    return msgspec.structs.replace(message, text=body + note, size=size)


def host_result(status: str, message: str) -> str:
    """Return a result in the host's own words: JSON, so that it looks like no server's text."""
    return json.dumps({"from": "Omni TUI", "status": status, "message": message}, ensure_ascii=False)


def result_text(message: Message) -> str:
    """Return the bare text of a result: without the frame, and without the host's note behind it."""
    return read_result(message.text)[1]


def read_result(text: str) -> tuple[str, str]:
    """Return the status and the bare text of a result as a model is told it; "" for a status it lacks."""
    framed = _FRAME.match(text)
    if framed:
        return framed["status"], framed["text"]
    try:
        # A note of the host may follow the object.
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return "", text
    if isinstance(value, dict) and value.get("from") == "Omni TUI":
        return str(value.get("status", "")), str(value.get("message", ""))
    return "", text


def bound(text: str, limit: int, call: str, size: int = 0) -> str:
    """Cut a text to about `limit` characters: three quarters from its head, one from its tail.

    `size` is what the whole has, where `text` was cut before.
    """
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit - limit * 3 // 4
    cut = (size or len(text)) - head - tail
    return f"{text[:head]}\n[{cut} characters cut; the whole result is kept, id {call}]\n{text[-tail:]}"


def _framed(call: ToolCall, text: str, status: str, limit: int, ref: str, size: int = 0) -> str:
    # The id in both ends comes from the text itself, so a server cannot write the closing end.
    # Bounded first, so a huge result is not searched as a whole.
    shown = encodable(bound(text, limit, ref, size))
    unseen = count_hidden(shown)
    mark = hashlib.sha256(f"{call.id}\0{text}".encode(errors="surrogatepass")).hexdigest()[:12]
    name = re.sub(r"[^\w.-]", "_", call.name)
    says = f' hidden="{unseen} characters that do not show"' if unseen else ""
    opening = f'<tool_result id="{mark}" tool="{name}" status="{status}"{says}>'
    return f'{opening}\n{shown}\n</tool_result id="{mark}">'


# --- tokens -----------------------------------------------------------------------------------


def estimate(messages: Sequence[Message]) -> int:
    """Estimate tokens: a token is about four bytes of text, and a message costs a few of its own."""
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
