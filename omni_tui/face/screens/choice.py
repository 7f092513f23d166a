"""Lists to choose from: the models that could answer, and the saved sessions."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.formats import counted
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyCommand, AnyEvent
from omni_tui.protocol.commands import ListSessions
from omni_tui.protocol.events import SessionInfo, SessionsListed
from omni_tui.protocol.models import FindModels, ModelChoice, ModelsFound


class ChoiceScreen(Screen[str]):
    """Lists what the engine replies to a command. Its result is the key of the chosen row, "" for none."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "back", "back")]

    def __init__(self, title: str, rows: RowList, command: AnyCommand, loading: str = "") -> None:
        super().__init__()
        self._title, self._rows, self._command, self._loading = title, rows, command, loading

    def compose(self) -> ComposeResult:
        """Yield title, rows, keys."""
        yield Static(Content.styled(self._title, "bold $mine"), id="screen-title", markup=False)
        yield self._rows
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Request the list."""
        self.action_refresh_list()

    @work(group="choice", exclusive=True, exit_on_error=False)
    async def action_refresh_list(self) -> None:
        """Request the list again."""
        foot = self.query_one("#screen-foot", Static)
        foot.update(Content.styled(self._loading, "$text-3"))
        try:
            reply = await shell_of(self).port.ask(self._command)
        except REQUEST_ERRORS as error:
            foot.update(Content.styled(error_text(error), "$fail"))
        else:
            foot.update(Content.styled(self.fill(reply), "$text-3"))
            self._rows.action_go(0)

    def fill(self, reply: AnyEvent) -> str:
        """Fill the rows from the reply; return the words below them."""
        return "esc back"

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(event.key or "")

    def action_back(self) -> None:
        """Close without a choice."""
        self.dismiss("")


class ModelRows(RowList):
    """One row for each model."""

    def __init__(self) -> None:
        super().__init__(id="session-rows")
        self.models: dict[str, ModelChoice] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return name, where it was found, whether it costs money, and whether it is paused now."""
        model = self.models[key]
        mark = "● " if model.current else "  "
        rest = {"open": f"paused {model.wait_s:.0f} s   ", "half_open": "failed; retried next   "}.get(
            model.state, ""
        )
        money = "costs money " if model.costs_money else "free "
        cost = Content.styled(money, "$waiting" if model.costs_money else "$text-2")
        right = Content.assemble((rest, "$fail"), (f"{model.because}   ", "$text-2")) + cost
        left = Content.assemble((mark, "$mine"), (model.label, "$text-1"))
        if left.cell_length + right.cell_length + 1 > width:
            right = cost
        return _spread(left, right, width, 1)


class ModelsScreen(ChoiceScreen):
    """The models that are configured or found. Its result is a model's name."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "refresh_list", "refresh")]

    def __init__(self) -> None:
        self._models = ModelRows()
        super().__init__("MODELS", self._models, FindModels(), "looking for models …")

    def fill(self, reply: AnyEvent) -> str:
        """List the models."""
        if isinstance(reply, ModelsFound):
            self._models.models = {model.name: model for model in reply.models}
            self._models.set_keys(list(self._models.models))
        return "enter uses it from now on · r refreshes · /model NAME for any other · esc back"


class SessionRows(RowList):
    """One row for each session."""

    def __init__(self) -> None:
        super().__init__(id="session-rows")
        self.sessions: dict[str, SessionInfo] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return title, open calls, length and date."""
        info = self.sessions[key]
        when = time.strftime("%d %b %H:%M", time.localtime(info.updated))
        waits = f"{counted(info.open_calls, 'open call')}   " if info.open_calls else ""
        right = Content.assemble(
            (waits, "$waiting"), (f"{counted(info.events, 'event')}   {when} ", "$text-2")
        )
        return _spread(Content.styled(f"  {info.title or 'untitled'}", "$text-1"), right, width, 2)


class SessionsScreen(ChoiceScreen):
    """The saved sessions, newest first. Its result is a session's id."""

    def __init__(self) -> None:
        self._sessions = SessionRows()
        super().__init__("SESSIONS", self._sessions, ListSessions())

    def fill(self, reply: AnyEvent) -> str:
        """List the sessions."""
        if not isinstance(reply, SessionsListed):
            return super().fill(reply)
        self._sessions.sessions = {info.id: info for info in reply.sessions}
        self._sessions.set_keys(list(self._sessions.sessions))
        words = "enter opens · esc back" if reply.sessions else "no saved sessions yet · esc back"
        if reply.unreadable:
            words = f"{reply.unreadable} more cannot be read (omni-tui sessions list says why) · {words}"
        return words


def _spread(left: Content, right: Content, width: int, gap: int) -> Content:
    """Return both with the room between them; the left one is cut if need be."""
    left = left.truncate(max(1, width - right.cell_length - gap), ellipsis=True)
    return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right
