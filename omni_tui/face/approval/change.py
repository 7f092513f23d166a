"""What has changed since it was accepted: read page by page, and drawn as it was and as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from textual.content import Content

from omni_tui.face.approval.argument_lines import changed_lines, text_block
from omni_tui.face.approval.visible import has_invisible, visible
from omni_tui.face.shell import Shell, request
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.protocol.trust import ChangeRead, ReadChange

MOST_LINES = 3_000
"""Rows of one text that are drawn; what is longer cannot be reviewed here."""
_TITLES = {
    "launch": "HOW THE SERVER IS STARTED OR REACHED",
    "instructions": "WHAT THE SERVER SAYS ABOUT ITS USE",
    "definition": "WHAT THE SERVER SAYS ABOUT THE TOOL",
}
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ChangedText:
    """One text, as in `ChangeRead`."""

    what: str
    trust: str
    former: str | None
    present: str
    cut: int


@dataclass(frozen=True, slots=True)
class Change:
    """All that has changed of a server and of one of its tools; `page` is the last page of the document."""

    page: ChangeRead
    texts: tuple[ChangedText, ...]

    @property
    def has_news(self) -> bool:
        """Whether there is something to accept."""
        return self.page.imitation or any(text.trust != "unchanged" for text in self.texts)


async def read_change(
    shell: Shell, server: str, tool: str, failed: Callable[[str], object]
) -> Change | None:
    """Read what has changed; None if it cannot be read, after `failed` was told why."""
    for _ in range(_TRIES):
        text, digest = "", ""
        while True:
            page = await request(shell, ReadChange(server=server, tool=tool, offset=len(text)), failed)
            if not isinstance(page, ChangeRead):
                return None
            if page.digest != digest and digest:
                break  # it changed while it was read
            text, digest = text + page.text, page.digest
            if len(text) >= page.total or not page.text:
                return Change(page, tuple(ChangedText(**each) for each in json.loads(text)))
    failed("it keeps changing while it is read; try again")
    return None


def change_lines(change: Change, width: int) -> tuple[list[Content], str]:
    """Draw a change. Also return why it cannot be accepted here, "" if it can. May take a while."""
    lines: list[Content] = []
    hindrance = ""
    if change.page.alike:
        words = f"{change.page.label} {change.page.alike}"
        if change.page.imitation:
            words += "; its name has characters that are not what they seem, so no model gets it yet"
        lines += [*_warning(words, width), Content("")]
    for text in change.texts:
        lines += wrap(Content.styled(_TITLES[text.what], "bold $text-2"), width)
        lines += wrap(Content.styled(_said(text), "$text-2"), width)
        if text.trust == "changed" and text.former is not None:
            drawn = changed_lines(text.former, text.present, width, MOST_LINES + 1)
        else:
            drawn = text_block(text.present, width, MOST_LINES + 1)
        if len(drawn) > MOST_LINES or text.cut:
            hindrance = "it is too long to be reviewed here"
            words = f"{text.cut:,} more characters" if text.cut else "what follows"
            drawn = [*drawn[:MOST_LINES], *_warning(f"{words} cannot be shown: {hindrance}", width)]
        lines += [*drawn, Content("")]
        if has_invisible(text.present):
            words = "it has invisible characters, shown as <U+…>; the model does not get them"
            lines += [*_warning(words, width), Content("")]
    return lines[:-1], hindrance


def _said(text: ChangedText) -> str:
    if text.trust == "changed" and text.former is None:
        return "changed; the former text was not kept, so this is all of it as it is now"
    if text.trust == "changed":
        return "changed: - as it was accepted, + as it is now; what is the same is only counted"
    if text.trust == "new":
        return "new: the server did not have this tool when you first connected it; this is all of it"
    return "unchanged since it was first seen or accepted"


def _warning(words: str, width: int) -> list[Content]:
    first, *rest = wrap(Content.styled(visible(words), "$waiting"), width - 2)
    return [Content.styled("! ", "bold $waiting") + first, *(Content("  ") + piece for piece in rest)]
