"""The rules in a file's `[[policy.rule]]` tables, each read with its file and line.

A bad rule is left out and named. Whoever loads the configuration then lets no allow rule count.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any, Literal

from omni_tui.config.problems import KeyPath, TomlPositions, problem
from omni_tui.policy import Rule, RuleError, RuleOrigin, RuleScope, rule_from_table, rule_mistakes
from omni_tui.protocol.events import Problem

RULE_PATH: KeyPath = ("policy", "rule")
MOST_RULES = 20_000


def take_rules(
    values: dict[str, Any], file: FilePath, text: str, *, scope: RuleScope, made: Literal["file", "card"]
) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """Take the rules out of a parsed file, so that the rest is settings only."""
    section = values.get("policy")
    if not isinstance(section, dict) or "rule" not in section:
        return (), ()
    tables = section.pop("rule")
    positions = TomlPositions(text)
    line = positions.line(RULE_PATH)
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        what, todo = "policy.rule must be a list of tables", "begin each rule with [[policy.rule]]"
        return (), (problem(f"{file}:{line}", what, todo),)
    if len(tables) > MOST_RULES:
        return (), (problem(f"{file}:{line}", f"there are more than {MOST_RULES} rules", "remove some"),)
    rules: list[Rule] = []
    problems: list[Problem] = []
    for index, table in enumerate(tables):
        place: KeyPath = (*RULE_PATH, index)
        origin = RuleOrigin(scope, str(file), positions.line(place), made)
        try:
            rules.append(rule_from_table(table, origin))
        except RuleError:
            for mistake in rule_mistakes(table, origin):
                where = f"{file}:{positions.line((*place, *mistake.key))}"
                problems.append(problem(where, f"{_name(table)}: {mistake.what}", mistake.todo))
    return tuple(rules), tuple(problems)


def repeated_ids(rules: Iterable[Rule]) -> list[Problem]:
    """Return a problem for each rule whose id another rule of its scope has already."""
    known: dict[str, Rule] = {}
    found: list[Problem] = []
    for rule in rules:
        first = known.setdefault(rule.key, rule)
        if first is not rule:
            what = f"two rules have the id {rule.id}: the other one is at {first.origin.place}"
            found.append(problem(rule.origin.place, what, "give each its own id"))
    return found


def _name(table: dict[str, Any]) -> str:
    name = table.get("id")
    return f"rule {name}" if isinstance(name, str) and name else "a rule"
