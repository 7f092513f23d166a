"""The order of messages that every provider takes: the roles take turns, and the person has the last word.

An answer that was stopped, failed or never began leaves two messages of the person side by side, or one
right behind a result. Mistral and the templates of many local models refuse both; what is put right here
is put right for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omni_tui.models.base import Message
from omni_tui.models.origin import is_elsewhere

NO_ANSWER = "(no answer was given here)"
"""What stands for the answer between a result and the person's next message, where one must stand."""
BEGIN = "(the conversation begins with the answer below)"
GO_ON = "Go on."

_ANY_ORDER = frozenset({"anthropic", "azure", "bedrock", "gemini", "vertex_ai", "vertex_ai_beta"})


def is_strict(provider: str, address: str = "") -> bool:
    """Whether a message of the person may not stand right behind a result: so it is where nobody knows."""
    return is_elsewhere(address) if provider == "openai" else provider not in _ANY_ORDER


def in_order(messages: Sequence[Message], *, strict: bool, system: bool = True) -> list[Message]:
    """Return closed messages so that the roles take turns, nothing of what was said left out.

    Messages of one role side by side become one; the first message is the person's, and so is the last
    one unless it is a result. With `strict`, an answer stands between a result and the person's next
    message. Without `system` what the system prompt says stands before the person's first words.
    """
    head, rest = _head(messages)
    out = _alternating(rest, strict=strict)
    if out and out[0].role != "user":
        out.insert(0, Message("user", BEGIN))
    if out and out[-1].role == "assistant":
        out.append(Message("user", GO_ON))
    if not head:
        return out
    if system:
        return [*head, *out]
    prompt = Message("user", head[0].text)
    return [_joined(prompt, out[0]), *out[1:]] if out and out[0].role == "user" else [prompt, *out]


def _alternating(messages: Sequence[Message], *, strict: bool) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if last is not None and _joins(last, message):
            out[-1] = _joined(last, message)
            continue
        if strict and message.role == "user" and last is not None and last.role == "tool":
            out.append(Message("assistant", NO_ANSWER))
        out.append(message)
    return out


def _head(messages: Sequence[Message]) -> tuple[list[Message], Sequence[Message]]:
    """Split off the system prompt; several of them at the beginning are one."""
    count = next((at for at, each in enumerate(messages) if each.role != "system"), len(messages))
    if count < 2:
        return list(messages[:count]), messages[count:]
    text = "\n\n".join(filter(None, (each.text for each in messages[:count])))
    return [Message("system", text)], messages[count:]


def _joins(before: Message, message: Message) -> bool:
    if before.role != message.role:
        return False
    return message.role == "user" or (message.role == "assistant" and not before.calls)


def _joined(one: Message, other: Message) -> Message:
    text = _together(one.text, other.text)
    return msgspec.structs.replace(other, text=text, images=one.images + other.images)


def _together(one: str, other: str) -> str:
    return "\n\n".join(filter(None, (one, other)))
