"""No regular expression of ours looks through a text from outside more than once.

One that begins with a repetition without an end (`\\S*`, `\\s+`) and goes on after it is tried at each
place of a long run, and reads the rest of the run each time: a message with 32,000 letters in a row took 16
seconds. A look behind (`(?<!\\s)\\s+`), a limit (`{0,30}`) or an anchor
keeps it linear.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import omni_tui

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from re import _constants as kinds  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]

ANCHORED = {
    "agents.plan_parser._THINKING",
    "face.approval.argument_lines._LOOKS_LIKE_JSON",
    "face.form.checks._FORMATS",
    "servers.auth.urls._NAME",
    "config.launch_warnings._REROUTES",
    "config.problems._KEY_PART",
    "config.server_environment._USERINFO",
    "face.transcript.stream._FENCE",
    "models._argument_reader._SECONDS",
    "models._request_interpreter._NEVER_MIND",
    "models.offline._HELP",
    "models.text_react._FENCE",
    "servers.auth.enterprise._JWT",
    "servers.uri_template._VARIABLE",
}
"""Those used with `match` or `fullmatch` only, at one place of a text."""
BOUNDED = {"resilience.model_errors._PATTERNS", "resilience.model_errors._PART_OF_TIME"}
"""Those that get the first few thousand characters only."""
STEP_BACK = {"models.tool_search._WORD", "models._answer_assembler._CODE"}
"""Those that give back one letter, or a mark of code, and are done."""
_LARGE = 2_000
Item = tuple[object, Any]
REPEATS = (kinds.MAX_REPEAT, kinds.MIN_REPEAT)


def begins_without_end(items: Sequence[Item], *, followed: bool = False) -> bool:
    """Return whether a match may begin with a repetition without an end that something follows."""
    for at, (kind, what) in enumerate(items):
        rest = followed or at + 1 < len(items)
        if kind is kinds.SUBPATTERN:
            return begins_without_end(what[3], followed=rest)
        if kind is kinds.BRANCH:
            return any(begins_without_end(one, followed=rest) for one in what[1])
        if kind in REPEATS:
            least, most, inner = what
            if most is kinds.MAXREPEAT or most > _LARGE:
                return followed or not all(map(_may_be_empty, items[at + 1 :]))
            if begins_without_end(inner, followed=rest):
                return True
            if least:
                return False
        elif not _reads_nothing(kind, what):
            return False
    return False


def _reads_nothing(kind: object, what: Any) -> bool:
    """Whether it stands between places without making one of them the only one to begin at."""
    if kind is kinds.AT:
        return what not in (kinds.AT_BEGINNING, kinds.AT_BEGINNING_STRING)
    return kind in (kinds.ASSERT, kinds.ASSERT_NOT) and what[0] > 0


def _may_be_empty(item: Item) -> bool:
    kind, what = item
    return kind in REPEATS and what[0] == 0


def patterns_in(value: object, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list | set | frozenset) and depth < 3:
        for one in value:
            yield from patterns_in(one, depth + 1)
    elif isinstance(value, dict):
        yield from patterns_in(list(value.values()), depth)


def offenders() -> set[str]:
    found = set()
    for module in pkgutil.walk_packages(omni_tui.__path__, "omni_tui."):
        if module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for pattern in patterns_in(value):
                tree = parser.parse(
                    pattern.pattern, 0 if isinstance(pattern.pattern, bytes) else pattern.flags
                )
                if begins_without_end(list(tree)):
                    found.add(f"{module.name.removeprefix('omni_tui.')}.{name}")
    return found


def test_no_expression_reads_a_run_again_from_each_of_its_places() -> None:
    assert offenders() - ANCHORED - BOUNDED - STEP_BACK == set()


def test_the_former_ones_would_be_found() -> None:
    for bad in (r"\S*\w[-/]\w\S*|\S+=\S+", r"\s*\S{1,80}", r"\b[a-z]|\s*->", r"(?:a|\w+)_x"):
        assert begins_without_end(list(parser.parse(bad))), bad
    for good in (r"(?<!\S)\S+=", r"\w+", r"\d+(?:x)?", r"\A\s*x", r"[a-z]{0,40}_key"):
        assert not begins_without_end(list(parser.parse(good))), good
