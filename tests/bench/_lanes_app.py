"""The real app with a 20 Hz ticker, over sixteen agents that stream: for `tests.bench.lanes`.

`python -m tests.bench._lanes_app`: nothing happens; then each of sixteen agents streams thirty deltas
a second into its lane, all of them folded; then with all of them unfolded; then one of them alone.
"""

from __future__ import annotations

import asyncio
import gc
import itertools

from textual.content import Content
from textual.widgets import Static

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.transcript.item_types import TaskItem
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Answer, AnswerDelta
from omni_tui.protocol.plan import PlanPhase, PlanTask
from tests.face import plans, scenario
from tests.face.fake import FakeLink

AGENTS = 16
DELTAS_S = 30
PERIOD_S = 0.05
TICKS = 100
PHASES = ("begin", "idle", "folded", "unfolded", "alone", "done")
_WORDS = ("one more ", "word of ", "an answer, ", "and `code` ", "and **weight** ", "by the line.\n\n")


def script() -> FakeLink:
    """A plan with sixteen tasks, all of them at work."""
    tasks = tuple(
        PlanTask(id=f"w{n}", title=SafeText(f"work {n}"), goal=SafeText("all"), agent=f"root/p1/w{n}")
        for n in range(AGENTS)
    )
    phase = PlanPhase(id="p1", title=SafeText("all at once"), tasks=tasks)
    states = [plans.moved(f"w{n}", "running", agent=f"root/p1/w{n}") for n in range(AGENTS)]
    return FakeLink([scenario.ready(), *plans.begun(), plans.plan(phases=(phase,), asks=False), *states])


class LanesApp(OmniApp):
    """Ticks, and makes the agents stream from the second phase on."""

    CSS = "#ticker { dock: top; height: 1; width: 30; }"
    ticks = 0
    phase = "begin"

    def on_mount(self) -> None:
        """Begin to tick with the first frame. (Textual calls the handler of the app itself.)"""
        self.ticker = Static("", id="ticker")
        self.screen.mount(self.ticker)
        self.set_interval(PERIOD_S, self._tick)
        self.run_worker(self._stream(), exit_on_error=False)

    @property
    def view(self) -> TranscriptView:
        """The transcript."""
        return self.query_one(TranscriptView)

    def _tick(self) -> None:
        self.ticks += 1
        self.ticker.update(Content(f"<{self.phase}:{self.ticks}>"))
        if self.ticks >= TICKS and self.phase != "done":
            self.phase, self.ticks = PHASES[PHASES.index(self.phase) + 1], 0
            if self.phase == "unfolded":
                self._unfold()
            elif self.phase == "alone":
                self.view.zoom_into(self._tasks()[0][1])

    def _tasks(self) -> list[tuple[int, TaskItem]]:
        return [(at, item) for at, item in enumerate(self.view.fold.items) if isinstance(item, TaskItem)]

    def _unfold(self) -> None:
        for at, task in self._tasks():
            task.folded = False
            self.view.fold.touch(at)
        self.view.flush()

    async def _stream(self) -> None:
        """Deltas at their pace; every two hundred of them an answer is whole, and the next begins."""
        assert isinstance(self.link, FakeLink)
        for number in itertools.count():
            await asyncio.sleep(1 / DELTAS_S)
            if self.phase in ("begin", "idle"):
                continue
            for agent in range(AGENTS):
                path, message = f"root/p1/w{agent}", f"m{agent}-{number // 200}"
                text = SafeText(_WORDS[number % len(_WORDS)])
                self.link.emit(AnswerDelta(turn="t1", message=message, agent=path, text=text))
                if number % 200 == 199:
                    whole = SafeText("".join(_WORDS) * 33)
                    self.link.emit(Answer(turn="t1", message=message, agent=path, text=whole))


def main() -> None:
    """Run it."""
    gc.disable()  # as `omni_tui.cli.command_table` does; the app enables it after its first frame
    LanesApp(script(), FaceOptions()).run()


if __name__ == "__main__":
    main()
