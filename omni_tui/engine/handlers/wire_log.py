"""Commands about the wire log: switch it, read it, read one frame, save it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omni_tui.engine.handlers.base import Handlers
from omni_tui.memory.private_files import open_private, private_dir
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import wire_log as m
from omni_tui.protocol.events import CommandDone, FileSaved
from omni_tui.protocol.wire_log import WireRead, WireText
from omni_tui.security.text import safe
from omni_tui.servers.wire_log import LoggedFrame, WireLog, frame_record, frame_text, wire_frame

_PAGE = 200
_PAGE_BYTES = 150_000


class WireLogHandlers(Handlers):
    """Reads the wire log of a server. Redacting is done in the pool, never on the loop."""

    def _log(self, name: str) -> WireLog:
        return self._context.connection(name).wire

    async def _set(self, command: m.SetWireLog) -> AnyEvent:
        self._log(command.server).switch(command.on)
        words = "on: frames are kept in memory only" if command.on else "off"
        return CommandDone(text=safe(f"the wire log of {command.server} is {words}"))

    async def _read(self, command: m.ReadWire) -> AnyEvent:
        log = self._log(command.server)
        frames = log.after(command.after)
        rows, size = [], 0
        for shown in await self._in_pool(
            lambda: [wire_frame(each, self._context.redactor.redact_value) for each in frames[:_PAGE]]
        ):
            size += 4 * len(shown.text) + 500
            if size > _PAGE_BYTES:
                break
            rows.append(shown)
        return WireRead(
            server=command.server,
            on=log.on,
            frames=tuple(rows),
            dropped=log.dropped,
            more=len(rows) < len(frames),
        )

    async def _frame(self, command: m.ReadWireFrame) -> AnyEvent:
        noted = self._log(command.server).get(command.number)
        if noted is None:
            raise UserError("this frame is gone: newer ones replaced it, or the wire log was switched off")
        text, cut = await self._in_pool(frame_text, noted, self._context.redactor.redact_value)
        return WireText(server=command.server, number=command.number, text=text, cut=cut)

    async def _save(self, command: m.SaveWire) -> AnyEvent:
        frames = self._log(command.server).after(0)
        if not frames:
            raise UserError("nothing to save: the wire log is empty")
        folder = self._context.loaded.paths.state_dir / "wire"
        path, size = await self._in_pool(
            _write, folder, command.server, frames, self._context.redactor.redact_value
        )
        return FileSaved(path=str(path), size=size)


def _write(
    folder: Path, server: str, frames: list[LoggedFrame], redact: Callable[[Any], Any]
) -> tuple[Path, int]:
    """Write frames as JSON lines to a new private file. Raises `UserError`."""
    lines = [json.dumps(frame_record(each, redact), ensure_ascii=True) for each in frames]
    data = ("\n".join(lines) + "\n").encode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", server)[:40] or "server"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        private_dir(folder)
        for number in range(100):
            path = folder / f"{name}-{stamp}{f'-{number}' if number else ''}.jsonl"
            try:
                descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            return path, len(data)
    except OSError as error:
        raise UserError(f"it was not saved: {error.strerror or error}") from None
    raise UserError(f"it was not saved: {folder} has too many files of this second")
