"""Several of a few values, chosen beside each other: where a list says which, not how often."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.form.controls import FIELD_BINDINGS
from omni_tui.face.form.field_rows import FieldRow, ValueEdited
from omni_tui.face.form.nodes import ArrayNode, LeafNode, Node

MAX_CHOICES_SHOWN = 12
"""With more values than this, a list with a row for each item is shown instead."""


class CheckboxBar(Widget, can_focus=True):
    """Boxes to tick: arrows go through them, space ticks. Each has a row if one is too short for all."""

    DEFAULT_CSS = """
    CheckboxBar { width: 1fr; height: 1; }
    """
    BINDINGS = [
        *FIELD_BINDINGS,
        Binding("right", "step(1)", "next", show=False),
        Binding("left", "step(-1)", "previous", show=False),
        Binding("space", "tick", "tick", show=False),
        Binding("enter", "app.focus_next", "next field", show=False),
    ]

    at: reactive[int] = reactive(0)
    ticked: reactive[frozenset[int]] = reactive(frozenset())

    class Ticked(Message):
        """Another set of ticks: the places of the values."""

        def __init__(self, ticked: frozenset[int]) -> None:
            super().__init__()
            self.ticked = ticked

    class Resized(Message):
        """It takes more or fewer rows than before."""

    def __init__(self, labels: Sequence[str], ticked: frozenset[int]) -> None:
        super().__init__()
        self._labels = labels
        self.set_reactive(CheckboxBar.ticked, ticked)

    @property
    def rows(self) -> int:
        """How many rows it takes at its width."""
        return 1 if self._fits else len(self._labels)

    @property
    def _fits(self) -> bool:
        cells = sum(Content(label).cell_length + 4 for label in self._labels)
        return cells <= max(self.content_size.width, 20)

    def render(self) -> Content:
        """Draw the boxes."""
        gap = Content("  ") if self._fits else Content("\n")
        return gap.join(self._box(number, label) for number, label in enumerate(self._labels))

    def _box(self, number: int, label: str) -> Content:
        on = number in self.ticked
        style = "$text-1" if on else "$text-2"
        if self.has_focus and number == self.at:
            style += " underline"
        return Content.assemble(("■ " if on else "□ ", "$mine" if on else "$text-3"), (label, style))

    def action_step(self, by: int) -> None:
        """Go to the next box or the one before."""
        self.at = (self.at + by) % len(self._labels)

    def action_tick(self) -> None:
        """Tick the box, or take its tick away."""
        self.ticked ^= {self.at}
        self.post_message(self.Ticked(self.ticked))

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Show where one is."""
        super().watch_has_focus(_has_focus)
        self.refresh()

    def on_resize(self) -> None:
        """Tell the row how many rows it takes."""
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        """Tick what was clicked on."""
        number, right = event.y, 0
        if self._fits:
            for number, label in enumerate(self._labels):  # noqa: B007
                right += Content(label).cell_length + 4
                if event.x < right:
                    break
            else:
                return
        if number < len(self._labels):
            self.at = number
            self.action_tick()


class CheckboxRow(FieldRow):
    """A list of some of its item's choices."""

    def __init__(self, node: ArrayNode) -> None:
        super().__init__(node)
        self._list = node

    def compose(self) -> ComposeResult:
        """The boxes."""
        yield CheckboxBar(
            [choice.label for choice in self._list.field.item.choices], checked_places(self._list)
        )

    def control_height(self) -> int:
        """As many rows as the boxes take."""
        bars = self.query(CheckboxBar)
        rows = bars.first().rows if bars else 1
        for bar in bars:
            bar.styles.height = rows
        return rows

    def _said(self) -> Content:
        if self.problem:
            return super()._said()
        field = self._list.field
        said = f"some of {len(field.item.choices)}" if field.about else "some of these"
        return self._named_in_full([said, field.about])

    def on_checkbox_bar_ticked(self, event: CheckboxBar.Ticked) -> None:
        """Take the choice; none at all is not sent, unless it is required."""
        event.stop()
        choices = self._list.field.item.choices
        self._list.load([choices[number].value for number in sorted(event.ticked)])
        if not event.ticked:
            self._list.clear()
        self._list.open = False
        self.post_message(ValueEdited(self._list))

    def on_checkbox_bar_resized(self, event: CheckboxBar.Resized) -> None:
        """Take the height they need."""
        event.stop()
        self.fit()


def fits_checkboxes(node: Node) -> bool:
    """Return whether a list is some of a few values, each once and in their order, and nothing else."""
    if not isinstance(node, ArrayNode) or node.as_json or node.state == "null":
        return False
    item = node.field.item
    if item.kind != "choice" or item.nullable or not 0 < len(item.choices) <= MAX_CHOICES_SHOWN:
        return False
    places = [child.choice if isinstance(child, LeafNode) else -1 for child in node.items]
    return -1 not in places and places == sorted(set(places))


def checked_places(node: ArrayNode) -> frozenset[int]:
    """Return the places of the values that a list holds."""
    return frozenset(child.choice for child in node.items if isinstance(child, LeafNode))
