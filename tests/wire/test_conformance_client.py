"""The conformance client without the suite: what it does where it knows nothing of the scenario."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest

from omni_tui.servers import Dispatch
from tests.engine.faults.web import serving
from tests.wire.conformance_client import Approvals, play
from tests.wire.conformance_suite import CLIENT
from tests.wire.conftest import WebServer
from tests.wire.schema_values import default_values, required_values

pytestmark = pytest.mark.wire

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 6},
        "count": {"type": ["null", "integer"], "minimum": 3},
        "share": {"type": "number"},
        "kind": {"enum": ["a", "b"]},
        "fixed": {"const": None},
        "list": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/part"}},
        "either": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
        "given": {"type": "string", "default": "as given"},
        "optional": {"type": "string"},
    },
    "required": ["name", "count", "share", "kind", "fixed", "list", "either"],
    "$defs": {"part": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
}


def test_required_values_fit_their_schema_and_leave_out_the_rest() -> None:
    made = required_values(FORM)
    assert list(made) == FORM["required"]
    assert jsonschema_rs.is_valid(FORM, made)


def test_default_values_are_those_of_an_untouched_form() -> None:
    assert default_values(FORM) == {**required_values(FORM), "given": "as given"}


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"required": ["a"], "properties": {"a": {"$ref": "https://elsewhere.example/schema"}}},
        {"required": "a", "properties": []},
        {"required": [7, "a"]},
    ],
)
def test_odd_schemas_still_give_an_object(schema: dict[str, Any]) -> None:
    assert isinstance(required_values(schema), dict)


def test_dispatch_stands_once() -> None:
    mine, other = (Dispatch("call-1", 1, "suite", "echo", b"{}") for _ in range(2))
    approvals = Approvals([mine])
    assert not approvals.stands(other)
    assert approvals.stands(mine)
    assert not approvals.stands(mine)


async def test_unknown_scenario_has_every_tool_called(
    modern: WebServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await play(modern.url, "from a later version of the suite", {"toolCalls": "nonsense"})
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "idle: 2026-07-28, 3 tools"
    assert all(f"{tool}: done" in said for tool in ("echo", "slow", "grow"))


async def test_calls_of_the_context_are_made_as_they_stand() -> None:
    told = [{"name": "echo", "arguments": {"b": None, "a": [1.0, 2]}}, {"name": "echo"}]
    with serving() as web:
        await play(web.url, "http-custom-headers", {"toolCalls": told})
    calls = [frame["params"] for frame in web.frames if frame["method"] == "tools/call"]
    assert [(call["name"], call["arguments"]) for call in calls] == [
        ("echo", {"a": [1.0, 2], "b": None}),
        ("echo", {}),
    ]


def test_server_that_turns_us_away_is_no_fault_of_the_client() -> None:
    with serving() as web:
        web.status = 403
        done = subprocess.run(
            [sys.executable, str(CLIENT), web.url],
            capture_output=True,
            text=True,
            env={**os.environ, "OMNI_TUI_PLAY_SECONDS": "250"},  # a busy machine is no fault of it either
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("failed: refuses access")


def test_client_that_cannot_play_says_so() -> None:
    done = subprocess.run(
        [sys.executable, str(CLIENT), "http://127.0.0.1:9/mcp"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "MCP_CONFORMANCE_CONTEXT": "{no json"},
    )
    assert done.returncode == 1
