"""The real app with a 20 Hz ticker on top, which sets off what `tests.bench.gaps` measures.

`python -m tests.bench._ticker_app CONFIG STATE`: idles, then makes LiteLLM load and answer, then
calls tools with large results, and names the phase in every tick.
"""

from __future__ import annotations

import gc
import sys

from textual.content import Content
from textual.widgets import Static

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.links import spawn_engine
from omni_tui.protocol import AnyEvent, JsonText, LaunchOptions, Link
from omni_tui.protocol.commands import CallTool, SendMessage
from omni_tui.protocol.events import CallFinished, ToolsListed, TurnEnded

PERIOD_S = 0.05
BEGIN_TICKS = 20
IDLE_TICKS = 60


class TickerApp(OmniApp):
    """Ticks, and goes from phase to phase by what the engine says."""

    CSS = "#ticker { dock: top; height: 1; width: 30; }"
    phase = "start"
    ticks = 0

    def on_mount(self) -> None:
        """Begin to tick with the first frame. (Textual calls the handler of the app itself.)"""
        self.ticker = Static("", id="ticker")
        self.screen.mount(self.ticker)
        self.set_interval(PERIOD_S, self._tick)

    def _tick(self) -> None:
        self.ticks += 1
        self.ticker.update(Content(f"<{self.phase}:{self.ticks}>"), layout=False)
        if self.phase == "begin" and self.ticks >= BEGIN_TICKS:
            self._enter("idle")
        if self.phase == "idle" and self.ticks >= IDLE_TICKS:
            self._enter("litellm")
            self.port.send(SendMessage(text="hello"))

    def _enter(self, phase: str) -> None:
        self.phase, self.ticks = phase, 0

    def deliver(self, event: AnyEvent) -> None:
        """Go on to the next phase when what this one waits for has happened."""
        super().deliver(event)
        if self.phase == "start" and isinstance(event, ToolsListed) and event.tools:
            self._enter("begin")
        elif self.phase == "litellm" and isinstance(event, TurnEnded):
            self._enter("text5MB")
            self._call("big")
        elif self.phase == "text5MB" and isinstance(event, CallFinished):
            self._enter("rows5MB")
            self._call("rows")
        elif self.phase == "rows5MB" and isinstance(event, CallFinished):
            self._enter("done")

    def _call(self, tool: str) -> None:
        arguments = JsonText('{"size":5000000,"count":60000}')
        self.port.send(CallTool(server="big", tool=tool, arguments_json=arguments))


def main() -> None:
    """Start the engine, then the face, as the app does."""
    config, state = sys.argv[1:]
    engine = spawn_engine(LaunchOptions(config=config, state_dir=state, resume="new"))

    async def connect() -> Link:
        return await engine.link()

    gc.disable()  # as `omni_tui.cli.command_table` does; the app enables it after its first frame
    TickerApp(connect, FaceOptions(config_path=config, state_dir=state)).run()


if __name__ == "__main__":
    main()
