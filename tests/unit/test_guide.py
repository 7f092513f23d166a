"""What the guide and the README name exists, and what they tell to write is taken as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import keyring
import pytest

from omni_tui.cli.parser import build_parser, parse
from omni_tui.config.load import load_config
from omni_tui.face import actions
from omni_tui.face.themes import load_themes
from omni_tui.protocol import LaunchOptions
from tests.guide import FOLDER, MARKS, ROOT, RUN, Block, blocks, pages, steps

KEYS = {"ANTHROPIC_API_KEY": "none", "TRACKER_TOKEN": "none", "ROBOT_KEY": "none", "REDIS_PASSWORD": "none"}
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in [*pages(), ROOT / "README.md"]}
EVERYTHING = "\n".join(TEXTS.values())
EXAMPLES = [block for page in pages() for block in blocks(page) if block.language == "toml"]
NOT_RUN = [one for page in pages() for one in blocks(page) if "skip" in one.marks]
SETTINGS = [one for one in EXAMPLES if not {"mistaken", "theme"} & set(one.marks)]


@pytest.mark.parametrize("example", SETTINGS, ids=str)
def test_its_configuration_is_taken_as_it_stands(
    example: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "get_password", lambda service, _name: "x" * (service == "omni-tui"))
    file = tmp_path / "config.toml"
    file.write_text(example.text)
    loaded = load_config(LaunchOptions(config=str(file), state_dir=str(tmp_path)), KEYS)
    assert loaded.problems == ()
    assert [spec.problem for spec in loaded.servers if spec.problem] == []


def test_its_mistakes_are_mistakes_and_its_themes_are_themes(tmp_path: Path) -> None:
    assert len(SETTINGS) > 12
    (mistaken,) = [one for one in EXAMPLES if "mistaken" in one.marks]
    file = tmp_path / "config.toml"
    file.write_text(mistaken.text)
    assert len(load_config(LaunchOptions(config=str(file), state_dir=str(tmp_path)), {}).problems) == 2
    for theme in (one for one in EXAMPLES if "theme" in one.marks):
        (tmp_path / "one.toml").write_text(theme.text)
        (tmp_path / "config.toml").unlink(missing_ok=True)
        themes, mistakes = load_themes([tmp_path])
        assert (len(themes), mistakes) == (1, [])


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    for page in pages():
        for block in blocks(page):
            assert block.language in {*RUN, "toml", "json", ""}, block
            if block.language in RUN:
                assert list(steps(block)), block
                assert len(block.marks.get("skip", "no reason needed")) > 8, block


def test_a_mark_that_means_nothing_is_a_mistake(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words\n<!-- exti: 3 -->\n```console\n$ ls\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:3: there is no mark exti"):
        list(blocks(page))
    page.write_text("<!-- exit: 3 -->\n<!-- theme -->\n```toml\na = 1\n```\n```sh\nls\n\nid\n```\n")
    first, second = blocks(page)
    assert (first.marks, first.text) == ({"exit": "3", "theme": ""}, "a = 1\n")
    assert set(first.marks) < MARKS
    assert [step.command for step in steps(second)] == ["ls", "id"]


def test_its_commands_exist() -> None:
    known = next(action.choices for action in build_parser()._actions if action.dest == "command") or ()
    named = set(re.findall(r"`omni-tui ([a-z]+)", EVERYTHING))
    assert len(named) > 8
    assert named <= set(known)
    table = re.findall(r"^\| `omni-tui (\w+)", TEXTS["command-line.md"], re.MULTILINE)
    assert set(table) <= set(known)
    assert len(table) > 8


def test_the_commands_in_its_sentences_are_those_of_the_command_line() -> None:
    prose = re.sub(r"^```.*?^```$", "", EVERYTHING, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(omni-tui(?: [^`]*)?)`", prose))
    assert len(named) > 15
    assert [text for text in sorted(named) if not _is_taken(text)] == []
    assert not _is_taken("omni-tui sessions exprot ID")


def _is_taken(text: str) -> bool:
    try:
        parse(shlex.split(text)[1:])
    except SystemExit as left:
        return not left.code
    return True


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_what_is_not_run_says_why(block: Block) -> None:
    pytest.skip(f"{block} is not run: {block.marks['skip']}")


def test_its_slash_commands_exist() -> None:
    text = EVERYTHING.replace(TEXTS["coming-from-mcpomni-connect.md"], "")
    ours = [
        row.split("|")[2]
        for row in TEXTS["coming-from-mcpomni-connect.md"].splitlines()
        if row.startswith("| `/")
    ]
    named = set(re.findall(r"`/([a-z][a-z-]*)(?=[ `])", "\n".join([text, *ours])))
    assert len(named) > 25
    assert sorted(name for name in named if actions.by_slash(name) is None) == []


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", EVERYTHING))
    assert len(named) > 100
    for path, name in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in text, f"{path}::{name}"


def test_the_modules_that_it_tells_to_run_exist() -> None:
    named = set(re.findall(r"python -m (tests(?:\.\w+)+)", EVERYTHING))
    assert len(named) > 10
    missing = [name for name in named if not _module(name)]
    assert missing == []


def _module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_its_links_lead_somewhere(name: str) -> None:
    folder = ROOT if name == "README.md" else FOLDER
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        path, _, anchor = link.partition("#")
        target = folder / path if path else folder / name
        assert not link.startswith(("http:", "https:")), f"{link}: the guide is whole without a network"
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(head) for head in heads}, link


def _anchor(heading: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_every_part_of_the_mission_has_its_row() -> None:
    found = {
        heading: len(re.findall(r"^\| (?!part|---).+ \| .+ \|.*\|$", rows, re.MULTILINE))
        for heading, rows in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", TEXTS["parts.md"], re.MULTILINE)
    }
    assert found == {
        "Interface": 6,
        "Core engine": 5,
        "Agents": 8,
        "Transport": 9,
        "Server sessions": 4,
        "Models": 5,
        "Memory": 7,
        "Tools": 8,
        "Security": 7,
        "Performance": 6,
        "Configuration": 4,
        "Errors": 6,
        "Observability": 4,
        "Plugins": 7,
        "Commands of the ancestor": 14,
    }
    unproved = re.findall(r"^\| (.+) \| yes \| +\|$", TEXTS["parts.md"], re.MULTILINE)
    assert unproved == [], "works, but no test says so"


def test_the_readme_is_read_in_two_minutes() -> None:
    readme = TEXTS["README.md"]
    assert len(readme.split()) < 900
    assert re.findall(r"\]\((\S+\.gif)\)", readme), "no picture moves"
    assert len(re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)) == 2, (
        "two commands: the demo, the tests"
    )
