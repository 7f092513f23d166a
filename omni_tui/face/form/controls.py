"""The controls of a form: one line, several lines, one of a few choices."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, TextArea

from omni_tui.face.key_names import UNDO
from omni_tui.face.widgets.lines_view import fit_content

FIELD_BINDINGS = [
    Binding("up", "app.focus_previous", "previous field", show=False),
    Binding("down", "app.focus_next", "next field", show=False),
]


class MoreLinesNeeded(Message):
    """A one-line control needs more than one line. `text` is the whole new text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ControlResized(Message):
    """A control takes more or fewer lines than before."""


class TakeSuggestion(Message):
    """Fill an empty field with its first suggestion."""


class TextLine(Input):
    """A text or a number on one line. Enter and the arrows go to the next field; nothing is sent."""

    DEFAULT_CSS = """
    TextLine { height: 1; width: 1fr; }
    """
    BINDINGS = [*FIELD_BINDINGS, Binding("ctrl+j", "grow", "more lines", show=False)]

    def __init__(self, value: str, *, lines: bool) -> None:
        super().__init__(value, compact=True, select_on_focus=False)
        self._lines = lines
        self.cursor_blink = False

    def action_cursor_right(self, select: bool = False) -> None:
        """Move the cursor; in an empty field, take the suggestion."""
        if not self.value and self.suggester is not None and not select:
            self.post_message(TakeSuggestion())
        else:
            super().action_cursor_right(select)

    def action_grow(self) -> None:
        """Continue on a new line, in a control with several lines."""
        if self._lines:
            at = self.cursor_position
            self.post_message(MoreLinesNeeded(self.value[:at] + "\n" + self.value[at:]))

    def action_submit(self) -> None:  # type: ignore[override]
        """Go to the next field."""
        self.screen.focus_next()

    def on_paste(self, event: events.Paste) -> None:
        """Grow to hold all pasted lines; a plain input would keep only the first."""
        if self._lines and len(event.text.splitlines()) > 1:
            event.stop()
            event.prevent_default()
            start, end = sorted(self.selection)
            text = event.text.replace("\r\n", "\n").replace("\r", "\n")
            self.post_message(MoreLinesNeeded(self.value[:start] + text + self.value[end:]))


class TextBox(TextArea):
    """A text with several lines, or a piece of JSON. Tab goes to the next field."""

    DEFAULT_CSS = """
    TextBox { height: auto; min-height: 3; max-height: 12; width: 1fr; }
    """

    BINDINGS = [UNDO]

    def __init__(self, text: str) -> None:
        super().__init__(text, compact=True, highlight_cursor_line=False, tab_behavior="focus")
        self.cursor_blink = False

    def action_cursor_up(self, select: bool = False) -> None:
        """Go up in the text; from its first line, to the previous field."""
        if not select and self.navigator.is_first_wrapped_line(self.cursor_location):
            self.screen.focus_previous()
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Go down in the text; from its last line, to the next field."""
        if not select and self.navigator.is_last_wrapped_line(self.cursor_location):
            self.screen.focus_next()
        else:
            super().action_cursor_down(select)

    def on_resize(self) -> None:
        """Tell the row."""
        self.post_message(ControlResized())


class ChoicePicked(Message):
    """Another choice: its index, or -1 for none."""

    def __init__(self, choice: int) -> None:
        super().__init__()
        self.choice = choice


class ChoiceBar(Widget, can_focus=True):
    """One of a few values on one line. Arrows and space step through them; letters jump to one.

    If they do not fit on the line, only the chosen one is shown, with its number.
    """

    DEFAULT_CSS = """
    ChoiceBar { height: 1; width: 1fr; }
    """
    BINDINGS = [
        *FIELD_BINDINGS,
        Binding("right,space", "step(1)", "next choice", show=False),
        Binding("left", "step(-1)", "previous choice", show=False),
        Binding("home", "go(0)", "first choice", show=False),
        Binding("end", "go(-1)", "last choice", show=False),
        Binding("backspace,delete", "drop", "none", show=False),
        Binding("enter", "app.focus_next", "next field", show=False),
    ]

    choice: reactive[int] = reactive(-1)
    unset: reactive[str] = reactive("not sent")

    def __init__(self, labels: Sequence[str], choice: int, *, optional: bool) -> None:
        super().__init__()
        self._labels = labels
        self._optional = optional
        self._typed = ""
        self.set_reactive(ChoiceBar.choice, choice)

    def render(self) -> Content:
        """Draw all choices, or only the chosen one."""
        width = self.size.width
        if self._fits(width):
            row = self._beside()
            if self.choice < 0:
                row += fit_content(Content.styled(self.unset, "$text-3"), width - row.cell_length)
            return row
        said = self._labels[self.choice] if self.choice >= 0 else self.unset
        count = len(self._labels)
        place = f"{self.choice + 1} of {count}" if self.choice >= 0 else f"{count} choices"
        style = "$text-1" if self.choice >= 0 else "$text-3"
        label = fit_content(Content.styled(said, style), max(width - len(place) - 8, 4))
        return Content.assemble(("‹ ", "$mine"), label, (" ›", "$mine"), (f"  {place}", "$text-3"))

    def action_step(self, by: int) -> None:
        """Go to the next or the previous choice; an optional field has "none" as one of them."""
        first = -1 if self._optional else 0
        span = len(self._labels) - first
        here = self.choice if self.choice >= first else first - (by > 0)
        self._pick((here + by - first) % span + first)

    def action_go(self, to: int) -> None:
        """Go to the first (0) or the last (-1) choice."""
        self._pick(to % len(self._labels))

    def action_drop(self) -> None:
        """Choose none."""
        self._pick(-1)

    def _pick(self, choice: int) -> None:
        self.choice = choice
        self.post_message(ChoicePicked(choice))

    def _fits(self, width: int) -> bool:
        return len(self._labels) <= 12 and self._beside().cell_length <= width

    def _beside(self) -> Content:
        parts: list[Content | tuple[str, str]] = []
        for number, label in enumerate(self._labels[:12]):
            on = number == self.choice
            parts.append(("● " if on else "○ ", "$mine" if on else "$text-3"))
            parts.append(Content(label).stylize("$text-1" if on else "$text-2"))
            parts.append(("  ", ""))
        return Content.assemble(*parts)

    def on_key(self, event: events.Key) -> None:
        """Jump to the choice that begins with the typed letters."""
        if event.character is None or not event.character.isprintable() or event.character == " ":
            self._typed = ""
            return
        event.stop()
        for typed in (self._typed + event.character.lower(), event.character.lower()):
            order = [*range(self.choice + (typed == event.character.lower()), len(self._labels))]
            order += range(len(self._labels))
            found = next((n for n in order if n >= 0 and self._labels[n].lower().startswith(typed)), None)
            if found is not None:
                self._typed = typed
                self._pick(found)
                return

    def on_blur(self) -> None:
        """Forget the typed letters."""
        self._typed = ""

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked; a click on the chosen one of an optional field drops it."""
        if not self._fits(self.size.width):
            self.action_step(-1 if event.x < 2 else 1)
            return
        number = label_at(self._labels, event.x)
        if number is not None:
            self._pick(-1 if self._optional and number == self.choice else number)


def label_at(labels: Sequence[str], x: int) -> int | None:
    """Return which of several labels on one line, each with a sign and a gap of 4 cells, is at a cell."""
    right = 0
    for number, label in enumerate(labels):
        right += Content(label).cell_length + 4
        if x < right:
            return number
    return None
