"""What the person allows for good, and the audit entry without which it is not allowed.

What loosens is written into the installation's audit first: an allow that cannot be audited is none. What
tightens is done first, and if the audit cannot be written then, that is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from functools import partial

from omni_tui.memory import UNDONE, InstallationAudit
from omni_tui.protocol import UserError

logger = logging.getLogger(__name__)


class NotAudited(UserError):
    """The installation's audit cannot be written; the text says what that means and why."""


class Consents:
    """Writes the entries of an installation's audit from the engine's loop."""

    def __init__(self, audit: InstallationAudit, pool: Executor) -> None:
        self._audit = audit
        self._pool = pool

    async def note(
        self,
        action: str,
        subject: str,
        *,
        done: str = "",
        actor: str = "user",
        detail: str = "",
        place: str = "",
        session: str = "",
        count: int = 0,
        head: str = "",
    ) -> None:
        """Add an entry; it is on disk when this returns.

        `done` says what was done already. Raises `NotAudited`, in whose words that comes first.
        """
        entry = partial(
            self._audit.add,
            action,
            subject,
            actor=actor,
            detail=detail,
            place=place,
            session=session,
            count=count,
            head=head,
        )
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, entry)
        except OSError as error:
            logger.exception("the audit of the installation cannot be written")
            why = f"{self._audit.path} cannot be written: {error.strerror or error}"
            if done:
                raise NotAudited(f"{done}, but the audit does not tell it, since {why}") from error
            raise NotAudited(f"nothing was changed, since the audit could not tell it: {why}") from error

    @contextlib.asynccontextmanager
    async def before(
        self, action: str, subject: str, *, detail: str = "", place: str = "", session: str = ""
    ) -> AsyncIterator[None]:
        """Write an entry before what it tells is done. If that fails, write that too.

        Raises `NotAudited`; then nothing may be done.
        """
        note = partial(self.note, subject=subject, place=place, session=session)
        await note(action, detail=detail)
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(NotAudited):
                why = str(error) or type(error).__name__
                await asyncio.shield(note(UNDONE, detail=f"{action}: {why}"))
            raise
