"""What becomes of one attempt of a call where the call itself goes on."""

from __future__ import annotations

from omni_tui.protocol.base import Event, Journalled
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


class AttemptFailed(Journalled):
    """An attempt failed in a way that makes repeating it safe, and a further attempt of the call was made.

    On disk in the transaction that makes the further attempt. Either nothing of it ran, or (`cut`) that is
    not known and the tool may be repeated: it only reads, or the person said so. `of` is the number of
    attempts there can be.
    """

    call: str
    attempt: int
    of: int
    cut: bool
    elapsed_ms: float
    reason: SafeText = SafeText("")


class AttemptScheduled(Event, tag="attempt_ahead"):
    """A failed call is tried again in `delay_s` seconds, as attempt number `attempt` of `of`."""

    call: str
    attempt: int
    of: int
    delay_s: float
    reason: SafeText = SafeText("")
