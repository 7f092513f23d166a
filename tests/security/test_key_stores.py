"""Where the key lies that everything is sealed with: a real Secret Service, a passphrase, a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import command, program
from tests.security.secret_service import secret_service
from tests.security.test_secrets_at_rest import SERVER, places

BODY = "canary-argument-aZ1"
RESULT = "canary-result-bY2"
needs_a_keyring = pytest.mark.needs("keyring")


def omni(folder: Path, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line with a state folder and one server of its own."""
    config = folder / "config.toml"
    if not config.exists():
        config.write_text(
            '[model]\nname = "offline"\n[policy]\nauto = "allow"\n[servers.good]\n'
            f"command = {sys.executable!r}\nargs = ['-I', '-S', {str(SERVER)!r}]\n"
        )
    # The library of keyrings looks for one once in the life of a process.
    run_it = program if "DBUS_SESSION_BUS_ADDRESS" in env else command
    return run_it(*words, "--config", str(config), "--state-dir", str(folder / "state"), env=env)


def run(folder: Path, *, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Have the agent call a tool, so that a session is saved with arguments and a result."""
    return omni(folder, "run", "--mode", "auto", f'/call good__say {{"text": "{BODY}"}}', env=env)


def key_store(folder: Path, *, env: dict[str, str]) -> dict[str, str]:
    """Return what the doctor says of the key store."""
    done = omni(folder, "doctor", "--json", env=env)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return next(one for one in found if one["name"] == "key store")


def sessions(folder: Path, *, env: dict[str, str]) -> list[dict[str, object]]:
    done = omni(folder, "sessions", "list", "--json", env=env)
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, object]] = json.loads(done.stdout)
    return listed


def nothing_in_the_clear(folder: Path) -> None:
    found = {word: places(folder / "state", word) for word in (BODY, RESULT)}
    assert {word: where for word, where in found.items() if where} == {}
    loose = [path for path in (folder / "state").rglob("*") if path.lstat().st_mode & 0o077]
    assert loose == []


@needs_a_keyring
def test_a_secret_service_keeps_the_key(tmp_path: Path) -> None:
    with secret_service(tmp_path / "ring") as env:
        done = run(tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "state" / "vault.key").exists()
        assert key_store(tmp_path, env=env)["what"] == "the keyring"
        assert len(sessions(tmp_path, env=env)) == 1
        nothing_in_the_clear(tmp_path)
    # Another day: the daemon has it from its own file, which is of no use without its password.
    with secret_service(tmp_path / "ring") as env:
        assert len(sessions(tmp_path, env=env)) == 1
        assert not (tmp_path / "state" / "vault.key").exists()


@needs_a_keyring
def test_a_locked_secret_service_is_said_and_nothing_is_saved_with_another_key(tmp_path: Path) -> None:
    with secret_service(tmp_path / "ring") as env:
        assert run(tmp_path, env=env).returncode == 0
    before = sorted(path.name for path in (tmp_path / "state" / "sessions").iterdir())
    with secret_service(tmp_path / "ring", unlocked=False) as env:
        found = key_store(tmp_path, env=env)
        assert found["level"] == "bad"
        assert "keyring" in found["what"]
        done = run(tmp_path, env=env)
        assert done.returncode != 0
        assert "Unlock the system keyring" in done.stderr
        assert "Traceback" not in done.stderr
    after = sorted(path.name for path in (tmp_path / "state" / "sessions").iterdir())
    assert after == before
    assert not (tmp_path / "state" / "vault.key").exists()


@needs_a_keyring
def test_a_key_file_moves_into_a_secret_service_that_came_later(tmp_path: Path) -> None:
    without = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert run(tmp_path, env=without).returncode == 0
    assert "a key file of mode 0600" in key_store(tmp_path, env=without)["what"]
    with secret_service(tmp_path / "ring") as env:
        assert run(tmp_path, env=env).returncode == 0
        assert key_store(tmp_path, env=env)["what"] == "the keyring"
        assert len(sessions(tmp_path, env=env)) == 2
        nothing_in_the_clear(tmp_path)


@needs_a_keyring
def test_a_secret_of_the_service_reaches_the_one_server_that_names_it(tmp_path: Path) -> None:
    secret = "canary-keyring-Ty7"
    tell = "import os, sys; sys.stderr.write(repr(sorted(os.environ.items())))"
    with secret_service(tmp_path / "ring") as env:
        keep = "import keyring, sys; keyring.set_password('omni-tui', 'mine', sys.argv[1])"
        subprocess.run([sys.executable, "-c", keep, secret], env=env, check=True, timeout=60)
        (tmp_path / "config.toml").write_text(
            f"[servers.mine]\ncommand = {sys.executable!r}\nargs = ['-I', '-S', {str(SERVER)!r}, 'tells']\n"
            'env = { API_TOKEN = "${keyring:mine}" }\n'
            f"[servers.other]\ncommand = {sys.executable!r}\nargs = ['-c', {tell!r}]\n"
        )
        done = omni(tmp_path, "servers", "--json", env=env)
        assert {one["name"]: one["state"] for one in json.loads(done.stdout)}["mine"] == "idle"
        log = omni(tmp_path, "servers", "log", "other", env=env)
        assert "'PATH'" in log.stdout
        for words in (done.stdout, done.stderr, log.stdout, log.stderr):
            assert secret not in words
        own = omni(tmp_path, "servers", "log", "mine", env=env)
        assert "my token is" in own.stdout
        assert secret not in own.stdout
    assert places(tmp_path / "state", secret) == []


def test_a_passphrase_keeps_the_key_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    plain = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    env = {**plain, "OMNI_TUI_PASSPHRASE": "a long phrase of these tests"}
    assert run(tmp_path, env=env).returncode == 0
    assert key_store(tmp_path, env=env)["what"] == "the passphrase"
    assert not (tmp_path / "state" / "vault.key").exists()
    assert places(tmp_path / "state", env["OMNI_TUI_PASSPHRASE"]) == []
    nothing_in_the_clear(tmp_path)
    for other in ({**env, "OMNI_TUI_PASSPHRASE": "another phrase"}, plain):
        assert key_store(tmp_path, env=other)["level"] == "bad"
        done = run(tmp_path, env=other)
        assert done.returncode != 0
        assert "passphrase" in done.stderr
        assert "Traceback" not in done.stderr
    assert len(sessions(tmp_path, env=env)) == 1


def test_without_either_the_key_is_in_a_private_file_and_that_is_said(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert key_store(tmp_path, env=env)["what"].startswith("no key yet")
    done = run(tmp_path, env=env)
    assert done.returncode == 0
    assert "vault.key" in done.stderr
    assert "a key file of mode 0600" in key_store(tmp_path, env=env)["what"]
    nothing_in_the_clear(tmp_path)
