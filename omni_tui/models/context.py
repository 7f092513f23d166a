"""What a model is told: a history without loose ends, results bounded and marked as data, a window guard.

Pure functions over messages. Nothing here knows a provider.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from omni_tui.models.base import Message, ToolCall
from omni_tui.protocol.events import Event, ModelMessage
from omni_tui.security.text import strip_invisible

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
_MISSING = {
    "uncertain": "interrupted: the outcome is unknown. It may or may not have happened; check with a tool "
    "that only reads, and do not repeat it",
    "rejected": "rejected by the user; do not repeat it with the same arguments",
    "cancelled": "cancelled by the user; if it was running already, it may have taken effect",
    "expired": "the approval timed out; nothing was sent",
    "denied": "denied by policy; nothing was sent",
    "withheld": "not sent: it needs an approval, and nobody is there to give it",
}


def history_from(events: Iterable[Event], agent: str = "root") -> list[Message]:
    """Fold a journal into the messages of one agent's `ModelMessage` events, in order."""
    decode = msgspec.json.Decoder(Message).decode
    return [
        decode(event.body_json)
        for event in events
        if isinstance(event, ModelMessage) and event.agent == agent
    ]


# --- closure ----------------------------------------------------------------------------------


def close_history(messages: Sequence[Message], states: Mapping[str, str] | None = None) -> list[Message]:
    """Return the messages so that any provider takes them.

    Each call has exactly one result, right behind its message and in the order of the calls. Results
    that nobody asked for, or that came twice, are left out; missing ones are made up from `states`
    (call id → state of the call), "outcome unknown" where that says nothing. Arguments that are not
    a JSON object are sent as `{}`. Assistant messages without text and calls are left out.
    """
    out: list[Message] = []
    taken: set[int] = set()
    for at, message in enumerate(messages):
        if message.role == "tool":
            continue
        if message.role == "assistant" and not message.calls and not message.text:
            continue
        out.append(_sendable(message))
        for call in message.calls:
            found = _result_of(call, messages, at, taken)
            out.append(found or missing_result(call, (states or {}).get(call.id, "uncertain")))
    return out


