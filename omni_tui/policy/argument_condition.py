"""A condition on one argument of a call, evaluated on the parsed JSON.

The answer is one of three: it holds, it does not hold, or it is unclear (a value of the wrong type, a path
or URL that programs may read differently). A missing value never holds, except for `absent`. What is
unclear counts against the call: an allow rule does not match, a deny or ask rule does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from omni_tui.policy.file_paths import is_within
from omni_tui.policy.glob import composed, matches_glob
from omni_tui.policy.hosts import has_host

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

Operator = Literal[
    "eq",
    "ne",
    "in",
    "not_in",
    "prefix",
    "glob",
    "regex",
    "lt",
    "le",
    "gt",
    "ge",
    "max_length",
    "type",
    "present",
    "absent",
    "path_within",
    "host_in",
    "outside",
]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
BARE: tuple[Operator, ...] = ("present", "absent", "outside")
"""The operators that take no value."""
TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
"""What `type` may ask for: the types of JSON."""

LONGEST_REGEX = 200
"""Characters of a regular expression."""
LONGEST_SUBJECT = 4_096
"""Characters of a value that a regular expression is tried on; a longer one is unclear."""
LONGEST_GLOBBED = 65_536
"""The same for a glob."""


class Truth(Enum):
    """The answer of a condition."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCLEAR = "unclear"

    @staticmethod
    def of(answer: bool | None) -> Truth:
        """Return the answer of a yes, a no, or neither."""
        if answer is None:
            return Truth.UNCLEAR
        return Truth.HOLDS if answer else Truth.FAILS

    def counts(self, *, allowing: bool) -> bool:
        """Whether it is enough for a rule: what is unclear counts against the call."""
        return self is Truth.HOLDS or (self is Truth.UNCLEAR and not allowing)


OutsideCheck = Callable[[Any], Truth]
"""Says of a value of the arguments whether it contains data from outside: what an untrusted server returned
and the person did not type."""


def nothing_outside(_value: Any) -> Truth:
    """Say that no value contains data from outside."""
    return Truth.FAILS


def everything_outside(_value: Any) -> Truth:
    """Say that every value does."""
    return Truth.HOLDS


def unclear_outside(_value: Any) -> Truth:
    """Say that nothing is known about any value."""
    return Truth.UNCLEAR


