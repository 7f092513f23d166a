"""What a person has filled in: a tree of nodes beside the tree of fields. Pure: no widgets.

The rules that decide what is sent:

- an optional field that nobody touched is not sent, whatever its default; a required one with a
  default starts with it;
- clearing a text means "not sent"; `Node.cycle` chooses an empty text, an empty list or object, and
  `null`;
- a value that its plain control would change (another type, characters that do not show) is kept as
  a piece of JSON, in state `raw`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from omni_tui.face.form.exact_json import (
    Json,
    JsonNumber,
    NotJson,
    ascii_json,
    parse,
    pretty,
    string_literal,
)
from omni_tui.face.form.schema import (
    ABSENT,
    Absent,
    Field,
    has_type,
    is_plain_text,
    read_schema,
    read_value,
)
from omni_tui.protocol import JsonText
from omni_tui.security.text import count_hidden

State = Literal["unset", "set", "empty", "null", "raw"]

MAX_ITEMS = 200
"""A list longer than this is typed as JSON."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FRACTION = re.compile(r"\.[0-9]*[1-9][0-9]*$")
_LINE_ENDS = re.compile("[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")


class Invalid(Enum):
    """A value that is not JSON."""

    INVALID = "invalid"


INVALID: Final = Invalid.INVALID


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one node. `blocks`: the form makes no JSON until it is corrected."""

    node: Node
    what: str
    blocks: bool = False


def is_editable(text: str) -> bool:
    """Return whether a text can be edited as it is: all of it is visible, and no line end would be lost."""
    return not count_hidden(text) and not _LINE_ENDS.search(text)


class Node(ABC):
    """One field's value."""

    def __init__(self, field: Field, parent: Node | None = None) -> None:
        self.field = field
        self.parent = parent
        self.state: State = "unset"
        self.text = ""
        self.choice = -1
        self.open = field.required
        self.preset = False
        self.left_out = False
        if field.required and not isinstance(field.default, Absent):
            self.load(field.default)
            self.preset = True

    @property
    def level(self) -> int:
        """Its depth; the fields of the schema itself are at 0."""
        return -1 if self.parent is None else self.parent.level + 1

    @property
    def as_json(self) -> bool:
        """Whether it is typed as JSON instead of in its own control."""
        return self.state == "raw" or self.field.kind == "raw"

    @property
    def touched(self) -> bool:
        """Whether it has a value other than one preset from the schema's default."""
        return self.state != "unset" and not self.preset

    def load(self, value: Json) -> None:
        """Hold a value exactly."""
        self.clear()
        if value is None and self.field.nullable:
            self.state = "null"
        elif not self._take(value):
            self.state, self.text = "raw", pretty(value)
        self.open = self.open or self.state in ("set", "raw")

    def clear(self) -> None:
        """Remove the value."""
        self.state, self.text, self.choice = "unset", "", -1
        self.preset = self.left_out = False

    def unset(self) -> None:
        """Have no value although the schema requires one, because loaded arguments have none."""
        self.clear()
        self.left_out = True

    def write(self, text: str) -> None:
        """Hold what was typed into its control."""
        self.text, self.preset = text, False
        if self.as_json:
            self.state = "raw" if text.strip() else "unset"
        elif not text:
            self.state = "unset"
        elif is_editable(text):
            self.state = "set"
        else:
            self.state, self.text = "raw", string_literal(text)

    def specials(self) -> tuple[State, ...]:
        """Return the states that are chosen instead of typed, in the order of `cycle`."""
        made: list[State] = ["unset"]
        if self.field.kind in ("text", "mixed") or (
            self.field.kind in ("object", "map", "array") and not self.field.required
        ):
            made.append("empty")
        if self.field.nullable:
            made.append("null")
        return tuple(made)

    def cycle(self) -> None:
        """Go to the next of `specials`; what was typed is dropped."""
        states = self.specials()
        after = states.index(self.state) + 1 if self.state in states else 0
        self.clear()
        self.state = states[after % len(states)]

    def read(self, problems: list[FieldProblem]) -> Json | Absent | Invalid:
        """Return the value to send, and add what is wrong to `problems`."""
        if self.state == "null":
            return None
        if self.state == "raw":
            try:
                return parse(self.text)
            except NotJson as error:
                problems.append(FieldProblem(self, f"not JSON: {error}", blocks=True))
                return INVALID
        return self._read(problems)

    def children(self) -> Iterator[Node]:
        """Yield the nodes below it, in the order they are shown."""
        yield from ()

    def child_at(self, step: str) -> Node | None:
        """Return the node below it with that name or index."""
        return None

    @abstractmethod
    def _take(self, value: Json) -> bool:
        """Hold a value; False where its control cannot without changing it."""

    @abstractmethod
    def _read(self, problems: list[FieldProblem]) -> Json | Absent | Invalid: ...

    def _missing(self, problems: list[FieldProblem]) -> Absent | Invalid:
        if not self.field.required:
            return ABSENT
        in_list = isinstance(self.parent, ArrayNode)
        problems.append(FieldProblem(self, "needs a value", blocks=in_list))
        return INVALID if in_list else ABSENT


