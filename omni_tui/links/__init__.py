"""Links: they carry commands and events between a client and its engine."""

from __future__ import annotations

from omni_tui.links.process import EngineProcess, ProcessLink, spawn_engine
from omni_tui.protocol import LaunchOptions, Link

__all__ = ["EngineProcess", "ProcessLink", "spawn_engine", "start_engine"]


async def start_engine(options: LaunchOptions) -> Link:
    """Start an engine process and return the link to it."""
    return await spawn_engine(options).link()
