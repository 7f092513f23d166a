"""Plugins are found without being run, and checked in a process of their own."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from omni_tui.plugins.api import GROUP
from omni_tui.plugins.check import CheckReport, check_plugin
from omni_tui.plugins.discovery import GROUP as SCANNED
from omni_tui.plugins.discovery import InstalledPlugin, find_plugins
from omni_tui.plugins.forbidden_imports import forbidden_in_source
from tests.lengths import some
from tests.plugin_folder import DICE, ECHO, HEAD, MEMORY, THEME, PluginFolder


@pytest.fixture
def site(tmp_path: Path) -> PluginFolder:
    return PluginFolder(tmp_path / "site")


def only(site: PluginFolder) -> InstalledPlugin:
    (found,) = find_plugins([str(site.folder)])
    return found


# --- finding --------------------------------------------------------------------------------------


def test_they_are_found_and_not_run(site: PluginFolder) -> None:
    assert GROUP == SCANNED
    site.add("one", "raise SystemExit('it was run')", version="2.5")
    site.metadata("other", "[console_scripts]\na = b:c\n")
    found = only(site)
    assert (found.name, found.package, found.version, found.problem) == ("one", "one", "2.5", "")
    assert find_plugins([str(site.folder / "nowhere")]) == []


@pytest.mark.parametrize(
    ("entry_points", "why"),
    [
        (f"[{GROUP}]\nBad Name = a\n", "its name must be"),
        (f"[{GROUP}]\n../x = a\n", "its name must be"),
        (f"[{GROUP}]\n{'x' * 61} = a\n", "its name must be"),
        (f"[{GROUP}]\none = os; import evil\n", "names no module"),
        (f"[{GROUP}]\none = \n", "names no module"),
        (f"[{GROUP}]\none\n", "cannot be read"),
        (f"[{GROUP}\none = a\n", "cannot be read"),
        (f"[{GROUP}]\none = a\n".encode() + b"\xff\xfe", "cannot be read"),
        (f"[{GROUP}]\n" + "one = a\n" * 10_000, "cannot be read"),
    ],
)
def test_a_bad_entry_point_is_named_and_costs_no_other(
    site: PluginFolder, entry_points: str | bytes, why: str
) -> None:
    site.add("good", THEME.format(name="mine"))
    site.metadata("bad", entry_points)
    found = {plugin.package: plugin for plugin in find_plugins([str(site.folder)])}
    assert found["good"].problem == ""
    assert why in found["bad"].problem


def test_a_name_that_two_packages_have_is_that_of_the_first(tmp_path: Path) -> None:
    first, second = PluginFolder(tmp_path / "a"), PluginFolder(tmp_path / "b")
    first.add("same", "", package="one")
    second.add("same", "", package="two")
    second.add("again", "", package="one", version="9")
    found = find_plugins([str(first.folder), str(second.folder)])
    assert [(each.name, each.package, bool(each.problem)) for each in found] == [
        ("same", "one", False),
        ("same (two)", "two", True),
    ]


# --- checking -------------------------------------------------------------------------------------


async def test_a_good_one_passes_and_tells_what_it_provides(site: PluginFolder) -> None:
    site.add("all", THEME.format(name="mine") + DICE + ECHO.format(before="") + MEMORY.format(put=""))
    assert await check_plugin(only(site)) == CheckReport(
        "",
        "Made for a test",
        (),
        {"models": ("echo",), "tools": ("dice",), "memory": ("copies",), "themes": ("mine",)},
    )


FAULTS = {
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "exits": ("raise SystemExit(3)", "ends the process"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "exits at once": ("import os; os._exit(0)", "ends the process"),
    "no import": ("import no_such_module_anywhere", "needs the module no_such_module_anywhere"),
    "syntax": ("def f(:", "SyntaxError"),
    "nothing": ("", "provides nothing"),
    "an unknown hook": ("@hookimpl\ndef omni_gate(): return []", "omni_gate"),
    "an argument": ("@hookimpl\ndef omni_themes(gate): return []", "gate"),
    "no list": ("@hookimpl\ndef omni_themes(): return 5", "must return a list"),
    "another kind": ("@hookimpl\ndef omni_themes(): return [5]", "not int"),
    "too many": (
        "@hookimpl\ndef omni_themes(): return [PluginTheme(name=f'a{n}', toml='') for n in range(51)]",
        "at most 50",
    ),
    "a hook that raises": ("@hookimpl\ndef omni_themes(): 1 / 0", "ZeroDivisionError"),
    "no theme": (THEME.format(name="x").replace("primary", "secondary"), "no colour `primary`"),
    "no TOML": (THEME.format(name="x").replace("'primary", "'[primary"), "not TOML"),
    "a path as a name": (THEME.format(name="../../x"), "cannot be a name"),
    "a name of the app": (ECHO.format(before="").replace('name="echo"', 'name="offline"'), "app's own"),
    "no model": ("@hookimpl\ndef omni_models(): return [PluginModel(name='m', label='', make=lambda s: 5)]",
                 "no method `stream`"),
    "no server": (
        "@hookimpl\ndef omni_tool_servers(): return [PluginToolServer(name='s', make=lambda: 5)]",
        "no MCP server",
    ),
    "no tools": (
        "from mcp.server.mcpserver import MCPServer\n@hookimpl\ndef omni_tool_servers():\n"
        "    return [PluginToolServer(name='s', make=lambda: MCPServer('s'))]",
        "lists no tools",
    ),
    "a memory that forgets": (
        MEMORY.format(put="return").replace('raise KeyError(session)', 'return b""'),
        "`get` of an unknown session raises no KeyError",
    ),
    "a memory that keeps nothing": (MEMORY.format(put="return"), "loses what it kept"),
    "a memory that changes": (
        MEMORY.format(put="data = data[:-1]"),
        "`get` returns something else than `put` was given",
    ),
    "its own check": (
        THEME.format(name="x") + "@hookimpl\ndef omni_self_check(): return 'no key'",
        "its own check says: no key",
    ),
    "writes": (THEME.format(name="x") + "open('/tmp/omni-made-by-a-plugin', 'w')", "permission files"),
    "starts": (
        THEME.format(name="x") + "import subprocess, sys; subprocess.run([sys.executable, '-V'])",
        "permission processes",
    ),
    "connects": (
        THEME.format(name="x") + "import socket\ntry: socket.create_connection(('127.0.0.1', 9), 0.1)\n"
        "except OSError: pass",
        "permission network",
    ),
}  # fmt: skip
"""By a short name: the end of a plugin's module, and what its check must say."""


