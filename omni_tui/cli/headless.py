"""`servers`, `tools` and `call`: one question to an engine without a face."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

from omni_tui.cli.engine_client import EngineClient, open_client
from omni_tui.cli.options import launch_options
from omni_tui.cli.output import (
    CliError,
    ExitStatus,
    nearest,
    print_json,
    print_note,
    print_result,
    shortened,
    table,
)
from omni_tui.cli.tool_arguments import read_arguments
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.commands import CallTool, CancelCall, CheckArguments, DescribeTool, ReadResult
from omni_tui.protocol.events import (
    ArgumentsChecked,
    CallChanged,
    CallFinished,
    CallProgress,
    CommandDone,
    ConfirmNeeded,
    JournalFailed,
    ServerChanged,
    TextPage,
    ToolDetails,
    ToolSummary,
)
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import exact_json

_RAW = -2
_CLAIMS = ("read", "write")
"""Risks that are claims unless the server is trusted."""
_OVER = {"rejected", "denied", "withheld", "expired", "cancelled", "uncertain"}
_WITHHELD = {"denied", "withheld", "rejected", "expired"}


async def servers(arguments: argparse.Namespace) -> int:
    """Connect to every server and print its state; return 1 if one failed."""
    async with open_client(launch_options(arguments, headless=True)) as driver:
        await driver.connected()
        found = sorted(driver.servers.values(), key=lambda server: server.name)
        failed = bool(driver.broken())
    if arguments.json:
        print_json([_server_json(server) for server in found])
    elif not found:
        print_note("no servers are configured; add [servers.NAME] to your config, or use --mcp-config FILE")
    else:
        headings = ("NAME", "STATE", "TRANSPORT", "PROTOCOL", "TOOLS", "LATENCY", "")
        print_result(table(headings, [_server_row(server) for server in found]))
    return ExitStatus.FAILED if failed else ExitStatus.DONE


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
    """Return what is wrong with a server, "" if nothing."""
    if server.state == "connecting":
        return str(server.reason) or "still connecting"
    if server.state == "failed" and server.next_try is not None:
        return f"{server.reason}; retrying"
    return str(server.reason)


def _server_row(server: ServerChanged) -> tuple[str, ...]:
    latency = "" if server.latency_ms is None else f"{server.latency_ms:.0f} ms"
    why = _why(server)
    remark = f"{why}. {server.todo}".rstrip(". ") if server.todo else why
    counts = str(server.tools) if server.state in {"active", "idle", "degraded"} else ""
    return server.label, server.state, server.transport, server.protocol, counts, latency, remark


async def tools(arguments: argparse.Namespace) -> int:
    """Print the tools of all servers, or those with every word of the query; return 1 if a server
    failed.
    """
    async with open_client(launch_options(arguments, headless=True)) as driver:
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
        print_note(f"{server.label}: {server.state}: {_why(server)}. Its tools are not listed.")
    if arguments.json:
        print_json([_tool_json(tool) for tool in details])
    elif found:
        rows = [
            (
                identifier(tool.server),
                tool.label,
                _risk(tool),
                shortened(tool.description.strip().partition("\n")[0], 80),
            )
            for tool in found
        ]
        print_result(table(("SERVER", "TOOL", "RISK", "DESCRIPTION"), rows))
    else:
        print_note("no tool matches" if arguments.query else "there are no tools")
    return ExitStatus.FAILED if broken else ExitStatus.DONE


def _risk(tool: ToolSummary) -> str:
    """Return a tool's risk; a low one that a server claims that is not trusted does not count."""
    return f"{tool.risk} (claimed)" if tool.risk in _CLAIMS and not tool.server_trusted else tool.risk


def _matches(tool: ToolSummary, words: list[str]) -> bool:
    text = f"{tool.server} {tool.label} {tool.title} {tool.description}".lower()
    return all(word in text for word in words)


