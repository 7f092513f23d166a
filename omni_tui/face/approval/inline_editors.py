"""What opens inside the approvals pane: the feedback line, and the editor for what would be sent."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.approval.values import parse, spell_lines
from omni_tui.face.editor import EditedFile
from omni_tui.face.form import exact_json
from omni_tui.face.key_names import UNDO
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText, LinkClosed
from omni_tui.protocol.events import ArgumentsChecked, Problem
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.face.panes.approvals import ApprovalsPane


class FeedbackInput(Input):
    """Feedback to the model on a rejection, of one item or several. Enter rejects, Esc keeps what waits."""

    DEFAULT_CSS = """
    FeedbackInput { dock: bottom; margin: 0 2 1 2; background: $bar; }
    """
    BINDINGS = [Binding("escape", "cancel", "keep it", show=True)]

    def __init__(self, items: Sequence[PendingItem], owner: ApprovalsPane) -> None:
        several = "rejects · esc keeps it"
        if len(items) > 1:
            several = f"rejects all {len(items)} · esc keeps them"
        super().__init__(placeholder=f"why not? the model reads this · enter {several}", compact=True)
        self.add_class("-inline")
        self.cursor_blink = False
        self._items, self._owner = [(item.key, item.digest) for item in items], owner

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Reject with this feedback."""
        event.stop()
        self._owner.close_inline(refocus=True)
        together = len(self._items) if len(self._items) > 1 else 0
        for key, digest in self._items:
            self._owner.decide(key, digest, "reject", event.value.strip(), batch=together)

    def action_cancel(self) -> None:
        """Close the line; the item still waits."""
        self._owner.close_inline(refocus=True)


class _Area(TextArea):
    BINDINGS = [UNDO]


class ArgumentsEditor(Vertical):
    """What would be sent, exact, as JSON. An edit is checked, and then needs its own approval.

    A call's arguments are checked against the tool's schema first; a plan and what came with a server
    request are checked by the engine when it takes them.
    """

    DEFAULT_CSS = """
    ArgumentsEditor { height: 1fr; padding: 0 1; }
    ArgumentsEditor > TextArea { height: 1fr; border: none; padding: 0; background: $bar; }
    ArgumentsEditor > TextArea:focus { border: none; }
    ArgumentsEditor > Static { height: auto; max-height: 6; padding: 0 1; }
    """
    BINDINGS = [
        Binding("ctrl+o,ctrl+s", "use", "use these", priority=True),
        Binding("ctrl+e", "external", "$EDITOR", priority=True),
        Binding("escape", "cancel", "keep as it was", priority=True),
    ]

    def __init__(self, item: PendingItem, owner: ApprovalsPane) -> None:
        super().__init__(classes="-inline")
        self._item, self._owner = item, owner
        self.can_focus = False

    def compose(self) -> ComposeResult:
        """Title, text, problems."""
        yield Static(Content.styled(safe_line(self._item.edit_title), "$text-2"), markup=False)
        area = _Area(_pretty(self._item.arguments_json), soft_wrap=True, tab_behavior="indent")
        area.cursor_blink = False
        area.highlight_cursor_line = False
        yield area
        yield Static(self._hint(), id="edit-problem", markup=False)

    @property
    def area(self) -> TextArea:
        """The text."""
        return self.query_one(TextArea)

    def focus_text(self) -> None:
        """Give the keys to the text once it is mounted."""
        self.call_after_refresh(self._focus_area)

    def _focus_area(self) -> None:
        self.area.focus()

    @staticmethod
    def _hint() -> Content:
        return Content.assemble(
            ("^o", "bold $text-2"), (" use this, then approve   ", "$text-3"),
            ("^e", "bold $text-2"), (" $EDITOR   ", "$text-3"),
            ("esc", "bold $text-2"), (" keep it as it was", "$text-3"),
        )  # fmt: skip

    def show_problem(self, *lines: str) -> None:
        """Say what is wrong; the text stays as it is."""
        words = Content("\n").join(Content.styled(safe_line(line), "$fail") for line in lines[:5])
        self.query_one("#edit-problem", Static).update(words if lines else self._hint())

    def action_cancel(self) -> None:
        """Close the editor without a change."""
        self._owner.close_inline(refocus=True)

    @work(group="edit", exclusive=True, exit_on_error=False)
    async def action_use(self) -> None:
        """Check the text; if it fits, put it in the item's place."""
        item, port = self._item, self._owner.port
        try:
            content = _exact(self.area.text)
            if problems := await self._check(content):
                self.show_problem(
                    *(f"{p.where or 'arguments'}: {p.what} {p.todo}".strip() for p in problems)
                )
                return
            await port.ask(item.edit(content))
        except exact_json.NotJson as error:
            self.show_problem(f"This is not a JSON object: {error}")
        except CommandError as refused:
            failure = refused.failure
            words = (failure.what, failure.why, failure.todo)
            self.show_problem(*(line for text in words for line in text.split("\n") if line.strip()))
        except (TimeoutError, LinkClosed):
            self.show_problem("The engine did not answer; nothing was changed.")
        else:
            self._owner.close_inline(refocus=True)

    async def _check(self, content: JsonText) -> tuple[Problem, ...]:
        command = self._item.check(content)
        checked = None if command is None else await self._owner.port.ask(command)
        return checked.problems if isinstance(checked, ArgumentsChecked) else ()

    def action_external(self) -> None:
        """Edit the text in the person's $EDITOR."""
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        file = EditedFile(self.area.text, shell_of(self).private_dir)
        try:
            with self.app.suspend():
                status = subprocess.run([*command, str(file.path)], check=False).returncode
            if status == 0:
                self._take(file)
            else:
                self.show_problem(f"{command[0]} ended with status {status}; the text was not changed.")
        except SuspendNotSupported:
            self.show_problem("This terminal cannot run an editor; edit here instead.")
        except OSError as error:
            self.show_problem(f"{command[0]} could not be used ({error}); set $EDITOR, or edit here.")
        finally:
            file.remove()

    def _take(self, file: EditedFile) -> None:
        try:
            self.area.load_text(file.text())
        except OSError as error:
            self.show_problem(
                f"The edited file could not be read: {error.strerror}. The text was not changed."
            )
        except UnicodeDecodeError:
            self.show_problem("The edited file is not UTF-8; save it as UTF-8. The text was not changed.")

    @on(TextArea.Changed)
    def _edited(self) -> None:
        self.show_problem()


def _pretty(text: JsonText) -> str:
    """Return the arguments indented, still in printable ASCII and with their numbers as written."""
    pairs = parse(text)
    return text if pairs is None else "\n".join(spell_lines(pairs, ascii_only=True))


def _exact(text: str) -> JsonText:
    """Return an edited JSON object as compact JSON in ASCII. Raises `NotJson`."""
    value = exact_json.parse(text)
    if not isinstance(value, dict):
        raise exact_json.NotJson("write it in { }")
    return exact_json.ascii_json(value)
