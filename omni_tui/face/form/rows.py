"""The rows of a form: one light widget for each field, with nothing but its control inside."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, TextArea

from omni_tui.face.form.controls import (
    FIELD_BINDINGS,
    ChoiceBar,
    ChoicePicked,
    ControlResized,
    MoreLinesNeeded,
    TextBox,
    TextLine,
    label_at,
)
from omni_tui.face.form.exact_json import escape_hidden
from omni_tui.face.form.model import ArrayNode, LeafNode, Node, ObjectNode
from omni_tui.face.form.schema import Absent, value_words
from omni_tui.face.formats import counted
from omni_tui.face.widgets.lines_view import fit_content, fold
from omni_tui.security.text import safe_line

LABEL_CELLS = 20
"""Width of the column with names and types."""
_ABOUT_LINES = 2


class ValueEdited(Message):
    """The value of a row changed. `shape`: rows were added or removed, the form must be laid out again."""

    def __init__(self, node: Node, *, shape: bool = False) -> None:
        super().__init__()
        self.node = node
        self.shape = shape


class FieldRow(Widget):
    """One node of the form: name and type at the left, control at the right, description below it."""

    DEFAULT_CSS = """
    FieldRow { width: 1fr; height: 3; layout: vertical; }
    FieldRow > * { margin-left: 20; }
    FieldRow TextLine, FieldRow TextBox, FieldRow ChoiceBar { background: $bar; color: $text-1; padding: 0
    1; }
    FieldRow TextLine.-textual-compact { padding: 0 1; }
    FieldRow TextLine:focus, FieldRow TextBox:focus, FieldRow ChoiceBar:focus { background: $cursor; }
    FieldRow TextLine > .input--placeholder { color: $text-3; text-style: none; }
    """
    BINDINGS = [
        Binding("ctrl+o", "special", "omit · empty · null", show=False),
        Binding("shift+delete,f8", "remove_item", "remove from the list", show=False),
        Binding("ctrl+n", "add_item", "one more in the list", show=False),
    ]

    name_style = "$text-1"

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.problem = ""
        self._about: list[Content] = []

    @property
    def items(self) -> ArrayNode | None:
        """The list this row is an item of, None if it is not."""
        return self.node.parent if isinstance(self.node.parent, ArrayNode) else None

    @property
    def name_shown(self) -> str:
        """The property's name, or the item's number in its list."""
        if self.items is not None:
            return str(self.items.items.index(self.node) + 1)
        if isinstance(self.node.parent, ObjectNode) and self.node.parent.extra is self.node:
            return "more"
        return self.node.field.label

    def control_height(self) -> int:
        """Return how many lines the control takes."""
        return 1

    def gap(self) -> int:
        """Return how many lines stay free below it."""
        return 0 if self.screen.has_class("-low") else 1

    def show(self, problem: str) -> None:
        """Show what is wrong below the control, "" for nothing."""
        if problem != self.problem:
            self.problem = problem
            self.fit()

    def fit(self) -> None:
        """Set the height that label, control and description need."""
        if not self.is_attached:
            return
        width = max(self.size.width - LABEL_CELLS - 3, 20)
        self._about = clip(self._said(), width, _ABOUT_LINES)
        rows = self.control_height() + len(self._about)
        self.styles.height = rows + self.gap()
        self.refresh()

    def render(self) -> Content:
        """Draw everything except the control."""
        name = fit_content(self._heading(), LABEL_CELLS - 1)
        start = name.pad_right(LABEL_CELLS - name.cell_length)
        below = [Content(" " * (LABEL_CELLS + 1)) + line for line in self._about]
        blank = [Content("")] * (self.control_height() - 1)
        first = fit_content(Content.assemble(start, self._beside()), self.size.width)
        return Content("\n").join([first, *blank, *below])

    def _beside(self) -> Content:
        return Content("")

    @property
    def _sign(self) -> str:
        return ""

    @property
    def _indent(self) -> int:
        return min(max(self.node.level, 0), 6)

    def _heading(self) -> Content:
        style = "bold $mine" if self.has_focus_within else self.name_style
        mark = (" *", "$waiting") if self.node.field.required and self.items is None else ("", "")
        name = fit_content(Content.styled(self.name_shown, style), self._room)
        return Content.assemble("  " * self._indent + " ", (self._sign, "$text-3"), name, mark)

    def _said(self) -> Content:
        field = self.node.field
        if self.problem:
            about = (f" · {field.about}", "$text-3") if field.about else ("", "")
            return Content.assemble(("✗ ", "$fail"), (self.problem, "$fail"), about)
        hint = "" if field.kind in ("boolean", "choice") else field.hint
        return self._named_in_full([hint, field.about, field.why_raw])

    @property
    def _room(self) -> int:
        """Cells that the name may take."""
        return max(LABEL_CELLS - 4 - bool(self._sign) - 2 * self._indent, 4)

    def _named_in_full(self, parts: list[str]) -> Content:
        """Return the line below the control; it begins with the whole name if that was cut."""
        said = Content.styled(" · ".join(part for part in parts if part), "$text-3")
        if Content(self.name_shown).cell_length <= self._room:
            return said
        name = Content.styled(self.node.field.full_label, "$text-1")
        return Content.assemble(name, (" · ", "$text-3"), said) if said.plain else name

    def on_resize(self) -> None:
        """Wrap the description again."""
        self.fit()

    def on_control_resized(self, event: ControlResized) -> None:
        """Fit the row to its control."""
        event.stop()
        self.fit()

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _mark_name(self) -> None:
        self.refresh()

    def enter(self) -> None:
        """Focus the control, or the row if it has none."""
        (self.children[0] if self.children else self).focus()

    def action_remove_item(self) -> None:
        """Remove this item from its list."""
        if (items := self.items) is not None:
            items.remove(self.node)
            self.post_message(ValueEdited(items, shape=True))

    def action_add_item(self) -> None:
        """Add an item to the list, after this one."""
        if (items := self.items) is not None and items.add(self.node) is not None:
            self.post_message(ValueEdited(items, shape=True))


class LeafRow(FieldRow):
    """A row with a control for one value."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._shown = ""
        self._tall = False

    def compose(self) -> ComposeResult:
        """Mount the control that the value needs now."""
        yield self._control()

    def _control(self) -> Widget:
        node = self.node
        self._shown = node.text
        if isinstance(node, LeafNode) and node.field.choices and not node.as_json:
            labels = [choice.label for choice in node.field.choices]
            bar = ChoiceBar(labels, node.choice, optional=not node.field.required)
            bar.unset = self._empty_words()
            return bar
        self._tall = node.as_json or node.field.multiline or "\n" in node.text or "\t" in node.text
        if self._tall:
            box = TextBox(node.text)
            box.placeholder = Content(self._empty_words())
            return box
        line = TextLine(node.text, lines=node.field.kind in ("text", "mixed"))
        line.placeholder = self._empty_words()
        return line

    def control_height(self) -> int:
        """Return how many lines the control takes."""
        if not self._tall:
            return 1
        box = self.query(TextBox).first() if self.query(TextBox) else None
        return max(3, min(box.size.height, 12)) if box is not None else 3

    def _empty_words(self) -> str:
        match self.node.state:
            case "null":
                return "null is sent"
            case "empty":
                return "an empty text is sent"
            case _:
                pass
        default = self.node.field.default
        if isinstance(default, Absent):
            return "" if self.node.field.required else "not sent"
        return "not sent · default " + safe_line(value_words(default), limit=40)

    async def rebuild(self) -> None:
        """Make the control again from its node, and keep the focus."""
        focused = self.has_focus_within
        async with self.batch():
            await self.remove_children()
            control = self._control()
            await self.mount(control)
        if isinstance(control, TextArea):
            control.move_cursor(control.document.end)
        if focused:
            control.focus()
        self.fit()

    async def action_special(self) -> None:
        """Step through not sent, empty and null."""
        self.node.cycle()
        await self.rebuild()
        self.post_message(ValueEdited(self.node))

    @on(Input.Changed)
    @on(TextArea.Changed)
    async def _typed(self, event: Input.Changed | TextArea.Changed) -> None:
        event.stop()
        text = event.value if isinstance(event, Input.Changed) else event.text_area.text
        if text == self._shown:
            return
        was_json = self.node.as_json
        self._shown = text
        self.node.write(escape_hidden(text) if was_json else text)
        if self.node.text != text or self.node.as_json is not was_json:
            await self.rebuild()
        elif not text:
            for line in self.query(TextLine):
                line.placeholder = self._empty_words()
            for box in self.query(TextBox):
                box.placeholder = Content(self._empty_words())
        self.post_message(ValueEdited(self.node))

    async def on_more_lines_needed(self, event: MoreLinesNeeded) -> None:
        """Continue in a control with several lines."""
        event.stop()
        self.node.write(event.text)
        await self.rebuild()
        self.post_message(ValueEdited(self.node))

    def on_choice_picked(self, event: ChoicePicked) -> None:
        """Hold a choice."""
        event.stop()
        if isinstance(self.node, LeafNode) and event.choice >= 0:
            self.node.pick(event.choice)
        else:
            self.node.clear()
        self.query_one(ChoiceBar).unset = self._empty_words()
        self.post_message(ValueEdited(self.node))


