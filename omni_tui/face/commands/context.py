"""Commands about what a model is told."""

from __future__ import annotations

from omni_tui.face.shell import Shell, request
from omni_tui.protocol.context import ReadSystem, SetSystem, SystemText


def show_context(shell: Shell, _argument: str) -> None:
    """Show what the last request carried."""
    from omni_tui.face.screens.context import ContextScreen

    shell.show(ContextScreen())


def show_system_prompt(shell: Shell, _argument: str) -> None:
    """Show the system prompt; the person can edit their part of it."""
    from omni_tui.face.screens.system_prompt import SystemPromptScreen

    shell.show(SystemPromptScreen())


def pin(shell: Shell, words: str) -> None:
    """Add words to the person's part of the system prompt, which is in every request."""
    if words.strip():
        shell.in_background(_pin(shell, words.strip()), "pin")
    else:
        show_system_prompt(shell, "")


async def _pin(shell: Shell, words: str) -> None:
    known = await request(shell, ReadSystem())
    if isinstance(known, SystemText):
        done = await request(shell, SetSystem(text=f"{known.own}\n{words}".strip()))
        if done is not None:
            shell.say("Pinned: it is in every request of this session. /system shows and changes it.")
