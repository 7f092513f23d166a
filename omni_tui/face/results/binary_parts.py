"""Parts of a result that are not text: which one is meant, what its file is called, having it shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from omni_tui.face.port import Port
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.protocol.events import ContentPart
from omni_tui.protocol.media import CheckPart, OpenPart, PartChecked, PartOf, PartOpened

Level = Literal["information", "warning", "error"]


def is_binary(part: ContentPart) -> bool:
    """Whether a part is a picture, a sound, or another content that is not text."""
    return part.kind in ("image", "audio") or (part.kind == "resource" and not part.text and part.size > 0)


def next_binary(parts: Sequence[ContentPart], here: int, last: int | None) -> ContentPart | None:
    """Return the binary part that is meant: the one after `last`, else the first from `here` on."""
    found = [part for part in parts if is_binary(part)]
    after = [part for part in found if (part.index > last if last is not None else part.index >= here)]
    return next(iter(after or found), None)


async def suffix_of(port: Port, source: str, part: int, of: PartOf = "call") -> str:
    """Return the suffix that a part's own bytes call for, "" if the engine cannot say."""
    try:
        checked = await port.ask(CheckPart(source=source, part=part, of=of))
    except REQUEST_ERRORS:
        return ""
    return checked.suffix if isinstance(checked, PartChecked) else ""


async def open_part(port: Port, source: str, part: int, of: PartOf = "call") -> tuple[str, Level]:
    """Have the engine show a part; returns what came of it, in words, and how grave that is."""
    try:
        reply = await port.ask(OpenPart(source=source, part=part, of=of))
    except REQUEST_ERRORS as error:
        return error_text(error), "error"
    if not isinstance(reply, PartOpened):
        return "the engine did not say what came of it", "error"
    if reply.why:
        return f"not opened: {reply.why}. It is in {reply.path}", "warning"
    return f"{reply.mime} was given to {reply.by}. If nothing shows, it is in {reply.path}", "information"
