"""Where the person writes: several lines, a history, slash commands, and pastes of any size.

Nothing that was written is lost: what could not be sent stays, and a large paste is held aside while
a short mark stands for it in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.messages import RunAction
from omni_tui.face.prompts_resources.index import PromptOrResource
from omni_tui.face.widgets.draft_text import MessageHistory, Pastes
from omni_tui.face.widgets.mentions import LISTED, Mentions, too_many, typed_mention
from omni_tui.face.widgets.message_input import MessageInput
from omni_tui.face.widgets.popup import completion_rows, matching_actions
from omni_tui.face.widgets.server_names import completed_server
from omni_tui.protocol.prompts_and_resources import Attachment, ResourceSummary
from omni_tui.security.text import count_hidden

MAX_ROWS = 8
MAX_MESSAGE = 240_000
"""Longest message in bytes; a frame of the protocol holds little more."""
_HINT_GAP = 2
"""Cells between the hint and what goes on."""
_COMMAND = re.compile(r"/([A-Za-z_][\w-]*)(?:[ \t]+(.*))?\s*", re.DOTALL)


FOR_THE_MODEL = frozenset({"call"})
"""What looks like a command of ours and is one of the offline model's."""


class Composer(Vertical):
    """The prompt, the list of commands above it and the line of hints under it."""

    DEFAULT_CSS = """
    Composer {
        height: auto;
        background: $bar;
        border-left: blank $bar;
        padding: 0 1;
        &:focus-within { border-left: outer $mine; }
        & > OptionList {
            display: none;
            height: auto;
            max-height: 8;
            border: none;
            padding: 0;
            background: $bar;
            scrollbar-size-vertical: 1;
        }
        &.-popup > OptionList { display: block; }
        & > OptionList > .option-list--option-highlighted { background: $cursor; text-style: bold; }
        & > #composer-foot { height: 1; margin-top: 1; }
        & #composer-hint { width: 1fr; color: $text-3; text-wrap: nowrap; text-overflow: ellipsis; }
        & #composer-state { width: auto; margin-left: 2; }
        &.-trouble #composer-hint { color: $waiting; }
    }
    """

    class Submitted(Message):
        """The person wants this said to the agent."""

        def __init__(self, text: str, attachments: tuple[Attachment, ...] = ()) -> None:
            super().__init__()
            self.text = text
            self.attachments = attachments

    def __init__(self, *, id: str | None = None, lean: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lean = lean
        self.history = MessageHistory()
        self._pastes = Pastes()
        self._mentions = Mentions()
        self._matches: Sequence[Action | PromptOrResource] = ()
        self._dismissed = ""
        self._trouble = self._said_of = ""
        self._pasted = ("", "")
        self._listed_for: tuple[str, tuple[int, int]] = ("", (0, 0))
        self._state = ("", "")
        self._taken_back: tuple[list[str], str, str] = ([], "", "")
        self._said = ""
        self.busy = False

    def compose(self) -> ComposeResult:
        """The list, the prompt, the hints. A lean one gets its list from `furnish`."""
        if not self._lean:
            yield self._list()
        yield MessageInput(
            soft_wrap=True,
            placeholder=Content("Ask, or tell it what to do"),
            highlight_cursor_line=False,
            id="prompt",
        )
        with Horizontal(id="composer-foot"):
            yield Static(id="composer-hint", markup=False)
            yield Static(id="composer-state", markup=False)

    @staticmethod
    def _list() -> OptionList:
        commands = OptionList(id="composer-commands", markup=False)
        commands.can_focus = False
        return commands

    async def furnish(self) -> None:
        """Add what the first frame did without."""
        if self._lean:
            await self.mount(self._list(), before=0)
            self._lean = False

    def on_mount(self) -> None:
        """A blinking cursor is motion: none where animations are off."""
        self.prompt.cursor_blink = self.app.animation_level != "none"
        self._hint()

    # --- the text

    @property
    def prompt(self) -> MessageInput:
        """The text area."""
        return self.query_one(MessageInput)

    @property
    def draft(self) -> str:
        """Everything that is written, pastes in full."""
        return self.in_full(self.prompt.text)

    @draft.setter
    def draft(self, text: str) -> None:
        self.prompt.load_text("")
        self._pastes = Pastes()
        if text:
            self.insert(text)
        self.prompt.move_cursor(self.prompt.document.end)

    def insert(self, text: str) -> None:
        """Put text where the cursor stands, as it is: line ends are the only thing that is made one."""
        text = self._pastes.shorten(text.replace("\r\n", "\n").replace("\r", "\n"))
        prompt = self.prompt
        result = prompt.replace(text, *prompt.selection, maintain_selection_offset=False)
        prompt.move_cursor(result.end_location)

    def paste(self, text: str) -> None:
        """Insert what was pasted, and say that nothing was sent by it."""
        self.insert(text)
        unseen = count_hidden(text.replace("\r", "\n"))
        if unseen:
            words = f"pasted · {unseen:,} characters in it do not show, and are sent too · enter sends"
        else:
            words = "pasted · enter sends" if len(text) > 1 else ""  # one character was typed
        self._pasted = (self.prompt.text, words)
        self._hint()

    def attach(self, server: str, uri: str, label: str) -> None:
        """Put a resource where the cursor stands; it is read when the message is sent."""
        prompt = self.prompt
        result = prompt.replace(
            self._mentions.mark(server, uri, label) + " ",
            *prompt.selection,
            maintain_selection_offset=False,
        )
        prompt.move_cursor(result.end_location)

    def in_full(self, text: str) -> str:
        """Return a text with its pastes in full."""
        return self._pastes.in_full(text)

    def remember(self, text: str) -> None:
        """Add a message to the history: sent now, or in a session that is replayed."""
        self.history.add(text)

    def recall(self, *, older: bool) -> None:
        """Show the message before or after, at last what was being written."""
        text = self.history.older(self.draft) if older else self.history.newer()
        if text is not None:
            self.draft = text

    def forget_history(self) -> None:
        """Another session is about to be replayed; what is being written stays."""
        self.history = MessageHistory()

    # --- sending

    def submit(self) -> None:
        """Send what is written, or run it if it is a command. What cannot be done stays written."""
        text = self.draft
        if not text.strip():
            return
        if self.popup_open:
            picked = self._picked
            if isinstance(picked, Action) and not picked.argument:
                self._do(picked, "")
            else:
                self.complete()
            return
        command = _COMMAND.fullmatch(text.strip()) if "\n" not in text.strip() else None
        if command is not None and command[1] not in FOR_THE_MODEL:
            self._run(command[1], (command[2] or "").strip())
            return
        if text.startswith("//"):
            text = text[1:]
        attachments = self._mentions.within(text)
        size = len(text.encode()) + sum(len(one.uri.encode()) for one in attachments)
        if size > MAX_MESSAGE:
            self._say(f"too long to send: {size:,} of at most {MAX_MESSAGE:,} bytes · put it into a file")
            return
        if problem := too_many(attachments):
            self._say(problem)
            return
        self._empty(text)
        self.post_message(self.Submitted(text, attachments))

    def give_back(self, text: str, why: str) -> None:
        """A message could not be sent: it stands here again, unless something new is written already."""
        if not self.draft.strip():
            self.draft = text
            self._say(f"not sent: {why}")
        else:
            self._say(f"not sent: {why} · ↑ brings it back")

    def take_back(self, text: str) -> None:
        """A queued message comes back: behind those that came just before, above what is being written."""
        texts, written, stood = self._taken_back
        if not texts or self.draft != stood:
            texts, written = [], self.draft
        texts = [*texts, text]
        self.draft = "\n\n".join([*texts, written] if written.strip() else texts)
        self._taken_back = (texts, written, self.draft)
        self._say("not told to the model: it is back here · enter sends it")

    def _run(self, name: str, argument: str) -> None:
        action = actions.by_slash(name)
        if action is None:
            near = get_close_matches(name, [a.slash for a in actions.slash_commands()], 1, 0.5)
            hint = f" · did you mean /{near[0]}?" if near else " · type / to see them all"
            self._say(f"there is no command /{name}{hint} · // sends it as text")
            return
        self._do(action, argument)

    def _do(self, action: Action, argument: str) -> None:
        argument = argument or completed_server(action)
        action = actions.get(action.name)
        self._empty(f"/{action.slash} {argument}".strip())
        self.post_message(RunAction(action.name, argument))

    def _empty(self, sent: str) -> None:
        self.history.add(sent)
        self.prompt.load_text("")
        self._pastes = Pastes()

    # --- commands

    @property
    def popup_open(self) -> bool:
        """Whether the list of commands is to be seen for what is written now.

        Keys may come faster than the messages that tell of changes.
        """
        if self._listed_for != (self.prompt.text, self.prompt.cursor_location):
            self._fill_list(self.prompt.text)
        return self.has_class("-popup")

    def close_popup(self) -> bool:
        """Close the list of commands; False if it was closed. It stays closed until the text changes."""
        was = self.popup_open
        self._dismissed = self.prompt.text
        self.set_class(False, "-popup")
        return was

    def pick(self, step: int) -> None:
        """Move in the list of commands."""
        options = self._options
        if self._matches:
            options.highlighted = ((options.highlighted or 0) + step) % len(self._matches)

    def complete(self) -> None:
        """Write out the command that is picked, or the mark of the resource."""
        if not self._matches:
            return
        action = self._picked
        if isinstance(action, ResourceSummary):
            row, column = self.prompt.cursor_location
            begun = typed_mention(self.prompt.document.get_line(row)[:column]) or ""
            mark = self._mentions.mark(action.server, action.uri, action.label) + " "
            self.prompt.replace(mark, (row, column - len(begun) - 1), (row, column))
            self.prompt.move_cursor((row, column - len(begun) - 1 + len(mark)))
        elif isinstance(action, Action):
            self.prompt.load_text(f"/{action.slash}" + (" " if action.argument else ""))
            self.prompt.move_cursor(self.prompt.document.end)

    @property
    def _picked(self) -> Action | PromptOrResource:
        return self._matches[self._options.highlighted or 0]

    @property
    def _options(self) -> OptionList:
        return self.query_one("#composer-commands", OptionList)

    def _fill_list(self, text: str) -> None:
        """Show the commands that are being typed, or the resources after an `@`."""
        if self._lean:
            return
        row, column = self.prompt.cursor_location
        self._listed_for = (text, (row, column))
        mentioned = typed_mention(self.prompt.document.get_line(row)[:column])
        self._matches = (
            self._resources(mentioned) if mentioned is not None else matching_actions(text, self.app)
        )
        options = self._options
        if options.option_count:
            options.clear_options()
        if not self._matches or text == self._dismissed:
            self.set_class(False, "-popup")
            return
        options.add_options(Option(line) for line in completion_rows(self._matches))
        options.highlighted = 0
        self.set_class(True, "-popup")

    def _resources(self, typed: str) -> Sequence[PromptOrResource]:
        overview = getattr(self.app, "overview", None)
        return overview.offers.find(typed, (ResourceSummary,), LISTED)[0] if overview is not None else ()

    # --- what changes

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        text = self.prompt.text
        self._fill_list(text)
        if text != self._dismissed:
            self._dismissed = ""
        self._grow()
        if text != self._said_of:
            self._trouble = self._lost(text)
        if text != self._pasted[0]:
            self._pasted = ("", "")
        self._hint()

    @on(TextArea.SelectionChanged)
    def _moved(self, event: TextArea.SelectionChanged) -> None:
        event.stop()
        if self.has_class("-popup") and not self.popup_open:
            self._hint()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.complete()
        self.prompt.focus()

    def on_resize(self) -> None:
        """Other width, other number of rows."""
        self.call_after_refresh(self._grow)

    def _grow(self) -> None:
        self._hint()
        rows = max(1, min(MAX_ROWS, self.prompt.wrapped_document.height))
        if self.prompt.styles.height is None or self.prompt.styles.height.value != rows:
            self.prompt.styles.height = rows

    def _lost(self, text: str) -> str:
        """Say so if a paste is in the text no more, because its mark was deleted or changed."""
        gone = ", ".join(map(str, self._pastes.lost(text)))
        return f"paste {gone} is not in the message any more · ctrl+_ brings it back" if gone else ""

    def _say(self, text: str) -> None:
        self._trouble, self._said_of = text, self.prompt.text
        self._hint()

    def note(self, text: str) -> None:
        """Say what is being done about a message; "" says no more. The next letter ends it too."""
        if text or self._trouble.startswith("reading "):
            self._say(text)

    def set_busy(self, busy: bool) -> None:
        """While a turn runs, a message waits for its end: say so."""
        if busy != self.busy:
            self.busy = busy
            self._hint()

    def show_state(self, text: str, colour: str) -> None:
        """Show at the right what goes on, quietly."""
        if (text, colour) != self._state:  # an update lays out the screen, even one that changes nothing
            self._state = (text, colour)
            self.query_one("#composer-state", Static).update(Content.styled(text, colour))
            self._hint()

    def _room_for_hint(self) -> int:
        """Return the cells left of what goes on; very many before the first layout."""
        line = self.query_one("#composer-hint", Static).parent
        width = line.size.width if isinstance(line, Widget) else 0
        return width - Content(self._state[0]).cell_length - _HINT_GAP if width else 1_000

    def _hint(self) -> None:
        hint = self._trouble
        if not hint and self._pasted[0] == self.prompt.text:
            hint = self._pasted[1]
        if not hint and self.popup_open:
            resource = isinstance(self._picked, ResourceSummary)
            enter = "enter attach it" if resource else "tab complete · enter run"
            hint = f"↑↓ pick · {enter} · esc close"
        if not hint:
            enter = "enter queue it" if self.busy else "enter send"
            hint = f"{enter} · ctrl+j new line · / commands"
            while len(hint) > self._room_for_hint() and " · " in hint:
                hint = hint.rpartition(" · ")[0]  # a whole hint less is better than half of one
            if self._mentions.held and (count := len(self._mentions.within(self.prompt.text))):
                hint = f"{enter} · {count} attached, read when it is sent"
        self.set_class(bool(self._trouble), "-trouble")
        if hint != self._said:
            self._said = hint
            self.query_one("#composer-hint", Static).update(Content(hint), layout=False)
