"""The options of an engine start, from the command line; sent to the engine process as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec


class LaunchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the command line. Empty means not given. Paths are absolute.

    `resume`: "auto" reopens a session that did not end cleanly, "new" does not, anything else is a session
    id. `connect_timeout`: seconds that every server may take to start, 0 for the configured time.
    `headless`: nobody can approve; calls that would ask are withheld.
    """

    config: str = ""
    mcp_config: str = ""
    project: str = ""
    state_dir: str = ""
    model: str = ""
    api_base: str = ""
    env_file: str = ""
    mode: str = ""
    connect_timeout: float = 0.0
    resume: str = "auto"
    again: bool = False
    """Replaces an engine that has ended: settings made in the session win over flags."""
    demo: bool = False
    headless: bool = False
    debug: bool = False
    connect: Literal["all", "none"] = "all"
    """"none": list servers but start none."""
    only: tuple[str, ...] = ()
    """Start only these servers; empty means all."""
