"""From a JSON schema to fields a person can fill in. Pure: no widgets, no validation.

Everything that has no plain field becomes a `raw` one: a piece of JSON, typed as such. Fields are
read on demand, level by level, so a schema that refers to itself or unfolds into millions of fields
costs what is looked at and no more. Only local references are followed; nothing is fetched.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from sys import maxsize
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

from omni_tui.face.form.exact_json import Json, JsonNumber, NotJson, parse, pretty, string_literal
from omni_tui.protocol import SafeText
from omni_tui.security.text import safe_line

Schema: TypeAlias = "dict[str, Json]"

MAX_REFS = 16
"""Longest chain of references that is followed."""


def flatten(schema: Json, root: Json) -> tuple[Schema | None, str]:
    """Follow references and single-entry `allOf`. Returns the schema, or None and why it cannot be read."""
    if isinstance(schema, bool):
        return {}, ""
    for _ in range(MAX_REFS):
        if not isinstance(schema, dict):
            return None, "its schema is not an object"
        target: Json
        if isinstance(schema.get("$ref"), str):
            target = _resolve(str(schema["$ref"]), root)
            word = "$ref"
        else:
            together = schema.get("allOf")
            if not isinstance(together, list):
                return schema, ""
            if len(together) != 1:
                return None, "it must fit several schemas at once"
            target, word = together[0], "allOf"
        if isinstance(target, bool):
            target = {}
        if not isinstance(target, dict):
            return None, "its schema refers to something that does not exist"
        schema = {**target, **{key: value for key, value in schema.items() if key != word}}
    return None, "its schema refers to itself"


def _resolve(reference: str, root: Json) -> Json | None:
    """Look up a local JSON Pointer (RFC 6901, as a URI fragment); None for anything else."""
    if not reference.startswith("#"):
        return None
    here = root
    for step in unquote(reference[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list) and _index(step) < len(here):
            here = here[_index(step)]
        else:
            return None
    return here


def is_null(schema: Json) -> bool:
    """Return whether a schema allows `null` and nothing else."""
    if not isinstance(schema, dict):
        return False
    return schema.get("type") == "null" or ("const" in schema and schema["const"] is None)


def types_of(schema: Schema) -> list[str]:
    """Return the JSON types a schema names, or the one its keywords imply; [] for any."""
    said = schema.get("type")
    if isinstance(said, str | list):
        kinds = [
            kind.lower() for kind in ([said] if isinstance(said, str) else said) if isinstance(kind, str)
        ]
        return [] if "any" in kinds else kinds
    if isinstance(schema.get("properties"), dict):
        return ["object"]
    return ["array"] if isinstance(schema.get("items"), dict) else []


def _index(step: str) -> int:
    return int(step) if step.isascii() and step.isdigit() and len(step) < 10 else maxsize


NULL = "null"
TYPE_WORDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true/false",
    "array": "JSON list",
    "object": "JSON object",
    NULL: "null",
}
ANYTHING = frozenset(TYPE_WORDS)
_DEEPEST = 4
_WHOLE = re.compile(r"-?[0-9]+(\.0*)?")


def type_of(value: Json) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, JsonNumber):
        return "integer" if _WHOLE.fullmatch(value.text) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def types_taken(schema: Json, root: Json, depth: int = 0) -> frozenset[str]:
    """Return the types that a schema takes, by its `type`, constants and unions."""
    flat, _ = flatten(schema, root)
    if flat is None or depth > _DEEPEST:
        return ANYTHING
    named = ANYTHING.intersection(types_of(flat))
    values = flat.get("enum")
    if "const" in flat:
        named = frozenset({type_of(flat["const"])})
    elif isinstance(values, list) and values:
        named = frozenset(map(type_of, values))
    for word in ("anyOf", "oneOf"):
        branches = flat.get(word)
        if isinstance(branches, list) and branches:
            arms = frozenset[str]().union(*(types_taken(each, root, depth + 1) for each in branches))
            named = (named & arms) or arms
    return named or ANYTHING


def read_value(text: str, takes: frozenset[str]) -> Json:
    """Read a text where several types are taken, one of them text.

    It is read as JSON if that gives one of the types (`"5"` in quotes is a text, 5 a number), and else
    taken as it is. Raises `NotJson` for a broken list or object where one is taken.
    """
    bare = text.strip()
    opens = {"[": "array", "{": "object"}.get(bare[:1], "")
    if text != bare and opens not in takes:
        return text
    try:
        value = parse(bare)
    except NotJson:
        if opens in takes:
            raise
        return text
    return value if has_type(value, takes) else text


def has_type(value: Json, takes: frozenset[str]) -> bool:
    """Return whether a value has one of the types; an integer is a number too."""
    kind = type_of(value)
    return kind in takes or (kind == "integer" and "number" in takes)


def is_plain_text(value: str, takes: frozenset[str]) -> bool:
    """Return whether a text is read as itself and not as another type."""
    try:
        return read_value(value, takes) == value
    except NotJson:
        return False


FieldKind = Literal[
    "text", "number", "integer", "boolean", "choice", "mixed", "object", "map", "array", "raw"
]
"""`mixed` takes a text, or something else as JSON; `map` is an object with keys of your own."""

MAX_LEVELS = 8
"""Objects and lists nested deeper than this are typed as JSON."""
MAX_FIELDS = 400
"""Properties of one object beyond this number are typed as JSON, under "more"."""
MAX_CHOICES = 300
_TEXT_LIMIT = 600

_LONG_NAMES = frozenset(
    ("body", "code", "content", "contents", "diff", "html", "instructions", "markdown", "message")
).union(("newtext", "oldtext", "patch", "prompt", "query", "script", "sql", "system_prompt", "text"))
_LONG_FORMATS = frozenset(("markdown", "multiline", "textarea", "html"))
_SIMPLE: dict[str, FieldKind] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}


class Absent(Enum):
    """No value (JSON's own `null` is one)."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values a field may take, and its label."""

    value: Json
    label: SafeText


@dataclass(frozen=True)
class Field:
    """What one property takes. `name` is exact; `label` and `about` are safe to show."""

    name: str
    schema: Schema
    root: Json
    kind: FieldKind = "raw"
    required: bool = False
    nullable: bool = False
    level: int = 0
    why_raw: str = ""
    choices: tuple[Choice, ...] = ()
    takes: frozenset[str] = frozenset()
    """The JSON types it takes, where there are several."""

    @cached_property
    def label(self) -> SafeText:
        """The name, safe and short."""
        return safe_line(self.name, limit=80) if self.name else SafeText('""')

    @cached_property
    def full_label(self) -> SafeText:
        """The name, safe and long."""
        return safe_line(self.name, limit=_TEXT_LIMIT)

    @cached_property
    def about(self) -> SafeText:
        """The server's description, else a title that says more than the name."""
        said = self.schema.get("description")
        if not isinstance(said, str) or not said.strip():
            said = self.schema.get("title")
            if not isinstance(said, str) or _same_words(said, self.name):
                return SafeText("")
        return safe_line(" ".join(said[: 2 * _TEXT_LIMIT].split()), limit=_TEXT_LIMIT, joined=True)

    @property
    def default(self) -> Json | Absent:
        """The default the schema names, `ABSENT` if none."""
        return self.schema.get("default", ABSENT)

    @cached_property
    def hint(self) -> SafeText:
        """The type and its limits in a few words: `integer 1–10`, `text date-time`, `list of text`."""
        return safe_line(_hint(self), limit=60)

    @cached_property
    def multiline(self) -> bool:
        """Whether the text is likely to have more than one line."""
        if self.kind != "text":
            return False
        longest = _whole(self.schema.get("maxLength"))
        if longest is not None and longest <= 100:
            return False
        return (
            (longest or 0) >= 400
            or str(self.schema.get("format")) in _LONG_FORMATS
            or "contentMediaType" in self.schema
            or self.name.lower() in _LONG_NAMES
        )

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The properties of an object, in the schema's order, at most `MAX_FIELDS`, required ones kept."""
        properties = self.schema.get("properties")
        if self.kind != "object" or not isinstance(properties, dict):
            return ()
        wanted = _names(self.schema.get("required"))
        names = list(properties)
        if len(names) > MAX_FIELDS:
            names = sorted(names, key=lambda name: name not in wanted)[:MAX_FIELDS]
        level = self.level + 1
        return tuple(
            read_field(properties[n], self.root, name=n, required=n in wanted, level=level) for n in names
        )

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields of an object by their exact names."""
        return {field.name: field for field in self.fields}

    @cached_property
    def open(self) -> bool:
        """Whether the schema allows properties it does not name, or names too many."""
        more = self.schema.get("additionalProperties")
        properties = self.schema.get("properties")
        return (
            more is True
            or isinstance(more, dict)
            or bool(self.schema.get("patternProperties"))
            or (isinstance(properties, dict) and len(properties) > MAX_FIELDS)
        )

    @cached_property
    def item(self) -> Field:
        """The field of each item of a list; of a map, a key with its value."""
        if self.kind == "map":
            value = self.schema.get("additionalProperties", {})
            pair: Schema = {"key": {"type": "string"}, "value": {} if value is True else value}
            entry: Json = {"type": "object", "properties": pair, "required": ["key", "value"]}
        else:
            entry = self.schema.get("items", {})
        return read_field(entry, self.root, name="", required=True, level=self.level + 1)


def read_schema(text: str) -> Field:
    """Return the field of a whole schema: an object, or a `raw` field with the reason in `why_raw`.

    Never raises: without a readable schema the values are typed as JSON.
    """
    try:
        document = parse(text) if text.strip() else {}
    except NotJson as error:
        return Field("", {}, {}, required=True, why_raw=f"the schema cannot be read: {error}")
    if not isinstance(document, dict):
        return Field("", {}, {}, required=True, why_raw="the schema is not an object")
    field = read_field(document, document, name="", required=True, level=0)
    if field.kind == "raw" and not field.why_raw and set(types_of(field.schema)) <= {"object", "null"}:
        free = {} if "properties" in field.schema else {"additionalProperties": True}
        schema: Schema = {**free, **field.schema, "properties": {}}
        return Field("", schema, document, "object", required=True)
    return field


def read_field(schema: Json, root: Json, *, name: str, required: bool, level: int) -> Field:
    """Read one schema as a field. Never raises."""
    return _Reader(root, name, required, level).read(schema)


@dataclass(frozen=True)
class _Reader:
    root: Json
    name: str
    required: bool
    level: int

    def read(self, schema: Json) -> Field:
        flat, problem = flatten(schema, self.root)
        if flat is None:
            return self._make({}, "raw", False, why=problem)
        nullable = flat.get("nullable") is True
        for word in ("anyOf", "oneOf"):
            branches = flat.get(word)
            if isinstance(branches, list):
                choices = _choices_of(branches, self.root)
                if choices is not None:
                    return self._choice(flat, choices, nullable)
                rest = [b for b in branches if not is_null(b)]
                takes = types_taken(flat, self.root)
                if len(rest) != 1:
                    return self._several(flat, takes, "it can take several shapes", nullable)
                nullable = nullable or len(rest) < len(branches)
                inner, problem = flatten(rest[0], self.root)
                if inner is None or "anyOf" in inner or "oneOf" in inner:
                    return self._several(flat, takes, problem or "it can take several shapes", nullable)
                flat = {**inner, **{key: value for key, value in flat.items() if key != word}}
        return self._typed(flat, nullable)

    def _typed(self, flat: Schema, nullable: bool) -> Field:
        if "const" in flat:
            return self._choice(flat, [_choice(flat["const"])], nullable)
        values = flat.get("enum")
        if isinstance(values, list):
            titles = flat.get("enumNames")  # the older form of titles, before `oneOf`
            if not isinstance(titles, list) or len(titles) != len(values):
                titles = [None] * len(values)
            named = [_choice(value, title) for value, title in zip(values, titles, strict=True)]
            return self._choice(flat, named, nullable)
        kinds = types_of(flat)
        nullable = nullable or "null" in kinds
        kinds = [kind for kind in kinds if kind != "null"]
        if len(kinds) != 1:
            why = "it can be of several types" if kinds else ""
            return self._several(flat, types_taken(flat, self.root), why, nullable)
        if simple := _SIMPLE.get(kinds[0]):
            return self._make(flat, simple, nullable)
        if kinds[0] == "object" and isinstance(flat.get("properties"), dict) and flat["properties"]:
            return self._nest(flat, "object", nullable)
        if kinds[0] == "array" and isinstance(flat.get("items"), dict) and "prefixItems" not in flat:
            return self._nest(flat, "array", nullable)
        more = flat.get("additionalProperties")
        if kinds[0] == "object" and self.level and (more is True or isinstance(more, dict)):
            return self._nest(flat, "map", nullable)
        return self._make(flat, "raw", nullable)

    def _several(self, flat: Schema, takes: frozenset[str], why: str, nullable: bool) -> Field:
        """Return a field that takes several types: `mixed` if text is one of them, else `raw`."""
        nullable = nullable or (NULL in takes and takes != ANYTHING)
        if "string" not in takes or not self.level:
            return self._make(flat, "raw", nullable, why=why, takes=takes)
        return self._make(flat, "mixed", nullable, takes=takes)

    def _nest(self, flat: Schema, kind: FieldKind, nullable: bool) -> Field:
        if self.level >= MAX_LEVELS:
            return self._make(flat, "raw", nullable, why=f"nested deeper than {MAX_LEVELS} levels")
        return self._make(flat, kind, nullable)

    def _choice(self, flat: Schema, choices: list[Choice], nullable: bool) -> Field:
        without = _distinct([choice for choice in choices if choice.value is not None])
        nullable = nullable or len(without) < len(choices)
        if not without or len(without) > MAX_CHOICES:
            return self._make(flat, "raw", nullable, why=f"{len(without)} choices")
        return self._make(flat, "choice", nullable, choices=without)

    def _make(
        self,
        flat: Schema,
        kind: FieldKind,
        nullable: bool,
        *,
        choices: tuple[Choice, ...] = (),
        why: str = "",
        takes: frozenset[str] = frozenset(),
    ) -> Field:
        if kind == "boolean":
            choices = (Choice(True, SafeText("true")), Choice(False, SafeText("false")))
        return Field(
            self.name, flat, self.root, kind, self.required, nullable, self.level, why, choices, takes
        )


def _choices_of(branches: list[Json], root: Json) -> list[Choice] | None:
    """Return the choices of a `oneOf` made of constants only, None for anything else."""
    choices: list[Choice] = []
    for branch in branches[: MAX_CHOICES + 1]:
        if is_null(branch):
            choices.append(_choice(None))
            continue
        flat, _ = flatten(branch, root)
        if flat is None or "const" not in flat:
            return None
        choices.append(_choice(flat["const"], flat.get("title")))
    return choices if any(choice.value is not None for choice in choices) else None


def _choice(value: Json, title: Json = None) -> Choice:
    if isinstance(title, str) and title.strip():
        return Choice(value, safe_line(title, limit=60))
    return Choice(value, safe_line(value_words(value), limit=60))


def _distinct(choices: list[Choice]) -> tuple[Choice, ...]:
    """Add the type to values that look alike (`1` and `"1"`), and the value to equal titles."""
    for say in (lambda value: TYPE_WORDS[type_of(value)], _short_json):
        looks = Counter(choice.label for choice in choices)
        choices = [
            Choice(each.value, safe_line(f"{each.label} ({say(each.value)})", limit=80))
            if looks[each.label] > 1
            else each
            for each in choices
        ]
    return tuple(choices)


def _short_json(value: Json) -> str:
    """Return a value as JSON on one line, cut to a few words."""
    return safe_line(" ".join(pretty(value).split()), limit=30)


def value_words(value: Json) -> str:
    """Return a value as a few words: texts as they are, the rest as JSON, containers as their size."""
    if isinstance(value, str):
        return value if value else '""'
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, list):
        return "[]" if not value else f"list of {len(value)}"
    if isinstance(value, dict):
        keys = ", ".join(string_literal(key) for key in list(value)[:3])
        return "{" + keys + ", …}" if value else "{}"
    return {None: "null", True: "true", False: "false"}[value]


def _names(value: Json) -> frozenset[str]:
    names = value if isinstance(value, list) else []
    return frozenset(name for name in names if isinstance(name, str))


def _whole(value: Json) -> int | None:
    if isinstance(value, JsonNumber) and value.text.isdigit() and len(value.text) < 10:
        return int(value.text)
    return None


def _same_words(title: str, name: str) -> bool:
    """Return whether a generated title ("Repo Path") only repeats the name (`repo_path`)."""

    def bare(text: str) -> str:
        return "".join(c for c in text[:200].lower() if c.isalnum())

    return bare(title) == bare(name) or not title.strip()


_KIND_WORDS: dict[FieldKind, str] = {"boolean": "yes or no", "choice": "one of", "raw": "JSON"}


def _hint(field: Field) -> str:
    words = _KIND_WORDS.get(field.kind, field.kind)
    if field.kind == "array":
        inner = field.item
        words = "list of " + {"object": "objects", "array": "lists"}.get(inner.kind, inner.hint)
    elif field.kind == "choice":
        words = f"one of {len(field.choices)}"
    elif field.kind in ("number", "integer"):
        words += _range(field.schema, "minimum", "maximum")
    elif field.kind == "text":
        form = field.schema.get("format")
        words += f" {form}" if isinstance(form, str) else ""
        words += _range(field.schema, "minLength", "maxLength", " characters")
    elif field.kind == "mixed" or (field.kind == "raw" and field.takes):
        return _types_in_words(field.takes, json=field.kind == "raw")
    elif field.kind == "map":
        value = field.item.by_name["value"]
        words = f"keys and values ({'any' if value.takes == ANYTHING else value.hint})"
    elif field.kind == "raw" and types_of(field.schema)[:1] in (["object"], ["array"]):
        words = "JSON object" if types_of(field.schema)[0] == "object" else "JSON list"
    return words + (" or null" if field.nullable else "")


def _types_in_words(takes: frozenset[str], *, json: bool) -> str:
    """Name the types that a field takes: `text or integer`, `text, number or JSON list`."""
    if takes >= ANYTHING - {NULL}:
        return "JSON" if json else "text, or any JSON"
    names = [word for kind, word in TYPE_WORDS.items() if kind in takes]
    if "number" in takes and "integer" in takes:
        names.remove("integer")
    said = " or ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else "".join(names)
    return f"JSON: {said}" if json else said


def _range(schema: Schema, low: str, high: str, unit: str = "") -> str:
    least, most = schema.get(low), schema.get(high)
    first = least.text if isinstance(least, JsonNumber) else ""
    last = most.text if isinstance(most, JsonNumber) else ""
    if first and last:
        return f" {first}–{last}{unit}"
    if first:
        return f" ≥ {first}{unit}"
    return f" ≤ {last}{unit}" if last else ""
