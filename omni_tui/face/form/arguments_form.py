"""A form: rows made from a JSON schema, a JSON view of the same values, and checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import ClassVar, TypeAlias

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static, TextArea

from omni_tui.face.form.controls import TextBox
from omni_tui.face.form.exact_json import Json, NotJson, ascii_json, escape_hidden, parse, pretty
from omni_tui.face.form.model import ArrayNode, FieldProblem, FormDraft, FormModel, Node, ObjectNode
from omni_tui.face.form.rows import FieldRow, GroupRow, LeafRow, MoreRow, ValueEdited
from omni_tui.protocol import JsonText
from omni_tui.security.text import safe_line

BATCH = 40
"""Rows mounted at once; the next ones are mounted when the last is reached."""
CHECK_DELAY = 0.2
"""Seconds without a key before the values are checked."""
ArgumentsCheck: TypeAlias = Callable[[JsonText], Awaitable["Iterable[tuple[str, str]] | None"]]
"""Returns what is wrong with values, each as JSON Pointer and reason; None if that is not known."""
_COUNT_TO = 5000
_SAID = 4


class RawBox(TextBox):
    """The arguments as one JSON document."""

    DEFAULT_CSS = """
    RawBox { height: 1fr; max-height: 100%; background: $bar; color: $text-1; padding: 0 1; }
    """


class ArgumentsForm(Vertical):
    """The values of a schema, as a form or as JSON.

    Posts `ArgumentsForm.Changed` when the values or their problems changed. `check` is asked after a
    pause in typing for what the form does not check itself. `draft` is kept up to date and can be shown
    again later.
    """

    NOTHING: ClassVar[str] = "This tool takes no arguments."

    DEFAULT_CSS = """
    ArgumentsForm { height: 1fr; }
    ArgumentsForm > #views { height: 1; padding: 0 1; }
    ArgumentsForm > #wrong { height: auto; max-height: 6; padding: 0 1; display: none; }
    ArgumentsForm > #rows { height: 1fr; margin-top: 1; scrollbar-size-vertical: 1; }
    .-low ArgumentsForm > #rows { margin-top: 0; }
    """
    BINDINGS = [Binding("ctrl+r", "toggle_raw", "form · JSON", show=False)]

    raw: reactive[bool] = reactive(False, init=False)

    class Changed(Message):
        """The arguments or their problems changed."""

    def __init__(
        self,
        schema_json: str,
        arguments_json: str = "",
        *,
        check: ArgumentsCheck | None = None,
        draft: FormDraft | None = None,
    ) -> None:
        super().__init__()
        self._check_values = check
        self.draft = draft if draft is not None else FormDraft(FormModel(schema_json))
        self.model = self.draft.model
        self._limit = BATCH
        self._rows: dict[Node, FieldRow] = {}
        self._visited: set[Node] = set()
        self._show_all = False
        self._local: list[FieldProblem] = []
        self._remote: list[tuple[str, str]] = []
        self._refusal = ""
        if arguments_json.strip():
            self._load_text(arguments_json)
        if self.draft.raw is None:
            self.draft.raw = not self.model.plain
            self.draft.text = (self.model.root.text or "{}") if self.draft.raw else "{}"
        self.set_reactive(ArgumentsForm.raw, self.draft.raw)

    # --- for the owner

    @property
    def arguments_json(self) -> JsonText | None:
        """The exact arguments in ASCII JSON; None while they make no JSON."""
        if not self.raw:
            return self.model.arguments_json()
        value, _ = self._read_raw()
        return ascii_json(value) if isinstance(value, dict) else None

    @property
    def problems(self) -> int:
        """How many problems are known."""
        return len(self._local) + len(self._remote) + bool(self._refusal)

    def load(self, arguments_json: str) -> None:
        """Show other arguments exactly, in the current view."""
        self._load_text(arguments_json)
        self.draft.text = pretty(self.model.arguments()[0] or {})
        self._limit = BATCH
        if not self.model.plain:
            self.raw = True
        self.call_later(self._lay_out)
        self.query_one(RawBox).text = self.draft.text
        self._edited()

    def show_problems(self) -> bool:
        """Show every problem and focus the first. True if there is one."""
        self._show_all = True
        self._edited()
        if not self.raw and self.problems:
            wrong = [row for row in self._rows.values() if row.problem]
            if wrong:
                wrong[0].enter()
        return bool(self.problems)

    # --- building

    def row_of(self, node: Node) -> FieldRow:
        """Return the row of a node."""
        if isinstance(node, (ObjectNode, ArrayNode)) and not node.as_json:
            return GroupRow(node)
        return LeafRow(node)

    def unfolds(self, node: Node) -> bool:
        """Return whether what a node holds has rows of its own."""
        return node.open and not node.as_json

    def compose(self) -> ComposeResult:
        """Both views; only one is shown."""
        yield Static(id="views")
        yield Static(id="wrong")
        yield VerticalScroll(id="rows", can_focus=False)
        yield RawBox(self.draft.text)

    async def on_mount(self) -> None:
        """Mount the first rows and check the values."""
        await self._lay_out()
        self.watch_raw()
        self._edited()

    def _visible(self, node: Node) -> Iterator[Node]:
        for child in node.children():
            yield child
            if self.unfolds(child):
                yield from self._visible(child)

    async def _lay_out(self) -> None:
        """Bring the rows in line with the nodes: keep, mount and remove rows."""
        if not self.model.plain:
            return
        nodes = self._visible(self.model.root)
        shown = list(islice(nodes, self._limit))
        left = sum(1 for _ in islice(nodes, _COUNT_TO))
        scroll = self.query_one("#rows", VerticalScroll)
        kept = set(shown)
        gone = [row for node, row in self._rows.items() if node not in kept]
        async with self.batch():
            await self._mount_new(scroll, shown)
            for row in gone:
                self._rows.pop(row.node, None)
                await row.remove()
            await self._show_more(scroll, left)
        for row in self._rows.values():
            row.fit()
        if not shown and not scroll.children:
            await scroll.mount(Static(Content(f" {self.NOTHING}"), classes="hint"))

    async def _mount_new(self, scroll: VerticalScroll, shown: list[Node]) -> None:
        before: FieldRow | None = None
        fresh: list[FieldRow] = []

        async def place() -> None:
            if fresh and before is None and scroll.children:
                await scroll.mount_all(list(fresh), before=0)
            elif fresh:
                await scroll.mount_all(list(fresh), after=before)

        for node in shown:
            if (row := self._rows.get(node)) is not None:
                await place()
                fresh.clear()
                before = row
            else:
                self._rows[node] = made = self.row_of(node)
                fresh.append(made)
        await place()

    async def _show_more(self, scroll: VerticalScroll, left: int) -> None:
        rows = scroll.query(MoreRow)
        if left and not rows:
            await scroll.mount(MoreRow())
        elif not left:
            await rows.remove()
        for row in scroll.query(MoreRow):
            row.left = left
            row.refresh()

    async def on_more_row_reached(self, event: MoreRow.Reached) -> None:
        """Mount the next rows and focus the first of them."""
        event.stop()
        known = set(self._rows)
        self._limit += BATCH
        await self._lay_out()
        fresh = next((row for node, row in self._rows.items() if node not in known), None)
        if fresh is not None:
            fresh.enter()

    # --- both views

    async def action_toggle_raw(self) -> None:
        """Show the other view with the same values, unless a value would be lost."""
        self._refusal = ""
        if self.raw:
            value, refusal = self._read_raw()
            if refusal or not isinstance(value, dict):
                self._refusal = refusal
            elif not self.model.plain and self.model.field.why_raw:
                self._refusal = f"only JSON here: {self.model.field.why_raw}"
            else:
                self.model.load(value)
                self.raw = False
                await self._lay_out()
        elif (arguments := self.model.arguments()[0]) is None:
            self._show_all = True
            self._refusal = "correct the marked field first: it is not JSON yet"
        else:
            self.query_one(RawBox).text = self.draft.text = pretty(arguments)
            self.raw = True
        self._edited(keep_refusal=True)
        if not self._refusal:
            self.call_after_refresh(self.focus_first)

    def focus_first(self) -> None:
        """Focus the first control."""
        if self.raw:
            self.query_one(RawBox).focus()
            return
        row = next(iter(self.query(FieldRow)), None)
        if row is not None:
            row.enter()

    def watch_raw(self) -> None:
        """Show the current view."""
        self.draft.raw = self.raw
        if self.is_attached:
            self.query_one("#rows").display = not self.raw
            self.query_one(RawBox).display = self.raw

    def _read_raw(self) -> tuple[Json, str]:
        try:
            value = parse(self.draft.text)
        except NotJson as error:
            return None, f"not JSON: {error}"
        return value, "" if isinstance(value, dict) else "it must be a JSON object"

    def _load_text(self, arguments_json: str) -> None:
        try:
            self.model.load(parse(arguments_json))
        except NotJson as error:
            self.model.load({})
            self._refusal = f"the arguments could not be read: {error}"

    # --- changes and checking

    async def on_value_edited(self, event: ValueEdited) -> None:
        """Take a row's change into account."""
        event.stop()
        self._visited.add(event.node)
        if event.shape:
            await self._lay_out()
            row = self._rows.get(event.node)
            if row is not None and self.screen.focused is None:
                row.focus()
        self._edited()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Take what was typed in the JSON view."""
        event.stop()
        text = event.text_area.text
        if text == self.draft.text:
            return
        if (clean := escape_hidden(text)) != text:
            event.text_area.text = text = clean
        self.draft.text = text
        self._edited()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """From now on, say if the field that was left needs a value."""
        row = next((w for w in event.widget.ancestors_with_self if isinstance(w, FieldRow)), None)
        if row is not None and row.node not in self._visited:
            self._visited.add(row.node)
            self._say()

    def _edited(self, *, keep_refusal: bool = False) -> None:
        if not keep_refusal and self._rows:
            self._refusal = ""
        self._remote = []
        if self.raw:
            self._local = []
            self._refusal = self._read_raw()[1] or (self._refusal if keep_refusal else "")
        else:
            self._local = self.model.arguments()[1]
        self._say()
        self.post_message(self.Changed())
        self._check()

    @work(group="check-arguments", exclusive=True, exit_on_error=False)
    async def _check(self) -> None:
        """Check the values after a pause in typing."""
        await asyncio.sleep(CHECK_DELAY)
        await self.check_now()

    async def check_now(self) -> None:
        """Check the values now."""
        arguments = self.arguments_json
        if arguments is None or self._check_values is None:
            return
        problems = await self._check_values(arguments)
        if problems is not None and self.arguments_json == arguments:
            self._remote = self._news(problems)
            self._say()
            self.post_message(self.Changed())

    def _news(self, problems: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Drop the problems that the form reports itself, at the right field."""
        said = {problem.node for problem in self._local}
        over = {problem.node.parent for problem in self._local if problem.what == "needs a value"}
        made = []
        for where, what in problems:
            node = self.model.find(where)
            if self.raw or not (node in said or node in over):
                made.append((where, what))
        return made

    def _say(self) -> None:
        """Show every problem at its row, and those without a row above the form."""
        if not self.is_attached:
            return
        at: dict[Node, str] = {}
        for problem in self._local:
            if self._show_all or problem.blocks or problem.node in self._visited:
                at.setdefault(problem.node, problem.what)
        loose = [self._refusal] if self._refusal else []
        for where, what in self._remote:
            node = self.model.find(where)
            if self.raw or node not in self._rows:
                loose.append(safe_line(f"{where}  {what}" if where else what))
            else:
                at.setdefault(node, what)
        for node, row in self._rows.items():
            row.show(at.get(node, ""))
        loose += [f"{node.field.label}: {what}" for node, what in at.items() if node not in self._rows]
        self._say_above(loose)

    def _say_above(self, loose: list[str]) -> None:
        wrong = self.query_one("#wrong", Static)
        wrong.display = bool(loose)
        said = [Content.styled("✗ " + what, "$fail") for what in loose[:_SAID]]
        if len(loose) > _SAID:
            said.append(Content.styled(f"  {len(loose) - _SAID} more", "$text-3"))
        wrong.update(Content("\n").join(said))
        form, json = ("$text-3", "bold $mine") if self.raw else ("bold $mine", "$text-3")
        count = sum(1 for row in self._rows.values() if row.problem) + len(loose)
        state = Content.styled(f"   {count} to correct", "$fail") if count else Content("")
        parts = Content.assemble(
            ("form", form), (" · ", "$text-3"), ("JSON", json), ("  ctrl+r", "$text-3"), state
        )
        self.query_one("#views", Static).update(parts)

    def on_click(self, event: events.Click) -> None:
        """Change the view on a click on its name."""
        if event.widget is not None and event.widget.id == "views":
            self.call_later(self.action_toggle_raw)
