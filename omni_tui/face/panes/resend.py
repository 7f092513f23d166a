"""Sending an earlier message again, as it was or in other words: in a session that branches off there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import on

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.panes.base import Pane
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import CallItem, TaskItem, UserItem
from omni_tui.face.transcript.view import EditAndResend
from omni_tui.face.widgets.banners import EditBanner
from omni_tui.protocol.commands import BranchSession
from omni_tui.protocol.prompts_and_resources import Attachment

if TYPE_CHECKING:
    from omni_tui.face.app_actions import AppActions
    from omni_tui.face.panes.chat import ChatPane

_RAN = frozenset({"dispatching", "succeeded", "failed", "result_rejected", "uncertain"})

actions.add(
    Action("retry", "", "chat", "Send your last message again, in a new session", "", "retry"),
)


class ResendActions(Pane):
    """The part of the chat that goes another way from a message on."""

    _wording: EditBanner | None = None

    @property
    def _chat(self) -> ChatPane:
        return cast("ChatPane", self)

    @property
    def _fold(self) -> Fold:
        return self._chat.transcript.fold

    @property
    def wording(self) -> EditBanner | None:
        """The line that says so while a message is being said in other words."""
        return self._wording

    # --- in other words

    @on(EditAndResend)
    def _begin(self, event: EditAndResend) -> None:
        event.stop()
        composer = self._chat.composer
        before = composer.draft if self._wording is None else self._wording.before
        self._end()
        self._wording = EditBanner(event.item, before)
        self.mount(self._wording, before=composer)
        composer.draft = event.item.words
        self.screen.set_focus(composer.prompt, scroll_visible=False)

    def cancel_edit(self) -> bool:
        """Write on at what was being written before; False if nothing was being said anew."""
        if (line := self._wording) is None:
            return False
        composer = self._chat.composer
        composer.remember(composer.draft)
        composer.draft = line.before
        self._end()
        return True

    def _end(self) -> None:
        if self._wording is not None:
            self._wording.remove()
            self._wording = None

    def end_edit(self) -> None:
        """Another session is here. What is being written stays; what was before it comes back, or by ↑."""
        if (line := self._wording) is None:
            return
        composer = self._chat.composer
        if not composer.draft.strip():
            composer.draft = line.before
        elif line.before.strip():
            composer.remember(line.before)
        self._end()

    def send_edited_message(self, text: str, attachments: tuple[Attachment, ...]) -> None:
        """Go another way with these words."""
        assert self._wording is not None
        if attachments:
            why = "a message said anew takes no attachments; send it as a new one (Esc first)"
            self._chat.composer.give_back(text, why)
            return
        item = self._wording.item
        self._ask(item, "" if text == item.words else text, text)

    # --- in the same words

    def action_retry(self) -> None:
        """Send the last message again."""
        last = next((item for item in reversed(self._fold.items) if isinstance(item, UserItem)), None)
        if last is None:
            self.notify("Nothing has been said yet.", markup=False)
        else:
            self._ask(last, "", "")

    # --- both

    def _ask(self, item: UserItem, text: str, draft: str) -> None:
        """Say which calls were made since and stay made; then branch."""
        ran = sum(
            1 for call in _calls_after(self._fold, item) if call.state in _RAN and call.risk != "read"
        )
        if not ran:
            self._branch(item, text, draft)
            return
        many = f"{ran} calls after it ran" if ran > 1 else "1 call after it ran"
        detail = (
            f"What {'they' if ran > 1 else 'it'} did stays. The message goes another way in a new session; "
            "this session stays as it is."
        )
        verbs = cast("AppActions", self.app)
        verbs.confirm(f"{many}, and may have changed something.", detail, "send it",
                      partial(self._answered, item, text, draft))  # fmt: skip

    def _answered(self, item: UserItem, text: str, draft: str, yes: bool | None) -> None:
        if yes:
            self._branch(item, text, draft)
        elif draft:
            self._chat.composer.draft = draft

    def _branch(self, item: UserItem, text: str, draft: str) -> None:
        def failed(why: str) -> None:
            if draft:
                self._chat.composer.give_back(draft, why)
            else:
                self.notify(f"Not sent again: {why}", severity="error", timeout=10.0, markup=False)

        cast("AppActions", self.app).change_session(BranchSession(turn=item.turn, text=text), failed)


def _calls_after(fold: Fold, item: UserItem) -> Iterator[CallItem]:
    """Yield the calls proposed after a message, in lanes too."""
    at = next((index for index, other in enumerate(fold.items) if other is item), len(fold.items))
    for other in fold.items[at + 1 :]:
        if isinstance(other, CallItem):
            yield other
        elif isinstance(other, TaskItem) and other.sub_agent is not None:
            yield from (call for call in other.sub_agent.fold.items if isinstance(call, CallItem))
