"""The example plugins as wheels in a fresh environment: installed, used, broken on purpose, removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from omni_tui import __version__
from omni_tui.face.themes import load_theme
from omni_tui.plugins.plugin_states import THEMES_FOLDER
from omni_tui.plugins.template import KINDS, plugin_files
from tests.lengths import LONG, some

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "plugins"
KIND_OF = {"dice": "tools", "echo": "model", "unix": "transport", "folder": "memory", "sunset": "theme"}


@pytest.mark.parametrize("name", KIND_OF)
def test_an_example_is_what_a_new_plugin_is(name: str) -> None:
    made = plugin_files(name, KIND_OF[name])
    assert {path: (EXAMPLES / name / path).read_text() for path in made} == made


@pytest.mark.parametrize("kind", some(KINDS, 1))
def test_a_new_plugin_passes_its_own_test(tmp_path: Path, kind: str) -> None:
    for path, text in plugin_files("my-own", kind).items():
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *(each for each in sys.path if each)])
    return {**os.environ, "PYTHONPATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class FreshEnvironment:
    """A virtual environment with this app, and nothing of its own besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.config.write_text("")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.python = folder / "venv" / "bin" / "python"
        (self.site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        (self.site / "app.pth").write_text("\n".join([str(ROOT), *(each for each in sys.path if each)]))
        app = self.site / f"omni_tui-{__version__}.dist-info"
        app.mkdir()
        (app / "METADATA").write_text(f"Metadata-Version: 2.1\nName: omni-tui\nVersion: {__version__}\n")

    def omni(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of the app."""
        options = ["--config", str(self.config), "--state-dir", str(self.state)]
        environ = {name: value for name, value in _environment().items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.python), "-m", "omni_tui", *words, *options],
            cwd=self.folder, env=environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def plugins(self) -> dict[str, str]:
        """Return the state of each plugin."""
        listed: list[dict[str, Any]] = json.loads(self.omni("plugins", "list", "--json").stdout)
        return {each["name"]: each["state"] for each in listed}

    def sessions(self, title: str) -> list[str]:
        """Return the ids of the sessions with a title."""
        listed = json.loads(self.omni("sessions", "list", "--json").stdout)
        return [each["id"] for each in listed if each["title"] == title]


def wheel(name: str, folder: Path) -> Path:
    """Build the wheel of an example, without the network."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    subprocess.run(
        [*command, "-w", str(folder), str(EXAMPLES / name)], check=True, env=_environment(), cwd=folder
    )
    (found,) = folder.glob("*.whl")
    return found


def _serve(listener: Any, notes: Path) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            words = [sys.executable, "-m", "omni_tui.demo.server", str(notes)]
            streams = client.fileno()
            subprocess.run(words, stdin=streams, stdout=streams, check=False, env=_environment())


def use(name: str, environment: FreshEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use what an example provides, as a person would."""
    if name == "dice":
        done = environment.omni("call", "dice", "roll", "dice=3", "sides=2", "--json")
        rolled = json.loads(done.stdout)["structured"]["result"]
        assert len(rolled) == 3
        assert set(rolled) <= {1, 2}
    elif name == "echo":
        done = environment.omni("run", "say this again", "--model", "echo")
        assert "say this again" in done.stdout
    elif name == "sunset":
        environment.omni("run", "hi", "--model", "offline")
        theme = load_theme(environment.state / THEMES_FOLDER / "sunset" / "sunset.toml")
        assert (theme.name, theme.primary) == ("sunset", "#ff9e64")
    elif name == "folder":
        environment.omni("run", "remember these words", "--model", "offline")
        environment.omni("run", "hi", "--model", "offline")  # copies what the first had no time for
        (session,) = environment.sessions("remember these words")
        saved = environment.state / "sessions" / f"{session}.db"
        saved.unlink()
        assert environment.sessions("remember these words") == []
        environment.omni("sessions", "restore", session, "--from", "folder")
        assert environment.sessions("remember these words") == [session]
        environment.omni("sessions", "restore", "0" * 8 + session[8:], "--from", "folder", status=1)
    else:
        import socket

        monkeypatch.chdir(environment.folder)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("s")
        listener.listen()
        threading.Thread(target=_serve, args=(listener, environment.folder / "notes"), daemon=True).start()
        environment.config.write_text('[servers.far]\nurl = "plugin+unix://s"\n')
        try:
            assert environment.omni("call", "far", "add", "a=17", "b=25").stdout.strip() == "42"
        finally:
            listener.close()


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a long run installs wheels; a short one checks what is in them")
@pytest.mark.parametrize("name", KIND_OF)
def test_a_wheel_is_installed_used_broken_and_removed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = FreshEnvironment(tmp_path)
    built = wheel(name, tmp_path)
    assert environment.plugins() == {}
    refused = environment.omni("plugins", "install", str(built), status=1)
    assert f"-m pip install {built}" in refused.stderr, "the exact command is shown first"
    assert "nothing was run" in refused.stderr
    assert environment.plugins() == {}

    done = environment.omni("plugins", "install", str(built), "--yes")
    assert f"{name} is enabled" in done.stdout
    assert "own rights" in done.stderr
    assert environment.plugins() == {name: "enabled"}
    use(name, environment, monkeypatch)
    assert environment.omni("plugins", "check").stdout.startswith("ok ")

    module = environment.site / f"omni_tui_{name}.py"
    whole = module.read_text()
    module.write_text("raise RuntimeError('broken on purpose')\n")
    assert "broken on purpose" in environment.omni("plugins", "check", name, status=1).stdout
    environment.config.write_text("")
    environment.omni("run", "hi", "--model", "offline")
    assert environment.plugins() == {name: "faulty"}, "it was switched off, and the run went on"
    assert not (environment.state / THEMES_FOLDER / name).exists()

    environment.omni("plugins", "enable", name, "--yes", status=1)
    module.write_text(whole)
    environment.omni("plugins", "enable", name, "--yes")
    assert environment.plugins() == {name: "enabled"}
    environment.omni("plugins", "disable", name)
    assert environment.plugins() == {name: "disabled"}
    removed = environment.omni("plugins", "remove", name, "--yes")
    assert f"-m pip uninstall -y omni-tui-{name}" in removed.stderr
    assert environment.plugins() == {}


def test_the_tiny_model_is_a_plugin_of_its_own(tmp_path: Path) -> None:
    environment = FreshEnvironment(tmp_path)
    install: Sequence[str] = ("-m", "pip", "install", "-q", "--no-deps", "--target", str(environment.site))
    subprocess.run([sys.executable, *install, str(wheel("tiny", tmp_path))], check=True, env=_environment())
    checked = environment.omni("plugins", "check", "tiny").stdout
    assert "models: tiny" in checked
    environment.omni("plugins", "enable", "tiny", "--yes")
    failed = environment.omni("run", "hi", "--model", "tiny", status=1)
    assert "the tiny local model is not installed; missing" in failed.stdout + failed.stderr
