"""Ways to check what a form holds: by the engine for a tool, against the schema's limits for a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face.form.arguments_form import ArgumentsCheck
from omni_tui.face.form.limits import limit_problems
from omni_tui.face.form.schema import Field
from omni_tui.face.results.errors import REQUEST_ERRORS
from omni_tui.protocol import JsonText
from omni_tui.protocol.commands import CheckArguments
from omni_tui.protocol.events import ArgumentsChecked

if TYPE_CHECKING:
    from omni_tui.face.port import Port


def engine_check(port: Port, server: str, tool: str) -> ArgumentsCheck:
    """Return a check of a tool's arguments by the engine."""

    async def check(arguments: JsonText) -> list[tuple[str, str]] | None:
        command = CheckArguments(server=server, tool=tool, arguments_json=arguments)
        try:
            reply = await port.ask(command, timeout=10)
        except REQUEST_ERRORS:
            return None
        if not isinstance(reply, ArgumentsChecked):
            return None
        return [(problem.where, problem.what) for problem in reply.problems]

    return check


def limits_check(field: Field) -> ArgumentsCheck:
    """Return a check against the limits that a question's schema names; the engine has the last word."""

    async def check(values: JsonText) -> list[tuple[str, str]]:
        return limit_problems(field, values)

    return check
