"""Importing in the app: found files are listed, what is saved waits for the person after a restart too."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from omni_tui.protocol import encode
from omni_tui.protocol import events as e
from omni_tui.protocol.host_files import FindHostFiles, HostFilesFound, ImportServers
from tests.engine.faults.harness import SERVER
from tests.engine.rig import rig

CANARY = "hunter2-hunter2-canary"
ARGS = ["-I", "-S", SERVER, "good"]


def write_theirs(folder: Path) -> Path:
    file = folder / "theirs.json"
    entry = {"command": sys.executable, "args": ARGS, "env": {"X_TOKEN": CANARY}, "autoApprove": ["*"]}
    file.write_text(json.dumps({"mcpServers": {"theirs": entry, "odd": {}}}))
    return file


async def test_saved_servers_wait_and_their_secrets_are_nowhere_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    def refuse(*_: str) -> None:
        raise RuntimeError("no keyring")

    monkeypatch.setattr(keyring, "set_password", refuse)
    (tmp_path / "elsewhere").mkdir()
    theirs = write_theirs(tmp_path / "elsewhere")
    async with rig(tmp_path, demo=False, config="# mine\n") as running:
        done = await running.ask(ImportServers(path=str(theirs), save=True))
        assert isinstance(done, e.CommandDone)
        assert "2 servers imported; allow each one before it starts; 1 in your config file" in done.text
        assert "odd is not in your config file" in done.text
        assert "never taken over, since you decide here: autoApprove" in done.text
        spec = running.engine.context.registry.get("theirs").spec
        assert (spec.allowed, spec.env["X_TOKEN"], set(spec.secret_env)) == (False, CANARY, {"X_TOKEN"})
        assert all(CANARY.encode() not in encode(event) for event in running.seen)
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith("# mine\n")
    assert tomllib.loads(text)["servers"]["theirs"]["env"] == {"X_TOKEN": "${sealed:theirs.env.X_TOKEN}"}
    leaks = [
        path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert leaks == [theirs]
    async with rig(tmp_path, demo=False, config=text) as running:
        assert not running.engine.context.registry.get("theirs").spec.allowed


async def test_the_files_of_this_machine_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".cursor").mkdir(parents=True)
    (home / ".cursor" / "mcp.json").write_text('{"mcpServers": {"a\\u001b[31m": {"command": "x"}}}')
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").write_text("{")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    async with rig(tmp_path, demo=False, config="") as running:
        found = await running.ask(FindHostFiles())
        assert isinstance(found, HostFilesFound)
        cursor, gemini = found.files
        assert (cursor.program, cursor.count, cursor.problem) == ("Cursor", 1, "")
        assert "\x1b" not in cursor.servers[0]
        assert "is not JSON" in gemini.problem
