"""All hosts, and which of them a document belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from omni_tui.config.hosts.claude_code import CLAUDE_CODE
from omni_tui.config.hosts.codex import CODEX
from omni_tui.config.hosts.continue_dev import CONTINUE
from omni_tui.config.hosts.gemini import GEMINI
from omni_tui.config.hosts.goose import GOOSE
from omni_tui.config.hosts.host import Host
from omni_tui.config.hosts.mcp_servers import (
    CLAUDE_DESKTOP,
    CLINE,
    COPILOT,
    CURSOR,
    LM_STUDIO,
    PLAIN,
    WINDSURF,
)
from omni_tui.config.hosts.omni_connect import OMNI_CONNECT
from omni_tui.config.hosts.opencode import OPENCODE
from omni_tui.config.hosts.vs_code import VS_CODE
from omni_tui.config.hosts.zed import ZED

HOSTS = (
    CLAUDE_DESKTOP,
    CLAUDE_CODE,
    CURSOR,
    VS_CODE,
    WINDSURF,
    GEMINI,
    CODEX,
    OPENCODE,
    ZED,
    CONTINUE,
    CLINE,
    LM_STUDIO,
    COPILOT,
    GOOSE,
    OMNI_CONNECT,
)
"""Every host whose files are known by their place."""


def host_of(file: FilePath, document: Mapping[str, Any]) -> Host:
    """Return the host of a document: by what it looks like, else by its place, else `PLAIN`.

    The shape goes first: a file keeps its meaning when it is copied, and two hosts share a name.
    """
    for host in (OMNI_CONNECT, CODEX, ZED, OPENCODE, CLAUDE_CODE, VS_CODE, GOOSE, CONTINUE):
        if host.looks_like(document):
            return host
    for host in HOSTS:
        if host.is_place(file):
            return host
    for host in (GEMINI, CLAUDE_DESKTOP, WINDSURF, CLINE):
        if host.looks_like(document):
            return host
    return PLAIN
