"""The command palette: every action, every mode, theme and server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.commands import servers
from omni_tui.face.commands.turns import MODES, set_mode
from omni_tui.face.key_names import show_key
from omni_tui.security.text import safe

if TYPE_CHECKING:
    from omni_tui.face.app import OmniApp

PaletteRow = tuple[str, str, str, Callable[[], None]]
"""Its title, its key and command, other words that find it, and what runs it."""
_OF_SERVER = (
    ("log of", servers.show_log),
    ("refresh", servers.refresh),
    ("edit", servers.edit),
    ("enable", servers.enable),
    ("disable", servers.disable),
    ("restart", servers.restart),
    ("wire log of", servers.show_wire_log),
    ("remove", servers.remove),
)


class ActionProvider(Provider):
    """Every action of the registry that works without an item under the cursor."""

    @property
    def _face(self) -> OmniApp:
        return cast("OmniApp", self.app)

    def rows(self) -> Iterator[PaletteRow]:
        """Yield the rows in the order of the registry."""
        face = self._face
        for action in actions.all_actions():
            if action.palette:
                key = action.keys_now(face.keymap)
                more = " · ".join(filter(None, (show_key(key) if key else "", action.usage)))
                yield action.title, more, action.description, partial(face.run_named, action.name)

    async def discover(self) -> Hits:
        """Yield all rows before anything is typed."""
        for title, more, _, run in self.rows():
            yield DiscoveryHit(Content(title), run, text=title, help=more or None)

    async def search(self, query: str) -> Hits:
        """Yield the rows that match, best first."""
        matcher = self.matcher(query)
        for title, more, words, run in self.rows():
            score = max(matcher.match(title), matcher.match(more) * 0.9, matcher.match(words) * 0.8)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=more or None)


class ChoiceProvider(ActionProvider):
    """Modes, themes and servers by name, once something is typed."""

    def rows(self) -> Iterator[PaletteRow]:
        """Yield the rows."""
        face = self._face
        for mode in MODES:
            yield f"mode {mode}", "", "", partial(set_mode, face, mode)
        for theme in face.themes.names:
            yield f"theme {theme}", "", "", partial(face.change_theme, theme)
        for name in face.overview.servers:
            for words, run in _OF_SERVER:
                yield f"{words} {safe(name, lines=False)}", "", "", partial(run, face, name)

    async def discover(self) -> Hits:
        """Yield nothing: the actions that lead here are listed already."""
        rows: tuple[DiscoveryHit, ...] = ()
        for hit in rows:
            yield hit
