"""What opens inside the approvals pane: a line for words to the model, an editor for what is sent."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from omni_tui.face.approval.pending_items import PendingItem, item_name
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.editor import EditedFile
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.undo import UNDO
from omni_tui.protocol import JsonText, LinkClosed
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import ApprovalRequested, ArgumentsChecked, Problem
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.face.panes.approvals import ApprovalsPane

_log = logging.getLogger(__name__)


class FeedbackInput(Input):
    """Why it is rejected, for the model. Enter sends, Esc keeps the call waiting."""

    DEFAULT_CSS = """
    FeedbackInput { dock: bottom; margin: 0 2 1 2; background: $bar; }
    """
    BINDINGS = [Binding("escape", "abandon", "keep it", show=True)]

    def __init__(self, call: str, digest: str) -> None:
        super().__init__(
            placeholder="why not? the model reads this · enter rejects · esc keeps it", compact=True
        )
        self.add_class("-inline")
        self.cursor_blink = False
        self._call, self._digest = call, digest

    @property
    def _pane(self) -> ApprovalsPane:
        return cast("ApprovalsPane", self.parent)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Reject with these words."""
        event.stop()
        self._pane.reject_with(self._call, self._digest, event.value)

    def action_abandon(self) -> None:
        """Close the line; the call waits still."""
        self._pane.close_inline(refocus=True)


class _Area(TextArea):
    BINDINGS = [UNDO]


class ArgumentsEditor(Vertical):
    """What would be sent, exact, as JSON. What comes out is checked, and then needs its own approval.

    A call's arguments are checked against the tool's schema first; what belongs to a question, and a
    plan, are checked by the engine when it takes them.
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
        Binding("escape", "abandon", "keep as it was", priority=True),
    ]

    def __init__(self, item: PendingItem) -> None:
        super().__init__(classes="-inline")
        self._item = item
        self.can_focus = False

    def compose(self) -> ComposeResult:
        """What is edited, the text, what is wrong with it."""
        what = "the arguments of "
        if isinstance(self._item, PendingRequestItem | PendingPlanItem):
            what = "what belongs to " if isinstance(self._item, PendingRequestItem) else "the "
        title = f"edit {what}{item_name(self._item)}"
        yield Static(Content.styled(safe_line(title), "$text-2"), markup=False)
        area = _Area(_pretty(self._item.arguments_json), soft_wrap=True, tab_behavior="indent")
        area.cursor_blink = False
        area.highlight_cursor_line = False
        yield area
        yield Static(self._hint(), id="edit-trouble", markup=False)

    @property
    def _pane(self) -> ApprovalsPane:
        return cast("ApprovalsPane", self.parent)

    @property
    def area(self) -> TextArea:
        """The text."""
        return self.query_one(TextArea)

    def focus_text(self) -> None:
        """Give the keys to the text once it is there."""
        self.call_after_refresh(lambda: self.area.focus())

    @staticmethod
    def _hint() -> Content:
        return Content.assemble(
            ("^o", "bold $text-2"), (" use this, then approve   ", "$text-3"),
            ("^e", "bold $text-2"), (" $EDITOR   ", "$text-3"),
            ("esc", "bold $text-2"), (" leave it as it was", "$text-3"),
        )  # fmt: skip

    def trouble(self, *lines: str) -> None:
        """Say what is wrong; the text stays as it is."""
        words = Content("\n").join(Content.styled(safe_line(line), "$fail") for line in lines[:5])
        self.query_one("#edit-trouble", Static).update(words if lines else self._hint())

    def action_abandon(self) -> None:
        """Leave the arguments as they were."""
        self._pane.close_inline(refocus=True)

    @work(group="edit", exclusive=True, exit_on_error=False)
    async def action_use(self) -> None:
        """Check the text; if it fits, put it in the item's place."""
        item = self._item
        try:
            arguments = _exact(self.area.text)
        except ValueError as error:
            self.trouble(f"This is not a JSON object: {error}")
            return
        try:
            if isinstance(item, ApprovalRequested) and (problems := await self._check(item, arguments)):
                self.trouble(*(f"{p.where or 'arguments'}: {p.what} {p.todo}".strip() for p in problems))
                return
            await self._pane.send_edit(item, arguments)
        except CommandError as refused:
            failure = refused.failure
            words = (failure.what, failure.why, failure.todo)
            self.trouble(*(line for text in words for line in text.split("\n") if line.strip()))
        except (TimeoutError, LinkClosed):
            self.trouble("The engine did not answer; nothing was changed.")

    async def _check(self, item: ApprovalRequested, arguments: JsonText) -> tuple[Problem, ...]:
        check = CheckArguments(server=item.server, tool=item.tool, arguments_json=arguments)
        checked = await self._pane.port.ask(check)
        return checked.problems if isinstance(checked, ArgumentsChecked) else ()

    def action_external(self) -> None:
        """Edit the text in the person's own editor."""
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        file = EditedFile(self.area.text, shell_of(self).private_dir)
        try:
            with self.app.suspend():
                status = subprocess.run([*command, str(file.path)], check=False).returncode
            if status == 0:
                self._take(file)
            else:
                self.trouble(f"{command[0]} ended with status {status}; the text is as it was.")
        except SuspendNotSupported:
            self.trouble("This terminal cannot be handed to an editor; edit here instead.")
        except OSError as error:
            self.trouble(f"{command[0]} could not be used ({error}); set $EDITOR, or edit here.")
        finally:
            file.remove()

    def _take(self, file: EditedFile) -> None:
        try:
            self.area.load_text(file.text())
        except OSError as error:
            self.trouble(f"The edited file was not read: {error.strerror}. The text is as it was.")
        except UnicodeDecodeError:
            self.trouble("The edited file is not UTF-8 text. The text is as it was; save it as UTF-8.")

    @on(TextArea.Changed)
    def _edited(self) -> None:
        self.trouble()


def _pretty(text: JsonText) -> str:
    """Return the arguments indented, still in printable ASCII and with their own numbers."""
    from omni_tui.face.approval.values import parse, spell_lines

    pairs = parse(text)
    if pairs is None:
        return text
    return "\n".join(line for line in spell_lines(pairs, ascii_only=True))


def _exact(text: str) -> JsonText:
    """Return edited text as compact JSON in ASCII. Raises `ValueError` with words for the person."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return table

    def refuse(word: str) -> object:
        raise ValueError(f"{word} is no number JSON knows")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it goes in { }")
    return JsonText(json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")))
