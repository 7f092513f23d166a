"""The parts of a result: read page by page, indented as JSON, opened in another program."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import msgspec

from omni_tui.face.port import REQUEST_ERRORS, Port, error_text
from omni_tui.face.shell import Level
from omni_tui.protocol.commands import ReadResult
from omni_tui.protocol.events import ContentPart, TextPage
from omni_tui.protocol.media import CheckPart, OpenPart, PartChecked, PartOf, PartOpened

STRUCTURED = -1
WHOLE = -2
MAX_WHOLE = 16_000_000
"""Longest text, in characters, that is read whole to be indented as JSON."""
_MAX_DEPTH = 60
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


class JsonLayoutError(ValueError):
    """Why a text cannot be indented as JSON."""


class PartPages:
    """One part of a call's result. Pages are kept for the other views of it."""

    def __init__(self, port: Port, call: str, part: int) -> None:
        self._port = port
        self._call = call
        self._part = part
        self.texts: list[str] = []
        """The pages read so far."""
        self._read = 0
        self.total: int | None = None
        self._lock = asyncio.Lock()

    @property
    def complete(self) -> bool:
        """Whether all pages were read."""
        return self.total is not None and self._read >= self.total

    async def next(self) -> str:
        """Read and return the next page, "" at the end. Raises what `Port.ask` raises."""
        async with self._lock:
            if self.complete:
                return ""
            command = ReadResult(call=self._call, part=self._part, offset=self._read)
            page: TextPage = await self._port.ask(command)
            self.texts.append(page.text)
            self._read += len(page.text)
            self.total = page.total if page.text else self._read
            return page.text

    async def whole(self, limit: int = MAX_WHOLE) -> str | None:
        """Read everything; None if it is longer than `limit`. Raises what `Port.ask` raises."""
        while not self.complete:
            await self.next()
            if self.total is not None and self.total > limit:
                return None
        return "".join(self.texts)


def indent_json(text: str) -> str:
    """Return a JSON text indented by 2, with unchanged numbers and strings. Raises `JsonLayoutError`.

    The result is safe to show if the text is.
    """
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        raise JsonLayoutError("this text is not JSON")
    depth = deepest = 0
    for found in _BRACKETS.finditer(stripped):
        sign = found.group()
        depth += (sign in "[{") - (sign in "]}") if len(sign) == 1 else 0
        deepest = max(deepest, depth)
        if deepest > _MAX_DEPTH:
            raise JsonLayoutError(f"nested deeper than {_MAX_DEPTH} levels: read it under text or raw")
    try:
        return msgspec.json.format(stripped, indent=2)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JsonLayoutError(f"this text is not JSON: {error}") from None
    except UnicodeEncodeError:
        raise JsonLayoutError("this text has characters that JSON cannot hold") from None


# --- parts that are not text


def is_binary(part: ContentPart) -> bool:
    """Return whether a part is an image, audio, or another resource that is not text."""
    return part.kind in ("image", "audio") or (part.kind == "resource" and not part.text and part.size > 0)


def next_binary(parts: Sequence[ContentPart], here: int, last: int | None) -> ContentPart | None:
    """Return the binary part to open: the one after part `last`, else the first from part `here` on."""
    found = [part for part in parts if is_binary(part)]
    after = [part for part in found if (part.index > last if last is not None else part.index >= here)]
    return next(iter(after or found), None)


async def suffix_of(port: Port, source: str, part: int, of: PartOf = "call") -> str:
    """Return the file suffix for a part's bytes, "" if unknown."""
    try:
        checked = await port.ask(CheckPart(source=source, part=part, of=of))
    except REQUEST_ERRORS:
        return ""
    return checked.suffix if isinstance(checked, PartChecked) else ""


async def open_part(port: Port, source: str, part: int, of: PartOf = "call") -> tuple[str, Level]:
    """Open a part in another program. Returns a message and its level."""
    try:
        reply = await port.ask(OpenPart(source=source, part=part, of=of))
    except REQUEST_ERRORS as error:
        return error_text(error), "error"
    if not isinstance(reply, PartOpened):
        return "the engine did not answer as expected; it may be open", "error"
    if reply.why:
        return f"not opened: {reply.why}. The file is {reply.path}", "warning"
    return f"{reply.mime} opened with {reply.by}. If you do not see it: {reply.path}", "information"
