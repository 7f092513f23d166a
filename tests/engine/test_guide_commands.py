"""Every command of the guide does what its page says, in the order of the page."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.config.ui_settings import default_config_file
from tests.command_line import Done, command
from tests.guide import RUN, Block, Step, blocks, pages, prints, steps
from tests.redis_server import RedisServer
from tests.security.pty_app import app

KEYS = ("ANTHROPIC_API_KEY", "TRACKER_TOKEN", "REDIS_PASSWORD")
"""The variables that the pages take for granted."""
_SHELL = set("|<>;&$`")
_OMNI = f'omni-tui() {{ "{sys.executable}" -m omni_tui "$@"; }}\nset -o pipefail\n'

PAGES = [page for page in pages() if any(block.language in RUN for block in blocks(page))]


def done_by(text: str) -> Done:
    """Run a line as a person types it; a plain command of ours in this process."""
    words = shlex.split(text)
    if words[0] == "omni-tui" and not _SHELL & set(text):
        return command(*words[1:])
    return subprocess.run(
        ["bash", "-c", _OMNI + text], capture_output=True, text=True, timeout=120, check=False
    )


def told(done: Done) -> str:
    """Return all that a command printed, what it found first."""
    return done.stdout + ("" if done.stdout.endswith("\n") or not done.stdout else "\n") + done.stderr


def write(block: Block) -> None:
    """Put a block into the file that it is."""
    name = block.marks["file"]
    ours = name == "config.toml" or name.startswith("themes/")
    file = default_config_file().parent / name if ours else Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, encoding="utf-8")


def check(block: Block, step: Step) -> None:
    """Run a command, and compare what it does with what the page says."""
    if words := block.marks.get("terminal"):
        with app(*shlex.split(step.command)[1:]) as running:
            running.until(words)
            running.leave()
        return
    done = done_by(step.command)
    assert done.returncode == int(block.marks.get("exit", "0")), f"{block}: {step.command}\n{told(done)}"
    fits = prints(step, told(done)) or prints(step, done.stdout)
    assert fits, f"{block}: {step.command} printed\n{told(done)}"


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Redis for the page that is about it, and nothing for the others."""
    server = RedisServer(tmp_path / "redis")

    async def start() -> None:
        await server.start()
        await server.do("CONFIG", "SET", "requirepass", "none")

    asyncio.run(start())
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{server.port}")
    yield
    server.kill()


def needs_of(page: Path) -> set[str]:
    """Return the parts that the commands of a page need."""
    return {part for block in blocks(page) for part in block.marks.get("needs", "").split()}


def _case(page: Path) -> object:
    needs = sorted(needs_of(page))
    return pytest.param(page, id=page.stem, marks=[pytest.mark.needs(*needs)] if needs else [])


@pytest.mark.parametrize("page", [_case(page) for page in PAGES])
def test_a_page_does_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "redis" in needs_of(page):
        request.getfixturevalue("redis")
    for name in KEYS:
        monkeypatch.setenv(name, "none")
    monkeypatch.delenv("TMUX", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for block in blocks(page):
        if "file" in block.marks:
            write(block)
        elif block.language in RUN and "skip" not in block.marks:
            for step in steps(block):
                check(block, step)


def test_the_guide_is_run_at_all() -> None:
    run = [
        step for page in PAGES for block in blocks(page) for step in steps(block) if block.language in RUN
    ]
    assert len(PAGES) > 10
    assert sum(step.command.startswith("omni-tui") for step in run) > 30
    assert os.access(sys.executable, os.X_OK)


def test_what_a_page_says_wrongly_is_found() -> None:
    step = Step("omni-tui x", ("NAME  STATE", "demo  …  5", "…"))
    assert prints(step, "NAME  STATE\ndemo  idle  5\n")
    assert prints(step, "NAME  STATE\ndemo  idle  5\nmore\nand more\n")
    assert prints(step, "NAME     STATE\ndemo     idle   5\n")
    assert not prints(step, "NAME STATE\ndemo  idle  5\n")
    assert not prints(step, "NAME  STATE\ndemo  idle  6\n")
    assert not prints(step, "NAME  STATE\n")
    assert not prints(Step("omni-tui x", ("a",)), "a\nb\n")
