"""Where the person writes: several lines, a history, slash commands, and pastes of any size.

Nothing is lost: what could not be sent stays, and a large paste is kept behind a short mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.argument_values import is_whole
from omni_tui.face.messages import RunAction
from omni_tui.face.shell import shell_of
from omni_tui.face.slash_command import SlashCommand, nearest_command, read_command
from omni_tui.face.widgets.completions import (
    Completion,
    completed_value,
    completion_rows,
    matching_actions,
)
from omni_tui.face.widgets.file_names import (
    FileName,
    Folder,
    folder_of,
    matching_files,
    read_folder,
    typed_file,
)
from omni_tui.face.widgets.marks import LISTED, Mentions, Pastes, too_many, typed_mention
from omni_tui.face.widgets.message_input import MessageInput
from omni_tui.protocol.prompts_and_resources import Attachment, ResourceSummary
from omni_tui.security.text import count_hidden

MAX_ROWS = 8
MAX_HISTORY = 500
MAX_MESSAGE = 240_000
"""Longest message in bytes; a frame of the protocol holds little more."""
_LONG_PASTE = 20_000
"""Characters of a paste beyond which they are looked through in a thread."""
_HINT_GAP = 2
"""Cells between the hint and the state at the right."""
FOR_THE_MODEL = frozenset({"call"})
"""Commands of the offline model, which are sent as messages."""


class MessageHistory(msgspec.Struct):
    """What was sent before, oldest first, and the place in it while the person browses it."""

    entries: list[str] = msgspec.field(default_factory=list)
    at: int | None = None
    draft: str = ""

    def add(self, text: str) -> None:
        """Add a message; the same one twice in a row counts once."""
        self.at = None
        if text and (not self.entries or self.entries[-1] != text):
            self.entries.append(text)
            del self.entries[:-MAX_HISTORY]

    def older(self, now: str) -> str | None:
        """Return the entry before, and keep the draft. None at the oldest."""
        if self.at is None:
            self.draft, self.at = now, len(self.entries)
        if self.at == 0:
            return None
        self.at -= 1
        return self.entries[self.at]

    def newer(self) -> str | None:
        """Return the entry after, at last the draft. None if the history is not open."""
        if self.at is None:
            return None
        self.at += 1
        if self.at < len(self.entries):
            return self.entries[self.at]
        self.at = None
        return self.draft


class Composer(Vertical):
    """The text, the list of commands above it and the line of hints below it."""

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
        """The person sends a message."""

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
        self._matches: Sequence[Completion] = ()
        self._folder: Folder | None = None
        self._stepped = False
        """Whether the person chose a row of the list, rather than the first one being picked."""
        self._dismissed = ""
        self._trouble = self._said_of = ""
        self._pasted = ("", "")
        self._listed_for: tuple[str, tuple[int, int]] = ("", (0, 0))
        self._state = ("", "")
        self._taken_back: tuple[list[str], str, str] = ([], "", "")
        self._said = ""
        self.busy = False

    def compose(self) -> ComposeResult:
        """Yield list, text and hints. A lean composer gets its list from `furnish`."""
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
        """Stop the cursor from blinking where animations are off."""
        self.prompt.cursor_blink = self.app.animation_level != "none"
        self._hint()

    # --- the text

    @property
    def prompt(self) -> MessageInput:
        """The text area."""
        return self.query_one(MessageInput)

    @property
    def draft(self) -> str:
        """The text, with its pastes in full."""
        return self.in_full(self.prompt.text)

    @draft.setter
    def draft(self, text: str) -> None:
        self.prompt.load_text("")
        self._pastes = Pastes()
        if text:
            self.insert(text)
        self.prompt.move_cursor(self.prompt.document.end)

    def insert(self, text: str) -> None:
        """Insert text at the cursor, unchanged but for its line ends."""
        self._type(self._pastes.shorten(text.replace("\r\n", "\n").replace("\r", "\n")))

    def _type(self, text: str) -> None:
        prompt = self.prompt
        result = prompt.replace(text, *prompt.selection, maintain_selection_offset=False)
        prompt.move_cursor(result.end_location)

    def paste(self, text: str) -> None:
        """Insert what was pasted, and show that it was not sent."""
        self.insert(text)
        if len(text) > _LONG_PASTE:
            self._pasted = (self.prompt.text, "pasted · enter sends")
            self._hint()
            self._look_through(text, self.prompt.text)
        else:
            self._say_pasted(text, count_hidden(text.replace("\r", "\n")))

    @work(group="paste", exclusive=True, exit_on_error=False)
    async def _look_through(self, text: str, draft: str) -> None:
        """Count in a thread what does not show in a long paste."""
        unseen = await asyncio.to_thread(count_hidden, text.replace("\r", "\n"))
        if draft == self.prompt.text:
            self._say_pasted(text, unseen)

    def _say_pasted(self, text: str, unseen: int) -> None:
        if unseen:
            words = f"pasted · {unseen:,} characters in it do not show, and are sent too · enter sends"
        else:
            words = "pasted · enter sends" if len(text) > 1 else ""  # one character was typed
        self._pasted = (self.prompt.text, words)
        self._hint()

    def attach(self, server: str, uri: str, label: str) -> None:
        """Insert the mark of a resource at the cursor; it is read when the message is sent."""
        self._type(self._mentions.mark(server, uri, label) + " ")

    def in_full(self, text: str) -> str:
        """Return a text with its pastes in full."""
        return self._pastes.in_full(text)

    def recall(self, *, older: bool) -> None:
        """Show the message before or after, at last the draft."""
        text = self.history.older(self.draft) if older else self.history.newer()
        if text is not None:
            self.draft = text

    # --- sending

    def submit(self) -> None:
        """Send the text, or run it if it is a command. What fails stays in the composer."""
        text = self.draft
        if not text.strip():
            return
        if self.popup_open and not self._runs_as_written:
            picked = self._picked
            as_typed = isinstance(picked, Action) and is_whole(picked.name, text.partition(" ")[2])
            if not as_typed or self._stepped:
                if isinstance(picked, Action) and not picked.argument:
                    self._do(picked, "")
                else:
                    self.complete()
                return
        command = read_command(text)
        if command is not None and command.name not in FOR_THE_MODEL and self._is_command(command):
            self._run(command)
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
        """Put a message that was not sent back, unless something new is written already."""
        if not self.draft.strip():
            self.draft = text
            self._say(f"not sent: {why}")
        else:
            self._say(f"not sent: {why} · ↑ brings it back")

    def take_back(self, text: str) -> None:
        """Put a queued message back: after those that came just before, above the draft."""
        texts, written, stood = self._taken_back
        if not texts or self.draft != stood:
            texts, written = [], self.draft
        texts = [*texts, text]
        self.draft = "\n\n".join([*texts, written] if written.strip() else texts)
        self._taken_back = (texts, written, self.draft)
        self._say("not sent to the model: it is back here · enter sends it")

    @staticmethod
    def _is_command(command: SlashCommand) -> bool:
        """Whether a text is a command; of several lines only what begins as one does or nearly does."""
        return not command.lines or bool(nearest_command(command.name, _names()))

    def _run(self, command: SlashCommand) -> None:
        action = actions.by_slash(command.name)
        if action is None:
            near = nearest_command(command.name, _names())
            hint = f" · did you mean /{near}?" if near else " · type / to see them all"
            self._say(f"there is no command /{command.name}{hint} · // sends it as text")
        elif command.lines:
            self._say(f"/{command.name} is a command, which has one line · // sends it as text")
        else:
            self._do(action, command.argument)

    def _do(self, action: Action, argument: str) -> None:
        argument = argument or completed_value(action)
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
        """Whether the list is open for the text of now.

        Keys may come faster than the messages that tell of changes.
        """
        if self._listed_for != (self.prompt.text, self.prompt.cursor_location):
            self._fill_list(self.prompt.text)
        return self.has_class("-popup")

    def close_popup(self) -> bool:
        """Close the list until the text changes; False if it was closed."""
        was = self.popup_open
        self._dismissed = self.prompt.text
        self.set_class(False, "-popup")
        return was

    def pick(self, step: int) -> None:
        """Move in the list."""
        options = self._options
        if self._matches:
            self._stepped = True
            options.highlighted = ((options.highlighted or 0) + step) % len(self._matches)

    def complete(self) -> None:
        """Insert the picked command, or the mark of the picked resource."""
        if not self._matches:
            return
        action = self._picked
        if isinstance(action, ResourceSummary):
            row, column = self.prompt.cursor_location
            typed = typed_mention(self.prompt.document.get_line(row)[:column]) or ""
            start = column - len(typed) - 1
            mark = self._mentions.mark(action.server, action.uri, action.label) + " "
            self.prompt.replace(mark, (row, start), (row, column))
            self.prompt.move_cursor((row, start + len(mark)))
        elif isinstance(action, FileName):
            self.prompt.load_text(f"/{action.command} {action.written}")
            self.prompt.move_cursor(self.prompt.document.end)
        elif isinstance(action, Action):
            self.prompt.load_text(f"/{action.slash}" + (" " if action.argument else ""))
            self.prompt.move_cursor(self.prompt.document.end)

    @property
    def _runs_as_written(self) -> bool:
        """Whether Enter runs what is written: a file may be meant that is not there yet."""
        return isinstance(self._picked, FileName) and not self._stepped

    @property
    def _picked(self) -> Completion:
        return self._matches[self._options.highlighted or 0]

    @property
    def _options(self) -> OptionList:
        return self.query_one("#composer-commands", OptionList)

    def _fill_list(self, text: str) -> None:
        if self._lean:
            return
        row, column = self.prompt.cursor_location
        self._listed_for = (text, (row, column))
        self._stepped = False
        mentioned = typed_mention(self.prompt.document.get_line(row)[:column])
        overview = shell_of(self).overview
        if mentioned is not None:
            self._matches = overview.prompts_resources.find(mentioned, (ResourceSummary,), LISTED)[0]
        else:
            self._matches = self._files(text) or matching_actions(text, shell_of(self))
        options = self._options
        if options.option_count:
            options.clear_options()
        if not self._matches or text == self._dismissed:
            self.set_class(False, "-popup")
            return
        options.add_options(Option(line) for line in completion_rows(self._matches))
        options.highlighted = 0
        self.set_class(True, "-popup")

    def _files(self, text: str) -> list[FileName]:
        """Return the files that fit; while their folder is being read, none."""
        typed = typed_file(text)
        if typed is None:
            self._folder = None
            return []
        command, path = typed
        written = folder_of(path)
        if self._folder is None or self._folder.written != written:
            self._folder = None
            self._read_folder(written)
            return []
        return matching_files(command, path, self._folder, LISTED)

    @work(group="folder", exclusive=True, exit_on_error=False)
    async def _read_folder(self, written: str) -> None:
        """Read a folder in a thread, and list its files if they are still asked for."""
        folder = await asyncio.to_thread(read_folder, written)
        typed = typed_file(self.prompt.text)
        if typed is not None and folder_of(typed[1]) == written:
            self._folder = folder
            self._fill_list(self.prompt.text)
            self._hint()

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
        """Fit the number of rows to the new width."""
        self.call_after_refresh(self._grow)

    def _grow(self) -> None:
        self._hint()
        rows = max(1, min(MAX_ROWS, self.prompt.wrapped_document.height))
        if self.prompt.styles.height is None or self.prompt.styles.height.value != rows:
            self.prompt.styles.height = rows

    def _lost(self, text: str) -> str:
        gone = ", ".join(map(str, self._pastes.lost(text)))
        undo = shell_of(self).key("undo", spelled=True)
        return f"paste {gone} is no longer in the message · {undo} brings it back" if gone else ""

    def _say(self, text: str) -> None:
        self._trouble, self._said_of = text, self.prompt.text
        self._hint()

    def note(self, text: str) -> None:
        """Show what happens to a message, until "" or the next letter."""
        if text or self._trouble.startswith("reading "):
            self._say(text)

    def set_busy(self, busy: bool) -> None:
        """Show that a message sent now is queued, because a turn runs."""
        if busy != self.busy:
            self.busy = busy
            self._hint()

    def show_state(self, text: str, colour: str) -> None:
        """Show at the right what happens now."""
        if (text, colour) != self._state:  # an update lays out the screen, even one that changes nothing
            self._state = (text, colour)
            self.query_one("#composer-state", Static).update(Content.styled(text, colour))
            self._hint()

    def _room_for_hint(self) -> int:
        """Return the cells beside the state at the right; very many before the first layout."""
        line = self.query_one("#composer-hint", Static).parent
        width = line.size.width if isinstance(line, Widget) else 0
        return width - Content(self._state[0]).cell_length - _HINT_GAP if width else 1_000

    def _hint(self) -> None:
        hint, key = self._trouble, partial(shell_of(self).key, spelled=True)
        send, complete = key("send_message"), key("complete_command")
        if not hint and self._pasted[0] == self.prompt.text:
            hint = self._pasted[1]
        if not hint and self.popup_open:
            resource = isinstance(self._picked, ResourceSummary)
            enter = f"{send} attach it" if resource else f"{complete} complete · {send} run"
            if isinstance(self._picked, FileName) and self._stepped:
                enter = f"{complete} complete"
            hint = f"↑↓ pick · {enter} · esc close"
        if not hint:
            enter = f"{send} queue it" if self.busy else f"{send} send"
            hint = f"{enter} · {key('new_line')} new line · / commands"
            while len(hint) > self._room_for_hint() and " · " in hint:
                hint = hint.rpartition(" · ")[0]  # a whole hint less is better than half of one
            if self._mentions.held and (count := len(self._mentions.within(self.prompt.text))):
                hint = f"{enter} · {count} attached, read when it is sent"
        self.set_class(bool(self._trouble), "-trouble")
        if hint != self._said:
            self._said = hint
            self.query_one("#composer-hint", Static).update(Content(hint), layout=False)


def _names() -> list[str]:
    """Return every slash command, in each of its spellings."""
    return [name for each in actions.slash_commands() for name in (each.slash, *each.spellings)]