class LeafNode(Node):
    """A text, a number, a choice, or a piece of JSON."""

    def _take(self, value: Json) -> bool:
        kind = self.field.kind
        if kind in ("choice", "boolean"):
            # `true` is not `1` in JSON.
            same = (type(each.value) is type(value) and each.value == value for each in self.field.choices)
            self.choice = next((number for number, fits in enumerate(same) if fits), -1)
            self.state = "set" if self.choice >= 0 else "unset"
            return self.choice >= 0
        if kind == "text" and isinstance(value, str) and is_editable(value):
            self.state, self.text = ("set" if value else "empty"), value
            return True
        if kind in ("number", "integer") and isinstance(value, JsonNumber):
            self.state, self.text = "set", value.text
            return True
        return kind == "mixed" and self._take_mixed(value)

    def _take_mixed(self, value: Json) -> bool:
        text = pretty(value)
        if isinstance(value, str) and is_editable(value) and is_plain_text(value, self.field.takes):
            text = value
        if isinstance(value, str) or has_type(value, self.field.takes):
            self.state, self.text = ("empty" if value == "" else "set"), "" if value == "" else text
            return True
        return False

    def pick(self, choice: int) -> None:
        """Hold one of the field's choices, by its index."""
        self.clear()
        self.state, self.choice = "set", choice

    def _read(self, problems: list[FieldProblem]) -> Json | Absent | Invalid:
        if self.state == "empty":
            return ""
        if self.state == "unset":
            return self._missing(problems)
        if self.choice >= 0:
            return self.field.choices[self.choice].value
        if self.field.kind == "text":
            return self.text
        if self.field.kind == "mixed":
            try:
                return read_value(self.text, self.field.takes)
            except NotJson as error:
                what = f"not JSON: {error}; put it in quotes to send it as text"
                problems.append(FieldProblem(self, what, blocks=True))
                return INVALID
        return self._number(self.text.strip(), problems)

    def _number(self, text: str, problems: list[FieldProblem]) -> Json | Invalid:
        if not _NUMBER.fullmatch(text):
            problems.append(
                FieldProblem(self, "not a number; write it like -12 or 0.5 or 2e9", blocks=True)
            )
            return INVALID
        if self.field.kind == "integer" and _FRACTION.search(text):
            problems.append(FieldProblem(self, "it must be a whole number"))
        return JsonNumber(text)


