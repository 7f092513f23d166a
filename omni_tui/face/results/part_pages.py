"""The parts of a result, read page by page, and JSON laid out for reading."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import msgspec

from omni_tui.protocol.commands import ReadResult
from omni_tui.protocol.events import TextPage

if TYPE_CHECKING:
    from omni_tui.face.port import Port

STRUCTURED = -1
WHOLE = -2
LARGEST = 16_000_000
"""Longest text, in characters, that is read as a whole to be laid out as JSON."""
_DEEPEST = 60
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


class JsonLayoutError(ValueError):
    """Why a text cannot be laid out as JSON."""


class PartPages:
    """One part of a call's result. Pages are kept, so that another view need not read them again."""

    def __init__(self, port: Port, call: str, part: int) -> None:
        self._port = port
        self._call = call
        self._part = part
        self._texts: list[str] = []
        self._read = 0
        self.total: int | None = None
        self._lock = asyncio.Lock()

    @property
    def complete(self) -> bool:
        """Whether all of it was read."""
        return self.total is not None and self._read >= self.total

    @property
    def texts(self) -> list[str]:
        """The pages read so far."""
        return self._texts

    async def next(self) -> str:
        """Read and return one more page, "" at the end. Raises what `Port.ask` raises."""
        async with self._lock:
            if self.complete:
                return ""
            command = ReadResult(call=self._call, part=self._part, offset=self._read)
            page: TextPage = await self._port.ask(command)
            self._texts.append(page.text)
            self._read += len(page.text)
            self.total = page.total if page.text else self._read
            return page.text

    async def whole(self, limit: int = LARGEST) -> str | None:
        """Read everything; None if it is longer than `limit`. Raises what `Port.ask` raises."""
        while not self.complete:
            await self.next()
            if self.total is not None and self.total > limit:
                return None
        return "".join(self._texts)


async def indent_json(text: str) -> str:
    """Return a JSON text with an indent of 2, numbers and strings as they were. Raises `JsonLayoutError`.

    The work is done in a thread; what comes back is safe to show if the text was.
    """
    return await asyncio.to_thread(_lay_out, text)


def _lay_out(text: str) -> str:
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        raise JsonLayoutError("this text is not JSON")
    depth = deepest = 0
    for found in _BRACKETS.finditer(stripped):
        sign = found.group()
        depth += (sign in "[{") - (sign in "]}") if len(sign) == 1 else 0
        deepest = max(deepest, depth)
        if deepest > _DEEPEST:
            raise JsonLayoutError(f"nested deeper than {_DEEPEST} levels: read it under text or raw")
    try:
        return msgspec.json.format(stripped, indent=2)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JsonLayoutError(f"this text is not JSON: {error}") from None
    except UnicodeEncodeError:
        raise JsonLayoutError("this text has characters that JSON cannot hold") from None
