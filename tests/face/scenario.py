"""A believable session: the one of the picture. Two notes name the old host; both are to be edited."""

from __future__ import annotations

import json

import msgspec

from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.events import (
    Answer,
    ApprovalRequested,
    CallChanged,
    CallFinished,
    CallProposed,
    ContentPart,
    EngineReady,
    Risk,
    ServerChanged,
    SessionOpened,
    Thought,
    ToolsListed,
    ToolSummary,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageChanged,
    UserMessage,
)

START = 1_794_060_120.0
"""Unix time of the session's start: 2026-11-07 14:02 UTC."""
NOW = START + 52.0
_MODEL = SafeText("anthropic/claude-sonnet-4-5")

_FILES: tuple[tuple[str, Risk, str], ...] = (
    ("read_text_file", "read", "Read the complete contents of a file as text."),
    ("list_directory", "read", "List what a directory holds."),
    ("search_files", "read", "Search for files and contents that match a pattern."),
    ("write_file", "write", "Create a new file or overwrite an existing one."),
    ("edit_file", "write", "Make line-based edits to a text file."),
    ("move_file", "write", "Move or rename a file."),
    ("delete_file", "destructive", "Delete a file for good."),
    ("read_media_file", "read", "Read an image or a sound."),
    ("read_multiple_files", "read", "Read several files at once."),
    ("create_directory", "write", "Create a directory."),
    ("list_directory_with_sizes", "read", "List what a directory holds, with sizes."),
    ("directory_tree", "read", "The tree below a directory as JSON."),
    ("get_file_info", "read", "Size, times and permissions of a file."),
    ("list_allowed_directories", "read", "Which directories may be read."),
)
_GIT: tuple[tuple[str, Risk, str], ...] = (
    ("git_status", "read", "Shows the working tree status."),
    ("git_diff", "read", "Shows differences between branches or commits."),
    ("git_log", "read", "Shows the commit logs."),
    ("git_commit", "write", "Records changes to the repository."),
    ("git_add", "write", "Adds file contents to the staging area."),
    ("git_show", "read", "Shows the contents of a commit."),
    ("git_branch", "read", "Lists branches."),
    ("git_checkout", "write", "Switches branches."),
    ("git_create_branch", "write", "Creates a new branch."),
    ("git_reset", "destructive", "Unstages all staged changes."),
    ("git_diff_staged", "read", "Shows changes that are staged for commit."),
    ("git_diff_unstaged", "read", "Shows changes that are not yet staged."),
)
DEPLOY = {
    "path": "notes/deploy.md",
    "dryRun": False,
    "edits": [
        {
            "oldText": "## Deploy\nssh deploy@old-host\nmake release",
            "newText": "## Deploy\nssh deploy@web-1\nmake release",
        }
    ],
}
RUNBOOK = {
    "path": "notes/runbook.md",
    "dryRun": False,
    "edits": [
        {"oldText": "ping old-host", "newText": "ping web-1"},
        {"oldText": "ssh ops@old-host", "newText": "ssh ops@web-1"},
    ],
}


def ready(**changes: object) -> EngineReady:
    """Return the engine's first words."""
    values: dict[str, object] = {
        "version": "0.1.0",
        "pid": 4242,
        "head": 0,
        "log_path": "/home/ada/.local/state/omni-tui/log/engine.log",
        "state_dir": "",
        "config_path": "/home/ada/.config/omni-tui/config.toml",
        "first_run": False,
        "encryption": SafeText("keyring"),
        "mode": "chat",
        "model": _MODEL,
        "model_label": SafeText(""),
    }
    return EngineReady(**{**values, **changes})  # type: ignore[arg-type]


def servers() -> list[AnyEvent]:
    """Return four servers: two well, one to sign in, one that exits."""
    stdio = SafeText("mcp-server-filesystem ~/notes")
    return [
        ServerChanged(name="files", state="active", since=START, label=SafeText("files"), transport="stdio",
                      target=stdio, source="user", protocol="2025-11-25", tools=14, latency_ms=1.0),
        ServerChanged(name="git", state="active", since=START, label=SafeText("git"), transport="stdio",
                      target=SafeText("mcp-server-git"), source="user", protocol="2025-06-18", tools=12,
                      latency_ms=2.0),
        ServerChanged(name="tracker", state="needs_sign_in", since=START, label=SafeText("tracker"),
                      transport="http", target=SafeText("https://tracker.example/mcp"), source="user",
                      reason=SafeText("the server asks for a sign-in"),
                      todo=SafeText("press s to sign in")),
        ServerChanged(name="search", state="failed", since=START, label=SafeText("search"),
                      transport="stdio", target=SafeText("mcp-server-search"), source="user",
                      reason=SafeText("exited 1"),
                      todo=SafeText("read its log"), attempt=3, next_try=NOW + 8, log_lines=12),
    ]  # fmt: skip


