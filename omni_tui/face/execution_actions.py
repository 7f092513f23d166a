"""What a person asks about how calls are carried out: how they went, and to forget what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.input_order import OrderedInputApp
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.events import CommandDone

if TYPE_CHECKING:
    from omni_tui.face.port import Port

actions.add(
    Action("cache", "", "app", "Forget the results kept in the cache", "", "cache", "clear [SERVER]"),
    Action("stats", "", "app", "Show how the calls of this session went", "", "stats"),
)


class ExecutionActions(OrderedInputApp):
    """The `action_*` methods about the execution of calls."""

    port: Port

    def _tell(self, words: str, level: str) -> None:
        raise NotImplementedError

    def action_cache(self, what: str = "") -> None:
        """Empty the cache of results, of one server or of all."""
        verb, _, server = what.strip().partition(" ")
        if verb not in ("", "clear"):
            self._tell("Write /cache clear, or /cache clear SERVER.", "warning")
            return
        self.run_worker(self._cleared(server.strip()), group="cache", exit_on_error=False)

    async def _cleared(self, server: str) -> None:
        reply = await self._asked(ClearCache(server=server))
        if isinstance(reply, CommandDone):
            self._tell(f"{reply.text}.", "information")

    def action_stats(self) -> None:
        """Show how the calls of this session went."""
        self.run_worker(self._stats(), group="stats", exit_on_error=False)

    async def _stats(self) -> None:
        reply = await self._asked(ReadStats())
        if isinstance(reply, StatsRead):
            from omni_tui.face.screens.stats import StatsScreen

            self.push_screen(StatsScreen(reply))

    async def _asked(self, command: ClearCache | ReadStats) -> AnyEvent | None:
        """Return the engine's answer; what is wrong is said."""
        from omni_tui.face.results.errors import REQUEST_ERRORS, error_text

        try:
            reply: AnyEvent = await self.port.ask(command)
        except REQUEST_ERRORS as error:
            self._tell(error_text(error), "error")
            return None
        return reply
