"""The bottom bar: the panes, and the keys that work here and now."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from omni_tui.face.key_names import show_key
from omni_tui.face.widgets.lines_view import join_content

OPTIONAL = 3
"""The weight from which on a hint is worth less than the counts of the panes."""


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong in a pane that is out of sight: its sign, how often (0: not said), their colour."""

    sign: str
    count: int
    colour: str


class PaneTab(msgspec.Struct, frozen=True):
    """A pane in the bottom bar. `action` runs on a click."""

    action: str
    key: str
    name: str
    count: int
    current: bool
    waiting: bool
    trouble: Trouble | None = None


class KeyHint(msgspec.Struct, frozen=True):
    """A key and what it does now. `action` runs on a click.

    Where there is no room, the heaviest are left out first, the last of equals before the others.
    """

    key: str
    label: str
    action: str
    weight: int = 1


class FooterBar(Widget):
    """One line of keys; each can be clicked."""

    DEFAULT_CSS = """
    FooterBar { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="footer")
        self.auto_links = False  # they are keys, not links: no underline
        self._tabs: tuple[PaneTab, ...] = ()
        self._hints: tuple[KeyHint, ...] = ()
        self._folded = False

    def show(self, tabs: tuple[PaneTab, ...], hints: tuple[KeyHint, ...], *, folded: bool) -> None:
        """Redraw if anything changed."""
        if (tabs, hints, folded) != (self._tabs, self._hints, self._folded):
            self._tabs, self._hints, self._folded = tabs, hints, folded
            self.refresh()

    def render(self) -> Content:
        """Return the line."""
        width = self.size.width
        lefts = list(self._folded_tabs()) if self._folded else [self._open_tabs()]
        fitting = [self._fitting(width - left.cell_length - 2) for left in lefts]
        # The keys of the pane matter more than counts; but counts that cost no key stay.
        kept = [sum(hint.weight < OPTIONAL for hint in hints) for hints in fitting]
        best = kept.index(max(kept))
        left, line = lefts[best], join_content("   ", map(_hint, fitting[best]))
        return left + Content(" " * max(1, width - left.cell_length - line.cell_length)) + line

    def _fitting(self, room: int) -> list[KeyHint]:
        """Return the hints for which there is room."""
        hints = list(self._hints)
        while hints and _width(hints) > room:
            heaviest = max(hint.weight for hint in hints)
            hints.remove([hint for hint in hints if hint.weight == heaviest][-1])
        return hints

    def _open_tabs(self) -> Content:
        return join_content("  ", (_tab(tab, counted=False) for tab in self._tabs))

    def _folded_tabs(self) -> Iterator[Content]:
        """Yield the panes with all counts, then only with those of troubles, then with none.

        What waits for the person is always counted.
        """
        dot = Content.styled(" · ", "$text-3")
        briefer = [msgspec.structs.replace(tab, count=tab.count * tab.waiting) for tab in self._tabs]
        for tabs in (self._tabs, briefer, map(_without_counts, briefer)):
            yield dot.join(_tab(tab, counted=True) for tab in tabs)


def _without_counts(tab: PaneTab) -> PaneTab:
    if tab.trouble is None or tab.waiting:
        return tab
    return msgspec.structs.replace(tab, trouble=msgspec.structs.replace(tab.trouble, count=0))


def _tab(tab: PaneTab, *, counted: bool) -> Content:
    count = f" {tab.count}" if counted and tab.count else ""
    if tab.waiting and counted:
        colour = "bold $waiting"
    elif tab.current and counted:
        colour = "bold $mine"
    else:
        colour = "$text-2"
    text = Content.assemble((f"{show_key(tab.key)} ", f"bold {colour}"), (f"{tab.name}{count}", colour))
    if counted and (trouble := tab.trouble) is not None:
        said = f" {trouble.sign}{trouble.count}" if trouble.count else trouble.sign
        text += Content.styled(said, f"bold {trouble.colour}")
    return _clickable(text, tab.action)


def _width(hints: list[KeyHint]) -> int:
    return sum(_hint(hint).cell_length + 3 for hint in hints) - 3


def _hint(hint: KeyHint) -> Content:
    text = Content.assemble((f"{show_key(hint.key)} ", "bold $text-2"), (hint.label, "$text-3"))
    return _clickable(text, hint.action)


def _clickable(text: Content, action: str) -> Content:
    return text.stylize(Style.from_meta({"@click": action})) if action else text
