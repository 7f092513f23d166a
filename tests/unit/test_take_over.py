"""Writing imported servers: no secret in clear, no consent, the rest of the file as it was."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from omni_tui.config.hosts.imports import ImportedServer, ImportedServers, import_servers
from omni_tui.config.hosts.take_over import NotTaken, secret_settings, take_over
from omni_tui.config.load import load_config
from omni_tui.memory import Vault
from omni_tui.memory.secret_store import SECRETS_FILE, entry_name, sealed_values, store_secret
from omni_tui.protocol import LaunchOptions
from tests.command_line import command

SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


def imported(folder: Path, entry: dict[str, Any], **environ: str) -> tuple[ImportedServers, ImportedServer]:
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"a": entry}}))
    found = import_servers(file, source="imported", environ=environ)
    (server,) = found.entries
    return found, server


def test_a_secret_becomes_a_reference_and_the_server_waits(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("# mine\n[model] # here\nname = 'offline'\n")
    found, server = imported(
        tmp_path, {"command": "x", "env": {"TOKEN": SECRET, "LEVEL": "info"}, "cwd": "w"}
    )
    assert secret_settings(server) == ["env.TOKEN"]
    kept: dict[str, str] = {}

    def keep(name: str, place: str, value: str) -> str:
        kept[f"{name} {place}"] = value
        return "${sealed:a.env.TOKEN}"

    take_over(server, found.host, config, keep)
    assert kept == {"a env.TOKEN": SECRET}
    text = config.read_text()
    assert text.startswith("# mine\n[model] # here\n")
    assert SECRET not in text
    assert tomllib.loads(text)["servers"]["a"] == {
        "command": "x",
        "env": {"TOKEN": "${sealed:a.env.TOKEN}", "LEVEL": "info"},
        "cwd": str(tmp_path / "w"),
        "imported_from": "an mcpServers file",
    }
    options = LaunchOptions(config=str(config), state_dir=str(tmp_path / "state"))
    (spec,) = load_config(options, {"sealed:a.env.TOKEN": SECRET}).servers
    assert (spec.env["TOKEN"], set(spec.secret_env), spec.allowed) == (SECRET, {"TOKEN"}, False)
    (stuck,) = load_config(options, {}).servers
    assert "enter the secret again" in stuck.problem


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "x", "args": ["--token", SECRET]}, "arguments hold a secret"),
        ({"command": "x", "args": ["--key=${MY_KEY}"]}, "arguments hold a secret"),
        ({"url": f"https://x.example/mcp?api_key={SECRET}"}, "address hold a secret"),
        ({"type": "ws", "url": "wss://x"}, "not known here"),
    ],
)
def test_what_cannot_be_written_without_a_secret_is_not(
    tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    found, server = imported(tmp_path, entry, MY_KEY="s3cr3t-s3cr3t-value")
    with pytest.raises(NotTaken, match=words):
        take_over(server, found.host, tmp_path / "config.toml", lambda *_: "")
    assert not (tmp_path / "config.toml").exists()


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[servers.a]\ncommand = "mine"\n')
    found, server = imported(tmp_path, {"command": "x"})
    with pytest.raises(NotTaken, match="already"):
        take_over(server, found.host, config, lambda *_: "")
    assert config.read_text() == '[servers.a]\ncommand = "mine"\n'


def test_without_a_keyring_a_secret_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    def refuse(*_: str) -> None:
        raise RuntimeError("no keyring")

    monkeypatch.setattr(keyring, "set_password", refuse)
    vault = Vault.open(tmp_path)
    name = entry_name("a b", "env.TOKEN")
    assert store_secret(tmp_path, name, SECRET, vault) == "${sealed:a%20b.env.TOKEN}"
    store_secret(tmp_path, "other", "second", vault)
    file = tmp_path / SECRETS_FILE
    assert SECRET.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert sealed_values(tmp_path) == {f"sealed:{name}": SECRET, "sealed:other": "second"}
    # One that was exchanged for another does not open, and costs no other.
    known = json.loads(file.read_text())
    known["sealed"]["other"] = known["sealed"][name]
    file.write_text(json.dumps(known))
    assert sealed_values(tmp_path) == {f"sealed:{name}": SECRET}
    file.write_text("{")
    assert sealed_values(tmp_path) == {}


def test_the_command_shows_first_and_writes_when_told(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    servers = {"a": {"command": "run", "env": {"TOKEN": SECRET}}, "b": {"command": "run"}, "bad": {}}
    file.write_text(json.dumps({"mcpServers": servers}))
    config, state = tmp_path / "config.toml", tmp_path / "state"
    words = ("config", "import", str(file), "--config", str(config), "--state-dir", str(state))
    config.write_text("# mine\n")
    shown = command(*words)
    assert shown.returncode == 0
    assert "stored as secrets: env.TOKEN" in shown.stdout
    assert SECRET not in shown.stdout + shown.stderr
    assert config.read_text() == "# mine\n"
    one = command(*words, "--only", "a")
    assert one.returncode == 0
    assert list(tomllib.loads(config.read_text())["servers"]) == ["a"]
    everything = command(*words, "--all")
    assert everything.returncode == 1  # a is there, bad cannot be used
    assert "a was left out: your config has a server of that name" in everything.stderr
    assert "bad was left out: needs `command` or `url`" in everything.stderr
    assert list(tomllib.loads(config.read_text())["servers"]) == ["a", "b"]
    assert not any(
        SECRET.encode() in path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path != file
    )
    checked = command("config", "check", "--config", str(config), "--state-dir", str(state))
    assert checked.returncode == 0, checked.stdout
    assert command(*words, "--only", "nobody").returncode == 2
    assert command("config", "import", "nosuch").returncode == 2
