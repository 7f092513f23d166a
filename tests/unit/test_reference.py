"""The reference pages of the guide say what the code does."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from omni_tui.cli.parser import build_parser
from omni_tui.config.sections import Config
from omni_tui.face import actions
from tests.reference.configuration import _row, sections
from tests.reference.events import public_events
from tests.reference.pages import FOLDER, PAGES
from tests.reference.types import limit_words, prose, table, words


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_has_it(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "stale: write the pages again with python -m tests.reference"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(PAGES)


def test_every_setting_command_action_and_event_is_there() -> None:
    text = {name: (FOLDER / name).read_text(encoding="utf-8") for name in PAGES}
    settings = text["configuration.md"]
    for path, section in sections(Config):
        part = settings.partition(f"## `[{'.'.join(path)}]`\n")[2].partition("\n## ")[0]
        assert part, path
        deeper = [one for one, _ in sections(Config) if one[: len(path)] == path != one]
        inner = {one[len(path)] for one in deeper}
        for key in section.model_fields:
            assert f"| `{key}` |" in part or key in inner, (path, key)
    commands = next(one.choices for one in build_parser()._actions if one.dest == "command")
    assert [
        one for one in commands or () if f"\n## `omni-tui {one}`\n" not in text["command-line.md"]
    ] == []
    assert [one.name for one in actions.all_actions() if f"`{one.name}` |" not in text["keys.md"]] == []
    tags = [kind.__struct_config__.tag for kind in public_events()]
    assert len(tags) > 30
    assert [tag for tag in tags if f"\n### `{tag}`\n" not in text["events.md"]] == []


class Sample(BaseModel):
    """A sample (see `config.references`) of this.

    The rest is read by `config.policy_rules`. More words
    here.
    """

    number: int = Field(default=3, ge=1, le=1000, description="How many.")
    times: Annotated[float, Field(gt=0, le=86_400)] | None = None
    names: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=10)
    pick: Literal["a", "", "c"] = "a"
    deep: dict[str, dict[str, int]] = {}


def test_what_a_setting_says_of_itself_is_in_its_row() -> None:
    live = Field(default=3, ge=1, description="How many.", json_schema_extra={"applies": "live"})

    class Settings(BaseModel):
        number: int = live

    row = _row("number", Settings.model_fields["number"])
    assert row == ("`number`", "whole number", "`3`", "from 1", "How many.", "at once")


def test_types_and_limits_are_told_in_words() -> None:
    fields = Sample.model_fields
    assert [words(field.rebuild_annotation()) for field in fields.values()] == [
        "whole number",
        "number",
        "list of texts",
        "`a`, empty or `c`",
        "table of table of whole numbers",
    ]
    assert [limit_words(field) for field in fields.values()] == [
        "from 1 to 1,000",
        "more than 0, at most 86,400",
        "at most 10 entries",
        "",
        "",
    ]
    assert prose(Sample) == "A sample of this.\n\nMore words here."


def test_a_table_keeps_its_cells_and_drops_empty_columns() -> None:
    assert table(("a", "b", "c"), [("x|y", "", "1"), ("`z`", "", "")]) == (
        "| a | c |\n| --- | --- |\n| x\\|y | 1 |\n| `z` |  |"
    )