@dataclass(frozen=True, slots=True)
class ArgumentCondition:
    """`path` is a JSON Pointer into the arguments; `*` in it stands for each element of a list.

    `value` is JSON: lists are tuples, tables are dictionaries. The operators in `BARE` have none.
    """

    path: str
    op: Operator
    value: Any = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The path's parts."""
        return _keys(self.path)

    def matches(
        self,
        arguments: Mapping[str, Any],
        *,
        allowing: bool,
        cwd: str = "",
        outside: OutsideCheck = nothing_outside,
    ) -> bool:
        """Whether the condition is met, for an allow rule or for one that asks or denies.

        With `*`, an allow rule needs every element (and at least one) to hold, another rule any. `cwd` is
        the folder that relative paths start from at the server, "" if that is not known.
        """
        return self._met(arguments, self.keys, _Terms(allowing, cwd, outside))

    def covers(self, place: Sequence[str | int]) -> bool:
        """Whether a leaf of the arguments is at the condition's path or below it."""
        keys = self.keys
        if len(place) < len(keys):
            return False
        return all(
            (isinstance(part, int) and key in ("*", str(part))) or key == part
            for key, part in zip(keys, place, strict=False)
        )

    def _met(self, value: Any, keys: tuple[str, ...], terms: _Terms) -> bool:
        star = keys.index("*") if "*" in keys else len(keys)
        found, value = find_value(value, keys[:star])
        if found is Truth.FAILS:
            return self.op == "absent"
        if found is Truth.UNCLEAR or (star < len(keys) and not isinstance(value, list | tuple)):
            return not terms.allowing
        if star == len(keys):
            return self._judge(value, terms).counts(allowing=terms.allowing)
        answers = (self._met(each, keys[star + 1 :], terms) for each in value)
        return (len(value) > 0 and all(answers)) if terms.allowing else any(answers)

    def _judge(self, value: Any, terms: _Terms) -> Truth:
        """Compare one value that is there."""
        match self.op:
            case "present" | "absent":
                return Truth.of(self.op == "present")
            case "outside":
                return terms.outside(value)
            case "type":
                return Truth.of(any(_is_type(value, each) for each in _several(self.value)))
            case "eq" | "in":
                return _is_one_of(value, _wanted(self))
            case "ne" | "not_in":
                return _opposite(_is_one_of(value, _wanted(self)))
            case "lt" | "le" | "gt" | "ge":
                return _in_order(self.op, value, self.value)
            case "max_length":
                return Truth.of(len(value) <= self.value if isinstance(value, str | list | tuple) else None)
            case _:
                return self._judge_text(value, terms.cwd) if isinstance(value, str) else Truth.UNCLEAR

    def _judge_text(self, text: str, cwd: str) -> Truth:
        match self.op:
            case "prefix":
                return Truth.of(composed(text).startswith(composed(self.value)))
            case "glob":
                return Truth.of(matches_glob(self.value, text) if len(text) <= LONGEST_GLOBBED else None)
            case "path_within":
                return Truth.of(is_within(text, tuple(_several(self.value)), cwd))
            case "host_in":
                return Truth.of(has_host(text, tuple(_several(self.value))))
            case _:
                return _matches_regex(self.value, text)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a condition is evaluated with."""

    allowing: bool
    cwd: str
    outside: OutsideCheck


def find_value(value: Any, keys: Sequence[str]) -> tuple[Truth, Any]:
    """Return what is at a path without stars.

    Fails if it is missing, and is unclear if the path leads through something without parts.
    """
    for key in keys:
        if isinstance(value, Mapping):
            if key not in value:
                return Truth.FAILS, None
            value = value[key]
        elif isinstance(value, list | tuple) and _is_index(key):
            if int(key) >= len(value):
                return Truth.FAILS, None
            value = value[int(key)]
        else:
            return Truth.UNCLEAR, None
    return Truth.HOLDS, value


def regex_problem(pattern: str) -> str:
    """Return why a pattern cannot be used as `regex`, "" if it can.

    The engine is linear in time; it has neither look-around nor back references.
    """
    if len(pattern) > LONGEST_REGEX:
        return f"it is longer than {LONGEST_REGEX} characters"
    try:
        _compiled(pattern)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(1024)
def _compiled(pattern: str) -> Draft202012Validator:
    """Compile a pattern that matches whole texts. Raises `ValueError`."""
    import jsonschema_rs

    options = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
    made = None
    for each in (pattern, f"^(?:{pattern})$"):  # alone first: `a)|(b` would only be right in the brackets
        try:
            made = jsonschema_rs.Draft202012Validator({"pattern": each}, pattern_options=options)
        except (ValueError, UnicodeError) as error:
            raise ValueError(
                "it is no regular expression of the linear kind (RE2: no look-around, no back references)"
            ) from error
    assert made is not None
    return made


def _matches_regex(pattern: str, text: str) -> Truth:
    if len(text) > LONGEST_SUBJECT:
        return Truth.UNCLEAR
    try:
        return Truth.of(_compiled(composed(pattern)).is_valid(composed(text)))
    except UnicodeError:  # half of a surrogate pair
        return Truth.UNCLEAR


@lru_cache(4096)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or not key.startswith("0")) and len(key) < 10


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _wanted(condition: ArgumentCondition) -> Sequence[Any]:
    return (condition.value,) if condition.op in ("eq", "ne") else _several(condition.value)


def _is_one_of(value: Any, wanted: Sequence[Any]) -> Truth:
    """Compare with some values; a value whose type none of them has is unclear."""
    if any(same_json(value, each) for each in wanted):
        return Truth.HOLDS
    return Truth.FAILS if any(json_kind(value) == json_kind(each) for each in wanted) else Truth.UNCLEAR


def _opposite(truth: Truth) -> Truth:
    return {Truth.HOLDS: Truth.FAILS, Truth.FAILS: Truth.HOLDS, Truth.UNCLEAR: Truth.UNCLEAR}[truth]


def _in_order(op: Operator, value: Any, limit: Any) -> Truth:
    if not _is_number(value) or (isinstance(value, float) and not math.isfinite(value)):
        return Truth.UNCLEAR
    answers = {"lt": value < limit, "le": value <= limit, "gt": value > limit, "ge": value >= limit}
    return Truth.of(answers[op])


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0 but not true, and texts are compared composed."""
    kind = json_kind(one)
    if kind != json_kind(other):
        return False
    if kind == "string":
        return composed(one) == composed(other)
    if kind == "array":
        return len(one) == len(other) and all(map(same_json, one, other))
    if kind == "object":
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    return bool(one == other)


def json_kind(value: Any) -> str:
    """Return the JSON type of a value; integers are numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list | tuple) else "object"


def _is_number(value: Any) -> bool:
    return json_kind(value) == "number"


def _is_type(value: Any, name: str) -> bool:
    if name == "integer":
        return _is_number(value) and (isinstance(value, int) or value.is_integer())
    return json_kind(value) == name
