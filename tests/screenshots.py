"""Draw the pictures of the guide anew: `python -m tests.screenshots`.

The real app on the real demonstration (its server over stdio, the offline model, an engine in its
own process), driven by keys; nothing in the pictures is made up.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.links import start_engine
from omni_tui.protocol import LaunchOptions, Link

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "screenshots"
LIMIT_S = 60.0
ARMED_S = 0.6
WIDE, NARROW = (160, 45), (80, 24)

_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""What would load a font from elsewhere."""

Run = Callable[["Shot"], Awaitable[None]]


class Shot:
    """The app under the pilot, and words for what a person does with it."""

    def __init__(self, app: OmniApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    def shown(self, text: str) -> bool:
        """Whether a text stands on the screen."""
        return text in html.unescape(self.app.export_screenshot())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the app go on until something holds."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await self.pilot.pause(0.05)
        await self.pilot.pause(0.2)

    async def say(self, text: str) -> None:
        """Write a message and send it."""
        await self.pilot.press("f4")
        self.app.main.chat.composer.insert(text)
        await self.pilot.press("enter")

    async def asked(self) -> None:
        """Wait for a call that waits for the person."""
        await self.until(lambda: bool(self.app.overview.pending))

    async def approve(self) -> None:
        """Approve what waits, as calmly as the app wants it."""
        await self.pilot.press("f5")
        while self.app.overview.pending:
            await self.pilot.pause(ARMED_S)
            await self.pilot.press("A")
            await self.pilot.pause(0.2)
        await self.until(lambda: not self.app.overview.running)


async def conversation(shot: Shot) -> None:
    """One call answered, the next one waiting, with the approvals in focus."""
    await shot.say("add 17 and 25")
    await shot.asked()
    await shot.approve()
    await shot.say("write a note shopping saying buy milk, bread and a lemon")
    await shot.asked()
    await shot.pilot.press("f5")
    await shot.pilot.pause(ARMED_S)


async def narrow(shot: Shot) -> None:
    """The same conversation where one pane fits."""
    await conversation(shot)
    await shot.pilot.press("f4")


async def tool(shot: Shot) -> None:
    """A tool called by hand, with its structured result."""
    from omni_tui.face.screens.tool import ToolScreen

    screen = ToolScreen("demo", "weather_report", '{"city":"Oslo"}')
    await shot.app.push_screen(screen)
    await shot.pilot.pause(0.5)
    await shot.pilot.press("f9")
    await shot.until(lambda: shot.shown("temperature_c"))
    await shot.pilot.pause(0.5)


async def keys(shot: Shot) -> None:
    """F1."""
    await shot.pilot.press("f5", "f1")
    await shot.pilot.pause(0.3)


SHOTS: dict[str, tuple[Run, tuple[int, int], str]] = {
    "wide": (conversation, WIDE, "omni-dark"),
    "narrow": (narrow, NARROW, "omni-dark"),
    "tool": (tool, WIDE, "omni-dark"),
    "light": (conversation, (120, 40), "omni-light"),
    "contrast": (conversation, (120, 40), "high-contrast"),
    "keys": (keys, (120, 40), "omni-dark"),
}


async def take(name: str) -> None:
    """Run the app for one picture and write it."""
    run, size, theme = SHOTS[name]
    with tempfile.TemporaryDirectory(prefix="omni-") as state:

        async def connect() -> Link:
            return await start_engine(LaunchOptions(demo=True, state_dir=state))

        app = OmniApp(connect, FaceOptions(theme=theme, state_dir=state))
        async with app.run_test(size=size) as pilot:
            shot = Shot(app, pilot)
            await shot.until(lambda: sum(app.overview.tools.values()) > 0)
            await run(shot)
            svg = app.export_screenshot(title="Omni TUI")
        if app.link is not None:
            await app.link.close()
    (FOLDER / f"{name}.svg").write_text(_anywhere(svg, state), encoding="utf-8")


def _anywhere(svg: str, state: str) -> str:
    """Take this machine's paths and what loads a font out of a picture, keeping every letter's width."""
    paths = {state: "/tmp/omni-tui-demo", str(ROOT): "~/omni-tui", sys.prefix: "~/.venv"}

    def tidy(text: re.Match[str]) -> str:
        before, length, middle, words = text.groups()
        fewer = words
        for path, short in paths.items():
            fewer = fewer.replace(path, short)
        cell = float(length) / len(html.unescape(words))
        return f"{before}{cell * len(html.unescape(fewer)):.1f}{middle}{fewer}<"

    svg = _FONT.sub("", svg)
    svg = re.sub(r'(<text [^>]*textLength=")([\d.]+)("[^>]*>)([^<]+)<', tidy, svg)
    left = [path for path in paths if path in svg]
    if left:
        raise SystemExit(f"a path of this machine is cut in two on the screen: {left}")
    return svg


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    FOLDER.mkdir(exist_ok=True)
    for name in names or list(SHOTS):
        asyncio.run(take(name))
        sys.stdout.write(f"{(FOLDER / name).relative_to(ROOT)}.svg\n")


if __name__ == "__main__":
    main(sys.argv[1:])