def clip(said: Content, width: int, most: int) -> list[Content]:
    """Return a text as at most `most` lines; "…" stands for the rest."""
    if not said.plain or width < 2:
        return []
    lines = said.wrap(width)
    if len(lines) > most:
        last = fold(lines[most - 1], width - 1)[0].rstrip()
        lines = [*lines[: most - 1], Content.assemble(last, ("…", "$text-3"))]
    return lines


MAX_CHOICES_SHOWN = 12
"""With more values than this, each item of the list has a row instead."""


class CheckboxBar(Widget, can_focus=True):
    """Boxes to tick: arrows step through them, space ticks. Each has a row if one row is too short."""

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
        """Another set of ticks: the indexes of the values."""

        def __init__(self, ticked: frozenset[int]) -> None:
            super().__init__()
            self.ticked = ticked

    def __init__(self, labels: Sequence[str], ticked: frozenset[int]) -> None:
        super().__init__()
        self._labels = labels
        self.set_reactive(CheckboxBar.ticked, ticked)

    @property
    def rows(self) -> int:
        """How many rows it takes at this width."""
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
        """Tick or untick the box."""
        self.ticked ^= {self.at}
        self.post_message(self.Ticked(self.ticked))

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Underline the current box."""
        super().watch_has_focus(_has_focus)
        self.refresh()

    def on_resize(self) -> None:
        """Tell the row."""
        self.post_message(ControlResized())

    def on_click(self, event: events.Click) -> None:
        """Tick what was clicked."""
        number = label_at(self._labels, event.x) if self._fits else event.y
        if number is not None and number < len(self._labels):
            self.at = number
            self.action_tick()


class CheckboxRow(FieldRow):
    """A list of some of a few choices, as boxes to tick."""

    def __init__(self, node: ArrayNode) -> None:
        super().__init__(node)
        self._list = node

    def compose(self) -> ComposeResult:
        """The boxes."""
        labels = [choice.label for choice in self._list.field.item.choices]
        ticked = frozenset(child.choice for child in self._list.items if isinstance(child, LeafNode))
        yield CheckboxBar(labels, ticked)

    def control_height(self) -> int:
        """Return as many rows as the boxes take."""
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
        """Hold the choice; an empty one is not sent unless the list is required."""
        event.stop()
        choices = self._list.field.item.choices
        self._list.load([choices[number].value for number in sorted(event.ticked)])
        if not event.ticked:
            self._list.clear()
        self._list.open = False
        self.post_message(ValueEdited(self._list))


def fits_checkboxes(node: Node) -> bool:
    """Return whether a list is a choice of a few values, each at most once and in their order."""
    if not isinstance(node, ArrayNode) or node.as_json or node.state == "null":
        return False
    item = node.field.item
    if item.kind != "choice" or item.nullable or not 0 < len(item.choices) <= MAX_CHOICES_SHOWN:
        return False
    places = [child.choice if isinstance(child, LeafNode) else -1 for child in node.items]
    return -1 not in places and places == sorted(set(places))


class GroupRow(FieldRow, can_focus=True):
    """The heading of an object or a list: opens and closes it, adds and removes items."""

    DEFAULT_CSS = """
    GroupRow:focus { background: $cursor; }
    """
    name_style = "bold $text-1"
    BINDINGS = [
        *FIELD_BINDINGS,
        Binding("enter,space", "unfold", "open or close", show=False),
        Binding("right", "unfold(True)", "open", show=False),
        Binding("left", "unfold(False)", "close", show=False),
        Binding("plus,insert", "add_below", "add an item", show=False),
        Binding("minus", "drop_last", "remove the last item", show=False),
    ]

    def gap(self) -> int:
        """Return no gap between the heading and what it holds."""
        return 0 if self.node.open and self._can_open() else super().gap()

    def _said(self) -> Content:
        if self.problem:
            return super()._said()
        return self._named_in_full([self.node.field.about])

    @property
    def _sign(self) -> str:
        return "▾ " if self.node.open and self._can_open() else "▸ "

    def _can_open(self) -> bool:
        return not isinstance(self.node, ArrayNode) or bool(self.node.items)

    def _beside(self) -> Content:
        node = self.node
        hint: tuple[str, str] = (f" · {node.field.hint}", "$text-3")
        if node.state == "null":
            return Content.assemble((" null is sent", "$mine"), hint)
        if isinstance(node, ArrayNode) and node.items:
            said = f" {counted(len(node.items), 'item')}"
        elif node.state == "empty" or (node.field.required and isinstance(node, ArrayNode)):
            said = f" an empty {'list' if node.field.kind == 'array' else 'object'} is sent"
        elif node.touched or node.field.required:
            return Content.styled(f" {node.field.hint}", "$text-3")
        else:
            said = " not sent"
        adds = "  + adds an item" if self.has_focus and isinstance(node, ArrayNode) else ""
        return Content.assemble((said, "$text-2"), hint, (adds, "$mine"))

    def action_unfold(self, wanted: bool | None = None) -> None:
        """Open or close it; add a first item to an empty list."""
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
        """Step through not sent, empty and null."""
        self.node.cycle()
        self.post_message(ValueEdited(self.node, shape=True))

    @on(events.Focus)
    @on(events.Blur)
    def _show_keys(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open or close it; a click beside the name of a list adds an item."""
        if isinstance(self.node, ArrayNode) and event.x > LABEL_CELLS:
            self.action_add_below()
        else:
            self.action_unfold()


class MoreRow(Widget, can_focus=True):
    """The place of the fields that are not mounted yet; focusing it mounts the next ones."""

    DEFAULT_CSS = """
    MoreRow { height: 1; width: 1fr; color: $text-3; }
    MoreRow:focus { color: $mine; }
    """
    BINDINGS = [
        Binding("enter,space,down", "reach", "more fields", show=False),
        Binding("up", "app.focus_previous", "previous field", show=False),
    ]

    class Reached(Message):
        """Mount the next fields."""

    left = 0

    def render(self) -> Content:
        """Draw how many fields are left."""
        return Content(f" … {self.left:,} more fields")

    def action_reach(self) -> None:
        """Mount the next fields."""
        self.post_message(self.Reached())

    def on_focus(self) -> None:
        """Mount the next fields."""
        self.action_reach()
