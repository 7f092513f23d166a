"""Which models could answer, and how each was found; Enter uses one from the next message on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import LinkClosed
from omni_tui.protocol.models import FindModels, ModelChoice, ModelsFound

if TYPE_CHECKING:
    pass


class ModelRows(RowList):
    """One row a model."""

    def __init__(self) -> None:
        super().__init__(id="session-rows")
        self.models: dict[str, ModelChoice] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Name, how it was found, whether it costs money, whether it is left alone now."""
        model = self.models[key]
        mark = "● " if model.current else "  "
        rest = {"open": f"left alone {model.wait_s:.0f} s   ", "half_open": "failed; tried next   "}.get(
            model.state, ""
        )
        money = "costs money " if model.costs_money else "free "
        right = Content.assemble(
            (rest, "$fail"),
            (f"{model.because}   ", "$text-2"),
            (money, "$waiting" if money[0] == "c" else "$text-2"),
        )
        left = Content.assemble((mark, "$mine"), (model.label, "$text-1"))
        if left.cell_length + right.cell_length + 1 > width:
            right = Content.styled(money, "$text-2")
        left = left.truncate(max(1, width - right.cell_length - 1), ellipsis=True)
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right


class ModelsScreen(Screen[str]):
    """Returns the name of the model to use, "" for none."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "ModelRows"
    BINDINGS = [Binding("escape,q", "back", "back"), Binding("r", "again", "look again")]

    def compose(self) -> ComposeResult:
        """Title, rows, keys."""
        yield Static(Content.styled("MODELS", "bold $mine"), id="screen-title", markup=False)
        yield ModelRows()
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Look for them."""
        self._read()

    @work(group="models", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        rows, foot = self.query_one(ModelRows), self.query_one("#screen-foot", Static)
        foot.update(Content.styled("looking on this machine …", "$text-3"))
        try:
            reply = await shell_of(self).port.ask(FindModels())
        except CommandError as refused:
            foot.update(Content.styled(refused.failure.what, "$fail"))
        except (TimeoutError, LinkClosed):
            foot.update(Content.styled("The engine did not answer.", "$fail"))
        else:
            assert isinstance(reply, ModelsFound)
            rows.models = {model.name: model for model in reply.models}
            rows.set_keys(list(rows.models))
            rows.action_go(0)
            words = "enter uses it from now on · r looks again · /model NAME for any other · esc back"
            foot.update(Content.styled(words, "$text-3"))

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(event.key or "")

    def action_again(self) -> None:
        """Look once more."""
        self._read()

    def action_back(self) -> None:
        """Close."""
        self.dismiss("")
