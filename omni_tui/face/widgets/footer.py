"""The bottom bar: the panes, and the keys that work here and now."""

from __future__ import annotations

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
        left = self._folded_tabs() if self._folded else self._open_tabs()
        hints = list(self._hints)
        room = width - left.cell_length - 2
        if self._folded and _width([hint for hint in hints if hint.weight < OPTIONAL]) > room:
            left = self._folded_tabs(brief=True)  # the keys of the pane matter more than counts
            room = width - left.cell_length - 2
        while hints and _width(hints) > room:
            heaviest = max(hint.weight for hint in hints)
            hints.remove([hint for hint in hints if hint.weight == heaviest][-1])
        right = [_hint(hint) for hint in hints]
        line = join_content("   ", right)
        return left + Content(" " * max(1, width - left.cell_length - line.cell_length)) + line

    def _open_tabs(self) -> Content:
        return join_content("  ", (_tab(tab, counted=False) for tab in self._tabs))

    def _folded_tabs(self, *, brief: bool = False) -> Content:
        dot = Content.styled(" · ", "$text-3")
        tabs = (_without_counts(tab) if brief and not tab.waiting else tab for tab in self._tabs)
        return dot.join(_tab(tab, counted=True) for tab in tabs)


def _without_counts(tab: PaneTab) -> PaneTab:
    trouble = msgspec.structs.replace(tab.trouble, count=0) if tab.trouble is not None else None
    return msgspec.structs.replace(tab, count=0, trouble=trouble)


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
