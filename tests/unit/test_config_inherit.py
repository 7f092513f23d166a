"""What of the person's environment reaches the program of a server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from omni_tui.approvals.pins import fingerprint
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.server_environment import (
    EVERY_SERVER,
    SSH_AGENT,
    has_credentials,
    inherited_environment,
)
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.engine.handlers.servers import describe_launch
from omni_tui.protocol import LaunchOptions
from omni_tui.servers.transports.stdio import environment

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "servers.md").read_text(encoding="utf-8")
NEEDED = {
    "HOME": "/home/me",
    "PATH": "/bin",
    "DISPLAY": ":0",
    "WAYLAND_DISPLAY": "wayland-0",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "TZ": "Europe/Berlin",
    "XDG_CONFIG_HOME": "/home/me/.config",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
    "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "no_proxy": "localhost",
}
KEPT_BACK = {
    "ANTHROPIC_API_KEY": "sk-ant-0123456789",
    "OPENAI_API_KEY": "sk-0123456789",
    "LLM_API_KEY": "key",
    "OMNI_TUI_PASSPHRASE": "words",
    "REDIS_PASSWORD": "words",
    "AWS_SECRET_ACCESS_KEY": "words",
    "LD_PRELOAD": "/tmp/x.so",
    "PYTHONPATH": "/tmp",
    "NODE_OPTIONS": "--require /tmp/x.js",
    "BASH_ENV": "/tmp/x",
    "LC_SECRET": "words",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
}


def test_a_server_gets_what_it_needs_and_nothing_else() -> None:
    assert inherited_environment(ServerSpec(name="x"), NEEDED | KEPT_BACK) == NEEDED


def test_what_its_settings_say_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    given = environment(ServerSpec(name="x", env={"TZ": "UTC", "A": "1"}), {"MARK": "m"})
    assert (given["TZ"], given["A"], given["MARK"]) == ("UTC", "1", "m")
    assert "OPENAI_API_KEY" not in given


def test_exported_functions_are_kept_back() -> None:
    assert inherited_environment(ServerSpec(name="x"), {"TERM": "() { :;}; touch /tmp/x", "HOME": "/"}) == {
        "HOME": "/"
    }


@pytest.mark.parametrize("source", ["user", "session", "project", "imported", "flag", "demo"])
def test_the_agent_of_ssh_goes_to_the_persons_own_servers_or_by_name(source: ServerSource) -> None:
    environ = {SSH_AGENT: "/tmp/agent"}
    own = source in ("user", "session")
    assert inherited_environment(ServerSpec(name="x", source=source), environ) == (environ if own else {})
    assert (
        inherited_environment(ServerSpec(name="x", source=source, inherit=(SSH_AGENT,)), environ) == environ
    )


@pytest.mark.parametrize(
    "address",
    ["http://me:secret@proxy:3128", "me:secret@proxy:3128", "http://token@proxy", "socks5://a:b%40c@p/"],
)
def test_a_proxy_with_credentials_is_passed_on_by_name_only(address: str) -> None:
    assert has_credentials(address)
    for name in ("HTTPS_PROXY", "http_proxy", "ALL_PROXY"):
        assert inherited_environment(ServerSpec(name="x"), {name: address}) == {}
        assert inherited_environment(ServerSpec(name="x", inherit=(name,)), {name: address}) == {
            name: address
        }


@pytest.mark.parametrize(
    "address", ["http://proxy:3128", "proxy:3128", "localhost,.example", "http://p/?a=b@c", ""]
)
def test_a_proxy_without_credentials_is_not_taken_for_one_with(address: str) -> None:
    assert not has_credentials(address)


def load(
    folder: Path, toml: str, *, project: bool = False, environ: dict[str, str] | None = None
) -> LoadedConfig:
    (folder / "config.toml").write_text("" if project else toml)
    (folder / ".omni-tui.toml").write_text(toml if project else "")
    options = LaunchOptions(
        config=str(folder / "config.toml"), project=str(folder), state_dir=str(folder / "s")
    )
    return load_config(options, environ or {})


def test_inherit_is_read_and_its_secrets_are_known(tmp_path: Path) -> None:
    toml = '[servers.x]\ncommand = "y"\ninherit = ["HTTPS_PROXY", "KUBECONFIG"]\n'
    environ = {"HTTPS_PROXY": "http://me:very%20secret@proxy:1", "KUBECONFIG": "/k"}
    loaded = load(tmp_path, toml, environ=environ)
    (spec,) = loaded.servers
    assert spec.problem == ""
    assert inherited_environment(spec, environ) == environ
    assert {"very%20secret", "very secret"} <= loaded.secrets


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("GITHUB_TOKEN", 'env = { GITHUB_TOKEN = "${GITHUB_TOKEN}" }'),
        ("ANTHROPIC_API_KEY", "may hold a secret"),
        ("OMNI_TUI_PASSPHRASE", "may hold a secret"),
        ("not a name", "cannot be an environment variable"),
        ("A=B", "cannot be an environment variable"),
    ],
)
def test_keys_are_not_inherited(tmp_path: Path, name: str, why: str) -> None:
    (spec,) = load(tmp_path, f'[servers.x]\ncommand = "y"\ninherit = ["{name}"]\n').servers
    assert why in spec.problem


def test_a_projects_server_may_name_the_agent_and_proxies_only(tmp_path: Path) -> None:
    toml = '[servers.x]\ncommand = "y"\ninherit = [{}]\n'
    (spec,) = load(tmp_path, toml.format('"SSH_AUTH_SOCK", "https_proxy"'), project=True).servers
    assert (spec.problem, spec.allowed) == ("", False)
    (spec,) = load(tmp_path, toml.format('"KUBECONFIG"'), project=True).servers
    assert "may not take KUBECONFIG from your environment" in spec.problem


def test_inherit_is_for_programs(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[servers.x]\nurl = "https://x.example"\ninherit = ["A"]\n')
    assert any("`inherit` is for a server with `command`" in each.what for each in loaded.problems)


def test_consent_is_to_what_is_inherited_too() -> None:
    plain = ServerSpec(name="x", command="y")
    named = ServerSpec(name="x", command="y", inherit=(SSH_AGENT,))
    assert fingerprint(plain) != fingerprint(named)


def test_the_guide_names_every_variable() -> None:
    (said,) = [line for line in GUIDE.splitlines() if line.startswith("The program of a server gets")]
    named = set(re.findall(r"`([A-Z_]+\*?)`", said))
    families = tuple(name[:-1] for name in named if name.endswith("*"))
    missing = {name for name in EVERY_SERVER if name.upper() not in named and not name.startswith(families)}
    assert missing == set()
    plain = {name for name in named if not name.endswith("*")} - {SSH_AGENT, "NAME"}
    assert plain <= EVERY_SERVER


def test_consent_names_what_is_passed_on_and_what_that_means() -> None:
    spec = ServerSpec(name="x", command="git", source="project", inherit=(SSH_AGENT, "https_proxy"))
    told = describe_launch(spec, None)
    assert json.loads(told.launch_json)["inherit"] == [SSH_AGENT, "https_proxy"]
    assert any("your SSH agent" in words for words in told.dangers)
    assert any("https_proxy" in words and "password" in words for words in told.dangers)
