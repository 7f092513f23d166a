"""Frames over asyncio streams: one JSON object a line, with an explicit limit in both directions."""

from __future__ import annotations

import asyncio

from omni_tui.protocol import MAX_FRAME, ProtocolError


class FrameTooLong(ProtocolError):
    """A frame above `MAX_FRAME`: the stream cannot be read on from there."""


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame, or b"" at the end. Raises `FrameTooLong`.

    The reader must have been made with `limit=MAX_FRAME`; asyncio's own default of 64 KiB would
    lose a long line.
    """
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError as error:
        raise FrameTooLong(f"a frame is longer than {MAX_FRAME} bytes") from error
    except ConnectionError:
        return b""
