"""Addresses of servers that a plugin's transport reaches, and what is loaded before there is a plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from omni_tui.config.load import load_config
from omni_tui.protocol import LaunchOptions
from omni_tui.servers.added_transports import AddedTransports, scheme_of


def test_an_address_names_its_scheme(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[servers.far]\nurl = "plugin+unix:///run/my.socket"\nheaders = {A = "b"}\n')
    loaded = load_config(LaunchOptions(config=str(config), state_dir=str(tmp_path)), {})
    (spec,) = loaded.servers
    assert (spec.transport, scheme_of(spec), spec.problem) == ("plugin", "unix", "")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('url = "plugin+:///x"', "plugin+SCHEME:ADDRESS"),
        ('url = "plugin+UNIX:///x"', "plugin+SCHEME:ADDRESS"),
        ('url = "plugin+unix"', "plugin+SCHEME:ADDRESS"),
        ('url = "PLUGIN+unix:///x"', "plugin+SCHEME:ADDRESS"),
        ('url = "unix:///x"', "must begin with https:// or http://"),
        (
            'url = "plugin+unix:///x"\ntransport = "sse"',
            "`transport` is for a server with an http(s) `url`",
        ),
        ('url = "plugin+unix:///x"\nauth = "oauth"', "`auth` is for a server with an http(s) `url`"),
        ('url = "plugin+unix://me:secret@host/x"', "user name or password"),
    ],
)
def test_a_mistaken_address_is_explained(tmp_path: Path, lines: str, why: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[servers.far]\n{lines}\n")
    loaded = load_config(LaunchOptions(config=str(config), state_dir=str(tmp_path)), {})
    told = [spec.problem for spec in loaded.servers] + [str(each) for each in loaded.problems]
    assert any(why in each for each in told), told


async def test_two_transports_cannot_have_one_scheme() -> None:
    added = AddedTransports()
    added.add("unix", lambda spec, context: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match=r"plugin\+unix"):
        added.add("unix", lambda spec, context: None)  # type: ignore[arg-type,return-value]
    added.complete.set()
    added.remove("unix")
    assert await added.find("unix") is None


def test_where_no_plugin_is_enabled_none_of_their_library_is_loaded() -> None:
    code = "import omni_tui.engine.core, sys; print('pluggy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
