"""Statistics of the session since it began: its calls, messages, turns and models, and the cache."""

from __future__ import annotations

from collections.abc import Iterator

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.formats import counted, money
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.call_stats import ClearCache, ModelUse, ReadStats, StatsRead, ToolExecutions
from omni_tui.protocol.events import CallChanged, CallFinished, CommandDone, TurnEnded
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

_NAME = 34
_NARROW = 100
_WORDS = {"result_rejected": "with a wrong result", "limit": "at a limit", "uncertain": "unknown"}
"""How something ended, where the word of the protocol does not say it."""
_COLUMNS = ("calls", "failed", "unknown", "cached", "mean", "longest")


class StatsScreen(LinesScreen):
    """Updates itself when a call or a turn ends."""

    BINDINGS = [Binding("c", "clear", "clear the cache")]

    def __init__(self, first: StatsRead) -> None:
        super().__init__("STATISTICS")
        self._stats = first

    def apply(self, event: AnyEvent) -> None:
        """Update when a call or a turn has ended."""
        if isinstance(event, CallFinished | CallChanged | TurnEnded):
            self._renew()

    def draw(self) -> None:
        """Show the statistics."""
        spent = shell_of(self).overview.spending_summary()
        self.view.show(stats_lines(self._stats, spent, self.size.width))
        self.foot(key_line(("esc", "back"), ("c", "clear the cache")))

    @work(exclusive=True, exit_on_error=False, group="stats")
    async def _renew(self, *, clear: bool = False) -> None:
        shell = shell_of(self)
        if clear and isinstance(done := await request(shell, ClearCache()), CommandDone):
            shell.say(f"{done.text}.")
        reply = await request(shell, ReadStats())
        if isinstance(reply, StatsRead) and self.is_mounted:
            self._stats = reply
            self.draw()

    def action_clear(self) -> None:
        """Clear the result cache."""
        self._renew(clear=True)


def stats_lines(stats: StatsRead, spent: str, width: int) -> Iterator[Content]:
    """Yield a row for each tool, then the whole session, its models, cache and pool, and the cost."""
    name = _NAME if width >= _NARROW else max(14, width - 5 - 9 * len(_COLUMNS))
    if stats.tools:
        head = f"{'tool':<{name}}" + "".join(f"{column:>9}" for column in _COLUMNS)
        yield Content.styled(head, "$text-3")
        for row in stats.tools:
            yield _row(row, name)
    else:
        yield Content.styled("No calls yet.", "$text-2")
    yield Content("")
    yield _fact("messages", f"{stats.messages:,} of yours, {counted(stats.answers, 'answer')}")
    for what, by_end in (("turns", stats.turns), ("calls", stats.calls)):
        if by_end:
            yield _fact(what, _ends(by_end))
    for number, use in enumerate(stats.models):
        yield _fact("models" if not number else "", use_words(use))
    yield Content("")
    cached = f"{counted(stats.cache_entries, 'result')}, used {counted(stats.cache_hits, 'time')}"
    yield _fact("cache", cached)
    pool = stats.pool
    running = f"{pool.running} of {pool.size} running, {pool.queued} queued, at most {pool.most_queued}"
    yield _fact("threads", running)
    yield Content("")
    yield Content.styled(spent, "$text-2")


def _fact(what: str, words: str) -> Content:
    return Content.assemble((f"{what:<10}", "$text-3"), (words, "$text-2"))


def _ends(counts: dict[str, int]) -> str:
    """Return how often what ended: `4 done, 1 stopped`."""
    most = sorted(counts.items(), key=_most_often)
    return ", ".join(f"{count:,} {_WORDS.get(end, end)}" for end, count in most)


def _most_often(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def use_words(use: ModelUse) -> str:
    """Return what one model used: `some/model · 3 requests · 1,200 tokens in, 40 out · $0.0021`."""
    about = "about " if use.estimated else ""
    return " · ".join(
        (
            safe_line(use.model, limit=_NAME) or "an unknown model",
            counted(use.requests, "request"),
            f"{about}{use.input:,} tokens in, {use.output:,} out",
            money(use.cost, unpriced=use.unpriced > 0),
        )
    )


def _row(row: ToolExecutions, name: int) -> Content:
    sent = row.succeeded + row.failed
    label = safe_line(f"{identifier(row.server)} › {row.tool}", limit=name - 1)
    cells: list[tuple[str, str]] = [(f"{row.total:>9,}", "$text-1")]
    for count, style in ((row.failed, "$fail"), (row.uncertain, "$waiting"), (row.cached, "$text-2")):
        cells.append((f"{count:>9,}", style) if count else (f"{'·':>9}", "$text-3"))
    for seconds in (row.duration / sent if sent else None, row.longest if sent else None):
        words = f"{seconds:.2f} s" if seconds is not None else "·"
        cells.append((f"{words:>9}", "$text-2"))
    label_text = Content.styled(label, "$text-1")
    padding = " " * max(0, name - label_text.cell_length)
    return label_text + padding + Content.assemble(*cells)
