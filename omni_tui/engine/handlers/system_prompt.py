"""Commands about what a model is told besides the conversation."""

from __future__ import annotations

from omni_tui.agents.system_prompt import system_prompt
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import context as x
from omni_tui.protocol.events import CommandDone
from omni_tui.security.text import safe

LONGEST = 20_000
"""Characters of the person's own part of the system prompt."""
_SHOWN = 40_000


class SystemPromptHandlers(Handlers):
    """Shows and changes the system prompt of the session."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {x.ReadSystem: self._read, x.SetSystem: self._set}

    async def _read(self, _command: x.ReadSystem) -> AnyEvent:
        session = self._session
        policy = session.policy()
        return x.SystemText(
            own=safe(policy.system_prompt, limit=_SHOWN),
            source="config" if session.settings.system is None else "session",
            whole=safe(system_prompt(policy.system_prompt, policy.instructions), limit=_SHOWN),
        )

    async def _set(self, command: x.SetSystem) -> AnyEvent:
        if len(command.text) > LONGEST:
            raise UserError(
                f"the system prompt has {len(command.text)} characters; at most {LONGEST} can be set"
            )
        await self._session.set_system(command.text.strip())
        return CommandDone(text=safe("the model is told so from your next message on"))
