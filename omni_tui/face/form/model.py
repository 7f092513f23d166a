"""The form of one tool as data: from its schema to fields, from values to arguments and back. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from omni_tui.face.form.exact_json import Json, ascii_json
from omni_tui.face.form.nodes import FieldProblem, Node, ObjectNode, make_node
from omni_tui.face.form.schema import Absent, read_schema
from omni_tui.protocol import JsonText


class FormModel:
    """The whole form of one tool."""

    def __init__(self, schema_json: str) -> None:
        self.field = read_schema(schema_json)
        self.root = make_node(self.field)

    @property
    def plain(self) -> bool:
        """Whether there is a form at all; if not, `field.why_raw` says why and JSON is typed."""
        return isinstance(self.root, ObjectNode) and self.root.state != "raw"

    def load(self, value: Json) -> None:
        """Take arguments over exactly."""
        self.root.load(value)

    def prefill(self) -> None:
        """Begin with every default the schema names, those of optional fields too, if they fit.

        For forms a server asks to have filled in, where the specification wants it so (MCP
        2025-11-25, elicitation, default values). A tool's optional arguments stay unsent instead.
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
                node.clear()  # a default of another type than it asks for

    def arguments(self) -> tuple[dict[str, Json] | None, list[FieldProblem]]:
        """Return the arguments as filled in (None while no JSON can be made) and what is wrong."""
        troubles: list[FieldProblem] = []
        value = self.root.read(troubles)
        if isinstance(value, Absent) and not troubles:
            return {}, troubles
        if isinstance(value, dict):
            return value, troubles
        if not troubles:
            troubles.append(FieldProblem(self.root, "the arguments must be a JSON object", blocks=True))
        return None, troubles

    def arguments_json(self) -> JsonText | None:
        """Return the exact arguments in ASCII JSON, None while no JSON can be made."""
        value, _ = self.arguments()
        return None if value is None else ascii_json(value)

    def find(self, pointer: str) -> Node:
        """Return the node a JSON Pointer leads to, or the last one on the way that the form has."""
        here = self.root
        for step in pointer.split("/")[1:64]:
            below = here.child_at(step.replace("~1", "/").replace("~0", "~"))
            if below is None or here.as_json:
                return here
            here = below
        return here


@dataclass(slots=True)
class FormDraft:
    """A form as it was left: its values, and the text of its JSON view where that was in front."""

    model: FormModel
    raw: bool | None = None
    text: str = ""
