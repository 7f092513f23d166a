"""The command palette: every action, every mode, theme and server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from omni_tui.face import actions
from omni_tui.face.keys import show_key
from omni_tui.security.text import safe

if TYPE_CHECKING:
    from omni_tui.face.app import OmniApp

PaletteRow = tuple[str, str, Callable[[], None]]


class ActionProvider(Provider):
    """Every action of the registry that makes sense without an item under the cursor."""

    @property
    def _face(self) -> OmniApp:
        return cast("OmniApp", self.app)

    def rows(self) -> Iterator[PaletteRow]:
        """Yield (what it is called, what more there is to say, what it does)."""
        face = self._face
        for action in actions.all_actions():
            if action.palette:
                key = face.keymap.get(action.name) or action.keys
                more = " · ".join(
                    part
                    for part in (
                        show_key(key) if key else "",
                        f"/{action.slash} {action.argument}".rstrip() if action.slash else "",
                    )
                    if part
                )
                yield action.description, more, partial(face.run_named, action.name)

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for title, more, run in self.rows():
            yield DiscoveryHit(Content(title), run, text=title, help=more or None)

    async def search(self, query: str) -> Hits:
        """What matches, best first."""
        matcher = self.matcher(query)
        for title, more, run in self.rows():
            score = max(matcher.match(title), matcher.match(more) * 0.9)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=more or None)


class ChoiceProvider(ActionProvider):
    """Modes, themes and servers by name: offered once something is typed."""

    def rows(self) -> Iterator[PaletteRow]:
        """Yield the rows."""
        face = self._face
        for mode in ("chat", "auto", "orchestrator"):
            yield f"mode {mode}", "", partial(face.action_mode, mode)
        for theme in face.theme_names:
            yield f"theme {theme}", "", partial(face.change_theme, theme)
        for name in face.overview.servers:
            shown = safe(name, lines=False)
            yield f"log of {shown}", "", partial(face.action_log, name)
            yield f"refresh {shown}", "", partial(face.action_refresh, name)
            yield f"edit {shown}", "", partial(face.action_edit_server, name)
            yield f"switch on {shown}", "", partial(face.action_enable_server, name)
            yield f"switch off {shown}", "", partial(face.action_disable_server, name)
            yield f"restart {shown}", "", partial(face.action_restart_server, name)
            yield f"wire of {shown}", "", partial(face.action_wire, name)
            yield f"forget {shown}", "", partial(face.action_remove_server, name)

    async def discover(self) -> Hits:
        """Nothing: the actions that lead here are listed already."""
        rows: tuple[DiscoveryHit, ...] = ()
        for hit in rows:
            yield hit


def providers() -> list[type[Provider]]:
    """Return what the palette searches."""
    return [ActionProvider, ChoiceProvider]
