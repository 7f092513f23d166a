"""The JSON schema of a config file, and its settings as a list: made from the sections themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from omni_tui.config.sections import Config
from omni_tui.policy.argument_condition import OPERATORS
from omni_tui.policy.rule import RISK_ORDER
from omni_tui.policy.rule_table import ASKERS, DECISIONS, MODES

Applies = Literal["live", "restart"]
"""Whether a change of the file counts while the app runs, or from its next start."""

_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_TIME = {"anyOf": [{"type": "string"}, {"type": "number"}]}


def _choices(values: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"enum": list(values)}}


_CONDITION: dict[str, Any] = {
    "type": "object",
    "required": ["path", "op"],
    "additionalProperties": False,
    "properties": {
        "path": {"type": "string", "description": "A JSON Pointer; * stands for each element of a list."},
        "op": {"enum": sorted(OPERATORS), "description": "How the argument is compared."},
        "value": {"description": "What it is compared with."},
    },
}
RULE_PROPERTIES: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "description": "The rule's name."},
    "decision": {"enum": list(DECISIONS), "description": "The severest of all matching rules counts."},
    "server": {**_TEXTS, "description": "Servers, as names or globs; by default all."},
    "tool": {**_TEXTS, "description": "Tools, as names or globs; by default all."},
    "except_tool": {**_TEXTS, "description": "Tools that it leaves out."},
    "modes": {**_choices(MODES), "description": "The modes in which it counts."},
    "agents": {**_TEXTS, "description": "The agents, by path, to whose calls it applies."},
    "who": {**_choices(ASKERS), "description": "Who makes the call."},
    "clients": {**_TEXTS, "description": "The clients of the gateway to whose calls it applies."},
    "risk_max": {"enum": list(RISK_ORDER), "description": "The highest risk that it covers."},
    "args": {"type": "array", "items": _CONDITION, "description": "Conditions on arguments."},
    "other_args": {"enum": ["any", "none"], "description": "Whether other arguments may be there."},
    "outside": {"type": "boolean", "description": "Whether an argument must hold data from outside."},
    "expires": {**_TIME, "description": "When it ends."},
    "max_uses": {"type": "integer", "minimum": 1, "description": "How often it may be used."},
    "message": {"type": "string", "description": "What a model and a person are told."},
    "created": {**_TIME, "description": "When it was made."},
    "tests": {
        "type": "array",
        "items": {"type": "object"},
        "description": "Calls, and whether it must match each.",
    },
}
"""The keys of `[[policy.rule]]`, which `policy.rule_table` reads."""


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a config file; `applies` of a key says when a change of it counts."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "The configuration of Omni TUI"
    rule = {
        "type": "object",
        "required": ["id", "decision"],
        "additionalProperties": False,
        "properties": RULE_PROPERTIES,
    }
    schema["$defs"]["PolicySection"]["properties"]["rule"] = {
        "type": "array",
        "items": rule,
        "description": "Rules that decide on the calls that they match.",
        "applies": "restart",
    }
    return schema


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a config file that stands alone, not inside a table that a person names."""

    section: str
    key: str
    description: str
    applies: Applies
    field: FieldInfo

    @property
    def name(self) -> str:
        """Its whole name, as `agent.max_steps`."""
        return f"{self.section}.{self.key}"


def settings() -> Iterator[Setting]:
    """Yield every setting; those of a table inside a section have its name before theirs."""
    for section, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from _settings(section, "", model)


def _settings(section: str, above: str, model: type[BaseModel]) -> Iterator[Setting]:
    for key, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _settings(section, f"{above}{key}.", inner)
        else:
            yield Setting(section, f"{above}{key}", field.description or "", applies_of(field), field)


def applies_of(field: FieldInfo) -> Applies:
    """Return when a change of a field counts."""
    extra = field.json_schema_extra
    return "live" if isinstance(extra, dict) and extra.get("applies") == "live" else "restart"
