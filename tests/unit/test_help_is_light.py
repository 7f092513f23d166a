"""What is loaded for what: counted in modules, since a time proves nothing on a busy machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COUNT = """
import sys
from omni_tui.__main__ import main
try:
    main({argv!r})
except SystemExit:
    pass
print("\\n".join(sys.modules), file=sys.stderr)
"""


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_the_standard_library_and_its_own_grammar(argv: list[str]) -> None:
    bare = loaded_by("import sys; print('\\n'.join(sys.modules), file=sys.stderr)")
    new = loaded_by(_COUNT.format(argv=argv)) - bare
    ours = {name for name in new if name.split(".")[0] == "omni_tui"}
    assert ours <= {"omni_tui", "omni_tui.__main__", "omni_tui.cli", "omni_tui.cli.parser"}
    foreign = {name.split(".")[0] for name in new} - sys.stdlib_module_names - {"omni_tui"}
    assert {name for name in foreign if not name.startswith("_")} == set()
    assert not {"asyncio", "typing_extensions", "logging", "subprocess", "ssl", "tomllib"} & new


def test_help_loads_a_small_part_of_what_textual_does() -> None:
    help_ = loaded_by(_COUNT.format(argv=["--help"]))
    textual = loaded_by("import sys, textual.app; print('\\n'.join(sys.modules), file=sys.stderr)")
    assert len(help_) * 3 < len(textual)


def test_the_way_to_the_app_loads_neither_the_engine_nor_heavy_libraries() -> None:
    code = (
        "import sys; import omni_tui.cli.command_table, omni_tui.cli.app;"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    names = loaded_by(code)
    assert "omni_tui.cli.app" in names
    heavy = (
        "textual",
        "pydantic",
        "mcp",
        "litellm",
        "keyring",
        "cryptography",
        "omni_tui.engine",
        "omni_tui.face",
    )
    assert not {name for name in names if name.startswith(heavy)}


def test_importing_the_configuration_room_loads_no_pydantic() -> None:
    names = loaded_by("import sys, omni_tui.config.paths; print('\\n'.join(sys.modules), file=sys.stderr)")
    assert "omni_tui.config.ui_settings" in names
    assert "pydantic" not in names
