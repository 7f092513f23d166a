"""What becomes of one attempt of a call where the call itself goes on."""

from __future__ import annotations

from omni_tui.protocol.base import Journalled
from omni_tui.protocol.text import SafeText


class AttemptRefused(Journalled):
    """The server refused an attempt before running it, and a further attempt of the call was made.

    On disk in the transaction that makes the further attempt, so before anything of that is sent. What
    it waits for stands in the `CallChanged` or `ApprovalRequested` that follows. `status` is that of
    HTTP (401 or 403). Source: RFC 6750, section 3.1.
    """

    call: str
    attempt: int
    status: int
    elapsed_ms: float
    reason: SafeText = SafeText("")