@pytest.mark.parametrize("case", some(FAULTS, 5))
async def test_a_faulty_one_fails_with_its_reason(site: PluginFolder, case: str) -> None:
    source, why = FAULTS[case]
    site.add("bad", source)
    report = await check_plugin(only(site))
    assert why in report.problem


async def test_what_it_declares_it_may_do(site: PluginFolder) -> None:
    source = THEME.format(name="x") + "import subprocess, sys; subprocess.run([sys.executable, '-V'])"
    site.add("open", source, permissions=("processes",))
    report = await check_plugin(only(site))
    assert (report.problem, report.permissions) == ("", ("processes",))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (HEAD.replace("api=1", "api=2"), "version 2"),
        (HEAD.replace("api=1", "api='1'"), "version '1'"),
        (HEAD.replace("PLUGIN = ", "OTHER = "), "no PLUGIN"),
        (HEAD.replace("{permissions}", '{"root"}'), "permissions must be"),
        (HEAD.replace("Made for a test", " "), "no summary"),
    ],
)
async def test_it_must_say_what_it_is_and_for_which_version(
    site: PluginFolder, head: str, why: str
) -> None:
    site.add("odd", THEME.format(name="x"), head=head)
    assert why in (await check_plugin(only(site))).problem


async def test_one_that_never_ends_is_killed_with_what_it_started(
    site: PluginFolder, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    site.add("slow", f"""
        import subprocess
        child = subprocess.Popen(['sleep', '600'])
        open({str(mark)!r}, 'w').write(str(child.pid))
        while True: pass
    """)  # fmt: skip
    report = await check_plugin(only(site), timeout_s=5)
    assert "did not end within 5 seconds" in report.problem
    pid = int(mark.read_text())
    assert gone(pid)


def gone(pid: int) -> bool:
    """Whether a process has ended; waits for that up to ten seconds."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], 10)[0])
    finally:
        os.close(watch)


async def test_what_it_prints_and_the_secrets_around_it_go_nowhere(
    site: PluginFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    site.add("loud", """
        import os, sys
        print('{"problem": ""}'); print('noise', file=sys.stderr)
        raise RuntimeError(repr(os.environ.get('OPENAI_API_KEY')))
    """)  # fmt: skip
    report = await check_plugin(only(site))
    assert "None" in report.problem
    assert capfd.readouterr() == ("", "")


# --- the gate -------------------------------------------------------------------------------------

REACHES = [
    "from omni_tui.approvals.gate import Gate",
    "import omni_tui.approvals",
    "from omni_tui import approvals",
    "def later():\n    from omni_tui.tools.executor import ToolExecutor",
    "import importlib\ngate = importlib.import_module('omni_tui.approvals.grants')",
    "try:\n    import omni_tui.engine.core\nexcept ImportError:\n    pass",
    "from omni_tui.servers.tap import Tap",
    "from omni_tui.memory.trust import TrustStore",
]


@pytest.mark.parametrize("reach", some(REACHES, 3))
async def test_one_that_imports_the_gate_fails_its_check(site: PluginFolder, reach: str) -> None:
    site.add("reaching", THEME.format(name="x") + reach)
    assert "what plugins may not" in (await check_plugin(only(site))).problem


async def test_a_hidden_import_of_the_gate_fails_while_it_runs(
    site: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "name = 'omni_tui.' + 'approvals'\ntry: __import__(name)\nexcept ImportError: pass"
    site.add("hiding", THEME.format(name="x") + hidden)
    monkeypatch.syspath_prepend(site.folder)
    assert forbidden_in_source(only(site).module) == [], "its source does not show it"
    assert "what plugins may not: omni_tui.approvals" in (await check_plugin(only(site))).problem


async def test_a_package_is_read_whole_and_nothing_harmless_is_blamed(site: PluginFolder) -> None:
    (site.folder / "pack").mkdir()
    (site.folder / "pack" / "__init__.py").write_text("")
    (site.folder / "pack" / "approvals.py").write_text("words = 'the approvals of omni_tui.gate'\n")
    (site.folder / "pack" / "main.py").write_text(
        HEAD.replace("{permissions}", "()") + "from . import approvals\n" + THEME.format(name="x")
    )
    site.metadata("pack", f"[{GROUP}]\npack = pack.main\n")
    assert (await check_plugin(only(site))).problem == ""
    (site.folder / "pack" / "deep").mkdir()
    (site.folder / "pack" / "deep" / "unused.py").write_text("from omni_tui.approvals import gate\n")
    report = await check_plugin(only(site))
    assert "pack/deep/unused.py, line 1: omni_tui.approvals" in report.problem
