"""A server that is not allowed yet: what it would really start is shown, and only a calm A allows it."""

from __future__ import annotations

import json

import pytest
from textual.geometry import Size
from textual.pilot import Pilot

from omni_tui.face.screens.trust import TrustServerScreen, launch_lines
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.commands import AllowServer, ReadLaunch
from omni_tui.protocol.events import ServerChanged
from omni_tui.protocol.server_settings import LaunchRead
from tests.face import scenario
from tests.face.conftest import Face, arm, until
from tests.lengths import some

THEIRS = {
    "command": "git",
    "args": ["mcp-server", "--safe", "a b", "x\u200by"],
    "cwd": "",
    "env": {"PATH": "bin", "LD_PRELOAD": "x.so", "API_TOKEN": None},
}


def waiting(name: str = "theirs", source: str = "project") -> ServerChanged:
    return ServerChanged(
        name=name, state="not_allowed", since=0.0, label=SafeText(name), transport="stdio",
        target=SafeText("git mcp-server --safe"), source=source,  # type: ignore[arg-type]
    )  # fmt: skip


def launch(**more: object) -> LaunchRead:
    fields: dict[str, object] = {
        "server": "theirs",
        "digest": "the-digest",
        "program": SafeText("/home/me/project/bin/git"),
        "real": SafeText("/home/me/project/evil.sh"),
        "launch_json": JsonText(json.dumps(THEIRS)),
        "source": "project",
        "dangers": (SafeText("PATH decides which programs run"),),
    }
    return LaunchRead(**{**fields, **more})  # type: ignore[arg-type]


async def ask(face: Face, pilot: Pilot[None], answer: LaunchRead) -> TrustServerScreen:
    """Press y on the server that waits, and let what it starts be drawn."""
    face.link.answers[ReadLaunch] = lambda _command: [answer]
    await face.settle(pilot)
    await pilot.press("f2", "end", "y")
    await until(pilot, lambda: isinstance(face.app.screen, TrustServerScreen))
    screen = face.app.screen
    assert isinstance(screen, TrustServerScreen)
    await until(pilot, lambda: screen.view.count > 0)
    return screen


def text_of(screen: TrustServerScreen) -> str:
    return "\n".join(screen.view.render_line(y).text for y in range(screen.view.count))


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 15)])
async def test_everything_that_decides_what_runs_is_there_to_be_read(size: tuple[int, int]) -> None:
    face = Face(scenario.ready(), waiting())
    async with face.app.run_test(size=size) as pilot:
        screen = await ask(face, pilot, launch())
        seen = "".join(text_of(screen).split())
        for words in (
            "/home/me/project/bin/git", "/home/me/project/evil.sh", "mcp-server", "--safe", "a b",
            "x<U+200B>y", "x\\u200by", "PATH=bin", "LD_PRELOAD=x.so", "API_TOKEN, its value is secret",
            "PATH decides which programs run", "this project's file names it",
        ):  # fmt: skip
            assert "".join(words.split()) in seen, words


async def test_a_calm_shifted_key_allows_exactly_what_was_shown() -> None:
    face = Face(scenario.ready(), waiting())
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await ask(face, pilot, launch())
        assert face.link.sent(AllowServer) == []
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: bool(face.link.sent(AllowServer)))
        sent = face.link.sent(AllowServer)[-1]
        assert (sent.server, sent.digest) == ("theirs", "the-digest")


@pytest.mark.parametrize("source", ["project", "imported"])
@pytest.mark.parametrize("key", some(["y", "Y", "enter", "space", "a", "tab", "escape"], 4))
async def test_no_key_of_habit_allows_a_server(key: str, source: str) -> None:
    face = Face(scenario.ready(), waiting(source=source))
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await ask(face, pilot, launch(source=source))
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        face.clock.advance(1.0)
        await pilot.press(key)
        face.clock.advance(1.0)
        await until(pilot, lambda: not screen.decision.holding)
        assert face.link.sent(AllowServer) == []


@pytest.mark.parametrize("why", ["too early", "resize", "not seen to its end", "twice in one go"])
async def test_the_safeguards_of_an_approval_hold(why: str) -> None:
    many = {**THEIRS, "args": [f"argument-{n}" for n in range(200)]}
    answer = launch(launch_json=JsonText(json.dumps(many))) if why == "not seen to its end" else launch()
    face = Face(scenario.ready(), waiting())
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await ask(face, pilot, answer)
        face.clock.advance(0.0 if why == "too early" else 1.0)
        await until(pilot, lambda: screen.arming.painted is not None)
        face.clock.advance(0.1 if why == "too early" else 1.0)
        if why == "resize":
            await pilot.resize_terminal(*Size(110, 39))
        await pilot.press(*("A", "A") if why == "twice in one go" else "A")
        face.clock.advance(1.0)
        await until(pilot, lambda: not screen.decision.holding)
        assert face.link.sent(AllowServer) == []


async def test_what_changed_since_it_was_shown_is_refused_in_words() -> None:
    face = Face(scenario.ready(), waiting())
    face.link.refuse(AllowServer, "What theirs starts has changed", "its program is another", "look again")
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await ask(face, pilot, launch())
        await until(pilot, lambda: screen.arming.painted is not None and screen.arming.painted.whole)
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: "has changed" in screen._said)
        assert face.app.screen is screen


def test_a_server_behind_an_address_shows_it_whole_with_its_headers() -> None:
    address = "https://mcp.example/" + "a" * 100 + "?key=value"
    text = json.dumps({"url": address, "headers": {"X-Team": "blue", "Authorization": None}})
    lines = launch_lines(launch(launch_json=JsonText(text), dangers=(), program=SafeText("")), 40)
    seen = "".join("".join(line.plain.split()) for line in lines)
    for words in (address, "X-Team:blue", "Authorization,itsvalueissecret"):
        assert words in seen


def test_what_is_passed_on_of_the_environment_is_named() -> None:
    given = {**THEIRS, "inherit": ["SSH_AUTH_SOCK", "HTTPS_PROXY"]}
    named = launch(launch_json=JsonText(json.dumps(given)))
    text = "\n".join(line.plain for line in launch_lines(named, 80))
    assert "SSH_AUTH_SOCK, as your environment has it" in text
    assert "HTTPS_PROXY, as your environment has it" in text
