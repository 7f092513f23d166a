"""The main job on a real terminal, by keys alone: connect, ask, see, approve, see the answer.

Real servers (`server-everything`, `server-filesystem`), the real LiteLLM over HTTP, and `llmock` in
the place of a provider.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply as Scripted
from llmock.scenarios import ToolCall as ScriptedCall

from tests.wire.conftest import WebServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.needs("tmux"),
]

WAIT_S = 60.0
PAUSE_S = 0.8
"""Longer than the 400 ms for which a newly painted item cannot be approved."""


class Terminal:
    """One tmux session with the app in it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._socket = str(folder / "tmux")
        self._size = ["-x", str(width), "-y", str(height)]

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", self._socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self, words: list[str], env: dict[str, str]) -> None:
        """Run the app on these words."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
        program = shlex.join([sys.executable, "-m", "omni_tui", *words])
        command = f"env -u COLUMNS -u LINES {settings} {program}"
        self._tmux("new-session", "-d", *self._size, command)

    def keys(self, *keys: str) -> None:
        """Press keys (tmux's names)."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type text, all of it in one go."""
        self._tmux("send-keys", "-l", text)

    def say(self, text: str) -> None:
        """Write a message and send it. Enter comes once the text is there: in one go it is text too."""
        self.type(text)
        self.until(text[-12:])
        self.keys("Enter")

    def screen(self) -> str:
        """Return what stands on the screen."""
        return self._tmux("capture-pane", "-p")

    def until(self, *texts: str) -> str:
        """Wait until all of these stand on the screen."""
        end = time.monotonic() + WAIT_S
        while True:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < end, f"{texts} did not appear:\n{screen}"
            self._pause(0.1)

    def gone(self, text: str) -> None:
        """Wait until something stands on the screen no longer."""
        end = time.monotonic() + WAIT_S
        while text in (screen := self.screen()):
            assert time.monotonic() < end, f"{text} is still there:\n{screen}"
            self._pause(0.1)

    def approve(self) -> None:
        """Go to the card and press A, calmly, until it counts: not before the card is armed."""
        self.keys("F5")
        end = time.monotonic() + WAIT_S
        while "to approve" in self.screen():
            assert time.monotonic() < end, f"A did not approve:\n{self.screen()}"
            self.rest()
            self.keys("A")

    def rest(self) -> None:
        """Do nothing for a moment, as a person does between two thoughts."""
        self._pause(PAUSE_S)

    def _pause(self, seconds: float) -> None:
        """Let another program's screen move on; it tells nobody when it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["tmux", "-S", self._socket, "wait-for", "never"], timeout=seconds)

    def end(self) -> None:
        """End the app."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    running = Terminal(tmp_path, 120, 40)
    yield running
    running.end()


def environment(tmp_path: Path) -> dict[str, str]:
    names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PYTHON_KEYRING_BACKEND", "PYTHONPATH")
    return {name: os.environ[name] for name in names} | {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}


def test_the_demo(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start(["demo"], environment(tmp_path))
    terminal.until("TOOLS 10", "Ask, or tell it what to do")
    terminal.say("add 17 and 25")
    terminal.until("Words matched", "waiting for you", "APPROVALS 1")
    terminal.approve()
    screen = terminal.until("└ 42", "offline rules - not a language model")
    assert "APPROVALS 0" in screen


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_model_over_http_and_a_real_server(
    transport: str,
    terminal: Terminal,
    tmp_path: Path,
    npm_bin: Callable[[str], str],
    request: pytest.FixtureRequest,
    llmock: LLMock,
) -> None:
    if transport == "http":
        server: WebServer = request.getfixturevalue("everything")
        reach = f'url = "{server.url}"'
    else:
        reach = f'command = "{npm_bin("mcp-server-everything")}"'
    config = tmp_path / "config.toml"
    config.write_text(
        f'[model]\nname = "openai/gpt-4o"\napi_base = "{llmock.base_url("openai")}"\n'
        f"[servers.all]\n{reach}\n"
    )
    call = ScriptedCall("all__echo", {"message": "hello from the far side"})
    llmock.add(Scripted(text="I will echo it.", tool_calls=(call,))).reply("It said **hello**.")
    env = environment(tmp_path) | {"OPENAI_API_KEY": "sk-test-0123456789abcdef"}
    terminal.start(["--config", str(config), "--state-dir", str(tmp_path / "state"), "--new"], env)
    terminal.until("TOOLS 16")
    terminal.say("echo hello")
    terminal.until("all › echo", "waiting for you")
    assert "Echo: hello" not in terminal.screen()
    terminal.approve()
    terminal.until("Echo: hello from the far side", "It said hello.")
    llmock.assert_resilient()


def test_a_tool_by_hand_through_its_form(
    terminal: Terminal, tmp_path: Path, npm_bin: Callable[[str], str]
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "note.txt").write_text("the tide is high\n")
    config = tmp_path / "config.toml"
    config.write_text(
        f'[servers.files]\ncommand = "{npm_bin("mcp-server-filesystem")}"\nargs = ["{files}"]\n'
    )
    terminal.start(
        ["--config", str(config), "--state-dir", str(tmp_path / "state"), "--new"],
        environment(tmp_path),
    )
    terminal.until("TOOLS 14")
    terminal.keys("F3")
    terminal.until("/ filter")
    terminal.keys("/")
    terminal.rest()
    terminal.type("read_text")
    terminal.gone("list_allowed_directories")
    terminal.keys("Enter")
    terminal.until("files › read_text_file", "path *")
    terminal.type(str(files / "note.txt"))
    terminal.until(str(files)[:12])
    terminal.keys("F9")
    terminal.until("the tide is high")
