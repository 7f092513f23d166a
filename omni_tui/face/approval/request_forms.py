"""The part of the approvals pane that is about what servers ask: filling in forms, opening pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.form.model import FormDraft, FormModel
from omni_tui.face.panes.base import Pane
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.protocol.server_requests import OpenServerRequestPage

if TYPE_CHECKING:
    from omni_tui.face.panes.approvals import ApprovalsPane


class RequestForms(Pane):
    """Keeps what was typed into a form for as long as its question is open."""

    _drafts: dict[str, tuple[str, FormDraft]] = {}

    @property
    def _approvals(self) -> ApprovalsPane:
        return cast("ApprovalsPane", self)

    def open_form(self, item: PendingRequestItem) -> None:
        """Open the form of a question, as it was left."""
        from omni_tui.face.screens.elicitation import ElicitationScreen

        digest, draft = self._drafts.get(item.call, ("", None))
        if draft is None or digest != item.digest:
            draft = FormDraft(FormModel(item.event.content_json))
            draft.model.prefill()
            self._drafts = {**self._drafts, item.call: (item.digest, draft)}
        self._approvals.close_inline()
        self.app.push_screen(ElicitationScreen(item, draft))

    def forget_drafts(self) -> None:
        """Drop what was typed for questions that are over."""
        queue = self._approvals.queue
        if any(queue.get(call) is None for call in self._drafts):
            self._drafts = {
                call: kept for call, kept in self._drafts.items() if queue.get(call) is not None
            }

    def end_forms(self, why: str) -> None:
        """No form that is open can be sent any more."""
        from omni_tui.face.screens.elicitation import ElicitationScreen

        for screen in self.app.screen_stack if self.app.is_running else ():
            if isinstance(screen, ElicitationScreen):
                screen.end(why)

    def action_open_page(self) -> None:
        """Open a question's page where the engine runs; it goes on waiting."""
        item = self._approvals.shown
        if isinstance(item, PendingRequestItem) and item.event.kind == "url":
            self.run_worker(self._open_page(item), group="ask-page", exit_on_error=False)

    async def _open_page(self, item: PendingRequestItem) -> None:
        pane = self._approvals
        try:
            await pane.port.ask(OpenServerRequestPage(ask=item.event.ask, digest=item.digest))
        except REQUEST_ERRORS as error:
            pane.flash(error_text(error))
        else:
            pane.flash("opened in a browser; it waits still for your answer")
