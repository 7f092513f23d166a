"""What the command line tells an engine at its start. Crosses to the engine process as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec


class LaunchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the command line, after parsing. Empty means: not given.

    Paths are absolute. `resume`: "auto" reopens a session that did not end cleanly, "new" never
    does, anything else is a session id. `connect_timeout`: seconds that every server may take to start, 0
    for what is configured. `headless`: nobody can answer; what would ask is withheld.
    """

    config: str = ""
    mcp_config: str = ""
    project: str = ""
    state_dir: str = ""
    model: str = ""
    api_base: str = ""
    mode: str = ""
    connect_timeout: float = 0.0
    resume: str = "auto"
    again: bool = False
    """Started in the place of one that has gone: what was set in the session since wins over flags."""
    demo: bool = False
    headless: bool = False
    debug: bool = False
    connect: Literal["all", "none"] = "all"
    """"none": list servers but start none (for commands that need only the config)."""
    only: tuple[str, ...] = ()
    """Start these servers and no others, for a command that needs no more; empty: all."""
