"""A rule in plain English, and in TOML."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from omni_tui.policy.argument_condition import ArgumentCondition
from omni_tui.policy.rule import Asker, Rule
from omni_tui.policy.rule_table import rule_table
from omni_tui.protocol.values import Risk

_VERBS = {"allow": "Allows", "ask": "Asks about", "deny": "Denies"}
_ASKERS: dict[Asker, str] = {
    "agent": "by an agent",
    "hand": "by hand",
    "gateway": "by a client of the gateway",
    "operator": "by an operator",
}
_OPERATORS = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "prefix": "begins with",
    "glob": "matches",
    "regex": "matches, as a whole, the regular expression",
    "lt": "is less than",
    "le": "is at most",
    "gt": "is more than",
    "ge": "is at least",
    "max_length": "is no longer than",
    "type": "is of type",
    "path_within": "is a path in",
    "host_in": "is a URL at",
}
_ONLY_TRUSTED: dict[Risk, str] = {
    "read": "if its server is trusted and says that the tool only reads",
    "write": "if its server is trusted and says that the tool destroys nothing",
}
"""What an untrusted server claims cannot lower the risk, so such a rule allows none of its tools."""
_OUTSIDE = "contain data of an untrusted server that you did not type"
_LONGEST_VALUE = 200
_LONGEST_LINE = 80


def rule_sentence(rule: Rule) -> str:
    """Return what a rule does, in one sentence. It is not safe to show: names come from files."""
    words = [_VERBS[rule.decision], _calls(rule)]
    words += _who(rule)
    words += _limits(rule)
    if rule.args:
        every = "any" if rule.decision != "allow" else "every"
        words.append("if " + " and ".join(_condition(each, every) for each in rule.args))
    if rule.other_args == "none":
        words.append("and there is no other argument" if rule.args else "without arguments")
    if rule.outside:
        words.append(f"if the arguments {_OUTSIDE}")
    if rule.max_uses:
        words.append(f"at most {rule.max_uses} time{'s' if rule.max_uses > 1 else ''}")
    if rule.expires:
        words.append(f"until {_time(rule.expires)}")
    return " ".join(words) + "."


def outside_words(rule: Rule, *, sure: bool) -> str:
    """Return what a rule found of data from outside, "" if it does not look for any.

    `sure`: it was found, and not only too much or too unclear to tell.
    """
    found = [
        f"{_place(each, 'an')} {_contains(_OUTSIDE) if sure else f'may {_OUTSIDE}'}"
        for each in rule.args
        if each.op == "outside"
    ]
    if rule.outside:
        found.append(f"the arguments {'' if sure else 'may '}{_OUTSIDE}")
    return " and ".join(found)


def rule_toml(rule: Rule) -> str:
    """Return a rule as it stands in a file: a table `[[policy.rule]]`."""
    import tomli_w

    lines = ["[[policy.rule]]\n"]
    for key, value in rule_table(rule).items():
        if key in ("args", "tests"):
            # Beside a number, tables are written inline; by themselves they would get headers.
            lines.append(tomli_w.dumps({key: [0, *value]}).replace("[\n    0,\n", "[\n", 1))
        else:
            lines.append(_on_one_line(tomli_w.dumps({key: value})))
    return "".join(lines)


def _on_one_line(text: str) -> str:
    """Put a short list on one line; `text` is one key with its value as tomli_w writes it."""
    first, *items = text.splitlines()
    if not items or not first.endswith(" = [") or any(item.startswith("        ") for item in items):
        return text
    line = f"{first}{', '.join(item.strip().removesuffix(',') for item in items[:-1])}]\n"
    return line if len(line) <= _LONGEST_LINE else text


def _calls(rule: Rule) -> str:
    tools = "every tool" if rule.tool == ("*",) else _names(rule.tool)
    if rule.except_tool:
        tools += f" (except {_names(rule.except_tool)})"
    servers = "any server" if rule.server == ("*",) else _names(rule.server)
    return f"{tools} of {servers}"


def _who(rule: Rule) -> list[str]:
    words = []
    if rule.modes:
        words.append(f"in {_names(rule.modes)} mode")
    if rule.who:
        words.append("called " + " or ".join(_ASKERS[each] for each in rule.who))
    if rule.agents:
        words.append(f"for the agent {_names(rule.agents)}")
    if rule.clients:
        words.append(f"for a client of the gateway that calls itself {_names(rule.clients)}")
    return words


def _limits(rule: Rule) -> list[str]:
    if rule.decision == "allow" and rule.highest_risk == "unknown":
        return ["unless the tool may destroy things"]
    if rule.decision == "allow" and rule.highest_risk in _ONLY_TRUSTED:
        return [_ONLY_TRUSTED[rule.highest_risk]]
    return {
        "read": ["if the tool only reads"],
        "write": ["if the tool reads, or changes things without destroying any"],
        "unknown": ["unless the tool may destroy things"],
        "destructive": ["even if the tool may destroy things"] if rule.decision == "allow" else [],
    }[rule.highest_risk]


def _condition(condition: ArgumentCondition, every: str) -> str:
    name = _place(condition, every)
    if condition.op == "present":
        return f"{name} is given"
    if condition.op == "absent":
        return f"{name} is not given"
    if condition.op == "outside":
        return f"{name} {_contains(_OUTSIDE)}"
    return f"{name} {_OPERATORS[condition.op]} {_value(condition)}"


def _place(condition: ArgumentCondition, every: str) -> str:
    name = f"`{condition.path.removeprefix('/').replace('/*', '')}`"
    return f"{every} element of {name}" if "*" in condition.keys else name


def _contains(words: str) -> str:
    return words.replace("contain", "contains", 1)


def _value(condition: ArgumentCondition) -> str:
    value: Any = condition.value
    if condition.op in ("in", "not_in", "type", "path_within", "host_in") and isinstance(
        value, list | tuple
    ):
        return _joined([_one(each) for each in value])
    return _one(value)


def _one(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _names(names: tuple[str, ...]) -> str:
    return _joined(list(names))


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" or {words[-1]}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
