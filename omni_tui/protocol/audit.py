"""The audit of the session, read page by page: who or what decided on which bytes, and what came of it."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit, safe to show. `entry` counts from 1, `ts` is in Unix seconds.

    `actor` is who or what acted, and `by` the same in words; `subject` is the id of the call, plan, server
    request or rule. The hashes are those of the server's way to start, the tool's definition and the exact
    arguments.
    """

    entry: int
    ts: float
    action: SafeText
    actor: SafeText = SafeText("")
    subject: SafeText = SafeText("")
    attempt: int = 0
    server: SafeText = SafeText("")
    tool: SafeText = SafeText("")
    server_fp: SafeText = SafeText("")
    def_hash: SafeText = SafeText("")
    args_hash: SafeText = SafeText("")
    state: SafeText = SafeText("")
    detail: SafeText = SafeText("")
    by: SafeText = SafeText("")


class ReadAudit(Command):
    """Ask for `AuditRead`: at most `limit` entries with every word of `query`, the newest first.

    `before` is the entry to go on before, 0 for the newest.
    """

    query: str = ""
    before: int = 0
    limit: int = 100


class AuditRead(CommandReply):
    """A page of the audit. `before` is where the next page begins, 0 after the last.

    It may be short, or empty, although there is a next page: a page looks at a bounded number of entries.
    """

    lines: tuple[AuditLine, ...]
    before: int = 0
    total: int = 0
