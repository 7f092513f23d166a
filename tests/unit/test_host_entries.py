"""Other hosts' server lists: what is taken over, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.config.hosts.entry_reader import KNOWN
from omni_tui.config.hosts.imports import ImportedServers, import_servers
from omni_tui.config.load import load_config
from omni_tui.config.spec import ServerSource, ServerSpec
from omni_tui.protocol import LaunchOptions
from tests.lengths import examples


def read(folder: Path, content: Any, source: ServerSource = "flag", **environ: str) -> ImportedServers:
    path = folder / "mcp.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return import_servers(path, source=source, environ=environ)


def one(imported: ImportedServers) -> ServerSpec:
    (spec,) = imported.servers
    return spec


CLAUDE: dict[str, Any] = {
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
        ({"command": [1, {}]}, "command must be text"),
        ({"command": 'npx "x', "args": 'a "b'}, "args cannot be split"),
        ({"command": "x", "args": {"a": 1}}, "args must be a list of texts"),
        ({"command": "x", "env": "A=1"}, "env must be a table of texts"),
        ({"command": "x", "env": {"A": {}}}, "env.A must be text"),
        ({"url": 7}, "begin with https:// or http://"),
        ({"url": "${BASE}/mcp"}, "BASE is not set"),
        ({"url": "${input:where}"}, "relies on ${input:where}"),
        ("text", "is no table"),
        (None, "is no table"),
    ],
)
def test_an_entry_that_cannot_be_understood_is_listed_with_the_reason_and_costs_no_other(
    tmp_path: Path, entry: object, words: str
) -> None:
    imported = read(tmp_path, {"mcpServers": {"bad": entry, "good": {"command": "x"}}})
    bad, good = imported.servers
    assert words in bad.problem
    assert (good.problem, good.allowed) == ("", True)
    assert imported.problems == ()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "x", "env": {"A": "${input:token}"}}, "relies on ${input:token}"),
        ({"command": "x", "args": ["${workspaceFolder}/a"]}, "relies on ${workspaceFolder}"),
        ({"command": "x", "args": ["${command:pick}"]}, "relies on ${command:pick}"),
        ({"command": "x", "args": ["${UNSET}/a", "${env:ALSO}"]}, "UNSET, ALSO are not set"),
        ({"command": "x", "cwd": "${UNSET}"}, "UNSET is not set"),
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
        ('{"mcpServers": "a"}', "holds no `mcpServers` table"),
        ("", "is empty"),
        (" \n# nothing\n", "is empty"),
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
    assert note.what == "never taken over, since you decide here: alwaysAllow, autoApprove, trust"
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


@pytest.mark.parametrize(
    ("entry", "on"),
    [
        ({"enabled": False}, False),
        ({"isActive": False}, False),
        ({"disabled": True}, False),
        ({"disabled": "true"}, False),
        ({"enabled": "false"}, False),
        ({"enabled": 0}, False),
        ({"disabled": "perhaps"}, False),
        ({"enabled": True, "disabled": False}, True),
        ({"disabled": "false", "isActive": "yes"}, True),
        ({"disabled": None}, True),
    ],
)
def test_what_another_host_switched_off_is_not_started(
    tmp_path: Path, entry: dict[str, object], on: bool
) -> None:
    spec = one(read(tmp_path, {"mcpServers": {"a": {"command": "x", **entry}}}))
    assert (spec.enabled, spec.problem) == (on, "")


def test_variables_are_filled_in_as_their_hosts_do(tmp_path: Path) -> None:
    entry = {
        "command": "${TOOLS}/run",
        "args": [
            "${HERE}/notes",
            "${env:HERE}/z",
            "~/y",
            "~",
            "a~b",
            "$HERE",
            "${GONE:-none}",
            "${userHome}",
        ],
        "cwd": "~",
        "env": {"A": "${GONE:-none}", "B": "${HERE:-none}", "C": "{env:HERE}", "D": "$HERE", "E": "$GONE"},
    }
    spec = one(read(tmp_path, {"mcpServers": {"a": entry}}, HERE="/here", TOOLS="/tools"))
    home = str(Path.home())
    assert spec.problem == ""
    assert spec.command == "/tools/run"
    assert spec.args == ("/here/notes", "/here/z", f"{home}/y", home, "a~b", "$HERE", "none", home)
    assert spec.cwd == home
    assert spec.env == {"A": "none", "B": "/here", "C": "/here", "D": "/here", "E": "$GONE"}


def test_a_secret_that_is_filled_into_the_command_is_hidden_elsewhere(tmp_path: Path) -> None:
    entry = {"command": "x", "args": ["--key=${API_KEY}", "${HERE}"]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"a": entry}}))
    options = LaunchOptions(mcp_config=str(tmp_path / "mcp.json"), state_dir=str(tmp_path))
    loaded = load_config(options, {"API_KEY": "s3cr3t-value", "HERE": "/here", "HOME": str(tmp_path)})
    assert "s3cr3t-value" in loaded.secrets
    assert "/here" not in loaded.secrets


def test_an_address_with_variables_is_filled_in(tmp_path: Path) -> None:
    entry = {"type": "http", "url": "${BASE:-https://x.example}/${env:PART}", "headers": {"X": "${PART}"}}
    spec = one(read(tmp_path, {"mcpServers": {"a": entry}}, PART="mcp"))
    assert (spec.url, spec.headers) == ("https://x.example/mcp", {"X": "mcp"})


def test_the_workspace_is_the_folder_around_the_hosts_own(tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    entry = {"command": "x", "args": ["${workspaceFolder}/a"]}
    spec = one(read(tmp_path / ".vscode", {"servers": {"a": entry}}))
    assert (spec.args, spec.problem) == ((f"{tmp_path.resolve()}/a",), "")


@pytest.mark.parametrize(
    ("entry", "start", "call"),
    [
        ({"timeout": 60}, 60, 60),
        ({"timeout": 5}, 30, 5),
        ({"timeout": 60_000}, 60, 60),
        ({"timeout": "90"}, 90, 90),
        ({"timeout_ms": 45_000}, 45, 45),
        ({"startup_timeout_sec": 100, "tool_timeout_sec": 7}, 100, 7),
        ({"timeout": 600, "connect_timeout": 10}, 10, 600),
        ({"timeout": -1}, 30, 120),
        ({"timeout": "soon"}, 30, 120),
        ({"timeout": True}, 30, 120),
    ],
)
def test_time_outs_count(tmp_path: Path, entry: dict[str, object], start: float, call: float) -> None:
    spec = one(read(tmp_path, {"mcpServers": {"a": {"command": "x", **entry}}}))
    assert (spec.connect_timeout, spec.call_timeout, spec.problem) == (start, call, "")


@pytest.mark.parametrize(
    ("entry", "command", "args"),
    [
        ({"command": ["npx", "-y", "x"]}, "npx", ("-y", "x")),
        ({"command": "npx -y 'a b'"}, "npx", ("-y", "a b")),
        ({"command": "npx -y", "args": ["x"]}, "npx", ("-y", "x")),
        ({"command": "x", "args": "-a 'b c'"}, "x", ("-a", "b c")),
        ({"command": "x", "args": [1, True, None]}, "x", ("1", "true")),
        ({"command": "x", "args": None, "env": None, "cwd": None}, "x", ()),
        ({"command": {"path": "x", "args": ["a"], "env": {"K": "v"}}}, "x", ("a",)),
        ({"type": "local", "command": ["x", "a"], "environment": {"K": "v"}}, "x", ("a",)),
        ({"cmd": "x", "args": ["a"], "envs": {"K": "v"}}, "x", ("a",)),
        ({"command": "x", "env": [{"name": "K", "value": "v"}, "L=w"]}, "x", ()),
    ],
)
def test_commands_as_hosts_write_them(
    tmp_path: Path, entry: dict[str, object], command: str, args: tuple[str, ...]
) -> None:
    spec = one(read(tmp_path, {"mcpServers": {"a": entry}}))
    assert (spec.command, spec.args, spec.problem) == (command, args, "")
    assert spec.env.get("K", "v") == "v"


def test_a_program_with_a_space_in_its_path_stays_whole(tmp_path: Path) -> None:
    program = tmp_path / "my program"
    program.touch()
    assert one(read(tmp_path, {"mcpServers": {"a": {"command": str(program)}}})).command == str(program)


@pytest.mark.parametrize(
    "content",
    [
        {"mcp.servers": {"a": {"command": "x"}}},
        {"context_servers": {"a": {"command": "x"}}},
        {"mcp": {"a": {"type": "local", "command": ["x"]}}},
        {"a": {"command": "x"}},
        {"mcpServers": [{"name": "a", "command": "x"}]},
        {"mcpServers": {"a": {"transport": {"type": "stdio"}, "command": "x"}}},
        '# a file of examples\n# begins so\n{"mcpServers": {"a": {"command": "x"}}}',
    ],
)
def test_the_table_is_found_wherever_the_host_keeps_it(tmp_path: Path, content: Any) -> None:
    spec = one(read(tmp_path, content))
    assert (spec.name, spec.command) == ("a", "x")


def test_headers_inside_a_nested_transport(tmp_path: Path) -> None:
    entry = {"transport": {"type": "sse", "url": "https://x", "headers": {"K": "v"}}}
    spec = one(read(tmp_path, {"mcpServers": {"a": entry}}))
    assert (spec.url, spec.web, spec.headers) == ("https://x", "sse", {"K": "v"})


def test_what_stands_twice_costs_its_own_server_only(tmp_path: Path) -> None:
    text = (
        '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}, "b": {"command": "z"},'
        ' "c": {"command": "x", "command": "y"}}}'
    )
    imported = read(tmp_path, text)
    problems = {spec.name: spec.problem for spec in imported.servers}
    assert problems == {"a": "stands there twice", "b": "", "c": "has the key 'command' twice"}
    assert imported.problems == ()


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    entry = {"command": "x", "autoApprove": [], "watch": True, "timeout": "soon", "disabled": "perhaps"}
    content = {
        "mcpServers": {"a": entry},
        "projects": {"/p": {"mcpServers": {"b": {"command": "x"}}}, "/q": {}},
    }
    notes = [note.what for note in read(tmp_path, content).notes]
    assert notes == [
        "not taken over: 1 servers of single projects, under `projects`",
        "`disabled` is neither true nor false, so it is switched off",
        "`timeout` is no time and is not used",
        "not taken over: watch",
        "never taken over, since you decide here: autoApprove",
    ]


def test_one_bad_entry_stops_no_command(tmp_path: Path) -> None:
    """Neither of a foreign file nor of one's own config; the rest is as strict as it was."""
    config = tmp_path / "config.toml"
    config.write_text('[servers.mine]\ncommand = "x"\nargz = []\n[policy]\nauto = "allow"\n')
    (tmp_path / "mcp.json").write_text(
        json.dumps({"mcpServers": {"bad": {"type": "ws"}, **CLAUDE["mcpServers"]}})
    )
    options = LaunchOptions(
        config=str(config), mcp_config=str(tmp_path / "mcp.json"), state_dir=str(tmp_path)
    )
    loaded = load_config(options, {"K": "v"})
    assert [spec.name for spec in loaded.servers if spec.problem] == ["mine", "bad"]
    assert len(loaded.problems) == 1
    assert loaded.serious == ()
    assert loaded.config.policy.auto == "allow"


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["${A}", "~/x", "a b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(sorted(KNOWN)), _VALUES) | _VALUES)
def test_any_entry_is_read_or_held_back(tmp_path: Path, entry: Any) -> None:
    imported = read(tmp_path, {"mcpServers": {"odd": entry, "good": {"command": "x"}}})
    assert imported.problems == ()
    assert imported.servers[-1].problem == ""
