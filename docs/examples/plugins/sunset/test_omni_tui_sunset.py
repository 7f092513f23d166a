"""Every colour of the theme is one."""

import re
import tomllib

import omni_tui_sunset as plugin


def test_its_colours_are_colours() -> None:
    (theme,) = plugin.omni_themes()
    table = tomllib.loads(theme.toml)
    assert table.pop("dark") is True
    assert "primary" in table
    assert [name for name, colour in table.items() if not re.fullmatch("#[0-9a-f]{6}", colour)] == []