class ObjectNode(Node):
    """An object with named fields, and `extra` for properties the schema does not name."""

    def __init__(self, field: Field, parent: Node | None = None) -> None:
        self._children: dict[str, Node] = {}
        self.extra: LeafNode | None = LeafNode(extra_field(field), self) if field.open else None
        super().__init__(field, parent)

    def child(self, name: str) -> Node:
        """Return the node of one property. Raises `KeyError` if the schema does not name it."""
        if name not in self._children:
            self._children[name] = make_node(self.field.by_name[name], self)
        return self._children[name]

    def children(self) -> Iterator[Node]:
        """Yield the nodes of all properties, then `extra`."""
        yield from (self.child(field.name) for field in self.field.fields)
        if self.extra is not None:
            yield self.extra

    def child_at(self, step: str) -> Node | None:
        """Return the node of a property; properties without a field are in `extra`."""
        return self.child(step) if step in self.field.by_name else self.extra

    @property
    def touched(self) -> bool:
        """Whether anything in it was filled in, or it was set to empty or null."""
        below = [*self._children.values(), *([self.extra] if self.extra else [])]
        return self.state in ("empty", "null", "raw") or any(node.touched for node in below)

    def clear(self) -> None:
        """Remove every value below."""
        super().clear()
        self._children.clear()
        if self.extra is not None and not self.field.open:
            self.extra = None
        elif self.extra is not None:
            self.extra.clear()

    def _take(self, value: Json) -> bool:
        if not isinstance(value, dict):
            return False
        known = self.field.by_name
        rest = {name: item for name, item in value.items() if name not in known}
        for field in self.field.fields:
            if field.name in value:
                self.child(field.name).load(value[field.name])
            else:
                self.child(field.name).unset()
        if rest:
            self.extra = self.extra or LeafNode(extra_field(self.field), self)
            self.extra.load(rest)
        self.state = "set" if value else "empty"
        return True

    def _read(self, problems: list[FieldProblem]) -> Json | Absent | Invalid:
        if not self.touched and (self.left_out or not self.field.required):
            return self._missing(problems)
        made: dict[str, Json] = {}
        broken = False
        for field in self.field.fields:
            if field.name not in self._children and not field.required:
                continue
            value = self.child(field.name).read(problems)
            if isinstance(value, Invalid):
                broken = True
            elif not isinstance(value, Absent):
                made[field.name] = value
        broken = not self._add_extra(made, problems) or broken
        return INVALID if broken else made

    def _add_extra(self, made: dict[str, Json], problems: list[FieldProblem]) -> bool:
        value = self.extra.read(problems) if self.extra is not None else ABSENT
        if self.extra is None or isinstance(value, Absent):
            return True
        if isinstance(value, Invalid):
            return False
        if not isinstance(value, dict):
            problems.append(FieldProblem(self.extra, 'it must be an object, like {"name": 1}', blocks=True))
            return False
        twice = next((name for name in value if name in self.field.by_name), None)
        if twice is not None:
            what = f"{string_literal(twice[:80])} has a field of its own"
            problems.append(FieldProblem(self.extra, what, blocks=True))
            return False
        made.update(value)
        return True


class ArrayNode(Node):
    """A list whose items have the same field."""

    def __init__(self, field: Field, parent: Node | None = None) -> None:
        self.items: list[Node] = []
        super().__init__(field, parent)

    def children(self) -> Iterator[Node]:
        """Yield the items."""
        yield from self.items

    def child_at(self, step: str) -> Node | None:
        """Return the item with that index."""
        index = int(step) if step.isascii() and step.isdigit() and len(step) < 6 else MAX_ITEMS
        return self.items[index] if index < len(self.items) else None

    def clear(self) -> None:
        """Remove the items."""
        super().clear()
        self.items.clear()

    def add(self, after: Node | None = None) -> Node | None:
        """Add an item at the end, or after another; None if the list has `MAX_ITEMS`."""
        if len(self.items) >= MAX_ITEMS:
            return None
        if self.state != "set":
            self.clear()
        node = make_node(self.field.item, self)
        self.items.insert(self.items.index(after) + 1 if after in self.items else len(self.items), node)
        self.state, self.open, node.open = "set", True, True
        return node

    def remove(self, node: Node) -> None:
        """Remove an item. An empty list is not sent unless it is required."""
        self.items.remove(node)
        if not self.items:
            self.state = "unset"

    def _take(self, value: Json) -> bool:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            return False
        for item in value:
            node = make_node(self.field.item, self)
            self.items.append(node)
            node.load(item)
        self.state = "set" if value else "empty"
        return True

    def _read(self, problems: list[FieldProblem]) -> Json | Absent | Invalid:
        if not self.items and self.state != "empty" and (self.left_out or not self.field.required):
            return self._missing(problems)
        return self._read_items(problems)

    def _read_items(self, problems: list[FieldProblem]) -> Json | Invalid:
        values = [node.read(problems) for node in self.items]
        made = [value for value in values if not isinstance(value, Absent | Invalid)]
        return made if len(made) == len(values) else INVALID


