"""The command about the audit: read it, newest first."""

from __future__ import annotations

from functools import partial

import msgspec

from omni_tui.engine.handlers.base import Handlers
from omni_tui.memory.audit_table import AuditEntry, has_audit, last_entry, newest
from omni_tui.memory.sqlite import Transaction
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.audit import AuditLine, AuditRead, ReadAudit
from omni_tui.protocol.deciders import decider_words
from omni_tui.security.text import safe, safe_line

_MOST = 200
"""Entries of a page."""
_LOOKED_AT = 2_000
"""Entries that a page looks at: the journal cannot be written meanwhile."""
_BYTES = 160 * 1024
"""Bytes of a page as JSON; it must fit a frame."""


class AuditHandlers(Handlers):
    """Reads the audit of the session, in the thread of its journal."""

    async def _read(self, command: ReadAudit) -> AnyEvent:
        words = command.query.casefold().split()
        limit = max(1, min(command.limit, _MOST))
        read = partial(_page, words, max(0, command.before), limit)
        page: AuditRead = await self._session.journal.run(read)
        return page


def _page(words: list[str], before: int, limit: int, tx: Transaction) -> AuditRead:
    if not has_audit(tx):
        return AuditRead(lines=())
    lines: list[AuditLine] = []
    looked_at = size = at = 0
    for entry in newest(tx, before):
        line = _line(entry)
        size += len(msgspec.json.encode(line)) if _has(line, words) else 0
        if len(lines) >= limit or looked_at >= _LOOKED_AT or (size > _BYTES and lines):
            return AuditRead(lines=tuple(lines), before=at, total=last_entry(tx))
        if _has(line, words):
            lines.append(line)
        looked_at, at = looked_at + 1, entry.entry
    return AuditRead(lines=tuple(lines), total=last_entry(tx))


def _has(line: AuditLine, words: list[str]) -> bool:
    if not words:
        return True
    fields = (
        line.action,
        line.actor,
        line.by,
        line.subject,
        line.server,
        line.tool,
        line.state,
        line.detail,
    )
    text = "\n".join((*fields, line.args_hash, line.def_hash, line.server_fp)).casefold()
    return all(word in text for word in words)


def _line(entry: AuditEntry) -> AuditLine:
    return AuditLine(
        entry=entry.entry,
        ts=entry.ts,
        action=safe_line(entry.action),
        actor=safe_line(entry.actor, limit=200),
        subject=safe_line(entry.subject, limit=200),
        attempt=entry.attempt,
        server=safe_line(entry.server, limit=200),
        tool=safe_line(entry.tool, limit=200),
        server_fp=safe_line(entry.server_fp, limit=100),
        def_hash=safe_line(entry.def_hash, limit=100),
        args_hash=safe_line(entry.args_hash, limit=100),
        state=safe_line(entry.state),
        detail=safe(entry.detail, limit=2_000),
        by=safe_line(decider_words(entry.actor), limit=200),
    )
