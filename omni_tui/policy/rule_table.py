"""Rules as tables of TOML or JSON: read strictly, and written back.

Everything that makes a rule dangerous or meaningless is refused here, with the key and what to do, so that
a rule which was read is a rule that works.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from omni_tui.policy.argument_condition import (
    BARE,
    OPERATORS,
    TYPES,
    ArgumentCondition,
    everything_outside,
    nothing_outside,
    regex_problem,
)
from omni_tui.policy.file_paths import folder_problem
from omni_tui.policy.glob import LONGEST_PATTERN
from omni_tui.policy.hosts import host_problem
from omni_tui.policy.rule import RISK_ORDER, Asker, CallFacts, Rule, RuleDecision, RuleOrigin, RuleTest
from omni_tui.protocol.values import Mode

RuleKey = tuple[str | int, ...]
"""The path of a key in a rule's table."""

DECISIONS: tuple[RuleDecision, ...] = ("allow", "ask", "deny")
MODES: tuple[Mode, ...] = ("chat", "auto", "orchestrator")
ASKERS: tuple[Asker, ...] = ("agent", "hand", "gateway", "operator")

_FILLERS = {"id": "rule", "decision": "deny"}
"""What stands in for a required key that is wrong or misspelt while other mistakes are looked for."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NUMBERS = ("lt", "le", "gt", "ge")
_TEXTS = ("prefix", "glob", "regex")
_MOST = 1_000
"""Entries of a list in a rule."""
_LONGEST_MESSAGE = 1_000
_DEEPEST = 32
"""How deeply a value may be nested."""
_LATEST = 250_000_000_000
"""The end of what a date can be, in Unix seconds."""


class RuleError(Exception):
    """A rule cannot be used. `key` says where in its table; it is empty if a key is missing."""

    def __init__(self, key: RuleKey, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.key = key
        self.what = what
        self.todo = todo


class _SenseError(RuleError):
    """Each key can be read, but not the rule as a whole."""


def rule_mistakes(table: Mapping[str, Any], origin: RuleOrigin) -> tuple[RuleError, ...]:
    """Return every mistake in a rule's table, one for each of its keys."""
    left = dict(table)
    found: list[RuleError] = []
    while True:
        try:
            rule_from_table(left, origin)
        except RuleError as error:
            if not found or not isinstance(error, _SenseError):
                found.append(error)
            if not error.key or error.key[0] not in left or isinstance(error, _SenseError):
                return tuple(found)
            key = str(error.key[0])
            left.pop(key)
            meant = difflib.get_close_matches(key, RULE_KEYS, n=1)
            left |= {name: value for name, value in _FILLERS.items() if name in meant and name not in left}
        else:
            return tuple(found)


def rule_from_table(table: Mapping[str, Any], origin: RuleOrigin) -> Rule:
    """Read a rule. Raises `RuleError` for the first mistake."""
    reader = _TableReader(table, ())
    reader.refuse_unknown(RULE_KEYS)
    decision = reader.choice("decision", DECISIONS, required=True)
    rule = Rule(
        id=_id(reader),
        decision=decision,
        server=reader.globs("server") or ("*",),
        tool=reader.globs("tool") or ("*",),
        except_tool=reader.globs("except_tool"),
        modes=reader.choices("modes", MODES),
        agents=reader.globs("agents"),
        who=reader.choices("who", ASKERS),
        clients=reader.globs("clients"),
        risk_max=reader.choice("risk_max", tuple(RISK_ORDER)),
        args=tuple(_condition(each, ("args", index)) for index, each in enumerate(reader.tables("args"))),
        other_args=reader.choice("other_args", ("any", "none")) or "any",
        outside=reader.truth("outside") or False,
        expires=reader.time("expires"),
        max_uses=reader.count("max_uses"),
        message=reader.text("message", limit=_LONGEST_MESSAGE),
        created=reader.time("created"),
        tests=tuple(_test(each, ("tests", index)) for index, each in enumerate(reader.tables("tests"))),
        origin=origin,
    )
    _check_sense(rule, table)
    _check_tests(rule)
    return rule


