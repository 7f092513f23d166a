"""The counts of `tests.house`, on a small package made for it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests import house

FILES = {
    "__init__.py": "",
    "a.py": """
        from __future__ import annotations

        from collections.abc import Callable
        from dataclasses import dataclass, field
        from typing import TYPE_CHECKING, cast

        from pkg import b

        if TYPE_CHECKING:
            from pkg.third import Third

        Listen = Callable[[str], None]


        class Twice:
            def __init__(self, done: Callable[[], None], more: Listen | None, plain: int = 0) -> None:
                self.done = cast("Third", self)
                self.other = cast(int, more)

            class Inner: ...

            def todo(self) -> None:
                raise NotImplementedError

            def later(self) -> None:
                raise NotImplementedError("later")


        @dataclass
        class Kept:
            listen: Listen
            number: int = field(default=0)


        made = Twice(lambda: None, more=None)
    """,
    "b.py": """
        from pkg.a import Twice as Other


        class Twice: ...


        class _Private: ...


        def probe(thing):
            return getattr(thing, "x", None) or hasattr(thing, "y") or getattr(thing, "z")


        x = 1  # type: ignore
        y = 2  # type: ignore[attr-defined, misc]
        z = "# type: ignore"
    """,
    "third.py": """
        def deferred() -> None:
            from pkg import fourth


        class Third: ...


        class _Private: ...
    """,
    "fourth.py": """
        import pkg.third
        from pkg.a import Listen


        class Taker:
            def __init__(self, *, listen: Listen) -> None: ...
    """,
    "face/__init__.py": "",
    "face/approval/__init__.py": "",
    "face/approval/deciding.py": """
        from ..approval import kinds


        def name(item, other):
            if isinstance(item, kinds.One) or isinstance(other, str):
                return 1
            match item:
                case kinds.Two():
                    return 2
    """,
    "face/approval/kinds.py": """
        class One: ...


        class Two: ...
    """,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "pkg"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return root


@pytest.mark.parametrize(
    ("name", "number", "places"),
    [
        ("files", 9, None),
        ("public classes", 7, None),
        ("public class names defined more than once", 1, ["Twice: a.py, b.py"]),
        ("files that end in -ing.py", 1, ["face/approval/deciding.py"]),
        ("raise NotImplementedError", 2, None),
        ("casts of self", 1, None),
        ('cast("…", …)', 1, None),
        ("type: ignore", 2, None),
        ("type: ignore[attr-defined]", 1, None),
        ("hasattr, and getattr with a default", 2, None),
        ("getattr and hasattr, all", 3, None),
        ("circles of imports", 1, ["2: pkg.a, pkg.b"]),
        ("circles with deferred imports", 2, ["2: pkg.a, pkg.b", "2: pkg.fourth, pkg.third"]),
        (
            "circles with deferred and type-only imports",
            1,
            ["4: pkg.a, pkg.b, pkg.fourth, pkg.third"],
        ),
        (
            "checks of what kind a waiting item is, in the face",
            2,
            ["2 in face/approval/deciding.py"],
        ),
        ("isinstance in the face's approvals, all", 2, ["2 in face/approval/deciding.py"]),
        (
            "constructor parameters that are callables",
            3,
            ["a.py: Twice.done", "a.py: Twice.more", "fourth.py: Taker.listen"],
        ),
        ("fields of dataclasses that are callables", 1, ["a.py: Kept.listen"]),
        ("lambdas given to constructors", 1, None),
    ],
)
def test_a_count(root: Path, name: str, number: int, places: list[str] | None) -> None:
    found = house.counts(root)[name]
    assert found.number == number
    if places is not None:
        assert found.places == places


def test_the_lines_are_those_of_the_files(root: Path) -> None:
    whole = sum(len(path.read_text().splitlines()) for path in root.rglob("*.py"))
    assert house.counts(root)["lines"].number == whole


def test_a_table_and_json(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(house, "ROOT", root)
    house.main(["--no-trace"])
    assert "      1  files that end in -ing.py" in capsys.readouterr().out.splitlines()
    house.main(["--no-trace", "--places"])
    assert "           Twice: a.py, b.py" in capsys.readouterr().out.splitlines()
    house.main(["--no-trace", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["circles of imports"] == {"count": 1, "places": ["2: pkg.a, pkg.b"]}
    with pytest.raises(SystemExit, match="--jsn: not known"):
        house.main(["--jsn"])


def test_no_public_class_of_the_package_has_the_name_of_another() -> None:
    assert house.double_classes(house.sources(house.ROOT)).places == []