def unanswered(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """Return the calls of the last assistant message that have no result yet."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return ()
        if messages[at].role == "assistant":
            answered = {message.call_id for message in messages[at + 1 :]}
            return tuple(call for call in messages[at].calls if call.id not in answered)
    return ()


def missing_result(call: ToolCall, state: str) -> Message:
    """Return the result of a call that never got one, in the host's words."""
    words = _MISSING.get(state, _MISSING["uncertain"])
    return Message(role="tool", text=host_result(state, words), call_id=call.id, name=call.name)


def steps_since_user(messages: Sequence[Message]) -> int:
    """Return how many answers a model gave since the person last spoke."""
    count = 0
    for message in reversed(messages):
        if message.role == "user":
            break
        count += message.role == "assistant"
    return count


def _result_of(call: ToolCall, messages: Sequence[Message], at: int, taken: set[int]) -> Message | None:
    """Find a call's result: the first that fits before another message uses the same id again."""
    for index in range(at + 1, len(messages)):
        message = messages[index]
        if message.role == "assistant" and any(other.id == call.id for other in message.calls):
            return None
        if message.role == "tool" and message.call_id == call.id and index not in taken:
            taken.add(index)
            return message
    return None


def _sendable(message: Message) -> Message:
    if all(arguments_of(call) is not None for call in message.calls):
        return message
    calls = tuple(
        call if arguments_of(call) is not None else ToolCall(call.id, call.name, "{}")
        for call in message.calls
    )
    return msgspec.structs.replace(message, calls=calls)


def arguments_of(call: ToolCall) -> dict[str, object] | None:
    """Return a call's arguments, None if its text is not a JSON object. Empty text is an empty object."""
    if not call.arguments.strip():
        return {}
    try:
        value = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# --- results ----------------------------------------------------------------------------------


def tool_message(
    call: ToolCall, text: str, status: str, *, limit: int = RESULT_LIMIT, note: str = ""
) -> Message:
    """Return the message that answers a call.

    What a server wrote is freed of invisible characters, cut to `limit` characters (head and tail)
    and framed as data; what the host wrote is told as the host's. `note` is the host's word behind it.
    """
    if status in FROM_SERVER:
        body = _framed(call, text, status, limit)
    else:
        body = host_result(status, text[:limit])
    return Message(role="tool", text=body + note, call_id=call.id, name=call.name)


def host_result(status: str, message: str) -> str:
    """Return a result in the host's own words: JSON, so that it looks like no server's text."""
    return json.dumps({"from": "Omni TUI", "status": status, "message": message}, ensure_ascii=False)


def read_result(text: str) -> tuple[str, str]:
    """Take a result message apart again: its status and the bare text ("" if it has no status)."""
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


def bound(text: str, limit: int, call: str) -> str:
    """Cut a text to about `limit` characters: three quarters from its head, one from its tail."""
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit - limit * 3 // 4
    cut = len(text) - head - tail
    return f"{text[:head]}\n[{cut} characters cut; the whole result is kept, id {call}]\n{text[-tail:]}"


def _framed(call: ToolCall, text: str, status: str, limit: int) -> str:
    # The id in both ends comes from the text itself, so a server cannot write the closing end.
    # Bounded first (with room for what is dropped), so a huge result is not searched as a whole.
    shown, dropped = strip_invisible(bound(text, limit, call.id))
    mark = hashlib.sha256(f"{call.id}\0{text}".encode(errors="surrogatepass")).hexdigest()[:12]
    name = re.sub(r"[^\w.-]", "_", call.name)
    without = f' removed="{dropped} invisible characters"' if dropped else ""
    opening = f'<tool_result id="{mark}" tool="{name}" status="{status}"{without}>'
    return f'{opening}\n{shown}\n</tool_result id="{mark}">'


# --- the window -------------------------------------------------------------------------------


def fit(
    messages: Sequence[Message], count: Callable[[Sequence[Message]], int], budget: int
) -> list[Message]:
    """Drop the oldest whole units until `count` is within `budget` tokens; best effort.

    A unit is a message of the person or an answer with all its results. The system prompt, the
    person's first message and the last two units always stay. `messages` must be closed.
    """
    units = _units(messages)
    head = 0
    while head < len(units) and units[head][0].role == "system":
        head += 1
    if head < len(units) and units[head][0].role == "user":
        head += 1
    kept, dropped = units[head:], 0
    out = list(messages)
    while len(kept) > 2 and (excess := count(out) - budget) > 0:
        while len(kept) > 2 and excess > 0:
            unit = kept.pop(0)
            dropped += len(unit)
            excess -= estimate(unit)
        first = _noted([message for unit in units[:head] for message in unit], dropped)
        out = [*first, *(message for unit in kept for message in unit)]
    return out


def _units(messages: Sequence[Message]) -> list[list[Message]]:
    units: list[list[Message]] = []
    for is_result, group in groupby(messages, key=lambda message: message.role == "tool"):
        if is_result and units:
            units[-1].extend(group)
        else:
            units.extend([message] for message in group)
    return units


def _noted(head: list[Message], dropped: int) -> list[Message]:
    if not head or head[-1].role != "user":
        return head
    note = f"\n\n[{dropped} later messages were left out here to fit the model's window.]"
    return [*head[:-1], msgspec.structs.replace(head[-1], text=head[-1].text + note)]


def estimate(messages: Sequence[Message]) -> int:
    """Estimate tokens: a token is about four bytes of text, and a message costs a few of its own."""
    total = 0
    for message in messages:
        total += 4 + _size(message.text) // 4
        for call in message.calls:
            total += 8 + (_size(call.name) + _size(call.arguments)) // 4
        for block in message.thinking:
            total += sum(_size(value) for value in block.values() if isinstance(value, str)) // 4
    return total


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