RULE_KEYS: Final = tuple(name for name in Rule.__dataclass_fields__ if name != "origin")
"""The keys of a rule's table."""
TEST_KEYS: Final = tuple(RuleTest.__dataclass_fields__)
CONDITION_KEYS: Final = ("path", "op", "value")


def rule_table(rule: Rule) -> dict[str, Any]:
    """Return a rule as a table; keys at their default are left out. Times are dates with a zone."""
    table: dict[str, Any] = {"id": rule.id, "decision": rule.decision}
    plain = Rule(id="", decision="ask")
    for name in RULE_KEYS[2:]:
        value = getattr(rule, name)
        if value != getattr(plain, name):
            table[name] = _as_toml(name, value)
    return table


def rule_digest(rule: Rule) -> str:
    """Return the hash of everything that a rule says, wherever it stands."""
    text = json.dumps(rule_table(rule), sort_keys=True, default=_as_text)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else repr(value)


def _as_toml(name: str, value: Any) -> Any:
    if name in ("expires", "created"):
        return datetime.fromtimestamp(value, UTC)
    if name == "args":
        return [_condition_table(each) for each in value]
    if name == "tests":
        return [
            {key: _plain(each) for key in TEST_KEYS if (each := getattr(test, key)) is not None}
            for test in value
        ]
    if name in ("server", "tool") and len(value) == 1:
        return value[0]
    return _plain(value)


def _condition_table(condition: ArgumentCondition) -> dict[str, Any]:
    table = {"path": condition.path, "op": condition.op}
    return table if condition.value is None else table | {"value": _plain(condition.value)}


def _plain(value: Any) -> Any:
    """Return a value with lists in place of tuples."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


class _TableReader:
    """Reads the keys of one table by their type."""

    def __init__(self, table: Mapping[str, Any], place: RuleKey) -> None:
        self._table = table
        self._place = place

    def error(self, key: str, what: str, todo: str = "") -> RuleError:
        return RuleError((*self._place, key), f"`{key}` {what}", todo)

    def refuse_unknown(self, known: Sequence[str]) -> None:
        for key in self._table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
                todo = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
                raise RuleError((*self._place, key), f"there is no key `{key}`", todo)

    def text(self, key: str, *, limit: int, required: bool = False) -> str:
        value = self._table.get(key)
        if value is None:
            if required:
                raise RuleError(self._place, f"`{key}` is missing")
            return ""
        if not isinstance(value, str) or not value or not _is_unicode(value):
            raise self.error(key, "must be text, in quotes, and not empty")
        if len(value) > limit:
            raise self.error(key, f"must have at most {limit} characters")
        return value

    def choice(self, key: str, choices: Sequence[str], *, required: bool = False) -> Any:
        value = self.text(key, limit=100, required=required)
        if value and value not in choices:
            raise self.error(key, f"must be {_listed(choices)}", _nearest(value, choices))
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return one text or several. An empty list is refused: it could mean none or all."""
        value = self._table.get(key)
        if value is None:
            return ()
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not all(
            isinstance(each, str) and each and _is_unicode(each) for each in values
        ):
            raise self.error(key, "must be text, in quotes, or a list of such texts")
        if not values:
            raise self.error(key, "is an empty list", "name at least one, or remove the key")
        if len(values) > _MOST:
            raise self.error(key, f"has more than {_MOST} entries")
        return tuple(values)

    def choices(self, key: str, choices: Sequence[str]) -> Any:
        values = self.strings(key)
        for value in values:
            if value not in choices:
                raise self.error(key, f"may have {_listed(choices)}", _nearest(value, choices))
        return values

    def globs(self, key: str) -> tuple[str, ...]:
        values = self.strings(key)
        if any(len(value) > LONGEST_PATTERN for value in values):
            raise self.error(key, f"has a pattern of more than {LONGEST_PATTERN} characters")
        return values

    def truth(self, key: str) -> bool | None:
        value = self._table.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def count(self, key: str) -> int:
        value = self._table.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or (key in self._table and value < 1):
            raise self.error(key, "must be a whole number of at least 1")
        return value

    def time(self, key: str) -> float:
        value = self._table.get(key, 0.0)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.timestamp()
        if isinstance(value, date):
            raise self.error(key, "needs a time and a zone", "write it as 2027-01-31T18:00:00Z")
        if not _is_number(value) or not 0 <= value < _LATEST:
            raise self.error(key, "must be a time", "write it as 2027-01-31T18:00:00Z")
        return float(value)

    def table(self, key: str) -> Mapping[str, Any] | None:
        value = self._table.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(key, "must be a table")
        if value is not None and not _is_json(value):
            raise self.error(key, f"must have values of JSON, nested at most {_DEEPEST} times")
        return value

    def tables(self, key: str) -> Sequence[Mapping[str, Any]]:
        value = self._table.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
            raise self.error(key, "must be a list of tables")
        if not value:
            raise self.error(key, "is an empty list", "name at least one, or remove the key")
        if len(value) > _MOST:
            raise self.error(key, f"has more than {_MOST} entries")
        return value


