"""A list to choose from: the models that could answer."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from omni_tui.face.screens.base import TitledScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyCommand, AnyEvent
from omni_tui.protocol.models import FindModels, ModelChoice, ModelsFound


class ChoiceScreen(TitledScreen[str]):
    """Lists what the engine replies to a command. Its result is the key of the chosen row."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "back", "back")]

    def __init__(self, title: str, rows: RowList, command: AnyCommand, loading: str = "") -> None:
        super().__init__(title)
        self._rows, self._command, self._loading = rows, command, loading

    def body(self) -> ComposeResult:
        """Lay out the rows."""
        yield self._rows

    def on_mount(self) -> None:
        """Request the list."""
        self.action_refresh_list()

    @work(group="choice", exclusive=True, exit_on_error=False)
    async def action_refresh_list(self) -> None:
        """Request the list again."""
        self._say(self._loading)
        reply = await request(shell_of(self), self._command, partial(self._say, style="$fail"))
        if reply is not None:
            self._say(self.fill(reply))
            self._rows.action_go(0)

    def _say(self, words: str, style: str = "$text-3") -> None:
        self.foot(Content.styled(words, style))

    def fill(self, reply: AnyEvent) -> str:
        """Fill the rows from the reply; return the words below them."""
        return "esc back"

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(event.key)


class ModelRows(RowList):
    """One row for each model."""

    def __init__(self) -> None:
        super().__init__(id="model-rows")
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


def _spread(left: Content, right: Content, width: int, gap: int) -> Content:
    """Return both with the room between them; the left one is cut if need be."""
    left = fit_content(left, max(1, width - right.cell_length - gap))
    return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right
