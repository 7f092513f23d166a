"""The import rules, checked on what is really loaded; and that the face starts with little."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import omni_tui

_ROOT = Path(omni_tui.__file__).parent
_HEAVY = ("mcp", "litellm", "pydantic", "redis", "httpx", "openai", "anyio", "structlog", "cryptography")
_ENGINE = (
    "agents",
    "approvals",
    "engine",
    "memory",
    "models",
    "observability",
    "resilience",
    "servers",
    "tools",
)


def modules_of(package: str) -> list[str]:
    """Return the names of a package's modules, without importing them."""
    folder = _ROOT / package
    found = pkgutil.walk_packages([str(folder)], f"omni_tui.{package}.")
    return [f"omni_tui.{package}", *(module.name for module in found)]


def loaded_by(*modules: str) -> set[str]:
    """Return what a fresh interpreter has loaded after importing these."""
    code = (
        "import sys\n" + "".join(f"import {name}\n" for name in modules) + "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_no_module_of_the_face_loads_an_engine_or_anything_heavy() -> None:
    loaded = loaded_by(*modules_of("face"))
    assert roots(loaded) & set(_HEAVY) == set()
    ours = {name for name in loaded if name.startswith("omni_tui.")}
    allowed = ("omni_tui.face", "omni_tui.protocol", "omni_tui.security", "omni_tui.config")
    assert {name for name in ours if not name.startswith(allowed)} == set()
    assert {n for n in ours if n.startswith("omni_tui.config.")} <= {"omni_tui.config.ui_settings"}


def test_the_first_frame_loads_no_widget_it_does_not_show() -> None:
    loaded = loaded_by("omni_tui.face.app", "omni_tui.face.panes.chat", "omni_tui.face.panes.tools")
    late = (
        "omni_tui.face.screens.help",
        "omni_tui.face.screens.full_view",
        "omni_tui.face.screens.tool",
        "omni_tui.face.approval.inline_editors",
        "omni_tui.face.palette",
        "textual.widgets._markdown",
        "textual.widgets._data_table",
    )
    assert loaded & set(late) == set()


def test_the_engine_never_loads_textual() -> None:
    loaded = loaded_by(*(module for package in _ENGINE for module in modules_of(package)))
    assert {"textual", "omni_tui.face"} & loaded == set()


def test_the_protocol_loads_nothing_of_ours() -> None:
    loaded = loaded_by(*modules_of("protocol"))
    ours = {name for name in loaded if name.startswith("omni_tui.")}
    assert all(name.startswith("omni_tui.protocol") for name in ours)
    assert roots(loaded) & {"textual", "mcp", "litellm", "pydantic"} == set()
