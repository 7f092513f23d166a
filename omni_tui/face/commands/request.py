"""Asking the engine from a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell
    from omni_tui.protocol import AnyCommand, AnyEvent


async def request(shell: Shell, command: AnyCommand) -> AnyEvent | None:
    """Return the engine's reply; None, and the error is shown, if there is none."""
    from omni_tui.face.results.errors import REQUEST_ERRORS, error_text

    try:
        reply: AnyEvent = await shell.port.ask(command)
    except REQUEST_ERRORS as error:
        shell.say(error_text(error), level="error")
        return None
    return reply
