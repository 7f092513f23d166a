"""Why a server is not connected, in words."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass

from omni_tui.config.spec import ServerSpec


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """Why a server is not connected. `lasting`: trying again is pointless; `sign_in`: until a sign-in."""

    what: str
    todo: str = ""
    lasting: bool = False
    sign_in: bool = False


class ConnectionFailed(Exception):
    """Carries a `ConnectionFailure` out of a transport."""

    def __init__(self, failure: ConnectionFailure) -> None:
        super().__init__(failure.what)
        self.failure = failure


def suggest_log(server: str) -> str:
    """Say how to read a server's log."""
    return f"Its whole log: omni-tui servers log {shlex.quote(server)}"


def suggest_longer_timeout(spec: ServerSpec) -> str:
    """Say how to give a slow server more time, in its settings and for one run."""
    own = "connect_timeout in its settings, or " if spec.source in ("user", "project", "session") else ""
    how = f"{own}--connect-timeout SECONDS for one run"
    return f"Give it longer ({how}), or see why: omni-tui servers log {shlex.quote(spec.name)}"


def root_cause(error: BaseException) -> BaseException:
    """Return the first real failure inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        real = [part for part in error.exceptions if not isinstance(part, asyncio.CancelledError)]
        error = (real or list(error.exceptions))[0]
    return error
