"""Commands about sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.protocol.commands import NewSession, OpenSession

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell


def new_session(shell: Shell, _argument: str) -> None:
    """Start an empty session."""
    shell.change_session(NewSession())


def open_session(shell: Shell, session: str) -> None:
    """Open a session by its id; without one, list the saved ones."""
    from omni_tui.face.screens.choice import SessionsScreen

    def chosen(session: str | None) -> None:
        if session:
            shell.change_session(OpenSession(session=session))

    if session:
        chosen(session)
    else:
        shell.show(SessionsScreen(), chosen)


def retry(shell: Shell, _argument: str) -> None:
    """Send the last message again, in a new session."""
    shell.go("chat")
    shell.main.chat.retry()