async def _describe(driver: EngineClient, found: list[ToolSummary]) -> list[ToolDetails]:
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
    """Call one tool and print its result.

    Returns 0 if it succeeded, 1 if it failed, 2 for wrong arguments, 3 if nothing was sent because of a
    policy or because a destructive tool needs --yes.
    """
    watch = _Watch()
    options = launch_options(arguments, headless=True, only=(arguments.server,))
    async with open_client(options, watch.heard) as driver:
        await driver.connected([arguments.server])
        _must_be_there(driver, arguments.server, arguments.tool)
        details = await driver.ask_for(
            ToolDetails, DescribeTool(server=arguments.server, tool=arguments.tool)
        )
        values = read_arguments(
            arguments.pairs, arguments.args, json.loads(details.input_schema_json or "{}")
        )
        named = {"server": arguments.server, "tool": arguments.tool, "arguments_json": exact_json(values)}
        checked = await driver.ask_for(ArgumentsChecked, CheckArguments(**named))
        if checked.problems:
            wrong = [f"{each.where}: {each.what}" if each.where else each.what for each in checked.problems]
            raise CliError(
                "the arguments do not fit the tool", why="; ".join(wrong), status=ExitStatus.USAGE
            )
        reply = await driver.ask(CallTool(**named))
        if isinstance(reply, ConfirmNeeded) and arguments.yes and not reply.held:
            reply = await driver.ask(CallTool(**named, confirmed=True, digest=reply.digest))
        if isinstance(reply, ConfirmNeeded):
            raise CliError(
                "nothing was sent",
                why="; ".join(reply.why) or f"{details.label} is {reply.risk}",
                todo=_HELD if reply.held else "To call it anyway, repeat the command with --yes.",
                status=ExitStatus.WITHHELD,
            )
        assert isinstance(reply, CommandDone)
        await _until_over(driver, watch, reply.id)
        report = await _report(driver, arguments, watch, reply.id)
    _print_report(report, as_json=arguments.json)
    if watch.cancelled:
        return ExitStatus.CANCELLED
    if report["status"] == "succeeded":
        return ExitStatus.DONE
    return ExitStatus.WITHHELD if report["status"] in _WITHHELD else ExitStatus.FAILED


_HELD = (
    "Start omni-tui, open the tool and press Ctrl+T: there you see what has changed and can accept it. "
    "--yes does not."
)


def _must_be_there(driver: EngineClient, name: str, tool: str) -> None:
    server = driver.servers.get(name)
    if server is None:
        raise CliError(
            f"there is no server named {name}", why=nearest(name, driver.servers), status=ExitStatus.USAGE
        )
    if server.state not in {"active", "idle", "degraded"}:
        reason = str(server.reason) or server.state.replace("_", " ")
        raise CliError(f"{name} is not connected", why=reason, todo=server.todo)
    tools = driver.tools.get(name, {})
    if tool not in tools:
        raise CliError(
            f"{name} has no tool named {tool}", why=nearest(tool, tools), status=ExitStatus.USAGE
        )


class _Watch:
    """Follows calls, also before the reply that names them."""

    def __init__(self) -> None:
        self.finished: dict[str, CallFinished] = {}
        self.changed: dict[str, CallChanged] = {}
        self.unsaved = ""
        self.cancelled = False

    def heard(self, event: AnyEvent) -> None:
        """Take an event."""
        if isinstance(event, CallFinished):
            self.finished[event.call] = event
        elif isinstance(event, CallChanged):
            self.changed[event.call] = event
        elif isinstance(event, JournalFailed):
            self.unsaved = event.what
        elif isinstance(event, CallProgress) and sys.stderr.isatty():
            of = "" if event.total is None else f" of {event.total:g}"
            print_note(f"{event.progress:g}{of} {event.message}".rstrip())
        elif isinstance(event, CallTask | TaskProgress) and sys.stderr.isatty():
            print_note(f"runs as a task: {event.status} {event.message}".rstrip())

    def is_over(self, call: str) -> bool:
        """Whether a call has ended."""
        changed = self.changed.get(call)
        return call in self.finished or (changed is not None and changed.state in _OVER)


async def _until_over(driver: EngineClient, watch: _Watch, call: str) -> None:
    """Wait for the end of a call; Ctrl+C cancels it."""

    def cancel() -> None:
        watch.cancelled = True
        driver.send(CancelCall(call=call))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, cancel)
    try:
        await driver.until(lambda: watch.is_over(call) or bool(watch.unsaved))
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if watch.unsaved and not watch.is_over(call):
        raise CliError("the outcome of the call is unknown", why=watch.unsaved)


async def _report(
    driver: EngineClient, arguments: argparse.Namespace, watch: _Watch, call: str
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
            report["content"] = [
                {"type": part.kind, "text": part.text, "truncated": part.truncated}
                for part in finished.parts
            ]
    return report


async def _whole_result(driver: EngineClient, call: str) -> Any:
    """Return the raw result, read page by page; None if it is not JSON."""
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


def _print_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    for block in report["content"]:
        print_result(_block(block))
    if not report["content"] and report["structured"] is not None:
        print_result(json.dumps(report["structured"], indent=2))
    if report["status"] != "succeeded":
        reason = f": {report['reason']}" if report.get("reason") else ""
        print_note(f"omni-tui: the call {_ENDED.get(report['status'], report['status'])}{reason}")


_ENDED = {
    "failed": "failed",
    "result_rejected": "was carried out, but its result does not fit the tool's schema",
    "uncertain": "was cut off; it may or may not have been carried out",
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
