"""Real files of every host: what each server becomes, and that nothing is dropped in silence."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.config.hosts.catalog import HOSTS
from omni_tui.config.hosts.found_files import find_host_files
from omni_tui.config.hosts.host_file import HostFileError, parse_document
from omni_tui.config.hosts.imports import ImportedServer, ImportedServers, import_servers
from omni_tui.config.hosts.remote_bridge import reached_directly
from tests.lengths import examples
from tests.security.hostile_strings import unseen_in

FILES = Path(__file__).parent.parent / "data" / "hosts"
ENVIRON = {
    "SEARCH_TOKEN": "st",
    "NOTES_KEY": "nk",
    "STREAM_TOKEN": "stt",
    "MY_KEY": "mk",
    "HOME": "/home/me",
    "MODE": "m",
    "DOCS_KEY": "dk",
}


def read(name: str, source: Any = "imported") -> ImportedServers:
    return import_servers(FILES / name, source=source, environ=ENVIRON)


def entries(name: str) -> dict[str, ImportedServer]:
    return {each.spec.name: each for each in read(name).entries}


def notes(name: str) -> str:
    return "\n".join(f"{note.where.rpartition(': ')[2]}: {note.what}" for note in read(name).notes)


@pytest.mark.parametrize(
    ("file", "host", "servers"),
    [
        (
            "claude-desktop/claude_desktop_config.json",
            "claude-desktop",
            "filesystem github tracker literal",
        ),
        ("claude-code/.claude.json", "claude-code", "search database search-shop database-blog"),
        ("claude-code/.mcp.json", "claude-code", "docs"),
        ("cursor/.cursor/mcp.json", "cursor", "notes issues withfile"),
        ("vs-code/.vscode/mcp.json", "vs-code", "github local picker socket"),
        ("vs-code/User/settings.json", "vs-code", "old"),
        ("windsurf/mcp_config.json", "windsurf", "figma"),
        ("gemini/.gemini/settings.json", "gemini", "stream events local parked"),
        ("codex/.codex/config.toml", "codex", "docs tracker both"),
        ("opencode/.opencode/opencode.jsonc", "opencode", "everything remote servers"),
        ("opencode/opencode-v2.json", "opencode", "everything"),
        ("zed/.zed/settings.json", "zed", "own old web extension"),
        ("continue/config.yaml", "continue", "SQLite Linear number 3"),
        ("cline/cline_mcp_settings.json", "cline", "weather"),
        ("lm-studio/.lmstudio/mcp.json", "lm-studio", "hf"),
        ("copilot/.copilot/mcp-config.json", "copilot", "playwright"),
        ("goose/config.yaml", "goose", "fetch web"),
        ("mcpomni-connect/servers_config.json", "mcpomni-connect", "files news old"),
        ("plain/flat-plugin.json", "file", "one two"),
        ("plain/nested-transport.json", "file", "a"),
    ],
)
def test_every_host_is_recognised_and_its_servers_are_found(file: str, host: str, servers: str) -> None:
    found = read(file)
    assert found.problems == ()
    assert found.host.name == host
    assert " ".join(spec.name for spec in found.servers) == servers
    assert not any(spec.allowed for spec in found.servers)


def test_every_host_has_a_sample() -> None:
    assert {host.name for host in HOSTS} <= {folder.name for folder in FILES.iterdir()}


def test_gemini_fills_in_dollar_names_and_its_url_is_sse() -> None:
    found = entries("gemini/.gemini/settings.json")
    stream, events, local = (found[name].spec for name in ("stream", "events", "local"))
    assert stream.headers == {"Authorization": "Bearer stt"}
    assert (stream.web, stream.call_timeout) == ("auto", 5.0)
    assert events.web == "sse"
    assert local.args == ("--root", "/home/me/docs")
    assert local.env == {"API_KEY": "mk", "BOTH": "mk-mk"}
    assert local.secret_env == {"API_KEY", "BOTH"}
    assert not found["parked"].spec.enabled
    said = notes("gemini/.gemini/settings.json")
    assert "stream: never taken over, since you decide here: trust" in said
    assert "local: all its tools are listed (includeTools is not taken over)" in said
    assert "not taken over: mcp.serverCommand" in said


def test_codex_names_its_variables_and_fills_in_none() -> None:
    found = entries("codex/.codex/config.toml")
    assert found["docs"].values["env"] == {
        "LEVEL": "info", "LITERAL": "${HOME}", "DOCS_KEY": "${DOCS_KEY}", "OTHER": "${OTHER}"
    }  # fmt: skip
    assert (found["docs"].spec.connect_timeout, found["docs"].spec.call_timeout) == (20.0, 90.5)
    assert found["tracker"].values["headers"] == {
        "X-Region": "eu", "X-Team": "${TEAM}", "Authorization": "Bearer ${TRACKER_TOKEN}"
    }  # fmt: skip
    assert found["tracker"].values["enabled"] is False
    assert "only one of them" in found["both"].spec.problem
    said = notes("codex/.codex/config.toml")
    assert "docs: Codex passes ${HOME} on as it is; here it stands for the variable" in said
    assert "tracker: `headers` is not used, as in Codex" in said
    assert "docs: never taken over, since you decide here: default_tools_approval_mode" in said


def test_both_versions_of_opencode() -> None:
    first = entries("opencode/.opencode/opencode.jsonc")
    assert first["everything"].values["env"] == {"MODE": "${MODE}"}
    assert first["everything"].spec.call_timeout == 8.0
    assert "the file ~/.token" in first["remote"].spec.problem
    assert first["servers"].spec.command == "named-servers"
    (second,) = read("opencode/opencode-v2.json").servers
    assert (second.enabled, second.cwd, second.call_timeout) == (False, "/srv", 60.0)


def test_claude_code_has_servers_of_projects() -> None:
    found = entries("claude-code/.claude.json")
    assert found["search"].spec.url == "https://search.example/mcp"
    assert found["search-shop"].project == "/home/me/shop"
    assert found["database-blog"].spec.args == ("--schema", "blog")
    assert "2 other settings are Claude Code's own" in notes("claude-code/.claude.json")
    named = read("claude-code/.claude.json", source="flag")
    assert [spec.name for spec in named.servers] == ["search"]
    assert "3 servers of single projects" in "\n".join(note.what for note in named.notes)


def test_vs_code_asks_for_inputs() -> None:
    found = entries("vs-code/.vscode/mcp.json")
    assert found["github"].values["headers"] == {"Authorization": "Bearer ${keyring:omni-tui/github-token}"}
    assert "asks for github token" in " ".join(found["github"].notes)
    assert "relies on ${input:picked}" in found["picker"].spec.problem
    assert "socket of this machine" in found["socket"].spec.problem
    assert "runs it in a sandbox" in " ".join(found["local"].notes)


def test_claude_desktop_reaches_addresses_through_a_program() -> None:
    tracker = entries("claude-desktop/claude_desktop_config.json")["tracker"]
    assert tracker.values == {
        "url": "https://tracker.example/sse",
        "transport": "sse",
        "headers": {"Authorization": "Bearer tracker-secret-0123456789"},
    }


def test_others() -> None:
    zed, goose = entries("zed/.zed/settings.json"), entries("goose/config.yaml")
    assert "extension of Zed" in zed["extension"].spec.problem
    assert zed["old"].values == {"command": "old-server", "args": ["--stdio"], "env": {"A": "1"}}
    assert goose["fetch"].values["env"] == {"LEVEL": "info", "FETCH_TOKEN": "${FETCH_TOKEN}"}
    assert goose["fetch"].spec.call_timeout == 600
    assert goose["web"].values == {"url": "https://goose.example/mcp", "enabled": False}
    assert "part of Goose itself, not a server: developer (builtin)" in notes("goose/config.yaml")
    linear = entries("continue/config.yaml")["Linear"]
    assert linear.values["headers"] == {"Authorization": "Bearer ${LINEAR_KEY}"}
    assert entries("continue/config.yaml")["number 3"].spec.problem == "has no name"
    issues = entries("cursor/.cursor/mcp.json")["issues"]
    assert issues.values["oauth"] == {"client_id": "cursor-client", "scopes": ["read", "write"]}
    assert "client secret is not taken over" in " ".join(issues.notes)
    assert "plain-secret-value" not in json.dumps(issues.values)


def test_the_ancestor_with_its_model_and_limits() -> None:
    found = read("mcpomni-connect/servers_config.json")
    assert found.settings == {
        "model": {
            "name": "ollama_chat/llama3.2", "temperature": 0.7, "top_p": 0.7, "max_tokens": 5000,
            "context": 32000, "api_base": "http://localhost:11434",
        },
        "tools": {"call_timeout": 30.0},
        "agent": {"max_steps": 15},
        "budget": {"session_tokens": 100000},
    }  # fmt: skip
    news, old = entries("mcpomni-connect/servers_config.json")["news"], found.servers[2]
    assert (news.values["auth"], old.web) == ("oauth", "sse")
    assert "request_limit" in notes("mcpomni-connect/servers_config.json")


@pytest.mark.parametrize("key", ["temperature", "max_tokens", "top_p"])
@pytest.mark.parametrize("value", ["hot", -1, 1e400, True, [], {}])
def test_odd_values_of_the_ancestor_are_named(tmp_path: Path, key: str, value: object) -> None:
    file = tmp_path / "servers_config.json"
    file.write_text(json.dumps({"LLM": {"model": "m", key: value}, "mcpServers": {}}))
    found = import_servers(file, source="imported", environ={})
    assert found.settings == {"model": {"name": "m"}}
    assert f"`LLM.{key}` is" in found.notes[0].what


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("empty.json", "is empty"),
        ("only-comments.json", "is empty"),
        ("typographic-quotes.json", "line 2 has the typographic quote"),
        ("cut-off.json", "is not JSON: line 2"),
        ("not-toml.toml", "is not TOML"),
        ("not-yaml.yaml", "is not YAML: line 3"),
        ("aliases.yaml", "aliases"),
        ("utf-16.json", "not text in UTF-8"),
        ("no-table.json", "holds no `mcpServers` table"),
        ("a-list.json", "holds no `mcpServers` table"),
    ],
)
def test_a_broken_file_is_one_problem_in_words(file: str, words: str) -> None:
    found = read(f"broken/{file}")
    assert found.servers == ()
    assert words in found.problems[0].what


def test_odd_entries_cost_no_other() -> None:
    problems = {spec.name: spec.problem for spec in read("plain/odd-entries.json").servers}
    assert problems["not-a-table"] == "is no table"
    assert problems["twice"] == "stands there twice"
    assert "printable" in problems["escape\x1b[31m"]
    assert {problems[name] for name in ("null-env", "args-as-text", "whole-line", "good")} == {""}
    assert "not taken over: unknownTop" in notes("plain/odd-entries.json")


def test_files_of_this_machine_are_found_and_others_not(tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    (home / ".cursor").mkdir(parents=True)
    shutil.copy(FILES / "cursor/.cursor/mcp.json", home / ".cursor/mcp.json")
    (home / ".config/Code/User").mkdir(parents=True)
    (home / ".config/Code/User/settings.json").write_text('{"editor.fontSize": 13}')
    (home / ".gemini").mkdir()
    (home / ".gemini/settings.json").write_text("{broken")
    (home / ".continue/mcpServers").mkdir(parents=True)
    shutil.copy(FILES / "continue/config.yaml", home / ".continue/mcpServers/mine.yaml")
    (home / "codex").mkdir()
    shutil.copy(FILES / "codex/.codex/config.toml", home / "codex/config.toml")
    here.mkdir()
    os.symlink(home / ".cursor", here / ".cursor")
    found = find_host_files(home, here, {"CODEX_HOME": str(home / "codex")})
    assert [(each.host.name, each.path.relative_to(tmp_path).as_posix()) for each in found] == [
        ("cursor", "home/.cursor/mcp.json"),
        ("gemini", "home/.gemini/settings.json"),
        ("codex", "home/codex/config.toml"),
        ("continue", "home/.continue/mcpServers/mine.yaml"),
    ]
    assert "is not JSON" in found[1].imported.problems[0].what


@pytest.mark.parametrize(
    ("args", "made"),
    [
        (["-y", "mcp-remote", "https://x/mcp"], {"type": "http", "url": "https://x/mcp"}),
        (["mcp-remote@latest", "https://x", "3334"], {"type": "http", "url": "https://x"}),
        (
            ["mcp-remote", "https://x", "--header", "K: V"],
            {"type": "http", "url": "https://x", "headers": {"K": "V"}},
        ),
        (["mcp-remote", "https://x", "--header", "no colon"], None),
        (["mcp-remote", "https://x", "--unknown"], None),
        (["mcp-remote"], None),
        (["-y", "other", "https://x"], None),
        (["mcp-remote", 7], None),
    ],
)
def test_a_bridge_is_left_out_only_where_all_of_it_is_understood(args: list[Any], made: object) -> None:
    assert reached_directly({"command": "npx", "args": args}) == made


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["$A", "${A}", "local"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_TABLES = ["mcpServers", "servers", "inputs", "mcp", "projects", "context_servers", "extensions", "LLM"]
_TABLES += ["AgentConfig", "mcp_servers", "mcp.servers"]


@settings(
    max_examples=examples(80),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(_TABLES), _VALUES, min_size=1))
def test_any_document_is_read_or_refused_in_words(tmp_path: Path, document: Any) -> None:
    file = tmp_path / "any.json"
    file.write_text(json.dumps(document))
    found = import_servers(file, source="imported", environ={})
    assert found.problems or found.host is not None
    assert not any(unseen_in(problem.what) for problem in (*found.problems, *found.notes))


@settings(max_examples=examples(60))
@given(st.text(max_size=60), st.sampled_from([".json", ".toml", ".yaml"]))
def test_any_text_is_parsed_or_refused(text: str, suffix: str) -> None:
    with contextlib.suppress(HostFileError, RecursionError):
        parse_document(text, suffix)
