"""One tool: its form at the left, the results of its calls at the right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from textual import events, work
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.form.checks import engine_problems
from omni_tui.face.formats import format_task_status
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.results.call_history import (
    CallHistory,
    OpenServerRequests,
    PastCall,
    PastCalls,
    fetch_arguments,
)
from omni_tui.face.results.call_status import StateLine
from omni_tui.face.results.tool_description import (
    ToolDescription,
    description_blocks,
    description_start,
    tool_title,
)
from omni_tui.face.results.view import ResultView, TabLine
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.footer import FooterBar, KeyHint
from omni_tui.face.widgets.long_text_view import LongTextView
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyEvent, JsonText
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.commands import CallTool, CancelCall, DescribeTool
from omni_tui.protocol.events import CallProgress, CommandDone, ConfirmNeeded, ToolDetails

_KEY_ORDER = ("run", "other_side", "close", "about", "show_change", "toggle_raw")
"""The screen's own keys in the order of the bottom bar."""
_RISKS = {
    "destructive": "destroys data",
    "write": "writes data, according to its server",
    "read": "only reads, according to its server",
}


class ConfirmBar(Widget, can_focus=True):
    """Asks once more before a destructive call is sent. Y (shift) sends it; Enter never does.

    It is armed like approvals: 400 ms after it was painted without a key press; a burst of keys or a held
    key decides nothing.
    """

    DEFAULT_CSS = """
    ConfirmBar { height: auto; padding: 0 1; margin: 0 0 1 0; background: $bar; border-left: outer $fail; }
    """

    class Confirmed(Message):
        """The user wants to send the call."""

    def __init__(
        self, question: ConfirmNeeded, arguments: JsonText, clock: Clock, stillness: Stillness
    ) -> None:
        super().__init__()
        self.question = question
        self.arguments = arguments
        self._arming = Arming(clock, stillness)
        self._decision = HeldDecision(self._arming, self.set_timer, self._input_since)

    def _input_since(self, stamp: float) -> bool:
        return shell_of(self).input_since(stamp)

    def on_mount(self) -> None:
        """Take the focus."""
        self.focus()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note whether all of them are on the screen."""
        strips = super().render_lines(crop)
        x, y, width, height = self.region
        whole = crop.height >= self.outer_size.height
        self._arming.paint(Painted(self.question.digest, self.arguments, whole, (x, y, width, height)))
        return strips

    def render(self) -> Content:
        """Show what the tool may do and the keys."""
        risk = _RISKS.get(self.question.risk, "may change things")
        lines = [Content.assemble(("This tool ", "$text-1"), (risk, "bold $fail"), (".", "$text-1"))]
        lines += [Content.styled(why, "$text-2") for why in self.question.why]
        if self.question.held:
            words = "Ctrl+T shows the change; until you accept it there, each call asks."
            lines.append(Content.styled(words, "$waiting"))
        lines.append(
            Content.assemble(
                ("Y", "bold $fail"), (" (shift) send   ", "$text-1"),
                ("esc", "bold $text-1"), (" cancel", "$text-1"),
            )
        )  # fmt: skip
        return Content("\n").join(lines)

    def on_key(self, event: events.Key) -> None:
        """Decide only on one deliberate press."""
        self._decision.key(event.key, event.time)
        if event.key not in ("escape", "tab", "shift+tab"):
            event.stop()
        if event.key == "Y" and not self._decision.why_not("too early"):
            self._decision.hold(self._confirm)

    def _confirm(self) -> None:
        if self.is_attached and self.has_focus:
            self.post_message(self.Confirmed())

    def on_paste(self, event: events.Paste) -> None:
        """A paste decides nothing."""
        event.stop()
        self._decision.disturb()


class RunButton(Widget):
    """Runs the tool by a click. It takes no keys: Enter must never send a call."""

    DEFAULT_CSS = """
    RunButton { width: auto; height: 1; padding: 0 1; }
    RunButton { background: $mine; color: $on-colour; text-style: bold; }
    """

    def render(self) -> Content:
        """Show the button and its key."""
        return Content("Run  F9")

    async def on_click(self) -> None:
        """Run."""
        await self.run_action("screen.run")


class ToolScreen(FormScreen[None]):
    """Calls one tool by hand. The app passes events to `apply`.

    `history` has the session's earlier calls; without it the screen knows only those since it was opened.
    """

    CSS_PATH = "../styles/tool.tcss"
    BINDINGS = [
        Binding("f9", "run", "run", priority=True),
        Binding("ctrl+enter", "run", "run", show=False, priority=True),
        Binding("f7", "other_side", "result", priority=True),
        Binding("f8", "about", "about", priority=True),
        Binding("ctrl+t", "show_change", "changes", priority=True),
        Binding("ctrl+r", "toggle_raw", "form · JSON"),
        Binding("escape", "close", "close"),
    ]

    def __init__(
        self, server: str, tool: str, arguments_json: str = "", *, history: CallHistory | None = None
    ) -> None:
        super().__init__()
        self._server = server
        self._tool = tool
        self._wanted = arguments_json
        self._past = history if history is not None else CallHistory()
        self._current = ""
        self._requests = OpenServerRequests()
        self._sending = False
        self._details: ToolDetails | None = None
        self._warned_about: JsonText | None = None

    @property
    def _form(self) -> ArgumentsForm | None:
        forms = self.query(ArgumentsForm)
        return forms.first() if forms else None

    @property
    def running(self) -> PastCall | None:
        """The running call that was sent from here, None if there is none."""
        past = self._past.get(self._current)
        return past if past is not None and not past.ended else None

    # --- building

    def compose(self) -> ComposeResult:
        """Lay out the title, two columns and the keys."""
        yield Static(id="tool-head", markup=False)
        sides = TabLine(("arguments", "result"), "arguments")
        sides.id = "tool-sides"
        yield sides
        with Horizontal(id="tool-body"):
            with Vertical(id="tool-left"):
                yield PaneTitle("Arguments").add_class("side")
                yield ToolDescription()
                with Vertical(id="tool-form"):
                    yield Static(Content("reading the tool's schema …"), id="tool-wait", markup=False)
                yield LongTextView().add_class("about")
                with Horizontal(id="tool-run"):
                    yield RunButton()
                    yield Static(id="tool-hint", markup=False)
            with Vertical(id="tool-right"):
                yield PaneTitle("Result").add_class("side")
                yield StateLine()
                yield ResultView()
                yield PaneTitle("Calls").add_class("calls")
                yield PastCalls()
        yield FooterBar()

    def on_mount(self) -> None:
        """Read the tool's description and schema."""
        self.add_class("-at-form")
        self._draw_head(None)
        self._show_past()
        self._describe()

    @work(group="describe", exclusive=True, exit_on_error=False)
    async def _describe(self) -> None:
        command = DescribeTool(server=self._server, tool=self._tool)
        details = await request(shell_of(self), command, self._not_described)
        if not isinstance(details, ToolDetails):
            return
        self._show_details(details)
        check = partial(engine_problems, shell_of(self).port, self._server, self._tool)
        form = ArgumentsForm(details.input_schema_json, self._wanted, check=check)
        holder = self.query_one("#tool-form")
        async with self.batch():
            await holder.remove_children()
            await holder.mount(form)
        self._hint("")
        if self.focused is None:
            form.focus_first()
        self.form_is_ready()
        self.update_bar()

    def _show_details(self, details: ToolDetails) -> None:
        self._draw_head(details)
        self._details = details
        self.query_one(ToolDescription).said = description_start(details)
        about = self.query_one(".about", LongTextView)
        about.clear()
        for text, look in description_blocks(details):
            about.add(text, look)

    def _not_described(self, why: str) -> None:
        said = Content.assemble((f"✗ {why}", "$fail"), ("\nF9 tries again", "$text-3"))
        self.query_one("#tool-wait", Static).update(said)
        self.form_is_ready()

    def _draw_head(self, details: ToolDetails | None) -> None:
        self.query_one("#tool-head", Static).update(tool_title(self._server, self._tool, details))

    # --- the two sides and the bar below

    @property
    def _in_result(self) -> bool:
        if self.has_class("-narrow"):
            return self.has_class("-at-result")
        return self.query_one("#tool-right").has_focus_within

    def _go(self, *, result: bool) -> None:
        self.set_class(result, "-at-result")
        self.set_class(not result, "-at-form")
        self.update_bar()

    def action_other_side(self) -> None:
        """Go to the result, or back to the form."""
        to_result = not self._in_result
        self._go(result=to_result)
        if to_result:
            self.query_one(ResultView).focus_view()
        else:
            self._to_form()

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        """Go to the clicked side."""
        event.stop()
        if (event.name == "result") is not self.has_class("-at-result"):
            self.action_other_side()

    def _to_form(self) -> None:
        if (form := self._form) is not None:
            form.focus_first()

    def action_about(self) -> None:
        """Show the tool's description, annotations and schemas, or the form again."""
        about = self.query_one(".about", LongTextView)
        shown = not self.has_class("-about")
        self.set_class(shown, "-about")
        self._go(result=False)
        if shown:
            about.focus()
        else:
            self._to_form()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to show what has changed only where something has."""
        if action == "show_change" and (details := self._details) is not None:
            return details.trust != "unchanged" or details.server_changed or details.imitation
        return action != "show_change"

    def action_show_change(self) -> None:
        """Show how the tool and its server were accepted, and how they are now."""
        from omni_tui.face.screens.change import ChangeScreen

        shell = shell_of(self)
        screen = ChangeScreen(self._server, self._tool, shell.clock, shell.stillness)
        self.app.push_screen(screen, self._change_shown)

    def _change_shown(self, _outcome: None) -> None:
        self._look_again()

    @work(group="look-again", exclusive=True, exit_on_error=False)
    async def _look_again(self) -> None:
        """Describe the tool again, without touching the form: it may have been accepted."""
        details = await request(shell_of(self), DescribeTool(server=self._server, tool=self._tool))
        if isinstance(details, ToolDetails):
            self._show_details(details)
            self.update_bar()

    async def action_toggle_raw(self) -> None:
        """Switch between form and JSON."""
        if (form := self._form) is not None:
            await form.action_toggle_raw()

    def on_descendant_focus(self) -> None:
        """Update the bottom bar."""
        self.update_bar()

    def refresh_bindings(self) -> None:
        """Update the bottom bar too."""
        super().refresh_bindings()
        if self.is_mounted and self.query("#tool-right") and self.query(FooterBar):  # gone while it closes
            self.update_bar()

    def update_bar(self) -> None:
        """Show the keys that work now in the bottom bar."""
        cancels = self.running is not None and not self.query(ConfirmBar)
        words = {"close": "cancel"} if cancels else {}
        words["other_side"] = "form" if self._in_result else "result"
        shown = _key_hints(self.active_bindings.values(), self.app, words)
        self.query_one(FooterBar).show((), shown, folded=False)
        side = "result" if self.has_class("-at-result") else "arguments"
        self.query_one("#tool-sides", TabLine).current = side

    # --- running

    async def action_run(self) -> None:
        """Send the call, or mark what is wrong with the arguments."""
        form = self._form
        if form is None:
            if any(worker.group == "describe" and worker.is_running for worker in self.workers):
                self._hint("wait: reading the tool's schema", "$waiting")
            else:
                self._describe()
            return
        if self.query(ConfirmBar):
            return
        if self.running is not None or self._sending:
            self._hint("a call is running: esc cancels it", "$waiting")
            return
        arguments = form.arguments_json
        if arguments is None or (form.problems and self._warned_about != arguments):
            self._warned_about = arguments
            self._go(result=False)
            form.show_problems()
            again = " · F9 again to send anyway" if arguments is not None else ""
            self._hint(f"✗ correct the marked arguments{again}")
            return
        self._hint("")
        self._send(arguments)

    @work(group="call", exit_on_error=False)
    async def _send(self, arguments: JsonText, *, yes_to: ConfirmNeeded | None = None) -> None:
        self._sending = True
        shell = shell_of(self)
        command = CallTool(
            server=self._server,
            tool=self._tool,
            arguments_json=arguments,
            confirmed=yes_to is not None,
            digest=yes_to.digest if yes_to is not None else "",
        )
        try:
            reply = await shell.port.ask(command, timeout=60)
        except REQUEST_ERRORS as error:
            self._go(result=True)
            self.query_one(StateLine).say(Content.styled("✗ not sent · " + error_text(error), "$fail"))
            return
        finally:
            self._sending = False
        if isinstance(reply, ConfirmNeeded):
            self._look_again()  # what is asked about may be news
            bar = ConfirmBar(reply, arguments, shell.clock, shell.stillness)
            await self.query_one("#tool-left").mount(bar, before="#tool-run")
            self._go(result=False)
        elif isinstance(reply, CommandDone):
            self._past.add(reply.id, self._server, self._tool, arguments, shell.clock.time())
            self._show_sent(reply.id)

    def _show_sent(self, call: str) -> None:
        self._current = call
        self.query_one(StateLine).begin()
        self._go(result=True)
        if self.has_class("-narrow"):
            self.query_one(ResultView).focus_view()
        self._show_call()

    def on_confirm_bar_confirmed(self, event: ConfirmBar.Confirmed) -> None:
        """Send the confirmed call, if its arguments are still the same."""
        event.stop()
        form, bars = self._form, self.query(ConfirmBar)
        if not bars:
            return
        arguments, question = bars.first().arguments, bars.first().question
        self._close_confirm()
        if form is not None and form.arguments_json == arguments:
            self._send(arguments, yes_to=question)
        else:
            self._hint("not sent: the arguments changed; press F9 again", "$waiting")

    def _close_confirm(self) -> bool:
        bars = self.query(ConfirmBar)
        if not bars:
            return False
        bars.remove()
        self._to_form()
        return True

    def on_engine_gone(self, event: EngineGone) -> None:
        """Show that the engine stopped. The form keeps its values."""
        event.stop()
        self._hint("✗ the engine stopped; the form keeps its values")
        if self.running is not None:
            words = "✗ the engine stopped · restart it to learn the call's outcome"
            self.query_one(StateLine).say(Content.styled(words, "$fail"))

    def _hint(self, words: str, style: str = "$fail") -> None:
        self.query_one("#tool-hint", Static).update(Content.styled(words, style))

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """Clear the hint about the arguments."""
        event.stop()
        form = self._form
        if form is None or form.arguments_json == self._warned_about:
            return
        self._warned_about = None
        self._hint("")

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Apply one event."""
        if isinstance(event, CallProgress):
            if event.call == self._current:
                self.query_one(StateLine).progress = event
            return
        if isinstance(event, CallTask | TaskProgress):
            if event.call == self._current:
                line = self.query_one(StateLine)
                line.progress, line.task_status = None, format_task_status(event)
            return
        if self._requests.apply(event):
            if self.is_mounted:
                self._show_waits()
            return
        past = self._past.apply(event)
        if not self.is_mounted or past is None or (past.server, past.tool) != (self._server, self._tool):
            return
        if past.call == self._current:
            self._show_call()
        else:
            self._show_past()

    def _show_call(self) -> None:
        past = self._past.get(self._current)
        self.query_one(StateLine).show(past)
        self._show_waits()
        words = "No result." if self.running is None else ""
        self.query_one(ResultView).show(past.finished if past is not None else None, words)
        self._show_past()
        self.update_bar()

    def _show_waits(self) -> None:
        waits = self.running is not None and self._requests.holds(self._current, self._server)
        self.query_one(StateLine).waits = waits

    def _show_past(self) -> None:
        calls = self._past.of(self._server, self._tool)
        rows = self.query_one(PastCalls)
        rows.show(calls)
        title = self.query_one(".calls", PaneTitle)
        title.count = len(calls)
        title.hint = "enter load the arguments"
        self.set_class(bool(calls), "-has-past")

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Show a past call and load its arguments into the form."""
        event.stop()
        past = self._past.get(event.key or "")
        if past is None or self.running is not None:
            return
        self._current = past.call
        self._show_call()
        self._load(past)

    @work(group="load", exclusive=True, exit_on_error=False)
    async def _load(self, past: PastCall) -> None:
        try:
            arguments, exact = await fetch_arguments(shell_of(self).port, past)
        except REQUEST_ERRORS as error:
            self._hint("the arguments could not be read: " + error_text(error))
            return
        if (form := self._form) is not None:
            form.load(arguments)
            self._hint("" if exact else "invisible characters were left out", "$waiting")

    # --- leaving

    def action_close(self) -> None:
        """Close what is open, else cancel the call, else close the screen."""
        if self.query_one(ResultView).close_bar() or self._close_confirm():
            return
        if self.has_class("-about"):
            self.action_about()
        elif (running := self.running) is not None:
            self._cancel(running.call)
        else:
            self.dismiss()

    @work(group="cancel", exclusive=True, exit_on_error=False)
    async def _cancel(self, call: str) -> None:
        await request(shell_of(self), CancelCall(call=call), partial(self._hint, style="$waiting"))


def _key_hints(
    active: Iterable[ActiveBinding], app: object, words: Mapping[str, str]
) -> tuple[KeyHint, ...]:
    """Return the keys for the bottom bar, those of widgets first. `words` replaces some descriptions."""
    shown = [each.binding for each in active if each.binding.show and each.enabled and each.node is not app]
    first = [binding for binding in shown if binding.action in _KEY_ORDER]
    first.sort(key=lambda binding: _KEY_ORDER.index(binding.action))
    rest = [binding for binding in shown if binding.action not in _KEY_ORDER]
    hints: dict[str, KeyHint] = {}
    for binding in [*rest, *first]:
        name = binding.action
        key = "]" if binding.key == "right_square_bracket" else binding.key
        action = f"screen.{name}" if name in _KEY_ORDER else ""
        hints[name] = KeyHint(key, words.get(name, binding.description), action)
    return tuple(hints.values())
