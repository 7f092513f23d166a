"""Finds, among many rules for one tool, those whose `eq` or `in` condition may be met by a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from omni_tui.policy.argument_condition import ArgumentCondition, Truth, find_value, json_kind
from omni_tui.policy.glob import composed
from omni_tui.policy.rule import Rule

_SCALARS = ("string", "number", "boolean")


class ArgumentIndex:
    """Rules by one condition of each that wants a text, a number or a truth value at a fixed path."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._groups: dict[tuple[tuple[str, ...], str], _Group] = {}
        self._others: list[Rule] = []
        for rule in rules:
            condition = next((each for each in rule.args if _kind(each)), None)
            if condition is None:
                self._others.append(rule)
            else:
                key = (condition.keys, _kind(condition))
                self._groups.setdefault(key, _Group(*key)).add(rule, condition)

    def find(self, arguments: Mapping[str, Any]) -> Iterator[Rule]:
        """Yield the rules that may match a call with these arguments."""
        yield from self._others
        for group in self._groups.values():
            yield from group.find(arguments)


class _Group:
    """The rules that want a value of one type at one path."""

    def __init__(self, keys: tuple[str, ...], kind: str) -> None:
        self._keys = keys
        self._kind = kind
        self._by_value: dict[Any, list[Rule]] = {}
        self._restricting: list[Rule] = []

    def add(self, rule: Rule, condition: ArgumentCondition) -> None:
        for value in {_key(each) for each in _values(condition)}:
            self._by_value.setdefault(value, []).append(rule)
        if rule.decision != "allow":
            self._restricting.append(rule)

    def find(self, arguments: Mapping[str, Any]) -> Iterable[Rule]:
        found, value = find_value(arguments, self._keys)
        if found is Truth.FAILS:
            return ()
        if found is Truth.UNCLEAR or json_kind(value) != self._kind:
            return self._restricting  # a wrong type never meets an allow rule, and always another
        return self._by_value.get(_key(value), ())


def _kind(condition: ArgumentCondition) -> str:
    """Return the one type of the values that a condition wants, "" if it cannot be looked up."""
    if condition.op not in ("eq", "in") or "*" in condition.keys:
        return ""
    kinds = {json_kind(each) for each in _values(condition)}
    return kinds.pop() if len(kinds) == 1 and kinds <= set(_SCALARS) else ""


def _values(condition: ArgumentCondition) -> Iterable[Any]:
    return (condition.value,) if condition.op == "eq" else condition.value


def _key(value: Any) -> Any:
    return composed(value) if isinstance(value, str) else value
