"""`servers`, `tools` and `call`: an engine without a face, asked one thing."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import signal
import sys
from collections.abc import Iterable
from typing import Any

from omni_tui.cli.arguments import read_arguments
from omni_tui.cli.driver import Driver, engine
from omni_tui.cli.failures import Exit, Failure
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import is_screen, say, say_json, table, tell
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.commands import CallTool, CancelCall, CheckArguments, DescribeTool, ReadResult
from omni_tui.protocol.events import (
    ArgumentsChecked,
    CallChanged,
    CallFinished,
    CallProgress,
    CommandDone,
    ConfirmNeeded,
    ContentPart,
    JournalFailed,
    ServerChanged,
    TextPage,
    ToolDetails,
    ToolSummary,
)
from omni_tui.protocol.tasks import CallTask, TaskProgress
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import exact_json

_RAW = -2
_OVER = {"rejected", "denied", "withheld", "expired", "cancelled", "uncertain"}
_WITHHELD = {"denied", "withheld", "rejected", "expired"}


async def servers(arguments: argparse.Namespace) -> int:
    """Connect to every server, print what came of it; 1 if one failed."""
    async with engine(launch_options(arguments, headless=True)) as driver:
        await driver.connected()
        found = sorted(driver.servers.values(), key=lambda server: server.name)
        failed = bool(driver.broken())
    if arguments.json:
        say_json([_server_json(server) for server in found])
    elif not found:
        tell("no servers are configured; add [servers.NAME] to your config, or use --mcp-config FILE")
    else:
        headings = ("NAME", "STATE", "TRANSPORT", "PROTOCOL", "TOOLS", "LATENCY", "")
        say(table(headings, [_server_row(server) for server in found]))
    return Exit.FAILED if failed else Exit.DONE


def _server_json(server: ServerChanged) -> dict[str, Any]:
    return {
        "name": server.name,
        "state": server.state,
        "transport": server.transport,
        "protocol": server.protocol,
        "tools": server.tools,
        "prompts": server.prompts,
        "resources": server.resources,
        "latency_ms": server.latency_ms,
        "error": _why(server) or None,
    }


def _why(server: ServerChanged) -> str:
    """Say what is the matter with a server, also with one that is still being tried."""
    if server.state == "connecting":
        return str(server.reason) or "still connecting"
    if server.state == "failed" and server.next_try is not None:
        return f"{server.reason}; it is tried again"
    return str(server.reason)


def _server_row(server: ServerChanged) -> tuple[str, ...]:
    latency = "" if server.latency_ms is None else f"{server.latency_ms:.0f} ms"
    why = _why(server)
    remark = f"{why}. {server.todo}".rstrip(". ") if server.todo else why
    counts = str(server.tools) if server.state in {"active", "idle", "degraded"} else ""
    return server.label, server.state, server.transport, server.protocol, counts, latency, remark


async def tools(arguments: argparse.Namespace) -> int:
    """Print the tools of all servers, or those that have every word of the query; 1 if a server failed."""
    async with engine(launch_options(arguments, headless=True)) as driver:
        await driver.connected()
        found = [
            tool
            for server in sorted(driver.tools)
            for tool in driver.tools[server].values()
            if _matches(tool, " ".join(arguments.query).lower().split())
        ]
        details = await _describe(driver, found) if arguments.json else []
        broken = driver.broken()
    for server in broken:
        tell(f"{server.label}: {server.state}: {_why(server)}. Its tools are not listed.")
    if arguments.json:
        say_json([_tool_json(tool) for tool in details])
    elif found:
        rows = [
            (identifier(tool.server), tool.label, tool.risk, _first_line(tool.description))
            for tool in found
        ]
        say(table(("SERVER", "TOOL", "RISK", "DESCRIPTION"), rows))
    else:
        tell("no tool has these words" if arguments.query else "there are no tools")
    return Exit.FAILED if broken else Exit.DONE


def _tool_row(tool: ToolSummary) -> tuple[str, ...]:
    return identifier(tool.server), tool.label, tool.risk, _first_line(tool.description)


def _matches(tool: ToolSummary, words: list[str]) -> bool:
    text = f"{tool.server} {tool.label} {tool.title} {tool.description}".lower()
    return all(word in text for word in words)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 80 else line[:79] + "…"


async def _describe(driver: Driver, found: list[ToolSummary]) -> list[ToolDetails]:
    gate = asyncio.Semaphore(16)

    async def one(tool: ToolSummary) -> ToolDetails:
        async with gate:
            return await driver.ask_for(ToolDetails, DescribeTool(server=tool.server, tool=tool.name))

    return list(await asyncio.gather(*(one(tool) for tool in found)))


def _tool_json(tool: ToolDetails) -> dict[str, Any]:
    return {
        "server": tool.server,
        "name": tool.tool,
        "description": tool.description,
        "input_schema": json.loads(tool.input_schema_json or "{}"),
        **({"not_checked": list(tool.not_checked)} if tool.not_checked else {}),
    }


async def call(arguments: argparse.Namespace) -> int:
    """Call one tool by hand and print its result.

    Status 0 if it succeeded, 1 if it failed, 2 for arguments that cannot be, 3 if nothing was sent
    because a rule or the tool's nature forbids it.
    """
    watch = _Watch()
    options = launch_options(arguments, headless=True, only=(arguments.server,))
    async with engine(options, watch.heard) as driver:
        await driver.connected([arguments.server])
        _must_be_there(driver, arguments.server, arguments.tool)
        details = await driver.ask_for(
            ToolDetails, DescribeTool(server=arguments.server, tool=arguments.tool)
        )
        values = read_arguments(
            arguments.pairs, arguments.args, json.loads(details.input_schema_json or "{}")
        )
        named = {"server": arguments.server, "tool": arguments.tool, "arguments_json": exact_json(values)}
        await _must_fit(driver, CheckArguments(**named))
        reply = await driver.ask(CallTool(**named, confirmed=arguments.yes))
        if isinstance(reply, ConfirmNeeded):
            raise Failure(
                "nothing was sent",
                why="; ".join(reply.why) or f"{details.label} is {reply.risk}",
                todo="To call it all the same, repeat the command with --yes.",
                status=Exit.WITHHELD,
            )
        assert isinstance(reply, CommandDone)
        cancelled = await _outcome(driver, watch, reply.id)
        report = await _report(driver, arguments, watch, reply.id)
    _print_report(report, as_json=arguments.json)
    if cancelled:
        return Exit.CANCELLED
    return _status(report["status"])


def _must_be_there(driver: Driver, name: str, tool: str) -> None:
    server = driver.servers.get(name)
    if server is None:
        raise Failure(
            f"there is no server named {name}", why=_nearest(name, driver.servers), status=Exit.USAGE
        )
    if server.state not in {"active", "idle", "degraded"}:
        reason = str(server.reason) or server.state.replace("_", " ")
        raise Failure(f"{name} is not connected", why=reason, todo=server.todo)
    tools = driver.tools.get(name, {})
    if tool not in tools:
        raise Failure(f"{name} has no tool named {tool}", why=_nearest(tool, tools), status=Exit.USAGE)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names[:40]) or 'none'}"


async def _must_fit(driver: Driver, command: CheckArguments) -> None:
    checked = await driver.ask_for(ArgumentsChecked, command)
    if checked.problems:
        told = [f"{each.where}: {each.what}" if each.where else each.what for each in checked.problems]
        raise Failure("the arguments do not fit the tool", why="; ".join(told), status=Exit.USAGE)


class _Watch:
    """What became of calls, whether the reply that names them is there yet or not."""

    def __init__(self) -> None:
        self.finished: dict[str, CallFinished] = {}
        self.changed: dict[str, CallChanged] = {}
        self.unsaved = ""

    def heard(self, event: AnyEvent) -> None:
        """Take note of an event."""
        if isinstance(event, CallFinished):
            self.finished[event.call] = event
        elif isinstance(event, CallChanged):
            self.changed[event.call] = event
        elif isinstance(event, JournalFailed):
            self.unsaved = event.what
        elif isinstance(event, CallProgress) and is_screen(sys.stderr):
            of = "" if event.total is None else f" of {event.total:g}"
            tell(f"{event.progress:g}{of} {event.message}".rstrip())
        elif isinstance(event, CallTask | TaskProgress) and is_screen(sys.stderr):
            tell(f"runs as a task: {event.status} {event.message}".rstrip())

    def is_over(self, call: str) -> bool:
        """Tell whether a call has come to its end."""
        changed = self.changed.get(call)
        return call in self.finished or (changed is not None and changed.state in _OVER)


async def _outcome(driver: Driver, watch: _Watch, call: str) -> bool:
    """Wait for the end of a call; Ctrl+C cancels it. Returns whether that happened."""
    cancelled: list[bool] = []

    def cancel() -> None:
        cancelled.append(True)
        driver.send(CancelCall(call=call))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, cancel)
    try:
        await driver.until(lambda: watch.is_over(call) or bool(watch.unsaved))
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if watch.unsaved and not watch.is_over(call):
        raise Failure("what became of the call cannot be told", why=watch.unsaved)
    return bool(cancelled)


async def _report(
    driver: Driver, arguments: argparse.Namespace, watch: _Watch, call: str
) -> dict[str, Any]:
    finished = watch.finished.get(call)
    report: dict[str, Any] = {
        "server": arguments.server,
        "tool": arguments.tool,
        "status": finished.state if finished else watch.changed[call].state,
        "content": [],
        "structured": None,
        "elapsed_ms": round(finished.elapsed_ms, 3) if finished else None,
    }
    reason = finished.reason if finished else watch.changed[call].reason
    if reason:
        report["reason"] = reason
    if finished and finished.size:
        whole = await _whole_result(driver, call)
        if isinstance(whole, dict):
            report["content"] = whole.get("content", [])
            report["structured"] = whole.get("structuredContent", whole.get("structured"))
        else:
            report["content"] = [_preview(part) for part in finished.parts]
    return report


async def _whole_result(driver: Driver, call: str) -> Any:
    """Fetch the raw result page by page; None if it cannot be read as JSON."""
    text = ""
    while True:
        page = await driver.ask_for(TextPage, ReadResult(call=call, part=_RAW, offset=len(text)))
        text += page.text
        if len(text) >= page.total or not page.text:
            break
    try:
        return json.loads(text)
    except ValueError:
        return None


def _preview(part: ContentPart) -> dict[str, Any]:
    return {"type": part.kind, "text": part.text, "truncated": part.truncated}


def _print_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(report)
        return
    for block in report["content"]:
        say(_block(block))
    if not report["content"] and report["structured"] is not None:
        say(json.dumps(report["structured"], indent=2))
    if report["status"] != "succeeded":
        reason = f": {report['reason']}" if report.get("reason") else ""
        tell(f"omni-tui: the call {_ENDED.get(report['status'], report['status'])}{reason}")


_ENDED = {
    "failed": "failed",
    "result_rejected": "was carried out, but its result breaks the tool's own schema",
    "uncertain": "was cut off; whether it was carried out is not known",
    "cancelled": "was cancelled",
    "denied": "was denied; nothing was sent",
    "withheld": "needs an approval that nobody could give; nothing was sent",
}


def _block(block: dict[str, Any]) -> str:
    if block.get("type") == "text":
        return str(block.get("text", ""))
    if block.get("type") in {"image", "audio"}:
        size = len(str(block.get("data", ""))) * 3 // 4
        return f"[{block['type']} {block.get('mimeType', '')}, {size} bytes]"
    if block.get("type") == "resource_link":
        return f"[{block.get('title') or block.get('name', 'resource')}] {block.get('uri', '')}"
    return json.dumps(block, indent=2)


def _status(state: str) -> Exit:
    if state == "succeeded":
        return Exit.DONE
    return Exit.WITHHELD if state in _WITHHELD else Exit.FAILED
