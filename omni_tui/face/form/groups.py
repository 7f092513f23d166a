"""Rows that hold other rows: objects, lists, and what is not mounted yet."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from omni_tui.face.form.controls import FIELD_BINDINGS
from omni_tui.face.form.field_rows import LABEL_CELLS, FieldRow, LeafRow, ValueEdited
from omni_tui.face.form.nodes import ArrayNode, Node, ObjectNode


class GroupRow(FieldRow, can_focus=True):
    """The head of an object or a list: opens and closes it, adds and removes items."""

    DEFAULT_CSS = """
    GroupRow:focus { background: $cursor; }
    """
    BINDINGS = [
        *FIELD_BINDINGS,
        Binding("enter,space", "unfold", "open or close", show=False),
        Binding("right", "unfold(True)", "open", show=False),
        Binding("left", "unfold(False)", "close", show=False),
        Binding("plus,insert", "add_below", "add an item", show=False),
        Binding("minus", "drop_last", "remove the last item", show=False),
    ]

    def control_height(self) -> int:
        """One line: what it holds."""
        return 1

    def gap(self) -> int:
        """Nothing between the head and what it holds."""
        return 0 if self.node.open and self._can_open() else super().gap()

    def _said(self) -> Content:
        if self.problem:
            return super()._said()
        return self._named_in_full([self.node.field.about])

    @property
    def _room(self) -> int:
        return max(LABEL_CELLS - 5 - 2 * self._indent, 4)

    def _heading(self) -> Content:
        focused = self.has_focus
        sign = "▾" if self.node.open and self._can_open() else "▸"
        mark = (" *", "$waiting") if self.node.field.required and self.items is None else ("", "")
        name = Content(self.name_shown).truncate(self._room, ellipsis=True)
        return Content.assemble(
            "  " * self._indent + " ",
            (sign + " ", "$text-3"),
            name.stylize("bold $mine" if focused else "bold $text-1"),
            mark,
        )

    def _can_open(self) -> bool:
        return not isinstance(self.node, ArrayNode) or bool(self.node.items)

    def _beside(self) -> Content:
        node = self.node
        hint: tuple[str, str] = (f" · {node.field.hint}", "$text-3")
        if node.state == "null":
            return Content.assemble((" null is sent", "$mine"), hint)
        if isinstance(node, ArrayNode) and node.items:
            said = f" {len(node.items)} item{'' if len(node.items) == 1 else 's'}"
        elif node.state == "empty" or (node.field.required and isinstance(node, ArrayNode)):
            said = f" an empty {'list' if node.field.kind == 'array' else 'object'} is sent"
        elif node.touched or node.field.required:
            return Content.styled(f" {node.field.hint}", "$text-3")
        else:
            said = " not sent"
        adds = "  + adds one" if self.has_focus and isinstance(node, ArrayNode) else ""
        return Content.assemble((said, "$text-2"), hint, (adds, "$mine"))

    def action_unfold(self, wanted: bool | None = None) -> None:
        """Open or close it; an empty list gets its first item instead."""
        if not self._can_open() and wanted is not False:
            self.action_add_below()
            return
        self.node.open = not self.node.open if wanted is None else wanted
        self.post_message(ValueEdited(self.node, shape=True))

    def action_add_below(self) -> None:
        """Add an item to this list."""
        if isinstance(self.node, ArrayNode) and self.node.add() is not None:
            self.post_message(ValueEdited(self.node, shape=True))

    def action_drop_last(self) -> None:
        """Remove the last item of this list."""
        if isinstance(self.node, ArrayNode) and self.node.items:
            self.node.remove(self.node.items[-1])
            self.post_message(ValueEdited(self.node, shape=True))

    def action_special(self) -> None:
        """Go through what is chosen rather than typed: not sent, empty, null."""
        self.node.cycle()
        self.post_message(ValueEdited(self.node, shape=True))

    def on_focus(self) -> None:
        """Show what can be done here."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide what can be done here."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open or close; a click beside the name of a list adds an item."""
        if isinstance(self.node, ArrayNode) and event.x > LABEL_CELLS:
            self.action_add_below()
        else:
            self.action_unfold()


class MoreRow(Widget, can_focus=True):
    """Stands for the fields that are not mounted yet; reaching it brings the next ones."""

    DEFAULT_CSS = """
    MoreRow { height: 1; width: 1fr; color: $text-3; }
    MoreRow:focus { color: $mine; }
    """
    BINDINGS = [
        Binding("enter,space,down", "reach", "more fields", show=False),
        Binding("up", "app.focus_previous", "previous field", show=False),
    ]

    class Reached(Message):
        """Bring the next fields."""

    left = 0

    def render(self) -> Content:
        """Say how many fields there are below."""
        return Content(f" … {self.left:,} more fields")

    def action_reach(self) -> None:
        """Bring the next fields."""
        self.post_message(self.Reached())

    def on_focus(self) -> None:
        """Bring the next fields."""
        self.action_reach()


def make_row(node: Node) -> FieldRow:
    """Return the row of a node."""
    if isinstance(node, (ObjectNode, ArrayNode)) and not node.as_json:
        return GroupRow(node)
    return LeafRow(node)
