"""The chat: what was said and done, and where the person writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face import actions
from omni_tui.face.formats import format_duration
from omni_tui.face.panes.resend import ResendActions
from omni_tui.face.port import CommandError
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.widgets.banners import AgentBanner
from omni_tui.face.widgets.composer import Composer
from omni_tui.face.widgets.message_input import MessageInput
from omni_tui.protocol import AnyEvent, LinkClosed
from omni_tui.protocol.commands import SendMessage
from omni_tui.protocol.events import CommandDone, EngineReady, TurnEnded, UserMessage
from omni_tui.protocol.prompts_and_resources import Attachment

_EMPTY = (
    ("Nothing has been said yet.\n\n", "$text-1"),
    ("Write below what you want done. ", "$text-2"),
    ("Before a tool is called you see with what, and decide.\n\n", "$text-2"),
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


def _awaits_words(servers: Sequence[str], left_s: int, key: str) -> str:
    """Say what a message waits for, how long still, and how it goes out at once."""
    short = len(servers) == 1 and len(servers[0]) <= _SHORT_NAME
    what = servers[0] if short else f"{len(servers)} server{'s' if len(servers) > 1 else ''}"
    return f"◌ waits for {what} {left_s} s · {key} sends"


class ChatPane(ResendActions):
    """Transcript and composer."""

    TITLE: ClassVar[str] = "CHAT"
    HELP: ClassVar[str] = (
        "What you and the agent said, and every call. A plan is shown as a tree: "
        "○ waiting ◐ running ● done ✗ failed – skipped ■ stopped. Under each task is what its agent does: "
        "Enter or Space unfolds it, z shows it alone and Esc comes back. E edits a message of yours and "
        "sends it in a new session; this session stays as it is."
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

    _below = ""

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        classes: str = "",
        lean: bool = False,
    ) -> None:
        super().__init__(id=id, classes=f"-empty {classes}")
        self._lean = lean
        self._unstarted: dict[str, str] = {}
        """Messages sent from here, by turn, as they were typed."""

    def compose(self) -> ComposeResult:
        """The page, one line on what goes on, the composer."""
        yield Static(Content.assemble(*_EMPTY), id="chat-empty", markup=False)
        yield TranscriptView(id="transcript")
        yield Static(id="chat-state", markup=False)
        yield Composer(id="composer", lean=self._lean)

    async def furnish(self) -> None:
        """Add what the first frame did without."""
        await self.composer.furnish()

    def on_mount(self) -> None:
        """An empty page says what to do next."""
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
        """What takes the keys when somebody comes here."""
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
        """Forget the session. What is being written stays."""
        self.transcript.clear()
        self._unstarted.clear()
        self.composer.forget_history()
        self.end_edit()

    @on(TranscriptView.Changed)
    def _changed(self, event: TranscriptView.Changed) -> None:
        event.stop()
        fold = self.transcript.fold
        self.set_class(not fold.items, "-empty")
        self.composer.set_busy(bool(fold.turn))
        self.count = fold.waits
        self._show_lane()
        self._show_state()

    def _show_state(self) -> None:
        """Say what is new further down, and in the composer what goes on."""
        fold, view = self.transcript.fold, self.transcript
        below = "" if view.following else f"↓ {view.unread} new" if view.unread else "↓"
        if below != self._below:  # an update lays out the screen, even one that changes nothing
            self._below = below
            self.query_one("#chat-state", Static).update(Content.styled(below, "$mine"))
        if waits := fold.waits:
            self.composer.show_state(f"◌ {waits} to approve", "$waiting")
        elif fold.awaits is not None and not self.screen.has_class("-engine-stopped"):
            left = max(0, round(fold.awaits.until - view.now()))
            words = _awaits_words(fold.awaits.servers, left, self._key_of("send_now"))
            self.composer.show_state(words, "$running")
        elif fold.turn and not self.screen.has_class("-engine-stopped"):
            passed = format_duration(max(0, int(view.now() - fold.since)))
            self.composer.show_state(f"… working {passed} · esc stops", "$running")
        else:
            self.composer.show_state("", "")

    def _key_of(self, action: str) -> str:
        """Return the key of an action, as it is set now."""
        found = (key for key, active in self.screen.active_bindings.items() if active.binding.id == action)
        return next(found, f"/{actions.get(action).slash}")

    @on(TranscriptView.Zoomed)
    def _zoomed(self, event: TranscriptView.Zoomed) -> None:
        event.stop()
        self._show_lane()

    def _show_lane(self) -> None:
        """Say whose lane is shown, while one is shown alone."""
        task, heads = self.transcript.zoomed_task, self.query(AgentBanner)
        if task is None:
            if heads:
                heads.remove()
            return
        head = heads.first() if heads else AgentBanner()
        if not heads:
            self.mount(head, before=self.transcript)
        head.show(task)

    # --- writing

    @property
    def draft(self) -> str:
        """What is being written."""
        return self.composer.draft

    @draft.setter
    def draft(self, text: str) -> None:
        self.composer.draft = text

    def insert_text(self, text: str) -> None:
        """Put text where the composer's cursor stands. The keys stay where they are."""
        self.composer.insert(text)

    def attach(self, server: str, uri: str, label: str) -> None:
        """Attach a resource to the message that is being written."""
        self.composer.attach(server, uri, label)

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        if self.wording is not None:
            self.send_edited_message(event.text, event.attachments)
            return
        self.transcript.zoom_out()
        self.transcript.action_scroll_end()
        self._send(event.text, event.attachments)

    @work(group="send", exit_on_error=False)
    async def _send(self, text: str, attachments: tuple[Attachment, ...]) -> None:
        """Send a message; give it back if it did not arrive."""
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
            self.composer.give_back(
                text, " · ".join(filter(None, (failure.what, failure.why, failure.todo)))
            )
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

    # --- what the screen asks for

    def focus_call(self, call: str) -> bool:
        """Show a call in the transcript and give it the keys; False if it is not here."""
        return self.transcript.focus_call(call)

    def close_innermost(self) -> bool:
        """Close what Escape closes first here; False if there is nothing to close."""
        return self.composer.close_popup() or self.cancel_edit() or self.transcript.zoom_out()

    def action_copy_answer(self) -> None:
        """Copy the last answer."""
        self.transcript.action_copy_answer()

    def action_copy_code(self) -> None:
        """Copy a code block of the last answer."""
        self.transcript.action_copy_code()

    def action_transcript_end(self) -> None:
        """Go to the end and follow it."""
        self.transcript.action_transcript_end()
