"""The built-in tools, which Omni TUI answers itself.

A server's tool cannot have their names: its model name always contains `__` or ends in six hex digits of a
hash (`tools.tool_names`).
"""

from __future__ import annotations

from omni_tui.models.base import ToolSpec

PAGE = 8_000
"""Characters of a result in one page, unless results are limited to less."""
FOUND = 10
"""The most tools that one search finds."""

FIND_TOOLS = ToolSpec(
    name="find_tools",
    description=(
        "Find tools that are not on offer now. Not all tools of the connected servers are; those found "
        "are offered from the next step on. Answered by Omni TUI itself."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What the tool should do, in a few words"}
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    read_only=True,
)
READ_RESULT = ToolSpec(
    name="read_result",
    description=(
        "Read more of an earlier result of this conversation that was cut or shortened, page by page. "
        "Nothing is called again. Answered by Omni TUI itself."
    ),
    parameters={
        "type": "object",
        "properties": {
            "call": {"type": "string", "description": "The call's id as the cut names it, c-…"},
            "offset": {"type": "integer", "minimum": 0, "description": "First character, from 0"},
        },
        "required": ["call"],
        "additionalProperties": False,
    },
    read_only=True,
)
TRACK_GOAL = ToolSpec(
    name="track_goal",
    description=(
        "State the parts of the goal, and later what became of each. A part counts as reached only if a "
        "call that succeeded shows it. Answered by Omni TUI itself."
    ),
    parameters={
        "type": "object",
        "properties": {
            "parts": {
                "type": "array",
                "description": "All parts of the goal, each time",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "description": "The part, in the person's words"},
                        "state": {"type": "string", "enum": ["open", "reached", "not_reached"]},
                        "calls": {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "Names of the tools whose calls show it",
                        },
                    },
                    "required": ["text", "state"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["parts"],
        "additionalProperties": False,
    },
    read_only=True,
)
BUILTIN_TOOLS = (FIND_TOOLS, READ_RESULT, TRACK_GOAL)
BUILTIN_TOOL_NAMES = frozenset(tool.name for tool in BUILTIN_TOOLS)
