"""Results quoted in an answer: whole up to a limit, and what became of calls that gave none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from omni_tui.models._request_interpreter import bare
from omni_tui.models.base import Message
from omni_tui.models.message_history import result_text

_MAX_QUOTE = 4_000
_FAILED = {
    "failed": "failed",
    "result_rejected": "ran, but its result breaks its own schema",
    "rejected": "was rejected by you",
    "denied": "was denied by policy",
    "withheld": "was not sent",
    "expired": "was not sent: the approval timed out",
    "cancelled": "was cancelled",
    "uncertain": "was cut off: it may or may not have run",
    "invalid": "was not made",
}


def quotes(results: Sequence[Message]) -> list[str]:
    """Quote what succeeded, whole up to a limit; nothing is retold."""
    out: list[str] = []
    for message in results:
        if message.status in _FAILED:
            continue
        text, name = result_text(message), bare(message.name) or "The tool"
        out.append(
            f"`{name}` answered:\n\n{_fenced(text)}" if text.strip() else f"`{name}` answered nothing."
        )
    return out


def failures(results: Sequence[Message]) -> list[str]:
    """Say of each call that did not succeed what became of it, in words and with what was told."""
    out: list[str] = []
    for message in results:
        if message.status in _FAILED:
            text = result_text(message)
            said = f":\n\n{_fenced(text)}" if text.strip() else "."
            out.append(f"`{bare(message.name) or 'The call'}` {_FAILED[message.status]}{said}")
    return out


def _fenced(text: str) -> str:
    """Return a text as a code block that nothing in it can close."""
    if len(text) > _MAX_QUOTE:
        text = f"{text[:_MAX_QUOTE]}\n[{len(text) - _MAX_QUOTE} characters more in the whole result]"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{'json' if _is_json(text) else ''}\n{text}\n{fence}"


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
