"""Commands about calls: read and save arguments and results, cancel, settle an unknown outcome."""

from __future__ import annotations

import asyncio
import json

from cachetools import LRUCache

from omni_tui.conversations import arguments_of_call, content_of_loaded, result_of_call
from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.files import write_new_file
from omni_tui.engine.handlers.base import Handlers, text_page
from omni_tui.memory import call_table
from omni_tui.protocol import AnyEvent, SafeText, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CallChanged, CallState, CommandDone, FileSaved, PartKind
from omni_tui.security.text import safe, safe_json
from omni_tui.tools.results import StoredResult, part_bytes, part_text

_WHOLE = 64 * 1024 * 1024


class CallHandlers(Handlers):
    """Reads arguments and results page by page from the journal; cancels and settles calls."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._texts: LRUCache[tuple[str, str, int], tuple[SafeText, PartKind, str]] = LRUCache(maxsize=4)

    async def _cancel(self, command: c.CancelCall) -> AnyEvent:
        cancelled = await self._session.calls.cancel(command.call, reason="cancelled by you")
        if not cancelled:
            raise UserError("this call has already ended")
        return CommandDone()

    async def _settle(self, command: c.SettleCall) -> AnyEvent:
        self._check_person()
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
        args = arguments_of_call(await self._loaded(command.call)) if row is None else row.args
        text = safe_json(json.loads(args), limit=_WHOLE)
        return text_page(command.call, 0, command.offset, command.limit, text, "text", "application/json")

    async def _result(self, command: c.ReadResult) -> AnyEvent:
        session = self._session.journal.session
        key = (session, command.call, command.part)
        if key not in self._texts:
            data = await self._stored(command.call)
            self._texts[key] = await self._in_pool(_text, data, command.part)
        return text_page(command.call, command.part, command.offset, command.limit, *self._texts[key])

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
            data = result_of_call(await self._loaded(call))
        else:
            data = await journal.run(lambda tx: call_table.get_result(tx, call, row.attempt))
        if not data:
            raise UserError("this call has no result")
        return data

    async def _loaded(self, call: str) -> str:
        """Return the content of a call that was loaded from a file."""
        content: str = await self._session.journal.run(lambda tx: content_of_loaded(tx, call))
        if not content:
            raise UserError("this session has no such call")
        return content


def _text(data: bytes, part: int) -> tuple[SafeText, PartKind, str]:
    text, kind, mime = part_text(StoredResult.load(data), part)
    return safe(text, limit=_WHOLE), kind, mime


def _content(data: bytes, part: int) -> tuple[bytes, str]:
    result = StoredResult.load(data)
    return part_bytes(result, part), part_text(result, part)[2]
