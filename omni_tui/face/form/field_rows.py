"""The rows of a form: one widget for each field, with its control inside.

A row draws its own label, type and description, and holds nothing but its control, so that some
hundred fields are some hundred light widgets.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, TextArea

from omni_tui.face.form.controls import ChoiceBar, ChoicePicked, MoreLinesNeeded, TextBox, TextLine
from omni_tui.face.form.exact_json import escape_hidden
from omni_tui.face.form.nodes import ArrayNode, LeafNode, Node, ObjectNode
from omni_tui.face.form.schema import Absent, value_words
from omni_tui.security.text import safe_line

LABEL_CELLS = 20
"""Width of the column with names and types."""
_ABOUT_LINES = 2


class ValueEdited(Message):
    """The value of a row changed. `shape`: rows have come or gone, the form must be laid out again."""

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

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.problem = ""
        self._about: list[Content] = []

    @property
    def items(self) -> ArrayNode | None:
        """The list this row is an item of, None if it is none."""
        return self.node.parent if isinstance(self.node.parent, ArrayNode) else None

    @property
    def name_shown(self) -> str:
        """The label: the property's name, or the item's number in its list."""
        if self.items is not None:
            return str(self.items.items.index(self.node) + 1)
        if isinstance(self.node.parent, ObjectNode) and self.node.parent.extra is self.node:
            return "more"
        return self.node.field.label

    def control_height(self) -> int:
        """How many lines the control takes."""
        return 1

    def gap(self) -> int:
        """How many lines stay free below it."""
        return 0 if self.screen.has_class("-low") else 1

    def show(self, problem: str) -> None:
        """Say what is wrong below the control, or (with "") that nothing is."""
        if problem != self.problem:
            self.problem = problem
            self.fit()

    def fit(self) -> None:
        """Take the height that label, control and description need."""
        if not self.is_attached:
            return
        width = max(self.size.width - LABEL_CELLS - 3, 20)
        self._about = clip(self._said(), width, _ABOUT_LINES)
        rows = self.control_height() + len(self._about)
        self.styles.height = rows + self.gap()
        self.refresh()

    def render(self) -> Content:
        """Draw everything but the control."""
        name = self._heading().truncate(LABEL_CELLS - 1, ellipsis=True)
        start = name.pad_right(LABEL_CELLS - name.cell_length)
        below = [Content(" " * (LABEL_CELLS + 1)) + line for line in self._about]
        blank = [Content("")] * (self.control_height() - 1)
        first = Content.assemble(start, self._beside()).truncate(self.size.width, ellipsis=True)
        return Content("\n").join([first, *blank, *below])

    def _beside(self) -> Content:
        return Content("")

    @property
    def _indent(self) -> int:
        return min(max(self.node.level, 0), 6)

    def _heading(self) -> Content:
        style = "bold $mine" if self.has_focus_within else "$text-1"
        mark = (" *", "$waiting") if self.node.field.required and self.items is None else ("", "")
        name = Content(self.name_shown).truncate(self._room, ellipsis=True)
        return Content.assemble("  " * self._indent + " ", name.stylize(style), mark)

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
        return max(LABEL_CELLS - 4 - 2 * self._indent, 4)

    def _named_in_full(self, parts: list[str]) -> Content:
        """Return what is said below the control; first the whole name where it was cut."""
        said = Content.styled(" · ".join(part for part in parts if part), "$text-3")
        if Content(self.name_shown).cell_length <= self._room:
            return said
        name = Content.styled(self.node.field.full_label, "$text-1")
        return Content.assemble(name, (" · ", "$text-3"), said) if said.plain else name

    def on_resize(self) -> None:
        """Wrap the description anew."""
        self.fit()

    def on_descendant_focus(self) -> None:
        """Mark the name."""
        self.refresh()

    def on_descendant_blur(self) -> None:
        """Unmark the name."""
        self.refresh()

    def action_remove_item(self) -> None:
        """Take this item out of its list."""
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
        """Give it the control its value needs now."""
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
        """How many lines the control takes."""
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
        """Draw the control anew from its node, keeping the focus."""
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
        """Go through what is chosen rather than typed: not sent, empty, null."""
        self.node.cycle()
        await self.rebuild()
        self.post_message(ValueEdited(self.node))

    async def _typed(self, text: str) -> None:
        if text == self._shown:
            return
        was_json = self.node.as_json
        self._shown = text
        self.node.write(escape_hidden(text) if was_json else text)
        if self.node.text != text or self.node.as_json is not was_json:
            await self.rebuild()
        elif not text:
            self._say_empty()
        self.post_message(ValueEdited(self.node))

    def _say_empty(self) -> None:
        for line in self.query(TextLine):
            line.placeholder = self._empty_words()
        for box in self.query(TextBox):
            box.placeholder = Content(self._empty_words())

    async def on_input_changed(self, event: Input.Changed) -> None:
        """Take what was typed."""
        event.stop()
        await self._typed(event.value)

    async def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Take what was typed."""
        event.stop()
        await self._typed(event.text_area.text)

    async def on_more_lines_needed(self, event: MoreLinesNeeded) -> None:
        """Go on with several lines."""
        event.stop()
        self.node.write(event.text)
        await self.rebuild()
        self.post_message(ValueEdited(self.node))

    def on_choice_picked(self, event: ChoicePicked) -> None:
        """Take a choice."""
        event.stop()
        if isinstance(self.node, LeafNode) and event.choice >= 0:
            self.node.pick(event.choice)
        else:
            self.node.clear()
        self.query_one(ChoiceBar).unset = self._empty_words()
        self.post_message(ValueEdited(self.node))

    def on_text_box_resized(self, event: TextBox.Resized) -> None:
        """Make room for a control that grew."""
        event.stop()
        self.fit()


def clip(said: Content, width: int, most: int) -> list[Content]:
    """Return a text as at most `most` lines; "…" says that there is more."""
    if not said.plain or width < 2:
        return []
    lines = said.wrap(width)
    if len(lines) > most:
        last = lines[most - 1].truncate(width - 1).rstrip()
        lines = [*lines[: most - 1], Content.assemble(last, ("…", "$text-3"))]
    return lines
