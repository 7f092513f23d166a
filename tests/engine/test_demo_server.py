"""The demonstration's server, held against the SDK's own client in both of its modes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import mcp_types as types
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

from omni_tui.config.servers import demo_spec

Mode = Literal["auto", "legacy"]
BOTH: tuple[Mode, ...] = ("auto", "legacy")


@asynccontextmanager
async def demo(folder: Path, mode: Mode = "auto") -> AsyncIterator[Client]:
    """Connect to the demo server exactly as the configuration starts it."""
    spec = demo_spec(folder)
    parameters = StdioServerParameters(command=spec.command, args=list(spec.args))
    async with Client(stdio_client(parameters), mode=mode, read_timeout_seconds=20) as client:
        yield client


def text_of(result: types.CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.parametrize("mode", BOTH)
async def test_both_eras_of_clients_agree_on_the_newest_version_it_speaks(
    tmp_path: Path, mode: Mode
) -> None:
    async with demo(tmp_path, mode) as client:
        assert client.protocol_version == "2025-11-25"
        assert client.server_info is not None
        assert client.server_info.name == "omni-tui-demo"
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert len(names) == len(set(names)) == 10
        result = await client.call_tool("add", {"a": 17, "b": 25})
        assert text_of(result) == "42"


async def test_annotations_say_what_a_tool_may_do(tmp_path: Path) -> None:
    async with demo(tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations}
    assert set(hints) == set(tools)
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"delete_note"}
    assert {name for name, hint in hints.items() if not hint.read_only_hint} == {
        "write_note",
        "delete_note",
    }
    assert all(tool.description and tool.title for tool in tools.values())


async def test_notes_are_written_added_to_listed_read_and_deleted_in_the_named_folder(
    tmp_path: Path,
) -> None:
    async with demo(tmp_path) as client:
        assert "no notes" in text_of(await client.call_tool("list_notes"))
        await client.call_tool("write_note", {"name": "todo", "text": "buy milk"})
        await client.call_tool("write_note", {"name": "todo", "text": "and bread"})
        assert text_of(await client.call_tool("read_note", {"name": "todo"})) == "buy milk\nand bread"
        assert text_of(await client.call_tool("list_notes")) == "todo"
        assert [path.name for path in (tmp_path / "notes").iterdir()] == ["todo.txt"]
        await client.call_tool("delete_note", {"name": "todo"})
        gone = await client.call_tool("read_note", {"name": "todo"})
        assert gone.is_error
    assert not list((tmp_path / "notes").iterdir())


@pytest.mark.parametrize("name", ["../escape", "a/b", "..", ".hidden", "a\nb", "", "x" * 64, "C:\\x"])
async def test_a_note_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    async with demo(tmp_path) as client:
        result = await client.call_tool("write_note", {"name": name, "text": "x"})
    assert result.is_error
    assert not list(tmp_path.rglob("*.txt"))


async def test_slow_count_reports_progress_and_stops_when_cancelled(tmp_path: Path) -> None:
    seen: list[tuple[float, float | None, str | None]] = []
    three = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))
        if len(seen) == 3:
            three.set()

    async with demo(tmp_path) as client:
        result = await client.call_tool("slow_count", {"to": 2, "delay_s": 0}, progress_callback=note)
        assert text_of(result) == "Counted to 2."
        assert seen == [(1, 2, "counted to 1"), (2, 2, "counted to 2")]
        call = asyncio.create_task(
            client.call_tool("slow_count", {"to": 1000, "delay_s": 0.01}, progress_callback=note)
        )
        await asyncio.wait_for(three.wait(), 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert text_of(await client.call_tool("echo", {"text": "still here"})) == "still here"
    assert len(seen) < 500


async def test_structured_content_fits_its_schema_and_is_always_the_same(tmp_path: Path) -> None:
    async with demo(tmp_path) as client:
        await client.list_tools()  # the client validates structured content against what it listed
        first = await client.call_tool("weather_report", {"city": "Lisbon"})
        second = await client.call_tool("weather_report", {"city": "Lisbon"})
    assert first.structured_content == second.structured_content
    assert isinstance(first.structured_content, dict)
    assert first.structured_content["made_up"] is True
    assert json.loads(text_of(first)) == first.structured_content


async def test_failures_are_results_and_unknown_names_are_errors(tmp_path: Path) -> None:
    async with demo(tmp_path) as client:
        failed = await client.call_tool("always_fails", {"reason": "no luck"})
        assert failed.is_error
        assert text_of(failed) == "no luck"
        for wrong in ({"a": 1}, {"a": 1, "b": "2"}, {"a": 1, "b": 2, "c": 3}, {"a": True, "b": 2}):
            assert (await client.call_tool("add", wrong)).is_error
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("subtract", {})
        with pytest.raises(MCPError, match="Unknown prompt"):
            await client.get_prompt("nope")
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource("demo://nope")


async def test_picture_prompt_and_resource(tmp_path: Path) -> None:
    async with demo(tmp_path) as client:
        image, link = (await client.call_tool("picture")).content
        assert isinstance(image, types.ImageContent)
        assert image.mime_type == "image/png"
        assert isinstance(link, types.ResourceLink)
        contents = (await client.read_resource(str(link.uri))).contents
        assert isinstance(contents[0], types.TextResourceContents)
        assert "demonstration" in contents[0].text
        prompt = await client.get_prompt("tour", {"focus": "notes"})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        assert "notes" in prompt.messages[0].content.text
        assert [item.name for item in (await client.list_prompts()).prompts] == ["tour"]
        assert not (await client.list_resource_templates()).resource_templates


def test_what_is_no_request_gets_the_right_error_and_the_server_lives_on(tmp_path: Path) -> None:
    spec = demo_spec(tmp_path)
    lines = [
        "not json",
        "[]",
        '{"jsonrpc":"2.0","id":[1],"method":"ping"}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}',
        '{"jsonrpc":"2.0","id":7,"result":{}}',
        '{"jsonrpc":"2.0","id":8,"method":"server/discover"}',
        '{"jsonrpc":"2.0","id":"nine","method":"ping"}',
    ]
    done = subprocess.run(
        [spec.command, *spec.args],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("error", {}).get("code") for answer in answers] == [
        -32700,
        -32600,
        -32600,
        -32601,
        None,
    ]
    assert answers[-1] == {"jsonrpc": "2.0", "id": "nine", "result": {}}
    assert done.stderr == ""


def test_it_needs_only_the_standard_library(tmp_path: Path) -> None:
    spec = demo_spec(tmp_path)
    program = spec.args[2]
    code = f"""
import runpy, sys
sys.argv = ["server", {str(tmp_path)!r}]
runpy.run_path({program!r}, run_name="__main__")
known = sys.stdlib_module_names | {{"__main__", "omni_tui"}}
print([name for name in sys.modules if name.split(".")[0] not in known])
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input="",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.strip() == "[]"