def _id(reader: _TableReader) -> str:
    value = reader.text("id", limit=64, required=True)
    if not _ID.fullmatch(value):
        raise reader.error("id", "may have letters, digits, and `_`, `.` and `-` after the first")
    return value


def _condition(table: Mapping[str, Any], place: RuleKey) -> ArgumentCondition:
    reader = _TableReader(table, place)
    reader.refuse_unknown(CONDITION_KEYS)
    path = reader.text("path", limit=500, required=True)
    if not path.startswith("/") or re.search(r"~(?![01])", path):
        todo = 'the argument `owner` is "/owner"; ~ is written ~0, and / in a name ~1'
        raise reader.error("path", "must be a JSON Pointer", todo)
    op = reader.choice("op", OPERATORS, required=True)
    bare = op in BARE
    if bare == ("value" in table):
        raise reader.error("value", f'{"does not go with" if bare else "is needed for"} `op = "{op}"`')
    value = table.get("value")
    if problem := _value_problem(op, value):
        raise reader.error("value", problem)
    return ArgumentCondition(path, op, _frozen(value))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _value_problem(op: str, value: Any) -> str:
    """Return why a value does not go with an operator, "" if it does."""
    if op in BARE:
        return ""
    if not _is_json(value):
        words = "text, a number, true, false, a list or a table"
        return f"must be a value of JSON: {words}, at most {_DEEPEST} deep"
    if op in _NUMBERS:
        return "" if _is_number(value) else f'must be a number for `op = "{op}"`'
    if op == "max_length":
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if fits else "must be a whole number of at least 0"
    if op in _TEXTS:
        return _text_problem(op, value)
    if op in ("in", "not_in"):
        return "" if isinstance(value, list | tuple) and value else "must be a list with at least one value"
    if op in ("type", "path_within", "host_in"):
        return _several_problem(op, value)
    return ""


def _text_problem(op: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        return f'must be text that is not empty for `op = "{op}"`'
    if op == "regex" and (problem := regex_problem(value)):
        return f"cannot be used: {problem}"
    return "has more than 500 characters" if len(value) > LONGEST_PATTERN and op == "glob" else ""


def _several_problem(op: str, value: Any) -> str:
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list | tuple)
        or not values
        or not all(isinstance(each, str) for each in values)
    ):
        return "must be a text or a list of texts"
    for each in values:
        if op == "type" and each not in TYPES:
            return f"must be {_listed(TYPES)}"
        if op == "path_within" and (problem := folder_problem(each)):
            return problem
        if op == "host_in" and (problem := host_problem(each)):
            return problem
    return ""


