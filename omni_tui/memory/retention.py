"""Delete sessions that were not used for long, if the person says so: `[memory] keep_days`.

Nothing is deleted unannounced: a session is first put on a list, which each start shows, and goes `GRACE`
days later if nobody opened it. What cannot be read is never deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import Vault
from omni_tui.memory.installation_audit import InstallationAudit
from omni_tui.memory.session_files import delete_session, list_sessions
from omni_tui.memory.sqlite import JournalBusy
from omni_tui.memory.state_file import LARGEST_LIST, StateFile

logger = logging.getLogger(__name__)

GRACE = 7
"""Days between the announcement and the deletion."""
_DAY = 86_400.0


class _Announced(msgspec.Struct, kw_only=True):
    """When it was announced that a session will be deleted, in Unix seconds, by its id."""

    sessions: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Retention:
    """How many sessions were deleted, how many will be, and when the first of those (Unix seconds)."""

    deleted: int = 0
    announced: int = 0
    first: float = 0.0


def delete_unused(
    state_dir: Path,
    vault: Vault,
    keep_days: int,
    audit: InstallationAudit | None = None,
    note: Callable[[str], object] | None = None,
) -> Retention:
    """Announce what was not used for `keep_days`, and delete what was announced `GRACE` days ago.

    With 0 nothing is deleted. `note` is called with each session that is about to go.

    Not on the event loop. Raises `OSError` if the announcement cannot be kept; then nothing was deleted.
    """
    if not keep_days:
        return Retention()
    now = time.time()
    file = StateFile(state_dir / "retention.json", _Announced, LARGEST_LIST)
    with file.lock:
        before = file.read().sessions
        found = list_sessions(state_dir, vault)
        # Opening a session to keep it writes no event.
        unused = [each.id for each in found.sessions
                  if now - max(each.updated, found.used[each.id]) > keep_days * _DAY]  # fmt: skip
        # A clock that was set back does not shorten the grace.
        announced = {each: min(before.get(each, now), now) for each in unused}
        if announced != before:
            file.write(_Announced(sessions=announced))
        deleted = [each for each, since in announced.items() if now - since >= GRACE * _DAY]
        if note is not None:
            for each in deleted:
                note(each)
        gone = {each for each in deleted if _delete(state_dir, each, audit, vault)}
        left = {each: since for each, since in announced.items() if each not in gone}
        if gone:
            file.write(_Announced(sessions=left))
    return Retention(len(gone), len(left), min(left.values(), default=0.0) + GRACE * _DAY)


def _delete(state_dir: Path, session: str, audit: InstallationAudit | None, vault: Vault) -> bool:
    try:
        return delete_session(state_dir, session, audit, vault)
    except (JournalBusy, OSError):
        logger.warning("session %s is kept: it could not be deleted", session, exc_info=True)
        return False
