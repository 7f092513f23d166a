"""Other hosts' server lists: what is taken over, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni_tui.config.importers import Imported, import_servers
from omni_tui.config.load import load_config
from omni_tui.config.spec import ServerSpec, Source
from omni_tui.protocol import LaunchOptions


def read(folder: Path, content: Any, source: Source = "flag", **environ: str) -> Imported:
    path = folder / "mcp.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return import_servers(path, source=source, environ=environ)


def one(imported: Imported) -> ServerSpec:
    (spec,) = imported.servers
    return spec


CLAUDE = {
    "mcpServers": {
        "files": {"command": "npx", "args": ["-y", "x"], "env": {"K": "${K}", "N": 3, "B": True}}
    }
}


def test_claude_desktop_and_cursor(tmp_path: Path) -> None:
    spec = one(read(tmp_path, CLAUDE, K="v"))
    assert (spec.command, spec.args) == ("npx", ("-y", "x"))
    assert spec.env == {"K": "v", "N": "3", "B": "true"}
    assert spec.secret_env == {"K"}
    assert spec.problem == ""


def test_vs_code_with_comments_and_trailing_commas(tmp_path: Path) -> None:
    text = """{
      // the servers
      "inputs": [],
      "servers": { /* two */
        "web": {"type": "http", "url": "https://x.example/mcp//a", "headers": {"X": "/* no comment */"},},
        "odd, }": {"type": "stdio", "command": "run",},
      },
    }"""
    imported = read(tmp_path, text)
    assert imported.problems == ()
    web, odd = imported.servers
    assert (web.url, web.headers) == ("https://x.example/mcp//a", {"X": "/* no comment */"})
    assert (odd.name, odd.command) == ("odd, }", "run")


@pytest.mark.parametrize("wrapper", [{"mcp": {"servers": {"a": {"command": "x"}}}}, {"mcp": CLAUDE}])
def test_lists_inside_a_hosts_settings_are_found(tmp_path: Path, wrapper: object) -> None:
    assert one(read(tmp_path, wrapper, K="v")).command


@pytest.mark.parametrize("key", ["url", "serverUrl", "httpUrl"])
@pytest.mark.parametrize("kind", [{}, {"type": "streamable-http"}, {"transport_type": "streamable_http"}])
def test_addresses_under_any_name(tmp_path: Path, key: str, kind: dict[str, str]) -> None:
    assert one(read(tmp_path, {"mcpServers": {"a": {key: "https://x", **kind}}})).url == "https://x"


@pytest.mark.parametrize(
    ("kind", "web"),
    [("sse", "sse"), ("SSE", "sse"), ("http", "auto"), ("", "auto"), ("streamable-http", "auto")],
)
def test_the_older_transport_is_taken_over(tmp_path: Path, kind: str, web: str) -> None:
    spec = one(read(tmp_path, {"mcpServers": {"a": {"type": kind, "url": "https://x/sse"}}}))
    assert (spec.web, spec.problem) == (web, "")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "ws", "url": "https://x"}, "'ws', which is not known here"),
        ({}, "needs `command` or `url`"),
        ({"command": "x", "url": "https://x"}, "only one of them"),
        ({"command": ["x"]}, "command: Input should be a valid string"),
        ({"command": "x", "args": "a b"}, "args: Input should be a valid list"),
        ("text", "is no table"),
    ],
)
def test_an_entry_that_cannot_be_understood_is_listed_with_the_reason(
    tmp_path: Path, entry: object, words: str
) -> None:
    imported = read(tmp_path, {"mcpServers": {"bad": entry, "good": {"command": "x"}}})
    bad, good = imported.servers
    assert words in bad.problem
    assert not bad.allowed
    assert (good.problem, good.allowed) == ("", True)
    assert [words in problem.what for problem in imported.problems] == [True]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "x", "env": {"A": "${input:token}"}}, "relies on ${input:token}"),
        ({"command": "x", "args": ["${workspaceFolder}/a"]}, "relies on ${workspaceFolder}"),
        ({"command": "x", "env": {"A": "${NAME:-default}"}}, "relies on ${NAME:-default}"),
        ({"command": "x", "envFile": ".env"}, "envFile"),
        ({"command": "x", "env": {"A": "${UNSET}"}}, "UNSET is not set"),
        ({"url": "http://x.example", "headers": {"Authorization": "Bearer t"}}, "plain HTTP"),
    ],
)
def test_what_only_its_own_host_does_is_said_and_the_server_does_not_start(
    tmp_path: Path, entry: object, words: str
) -> None:
    assert words in one(read(tmp_path, {"mcpServers": {"a": entry}})).problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1"),
        ("[]", "holds no `mcpServers` table"),
        ('{"mcpServers": []}', "holds no `mcpServers` table"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_of_no_use_is_one_problem(tmp_path: Path, text: str, words: str) -> None:
    imported = read(tmp_path, text)
    assert imported.servers == ()
    (problem,) = imported.problems
    assert words in problem.what


def test_a_file_that_is_not_there_or_no_text_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "x"):
        assert len(import_servers(path, source="flag", environ={}).problems) == 1


def test_approvals_of_another_host_are_never_taken_over(tmp_path: Path) -> None:
    entry = {"command": "x", "alwaysAllow": ["rm"], "autoApprove": ["*"], "trust": True, "disabled": True}
    imported = read(tmp_path, {"mcpServers": {"a": entry}}, source="imported")
    spec = one(imported)
    assert (spec.source, spec.allowed, spec.enabled) == ("imported", False, False)
    (note,) = imported.notes
    assert note.what == "not taken over: alwaysAllow, autoApprove, trust"
    assert imported.problems == ()


def test_names_that_could_deceive_are_refused(tmp_path: Path) -> None:
    for name in ("a\x1b[31m", " a", "", "x" * 65, "a\u202eb"):
        assert "name" in one(read(tmp_path, {"mcpServers": {name: {"command": "x"}}})).problem


def test_a_file_named_on_the_command_line_is_consent_and_goes_before_the_config(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[servers.files]\ncommand = "mine"\n[servers.other]\ncommand = "other"\n')
    (tmp_path / "mcp.json").write_text(json.dumps(CLAUDE))
    options = LaunchOptions(
        config=str(config), mcp_config=str(tmp_path / "mcp.json"), state_dir=str(tmp_path)
    )
    files, other = load_config(options, {"K": "v"}).servers
    assert (files.command, files.source, files.allowed) == ("npx", "flag", True)
    assert (other.command, other.source) == ("other", "user")