def _is_json(value: Any, depth: int = 0) -> bool:
    """Whether a value is one of JSON, and not nested deeply."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, str):
        return _is_unicode(value)
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return _is_number(value)
    if isinstance(value, Mapping):
        return all(_is_unicode(key) and _is_json(each, depth + 1) for key, each in value.items())
    return isinstance(value, list | tuple) and all(_is_json(each, depth + 1) for each in value)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _test(table: Mapping[str, Any], place: RuleKey) -> RuleTest:
    reader = _TableReader(table, place)
    reader.refuse_unknown(TEST_KEYS)
    match = reader.truth("match")
    if match is None:
        raise RuleError(place, "`match` is missing", "say whether the rule must match: true or false")
    return RuleTest(
        match=match,
        args=reader.table("args"),
        server=reader.text("server", limit=500) or None,
        tool=reader.text("tool", limit=500) or None,
        mode=reader.choice("mode", MODES) or None,
        agent=reader.text("agent", limit=500) or None,
        who=reader.choice("who", ASKERS) or None,
        client=reader.text("client", limit=500) or None,
        risk=reader.choice("risk", tuple(RISK_ORDER)) or None,
        outside=reader.truth("outside"),
    )


def _check_sense(rule: Rule, table: Mapping[str, Any]) -> None:
    """Refuse what would surprise: an allow rule for everything, and limits that would weaken a deny."""
    allows = rule.decision == "allow"
    if allows and any(set(each) <= {"*", "?"} for each in rule.server) and not rule.args:
        raise _SenseError(
            ("server",) if "server" in table else (),
            "this allow rule is for any server and any arguments",
            "name the server, add a condition to `args`, or set what the mode does under [policy]",
        )
    if not allows and rule.max_uses:
        todo = "remove it: such a rule would stop to hold"
        raise _SenseError(("max_uses",), "`max_uses` is for an allow rule", todo)
    if not allows and rule.other_args == "none":
        todo = "remove it: one more argument would get around the rule"
        raise _SenseError(("other_args",), '`other_args = "none"` is for an allow rule', todo)
    if allows and rule.message:
        raise _SenseError(("message",), "`message` is for a rule that denies or asks")
    if rule.clients and rule.who and "gateway" not in rule.who:
        todo = 'add "gateway" to `who`, or remove `clients`'
        raise _SenseError(
            ("clients",), "`clients` are clients of the gateway, which `who` leaves out", todo
        )


def _check_tests(rule: Rule) -> None:
    for index, test in enumerate(rule.tests):
        if test_matches(rule, test) is not test.match:
            verb = "does not match" if test.match else "matches"
            raise _SenseError(
                ("tests", index),
                f"the rule {verb} the call of its test {index + 1}",
                "correct the rule or the test",
            )


def test_matches(rule: Rule, test: RuleTest) -> bool:
    """Whether a rule matches the call of a test, as far as the test describes one."""
    facts = CallFacts(
        server=test.server or "",
        tool=test.tool or "",
        arguments=test.args or {},
        mode=test.mode or "chat",
        agent=test.agent or "",
        who=test.who or ("gateway" if test.client else "agent"),
        client=test.client or "",
        risk=test.risk or "read",
        outside=everything_outside if test.outside else nothing_outside,
    )
    args = tuple(each for each in rule.args if each.op != "outside" or test.outside is not None)
    relevant = Rule(
        id=rule.id,
        decision=rule.decision,
        server=rule.server if test.server is not None else ("*",),
        tool=rule.tool if test.tool is not None else ("*",),
        except_tool=rule.except_tool if test.tool is not None else (),
        modes=rule.modes if test.mode is not None else (),
        agents=rule.agents if test.agent is not None else (),
        who=rule.who if test.who is not None else (),
        clients=rule.clients if test.client is not None else (),
        risk_max=rule.risk_max,
        args=args if test.args is not None else (),
        other_args=rule.other_args if test.args is not None else "any",
        outside=rule.outside and test.outside is not None,
    )
    return relevant.matches(facts)


def _listed(choices: Sequence[str]) -> str:
    return (
        f'"{choices[0]}"'
        if len(choices) == 1
        else ", ".join(f'"{c}"' for c in choices[:-1]) + (f' or "{choices[-1]}"')
    )


def _nearest(value: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else ""
