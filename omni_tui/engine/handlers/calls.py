"""Commands about calls: read and save arguments and results, cancel, settle an unknown outcome."""

from __future__ import annotations

import asyncio
import json

from cachetools import LRUCache

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.files import write_new_file
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.memory import call_table
from omni_tui.protocol import AnyEvent, SafeText, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CallChanged, CallState, CommandDone, FileSaved, PartKind, TextPage
from omni_tui.security.text import safe, safe_json, safe_line
from omni_tui.tools import StoredResult, part_bytes, part_text

_LIMIT = 60_000
_WHOLE = 64 * 1024 * 1024


class CallHandlers(Handlers):
    """Reads arguments and results page by page from the journal; cancels and settles calls."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._texts: LRUCache[tuple[str, str, int], tuple[SafeText, PartKind, str]] = LRUCache(maxsize=4)

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {
            c.ReadArguments: self._arguments,
            c.ReadResult: self._result,
            c.SaveResult: self._save,
            c.CancelCall: self._cancel,
            c.SettleCall: self._settle,
        }

    async def _cancel(self, command: c.CancelCall) -> AnyEvent:
        cancelled = await self._session.calls.cancel(command.call, reason="cancelled by you")
        if not cancelled:
            raise UserError("this call has already ended")
        return CommandDone()

    async def _settle(self, command: c.SettleCall) -> AnyEvent:
        state: CallState = "succeeded" if command.happened else "cancelled"
        words = "you say it happened" if command.happened else "you say it did not happen"
        event = CallChanged(call=command.call, state=state, decider="user", reason=safe(words))
        journal = self._session.journal
        try:
            await journal.commit(
                event,
                change=lambda tx: call_table.move(tx, command.call, state, expect=("uncertain",)),
            )
        except call_table.CallMoved:
            raise UserError("the outcome of this call is already known") from None
        await asyncio.sleep(0)
        return CommandDone()

    # --- contents -------------------------------------------------------------------------------

    async def _arguments(self, command: c.ReadArguments) -> AnyEvent:
        row = self._session.gate.row(command.call)
        if row is None:
            row = await self._session.journal.run(lambda tx: call_table.load(tx, command.call))
        if row is None:
            raise UserError("this session has no such call")
        text = safe_json(json.loads(row.args), limit=_WHOLE)
        return self._page(
            command.call, 0, command.offset, command.limit, (text, "text", "application/json")
        )

    async def _result(self, command: c.ReadResult) -> AnyEvent:
        session = self._session.journal.session
        key = (session, command.call, command.part)
        if key not in self._texts:
            data = await self._stored(command.call)
            self._texts[key] = await self._in_pool(_text, data, command.part)
        return self._page(command.call, command.part, command.offset, command.limit, self._texts[key])

    async def _save(self, command: c.SaveResult) -> AnyEvent:
        data, mime = await self.content(command.call, command.part)
        path, size = await self._in_pool(
            write_new_file, command.path, data, mime, stem="result", overwrite=command.overwrite
        )
        return FileSaved(path=path, size=size)

    async def content(self, call: str, part: int) -> tuple[bytes, str]:
        """Return the bytes of one part of a call's result, and the media type its server gives."""
        data = await self._stored(call)
        return await self._in_pool(_content, data, part)

    async def _stored(self, call: str) -> bytes:
        journal = self._session.journal
        row = await journal.run(lambda tx: call_table.load(tx, call))
        if row is None:
            raise UserError("this session has no such call")
        data = await journal.run(lambda tx: call_table.get_result(tx, call, row.attempt))
        if not data:
            raise UserError("this call has no result")
        return data

    @staticmethod
    def _page(
        call: str, part: int, offset: int, limit: int, whole: tuple[SafeText, PartKind, str]
    ) -> AnyEvent:
        text, kind, mime = whole
        offset = max(0, min(offset, len(text)))
        # Four bytes a character at most, and JSON escapes: a page always fits a frame.
        end = offset + max(1, min(limit, _LIMIT))
        page = text[offset:end]
        while len(json.dumps(page, ensure_ascii=False).encode()) > 200_000:
            page = page[: len(page) // 2]
        return TextPage(
            call=call,
            part=part,
            offset=offset,
            total=len(text),
            text=SafeText(page),
            kind=kind,
            mime=safe_line(mime, limit=100),
        )


def _text(data: bytes, part: int) -> tuple[SafeText, PartKind, str]:
    try:
        text, kind, mime = part_text(StoredResult.load(data), part)
    except KeyError as error:
        raise UserError(str(error.args[0])) from None
    return safe(text, limit=_WHOLE), kind, mime


def _content(data: bytes, part: int) -> tuple[bytes, str]:
    result = StoredResult.load(data)
    try:
        return part_bytes(result, part), part_text(result, part)[2]
    except KeyError as error:
        raise UserError(str(error.args[0])) from None
