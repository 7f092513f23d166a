"""The chat: what was said and done, where the person writes, and sending an earlier message again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face import actions
from omni_tui.face.formats import counted, format_duration
from omni_tui.face.panes.base import Pane
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.shell import request, shell_of
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import CallItem, TaskItem, UserItem
from omni_tui.face.transcript.view import EditAndResend
from omni_tui.face.widgets.composer import Composer, MessageHistory
from omni_tui.face.widgets.message_input import MessageInput
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.commands import BranchSession, RewindSession, SendMessage
from omni_tui.protocol.events import CommandDone, EngineReady, ReplayDone, TurnEnded, UserMessage
from omni_tui.protocol.prompts_and_resources import Attachment
from omni_tui.protocol.session_search import TextPlace
from omni_tui.security.text import safe_line

_EMPTY = (
    ("No messages yet.\n\n", "$text-1"),
    ("Write below what you want done. ", "$text-2"),
    ("Before a tool is called you see the call and decide.\n\n", "$text-2"),
    ("  /      ", "$mine"), ("commands\n", "$text-2"),
)  # fmt: skip
_EMPTY_KEYS = {"show_tools": "call a tool by hand", "help": "every key"}
_EMPTY_DEMO = ("\n  Try: ", "$text-3"), ("add 17 and 25", "$text-1")
_KEY_FILE = (
    ("\nThe key of your saved sessions is a file beside them; ", "$text-3"),
    ("omni-tui doctor", "$text-2"), (" says how to keep it elsewhere.\n", "$text-3"),
)  # fmt: skip
_SHORT_NAME = 12
"""A server's name up to this length is shown in the composer's corner."""
_RAN = frozenset({"dispatching", "succeeded", "failed", "result_rejected", "uncertain"})


class EditBanner(Static):
    """Stands above the composer while an earlier message is edited.

    `before` is the draft it replaced; that comes back afterwards.
    """

    DEFAULT_CSS = """
    EditBanner { height: auto; padding: 0 2; background: $bar; }
    """

    def __init__(self, item: UserItem, before: str) -> None:
        super().__init__(markup=False)
        self.item = item
        self.before = before

    def on_mount(self) -> None:
        """Show how to send it and how to cancel."""
        hour = time.strftime("%H:%M", time.localtime(self.item.ts))
        shell = shell_of(self)
        parts = [
            (f"editing your message of {hour}: ", "$waiting"),
            (shell.key("send_message"), "bold $text-1"), (" sends it in a new session, ", "$text-2"),
            (shell.key("close"), "bold $text-1"), (" cancels", "$text-2"),
        ]  # fmt: skip
        if self.item.attachments:
            parts.append((" · its attachments are sent only if the text stays the same", "$waiting"))
        self.update(Content.assemble(*parts))


class AgentBanner(Static):
    """Stands above the transcript while only one agent is shown."""

    DEFAULT_CSS = """
    AgentBanner { height: 1; padding: 0 2; background: $bar; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown = ("", "")

    def show(self, task: TaskItem) -> None:
        """Name the agent's task, its state and its path."""
        path = safe_line(task.sub_agent.agent, limit=80) if task.sub_agent is not None else ""
        name = f"{task.task} {task.title}".strip()
        rest = " · ".join(part for part in (task.state, path if path != name else "") if part)
        if (name, rest) != self._shown:  # an update lays out the screen, even one that changes nothing
            self._shown = (name, rest)
            self.update(
                Content.assemble(
                    (shell_of(self).key("close"), "bold $text-1"), (" shows all again   ", "$text-3"),
                    (name, "bold $mine"),
                    (f"   {safe_line(rest, joined=True)}", "$text-2"),
                )
            )  # fmt: skip


class ChatPane(Pane):
    """Transcript and composer."""

    TITLE: ClassVar[str] = "CHAT"
    HELP: ClassVar[str] = (
        "Your messages, the answers, and every call. A plan is shown as a tree: "
        "○ waiting ◐ running ● done ✗ failed – skipped ■ stopped. Below each task is what its agent does: "
        "{item_open} or {item_fold} expands it, {agent_alone} shows only this agent and {close} shows all "
        "again. {edit_message} edits a message of yours and sends it in a new session; this session stays "
        "as it is."
    )
    DEFAULT_CSS = """
    ChatPane {
        & > TranscriptView { border-left: blank $page; padding: 0 0 0 1; }
        & > TranscriptView:focus { border-left: outer $mine; }
        & > #chat-empty { display: none; height: 1fr; padding: 1 3; background: $page; }
        &.-empty > #chat-empty { display: block; }
        &.-empty > TranscriptView { display: none; }
        & > #chat-state { height: 1; padding: 0 2; background: $page; text-align: right; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str = "", lean: bool = False) -> None:  # noqa: A002
        super().__init__(id=id, classes=f"-empty {classes}")
        self._lean = lean
        self._below = ""
        self._unstarted: dict[str, str] = {}
        """Messages sent from here, by turn, as they were typed."""
        self._wanted: TextPlace | None = None
        """What to show once it has arrived."""
        self.edit_banner: EditBanner | None = None

    def compose(self) -> ComposeResult:
        """Yield the page, a line about what is below, the composer."""
        yield Static(self._empty_words(), id="chat-empty", markup=False)
        yield TranscriptView(id="transcript")
        yield Static(id="chat-state", markup=False)
        yield Composer(id="composer", lean=self._lean)

    def _empty_words(self, *more: tuple[str, str]) -> Content:
        shell = shell_of(self)
        keys = [
            part
            for action, what in _EMPTY_KEYS.items()
            for part in ((f"  {shell.key(action):<6} ", "$mine"), (f"{what}\n", "$text-2"))
        ]
        return Content.assemble(*_EMPTY, *keys, *more)

    def on_mount(self) -> None:
        """Update the state line every second."""
        self.set_interval(1.0, self._show_state, name="chat-state")

    @property
    def transcript(self) -> TranscriptView:
        """The page."""
        return self.query_one(TranscriptView)

    @property
    def composer(self) -> Composer:
        """Where the person writes."""
        return self.query_one(Composer)

    @property
    def entrance(self) -> Widget:
        """The composer's text."""
        return self.composer.prompt

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        if isinstance(event, UserMessage):
            if not event.loaded:  # else the person did not type it
                self.composer.history.add(event.words)
        elif isinstance(event, TurnEnded) and event.turn in self._unstarted:
            self.call_next(self._take_back, event.turn)
        elif isinstance(event, EngineReady):
            more = _EMPTY_DEMO if event.demo else _KEY_FILE if event.encryption == "key file" else ()
            self.query_one("#chat-empty", Static).update(self._empty_words(*more))
        self.transcript.apply(event)
        if isinstance(event, ReplayDone) and self._wanted is not None:
            self.call_after_refresh(self._arrived)

    def engine_stopped(self) -> None:
        """Stop the clocks of what ran."""
        self.transcript.engine_stopped()

    def clear_session(self) -> None:
        """Forget the session. The draft stays."""
        self.transcript.clear()
        self._unstarted.clear()
        self.composer.history = MessageHistory()
        self._leave_edit()

    @on(TranscriptView.Changed)
    def _changed(self, event: TranscriptView.Changed) -> None:
        event.stop()
        fold = self.transcript.fold
        self.set_class(not fold.items, "-empty")
        self.composer.set_busy(bool(fold.turn))
        self.count = fold.waits
        self._show_agent()
        self._show_state()

    def _show_state(self) -> None:
        """Show how much is new further down, and in the composer what happens now."""
        fold, view = self.transcript.fold, self.transcript
        below = "" if view.following else f"↓ {view.unread} new" if view.unread else "↓"
        if below != self._below:  # an update lays out the screen, even one that changes nothing
            self._below = below
            self.query_one("#chat-state", Static).update(Content.styled(below, "$mine"))
        if waits := fold.waits:
            self.composer.show_state(f"◌ {waits} to approve", "$waiting")
        elif fold.awaits is not None and not self.screen.has_class("-engine-stopped"):
            left = max(0, round(fold.awaits.until - view.now()))
            words = _waiting_for(fold.awaits.servers, left, self._key_of("send_now"))
            self.composer.show_state(words, "$running")
        elif fold.turn and (pause := shell_of(self).overview.next_attempt - view.now()) > 0:
            words = f"↻ tries again in {max(1, round(pause))} s · {self._key_of('send_now')} does now"
            self.composer.show_state(words, "$waiting")
        elif fold.turn and not self.screen.has_class("-engine-stopped"):
            passed = format_duration(max(0, int(view.now() - fold.since)))
            self.composer.show_state(f"… working {passed} · esc stops", "$running")
        else:
            self.composer.show_state("", "")

    def _key_of(self, action: str) -> str:
        """Return the key of an action, as it is set now."""
        found = (key for key, active in self.screen.active_bindings.items() if active.binding.id == action)
        return next(found, actions.get(action).usage)

    @on(TranscriptView.Zoomed)
    def _show_agent(self) -> None:
        """Name the agent while only one is shown."""
        task, banners = self.transcript.zoomed_task, self.query(AgentBanner)
        if task is None:
            if banners:
                banners.remove()
            return
        banner = banners.first() if banners else AgentBanner()
        if not banners:
            self.mount(banner, before=self.transcript)
        banner.show(task)

    def _arrived(self) -> None:
        """Show the text that is looked for in the session that has arrived, in its beginning too."""
        if self._wanted is not None:
            self.jump(self._wanted)
        if self._wanted is not None and self.transcript.fold.left_out:
            shell_of(self).show_whole_session()

    def jump(self, place: TextPlace) -> None:
        """Show a text: now if it is here, else once the session that is being opened has arrived."""
        self._wanted = None if self._shown(place) else place

    def _shown(self, place: TextPlace) -> bool:
        if not self.transcript.show_text(place):
            return False
        self.transcript.focus(scroll_visible=False)
        return True

    # --- writing

    @property
    def draft(self) -> str:
        """The message that is being written."""
        return self.composer.draft

    @draft.setter
    def draft(self, text: str) -> None:
        self.composer.draft = text

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        if self.edit_banner is not None:
            self._send_edited(self.edit_banner.item, event.text, event.attachments)
            return
        self.transcript.zoom_out()
        self.transcript.action_scroll_end()
        self._send(event.text, event.attachments)

    @work(group="send", exit_on_error=False)
    async def _send(self, text: str, attachments: tuple[Attachment, ...]) -> None:
        """Send a message; put it back into the composer if it did not arrive."""
        if attachments:
            self.composer.note(f"reading {len(attachments)} attached …")
        try:
            done = await self.port.ask(SendMessage(text=text, attachments=attachments))
            self.composer.note("")
            if isinstance(done, CommandDone):
                self._unstarted[done.id] = text
                self._take_back(done.id)
        except TimeoutError:
            self.composer.give_back(text, "the engine did not answer; it may still have arrived")
        except REQUEST_ERRORS as error:
            self.composer.give_back(text, error_text(error))

    def _take_back(self, turn: str) -> None:
        """Put a message that was stopped while it was queued back into the composer, as it was typed."""
        if self.transcript.fold.untold(turn) and (text := self._unstarted.pop(turn, None)) is not None:
            self.composer.take_back(text)

    @on(MessageInput.Scroll)
    def _scroll(self, event: MessageInput.Scroll) -> None:
        event.stop()
        (self.transcript.action_page_down if event.step > 0 else self.transcript.action_page_up)()

    # --- edit and resend

    @on(EditAndResend)
    def _edit(self, event: EditAndResend) -> None:
        event.stop()
        before = self.draft if self.edit_banner is None else self.edit_banner.before
        self._end_edit()
        self.edit_banner = EditBanner(event.item, before)
        self.mount(self.edit_banner, before=self.composer)
        self.draft = event.item.words
        self.screen.set_focus(self.composer.prompt, scroll_visible=False)

    def _end_edit(self) -> None:
        if self.edit_banner is not None:
            self.edit_banner.remove()
            self.edit_banner = None

    def _cancel_edit(self) -> bool:
        """Bring back the draft from before the edit; False if nothing was edited."""
        if (banner := self.edit_banner) is None:
            return False
        self.composer.history.add(self.draft)
        self.draft = banner.before
        self._end_edit()
        return True

    def _leave_edit(self) -> None:
        """Stop editing, for another session: the draft stays, else the one before comes back."""
        if (banner := self.edit_banner) is None:
            return
        if not self.draft.strip():
            self.draft = banner.before
        elif banner.before.strip():
            self.composer.history.add(banner.before)
        self._end_edit()

    def _send_edited(self, item: UserItem, text: str, attachments: tuple[Attachment, ...]) -> None:
        if attachments:
            why = "an edited message takes no attachments; stop editing and send it as a new one"
            self.composer.give_back(text, why)
        else:
            self._resend(item, "" if text == item.words else text, text)

    def retry(self) -> None:
        """Send the last message again, in a new session."""
        items = self.transcript.fold.items
        last = next((item for item in reversed(items) if isinstance(item, UserItem)), None)
        if last is None:
            self.notify("No messages yet.", markup=False)
        else:
            self._resend(last, "", "")

    def rewind(self, turn: str) -> None:
        """Have the model forget a message and what followed it; its words go into an empty composer.

        Calls made since then stay made: if one may have changed something, the person is asked first.
        """
        items = self.transcript.fold.items
        item = next((each for each in items if isinstance(each, UserItem) and each.turn == turn), None)
        if item is None:
            return
        message = item

        def answered(yes: bool | None) -> None:
            if yes:
                shell_of(self).in_background(self._rewound(message), "rewind")

        calls = _calls_after(self.transcript.fold, item)
        ran = sum(call.state in _RAN and call.risk != "read" for call in calls)
        if not ran:
            answered(True)
            return
        question = f"{counted(ran, 'call')} after it ran, and may have changed something."
        detail = f"What {'they' if ran > 1 else 'it'} did stays done; only the model forgets it."
        shell_of(self).confirm(question, detail, "rewind", answered)

    async def _rewound(self, item: UserItem) -> None:
        """Send the command, and give the words of the message back."""
        done = await request(shell_of(self), RewindSession(turn=item.turn))
        if isinstance(done, CommandDone):
            self.notify(f"{done.text}.", markup=False)
            if not self.draft.strip():
                self.draft = item.words

    def _resend(self, item: UserItem, text: str, draft: str) -> None:
        """Branch the session before a message and send `text`, or the message itself if that is "".

        Calls made since then stay made: if one may have changed something, the person is asked first.
        `draft` goes back into the composer if nothing is sent.
        """

        def answered(yes: bool | None) -> None:
            if yes:
                self._branch(item, text, draft)
            elif draft:
                self.draft = draft

        calls = _calls_after(self.transcript.fold, item)
        ran = sum(call.state in _RAN and call.risk != "read" for call in calls)
        if not ran:
            self._branch(item, text, draft)
            return
        question = f"{counted(ran, 'call')} after it ran, and may have changed something."
        they = "they" if ran > 1 else "it"
        detail = f"What {they} did stays done. The message goes to a new session; this one stays as it is."
        shell_of(self).confirm(question, detail, "send it", answered)

    def _branch(self, item: UserItem, text: str, draft: str) -> None:
        def failed(why: str) -> None:
            if draft:
                self.composer.give_back(draft, why)
            else:
                self.notify(f"Not sent again: {why}", severity="error", timeout=10.0, markup=False)

        shell_of(self).change_session(BranchSession(turn=item.turn, text=text), failed)

    def close_innermost(self) -> bool:
        """Close the list of commands, cancel the edit, or show all agents; False if nothing is open."""
        return self.composer.close_popup() or self._cancel_edit() or self.transcript.zoom_out()


def _waiting_for(servers: Sequence[str], left_s: int, key: str) -> str:
    """Return what a message waits for, how long still, and the key that sends it now."""
    short = len(servers) == 1 and len(servers[0]) <= _SHORT_NAME
    what = servers[0] if short else counted(len(servers), "server")
    return f"◌ waits for {what} {left_s} s · {key} sends"


def _calls_after(fold: Fold, item: UserItem) -> Iterator[CallItem]:
    """Yield the calls proposed after a message, those of agents too."""
    at = next((index for index, other in enumerate(fold.items) if other is item), len(fold.items))
    for other in fold.items[at + 1 :]:
        if isinstance(other, CallItem):
            yield other
        elif isinstance(other, TaskItem) and other.sub_agent is not None:
            yield from (call for call in other.sub_agent.fold.items if isinstance(call, CallItem))
