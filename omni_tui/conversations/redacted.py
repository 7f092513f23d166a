"""A conversation without secrets, as every file that leaves the journal is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from omni_tui.conversations.document import FileCall, FileItem, FileMessage, FileSession, raw_json
from omni_tui.security.redaction import Redactor


def redacted_session(session: FileSession, redactor: Redactor) -> FileSession:
    """Return what a conversation is, with every secret masked."""
    session = _redact_texts(session, redactor.redact)
    session = msgspec.structs.replace(session, tags=tuple(map(redactor.redact, session.tags)))
    if session.loaded is not None:
        loaded = _redact_texts(session.loaded, redactor.redact)
        session = msgspec.structs.replace(session, loaded=loaded)
    return session


def redacted_item(item: FileItem, redactor: Redactor) -> FileItem:
    """Return an item with every secret masked, in names and arguments too."""
    redact = redactor.redact
    item = _redact_texts(item, redact)
    if isinstance(item, FileCall):
        parts = tuple(_redact_texts(part, redact) for part in item.result)
        return msgspec.structs.replace(item, arguments=_arguments(item.arguments, redactor), result=parts)
    if isinstance(item, FileMessage) and item.attachments:
        attached = tuple(_redact_texts(each, redact) for each in item.attachments)
        return msgspec.structs.replace(item, attachments=attached)
    return item


def _arguments(raw: msgspec.Raw, redactor: Redactor) -> msgspec.Raw:
    """Return JSON with its secrets masked; without any, to the byte what it was."""
    value = json.loads(bytes(raw))
    clean = redactor.redact_value(value)
    return raw if clean == value else raw_json(clean)


def _redact_texts(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a struct with the texts that it holds itself redacted."""
    changed = {
        name: clean
        for name in value.__struct_fields__
        if isinstance(text := getattr(value, name), str) and (clean := redact(text)) != text
    }
    return msgspec.structs.replace(value, **changed) if changed else value
