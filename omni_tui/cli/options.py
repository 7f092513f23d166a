"""From the parsed command line to what an engine is told at its start."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni_tui.cli.failures import Exit, Failure
from omni_tui.protocol.launch import LaunchOptions


def launch_options(
    arguments: argparse.Namespace, *, headless: bool = False, connect: bool = True, resume: str = ""
) -> LaunchOptions:
    """Return the options of one start, with whole paths. Raises `Failure` for a path that cannot be."""
    project = _path(arguments.project)
    if project and not Path(project).is_dir():
        raise Failure(
            f"there is no folder {project}",
            todo="--project takes a folder that is there",
            status=Exit.USAGE,
        )
    return LaunchOptions(
        config=_path(arguments.config),
        mcp_config=_path(arguments.mcp_config),
        project=project,
        state_dir=_path(arguments.state_dir),
        model=arguments.model,
        api_base=arguments.api_base,
        mode=getattr(arguments, "mode", ""),
        resume=resume or ("new" if headless or arguments.new else arguments.session or "auto"),
        demo=arguments.command == "demo" or getattr(arguments, "demo", False),
        headless=headless,
        debug=arguments.debug,
        connect="all" if connect else "none",
    )


def _path(text: str) -> str:
    return str(Path(text).expanduser().absolute()) if text else ""