class MapNode(ArrayNode):
    """An object with keys of your own: its items are pairs of a key and a value."""

    def child_at(self, step: str) -> Node | None:
        """Return the node of the value with that key."""
        pairs = (item for item in self.items if isinstance(item, ObjectNode))
        return next((pair.child("value") for pair in pairs if pair.child("key").text == step), None)

    def _take(self, value: Json) -> bool:
        if not isinstance(value, dict):
            return False
        pairs: list[Json] = [{"key": key, "value": each} for key, each in value.items()]
        if not super()._take(pairs):
            return False
        self.state = "set" if value else "empty"
        return True

    def _read_items(self, problems: list[FieldProblem]) -> Json | Invalid:
        made: dict[str, Json] = {}
        broken = False
        for node in self.items:
            pair = node.read(problems)
            if not isinstance(pair, dict) or not {"key", "value"} <= pair.keys():
                broken = True
                continue
            key = pair["key"]
            if not isinstance(key, str) or key in made:
                what = "a key must be text" if not isinstance(key, str) else "this key is there twice"
                problems.append(FieldProblem(node, what, blocks=True))
                broken = True
                continue
            made[key] = pair["value"]
        return INVALID if broken else made


def make_node(field: Field, parent: Node | None = None) -> Node:
    """Return an empty node for a field."""
    if field.kind == "map":
        return MapNode(field, parent)
    if field.kind == "object":
        return ObjectNode(field, parent)
    return ArrayNode(field, parent) if field.kind == "array" else LeafNode(field, parent)


def extra_field(owner: Field) -> Field:
    """Return the field for properties that the schema does not name."""
    about: Json = "properties without a field, as a JSON object"
    return Field("", {"description": about, "type": "object"}, {}, level=owner.level + 1)


class FormModel:
    """The whole form of a schema."""

    def __init__(self, schema_json: str) -> None:
        self.field = read_schema(schema_json)
        self.root = make_node(self.field)

    @property
    def plain(self) -> bool:
        """Whether there is a form; if not, JSON is typed and `field.why_raw` says why."""
        return isinstance(self.root, ObjectNode) and self.root.state != "raw"

    def load(self, value: Json) -> None:
        """Hold arguments exactly."""
        self.root.load(value)

    def prefill(self) -> None:
        """Fill in every default of the schema that fits, those of optional fields too.

        For elicitations only (MCP 2025-11-25, elicitation, default values); a tool's optional arguments
        stay unsent.
        """
        root = self.root
        if not isinstance(root, ObjectNode):
            return
        for field in self.field.fields:
            if isinstance(field.default, Absent):
                continue
            node = root.child(field.name)
            node.load(field.default)
            if node.state == "raw" and field.kind != "raw":
                node.clear()  # the default has another type than the field

    def arguments(self) -> tuple[dict[str, Json] | None, list[FieldProblem]]:
        """Return the arguments (None while they make no JSON) and what is wrong."""
        problems: list[FieldProblem] = []
        value = self.root.read(problems)
        if isinstance(value, Absent) and not problems:
            return {}, problems
        if isinstance(value, dict):
            return value, problems
        if not problems:
            problems.append(FieldProblem(self.root, "the arguments must be a JSON object", blocks=True))
        return None, problems

    def arguments_json(self) -> JsonText | None:
        """Return the exact arguments in ASCII JSON, None while they make no JSON."""
        value, _ = self.arguments()
        return None if value is None else ascii_json(value)

    def find(self, pointer: str) -> Node:
        """Return the node of a JSON Pointer (RFC 6901), or the last one on the way that exists."""
        here = self.root
        for step in pointer.split("/")[1:64]:
            below = here.child_at(step.replace("~1", "/").replace("~0", "~"))
            if below is None or here.as_json:
                return here
            here = below
        return here


@dataclass(slots=True)
class FormDraft:
    """A form as it was left: its values, whether the JSON view was open, and its text."""

    model: FormModel
    raw: bool | None = None
    text: str = ""