def tools() -> list[AnyEvent]:
    """Return the tools of the two servers that are well."""
    pages: list[AnyEvent] = []
    for server, rows in (("files", _FILES), ("git", _GIT)):
        listed = tuple(
            ToolSummary(
                server=server,
                name=name,
                label=SafeText(name),
                model_name=f"{server}__{name}",
                title=SafeText(""),
                description=SafeText(text),
                risk=risk,
            )
            for name, risk, text in rows
        )
        pages.append(ToolsListed(server=server, generation=1, last=True, tools=listed))
    return pages


def proposed(
    call: str, server: str, tool: str, arguments: object, risk: Risk, /, **changes: object
) -> CallProposed:
    """Return a `CallProposed` for arguments of any shape."""
    text = json.dumps(arguments)
    event = CallProposed(
        call=call,
        server=server,
        tool=tool,
        label=SafeText(tool),
        arguments=SafeText(json.dumps(arguments, indent=2)),
        size=len(text),
        digest=f"digest-{call}",
        origin="agent",
        turn="t1",
        risk=risk,
        server_trusted=True,
        ts=START + 44.5,
    )
    return msgspec.structs.replace(event, **changes)


def approval(
    call: str = "c2",
    arguments: object = None,
    *,
    server: str = "files",
    tool: str = "edit_file",
    risk: Risk = "write",
    ts: float = START + 45,
    **changes: object,
) -> ApprovalRequested:
    """Return a request for approval of arguments of any shape."""
    value = DEPLOY if arguments is None else arguments
    text = json.dumps(value)
    values: dict[str, object] = {
        "call": call,
        "server": server,
        "tool": tool,
        "label": SafeText(tool),
        "digest": f"digest-{call}",
        "risk": risk,
        "why": (SafeText("chat mode asks for every call"),),
        "arguments": SafeText(json.dumps(value, indent=2)),
        "arguments_json": JsonText(text),
        "size": len(text),
        "complete": True,
        "differs": False,
        "held": False,
        "description": SafeText("Make line-based edits to a text file."),
        "title": SafeText(""),
        "target": SafeText("mcp-server-filesystem ~/notes"),
        "transport": "stdio",
        "trust": SafeText("unchanged since 3 Nov"),
        "turn": "t1",
        "ts": ts,
    }
    return ApprovalRequested(**{**values, **changes})  # type: ignore[arg-type]


def conversation() -> list[AnyEvent]:
    """Return the turn up to where two edits wait for the person."""
    hits = "notes/deploy.md:12\nnotes/runbook.md:3\nnotes/runbook.md:41"
    return [
        SessionOpened(title=SafeText("notes-cleanup"), mode="chat", model=_MODEL, ts=START),
        UserMessage(turn="t1", ts=START + 30, text=SafeText(
            "Which notes still mention the old host name? Fix them and commit.")),
        TurnStarted(turn="t1", mode="chat", model=_MODEL, ts=START + 30),
        Thought(turn="t1", message="m1", ts=START + 33, text=SafeText(
            "I will search the notes for the old name first, "
            "then look at each hit before changing anything.")),
        proposed("c1", "files", "search_files", {"pattern": "old-host", "path": "notes"}, "read",
                 ts=START + 34),
        CallChanged(call="c1", state="approved", decider="user", ts=START + 36),
        CallChanged(call="c1", state="dispatching", ts=START + 36),
        CallFinished(call="c1", state="succeeded", elapsed_ms=14.0, size=58, ts=START + 36,
                     parts=(ContentPart(index=0, kind="text", text=SafeText(hits), size=58),)),
        UsageChanged(turn="t1", usage=Usage(input=11_800, output=612, cost=0.08), context=0.31,
                     ts=START + 40),
        Thought(turn="t1", message="m2", ts=START + 44, text=SafeText(
            "Three places in two files. Both files are small, I can edit them directly.")),
        proposed("c2", "files", "edit_file", DEPLOY, "write"),
        proposed("c3", "files", "edit_file", RUNBOOK, "write"),
        approval("c2"),
        approval("c3", RUNBOOK),
    ]  # fmt: skip


def after_approval() -> list[AnyEvent]:
    """Return how the turn ends once both edits are approved."""
    answer = (
        "Both notes now say **web-1**:\n\n"
        "- `notes/deploy.md`, line 12\n- `notes/runbook.md`, lines 3 and 41\n\n"
        "```sh\nssh deploy@web-1\nmake release\n```\n\nNothing else mentions the old name."
    )
    done: list[AnyEvent] = []
    for call in ("c2", "c3"):
        part = ContentPart(index=0, kind="text", text=SafeText("1 file changed"), size=14)
        done += [
            CallChanged(call=call, state="approved", decider="user"),
            CallChanged(call=call, state="dispatching"),
            CallFinished(call=call, state="succeeded", elapsed_ms=6.2, size=14, parts=(part,)),
        ]
    return [
        *done,
        Answer(turn="t1", message="m3", text=SafeText(answer)),
        UsageChanged(turn="t1", usage=Usage(input=12_900, output=240, cost=0.04), context=0.33),
        TurnEnded(turn="t1", status="done", steps=3),
    ]


def whole() -> list[AnyEvent]:
    """Return everything an engine would say to a face that opens this session."""
    return [ready(), *servers(), *tools(), *conversation()]
