"""What a person asks about how calls are carried out: how they went, and to forget what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.turns import InTurn
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.execution import ClearCache, ReadStats, StatsRead
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.face.port import Port

ROWS = 8
"""Tools that are told of; the rest is counted."""

actions.add(
    Action("cache", "", "app", "Forget the results kept in the cache", "", "cache", "clear [SERVER]"),
    Action("stats", "", "app", "Say how the calls of this session went", "", "stats"),
)


class Executing(InTurn):
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
        """Say how the calls of this session went."""
        self.run_worker(self._stats(), group="stats", exit_on_error=False)

    async def _stats(self) -> None:
        reply = await self._asked(ReadStats())
        if isinstance(reply, StatsRead):
            words = "\n".join(stats_lines(reply))
            self.notify(words, title="Calls of this session", timeout=20.0, markup=False)

    async def _asked(self, command: ClearCache | ReadStats) -> AnyEvent | None:
        """Return the engine's answer; what is wrong is said."""
        from omni_tui.face.results.errors import ASKING, words_of

        try:
            reply: AnyEvent = await self.port.ask(command)
            return reply
        except ASKING as error:
            self._tell(words_of(error), "error")
            return None


def stats_lines(stats: StatsRead) -> list[str]:
    """Return how calls went, a line a tool, then the cache and the pool."""
    lines = []
    for row in stats.tools[:ROWS]:
        sent = row.succeeded + row.failed
        words = [f"{row.total} calls" if row.total != 1 else "1 call"]
        words += [
            f"{count} {what}"
            for count, what in ((row.failed, "failed"), (row.uncertain, "unknown"), (row.cached, "cached"))
            if count
        ]
        if sent:
            words.append(f"{row.duration / sent:.2f} s each, {row.longest:.2f} s at most")
        lines.append(f"{safe_line(row.server, limit=40)} › {row.tool}: {', '.join(words)}")
    if len(stats.tools) > ROWS:
        lines.append(f"and {len(stats.tools) - ROWS} more tools")
    if not lines:
        lines.append("No tool was called yet.")
    pool = stats.pool
    lines.append(f"cache: {stats.cache_entries} results kept, {stats.cache_hits} used")
    lines.append(
        f"threads: {pool.running} of {pool.size} run, {pool.queued} wait, {pool.most_queued} at most"
    )
    return lines
