"""What a session keeps for its models: context windows, and results that can be read again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor

from omni_tui.agents.agent_host import EarlierResult
from omni_tui.memory import Journal, call_table
from omni_tui.models.summary import Summary
from omni_tui.models.window import Window
from omni_tui.protocol import Event
from omni_tui.protocol.context import ContextChanged, ContextSummarised
from omni_tui.tools.results import StoredResult, model_text


class ContextStore:
    """The context windows of a session's agents. `context` is that of the root's last request."""

    def __init__(
        self, journal: Journal, summaries: Iterable[ContextSummarised] = (), pool: Executor | None = None
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._summaries: dict[str, list[Summary]] = {}
        for event in summaries:
            summary = Summary(event.upto, event.mark, event.text, event.by_model)
            self._summaries.setdefault(event.agent, []).append(summary)
        self._windows: dict[str, Window] = {}
        self._last: tuple[str, EarlierResult] | None = None
        self.context: ContextChanged | None = None

    def window(self, agent: str) -> Window:
        """Return an agent's window, with the summaries made before a restart."""
        if agent not in self._windows:
            self._windows[agent] = Window(self._summaries.get(agent, ()))
        return self._windows[agent]

    def note(self, event: Event) -> None:
        """Keep what clients that arrive later should know."""
        if isinstance(event, ContextChanged) and event.agent == "root":
            self.context = event

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the whole result of an agent's call, None if there is none.

        Calls by hand are left out: a model was never told of them. The last result is kept, since it
        is read page by page.
        """
        if self._last is not None and self._last[0] == call:
            return self._last[1]
        row = await self._journal.run(lambda tx: call_table.load(tx, call))
        if row is None or row.origin != "agent":
            return None
        data = await self._journal.run(lambda tx: call_table.get_result(tx, call, row.attempt))
        if not data:
            return None
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self._pool, lambda: model_text(StoredResult.load(data).raw()))
        self._last = (call, EarlierResult(text, row.state))
        return self._last[1]
