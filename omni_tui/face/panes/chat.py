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
from omni_tui.face.formats import format_duration
from omni_tui.face.panes.base import Pane
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import CallItem, TaskItem, UserItem
from omni_tui.face.transcript.view import EditAndResend
from omni_tui.face.widgets.composer import Composer
from omni_tui.face.widgets.message_input import MessageInput
from omni_tui.protocol import AnyEvent, LinkClosed
from omni_tui.protocol.commands import BranchSession, SendMessage
from omni_tui.protocol.events import CommandDone, EngineReady, TurnEnded, UserMessage
from omni_tui.protocol.prompts_and_resources import Attachment
from omni_tui.security.text import safe_line

_EMPTY = (
    ("No messages yet.\n\n", "$text-1"),
    ("Write below what you want done. ", "$text-2"),
    ("Before a tool is called you see the call and decide.\n\n", "$text-2"),
    ("  /      ", "$mine"), ("commands\n", "$text-2"),
    ("  F3     ", "$mine"), ("call a tool by hand\n", "$text-2"),
    ("  F1     ", "$mine"), ("every key\n", "$text-2"),
)  # fmt: skip
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
        """Show what Enter and Esc do."""
        hour = time.strftime("%H:%M", time.localtime(self.item.ts))
        parts = [
            (f"editing your message of {hour}: ", "$waiting"),
            ("Enter", "bold $text-1"), (" sends it in a new session, ", "$text-2"),
            ("Esc", "bold $text-1"), (" cancels", "$text-2"),
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
                    ("Esc", "bold $text-1"), (" shows all again   ", "$text-3"), (name, "bold $mine"),
                    (f"   {safe_line(rest, joined=True)}", "$text-2"),
                )
            )  # fmt: skip


class ChatPane(Pane):
    """Transcript and composer."""

    TITLE: ClassVar[str] = "CHAT"
    HELP: ClassVar[str] = (
        "Your messages, the answers, and every call. A plan is shown as a tree: "
        "○ waiting ◐ running ● done ✗ failed – skipped ■ stopped. Below each task is what its agent does: "
        "Enter or Space expands it, z shows only this agent and Esc shows all again. E edits a message of "
        "yours and sends it in a new session; this session stays as it is."
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

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        classes: str = "",
        lean: bool = False,
    ) -> None:
        super().__init__(id=id, classes=f"-empty {classes}")
        self._lean = lean
        self._below = ""
        self._unstarted: dict[str, str] = {}
        """Messages sent from here, by turn, as they were typed."""
        self.edit_banner: EditBanner | None = None

    def compose(self) -> ComposeResult:
        """Yield the page, a line about what is below, the composer."""
        yield Static(Content.assemble(*_EMPTY), id="chat-empty", markup=False)
        yield TranscriptView(id="transcript")
        yield Static(id="chat-state", markup=False)
        yield Composer(id="composer", lean=self._lean)

    async def furnish(self) -> None:
        """Add what the first frame did without."""
        await self.composer.furnish()

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
            self.composer.remember(event.words)
        elif isinstance(event, TurnEnded) and event.turn in self._unstarted:
            self.call_next(self._take_back, event.turn)
        elif isinstance(event, EngineReady):
            more = _EMPTY_DEMO if event.demo else _KEY_FILE if event.encryption == "key file" else ()
            self.query_one("#chat-empty", Static).update(Content.assemble(*_EMPTY, *more))
        self.transcript.apply(event)

    def engine_stopped(self) -> None:
        """Stop the clocks of what ran."""
        self.transcript.engine_stopped()

    def clear_session(self) -> None:
        """Forget the session. The draft stays."""
        self.transcript.clear()
        self._unstarted.clear()
        self.composer.forget_history()
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
    def _zoomed(self, event: TranscriptView.Zoomed) -> None:
        event.stop()
        self._show_agent()

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

    # --- writing

    @property
    def draft(self) -> str:
        """The message that is being written."""
        return self.composer.draft

    @draft.setter
    def draft(self, text: str) -> None:
        self.composer.draft = text

    def insert_text(self, text: str) -> None:
        """Insert text at the composer's cursor. The focus stays where it is."""
        self.composer.insert(text)

    def attach(self, server: str, uri: str, label: str) -> None:
        """Attach a resource to the message that is being written."""
        self.composer.attach(server, uri, label)

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
        except CommandError as error:
            failure = error.failure
            why = " · ".join(filter(None, (failure.what, failure.why, failure.todo)))
            self.composer.give_back(text, why)
        except LinkClosed as error:
            self.composer.give_back(text, str(error) or "the engine is gone")
        except TimeoutError:
            self.composer.give_back(text, "the engine did not answer; it may still have arrived")

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
        self.composer.remember(self.draft)
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
            self.composer.remember(banner.before)
        self._end_edit()

    def _send_edited(self, item: UserItem, text: str, attachments: tuple[Attachment, ...]) -> None:
        if attachments:
            why = "an edited message takes no attachments; send it as a new one (Esc first)"
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
        many, they = (f"{ran} calls", "they") if ran > 1 else ("1 call", "it")
        detail = f"What {they} did stays done. The message goes to a new session; this one stays as it is."
        shell_of(self).confirm(
            f"{many} after it ran, and may have changed something.", detail, "send it", answered
        )

    def _branch(self, item: UserItem, text: str, draft: str) -> None:
        def failed(why: str) -> None:
            if draft:
                self.composer.give_back(draft, why)
            else:
                self.notify(f"Not sent again: {why}", severity="error", timeout=10.0, markup=False)

        shell_of(self).change_session(BranchSession(turn=item.turn, text=text), failed)

    # --- for the app

    def focus_call(self, call: str) -> bool:
        """Show a call in the transcript and give it the keys; False if it is not here."""
        return self.transcript.focus_call(call)

    def close_innermost(self) -> bool:
        """Close the list of commands, cancel the edit, or show all agents; False if nothing is open."""
        return self.composer.close_popup() or self._cancel_edit() or self.transcript.zoom_out()


def _waiting_for(servers: Sequence[str], left_s: int, key: str) -> str:
    """Return what a message waits for, how long still, and the key that sends it now."""
    short = len(servers) == 1 and len(servers[0]) <= _SHORT_NAME
    what = servers[0] if short else f"{len(servers)} server{'s' if len(servers) > 1 else ''}"
    return f"◌ waits for {what} {left_s} s · {key} sends"


def _calls_after(fold: Fold, item: UserItem) -> Iterator[CallItem]:
    """Yield the calls proposed after a message, those of agents too."""
    at = next((index for index, other in enumerate(fold.items) if other is item), len(fold.items))
    for other in fold.items[at + 1 :]:
        if isinstance(other, CallItem):
            yield other
        elif isinstance(other, TaskItem) and other.sub_agent is not None:
            yield from (call for call in other.sub_agent.fold.items if isinstance(call, CallItem))
