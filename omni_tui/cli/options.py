"""From the parsed command line to what an engine is told at its start."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni_tui.cli.errors import CliError, ExitStatus
from omni_tui.config.paths import PROJECT_FILE
from omni_tui.protocol.launch_options import LaunchOptions


def launch_options(
    arguments: argparse.Namespace,
    *,
    headless: bool = False,
    connect: bool = True,
    resume: str = "",
    only: tuple[str, ...] = (),
) -> LaunchOptions:
    """Return the options of one start, with whole paths. Raises `CliError` for a path that cannot be."""
    demo = arguments.command == "demo" or getattr(arguments, "demo", False)
    project = _path(arguments.project) or ("" if demo else _project_here())
    if project and not Path(project).is_dir():
        raise CliError(
            f"there is no folder {project}",
            todo="--project takes a folder that is there",
            status=ExitStatus.USAGE,
        )
    return LaunchOptions(
        config=_path(arguments.config),
        mcp_config=_path(arguments.mcp_config),
        project=project,
        state_dir=_path(arguments.state_dir),
        model=arguments.model,
        api_base=arguments.api_base,
        mode=arguments.mode,
        connect_timeout=arguments.connect_timeout,
        resume=resume or ("new" if headless or arguments.new else arguments.session or "auto"),
        demo=demo,
        headless=headless,
        debug=arguments.debug,
        connect="all" if connect else "none",
        only=only,
    )


def _project_here() -> str:
    """Return the current folder if it holds a project's file: what tightens must not be overlooked."""
    here = Path.cwd()
    return str(here) if (here / PROJECT_FILE).is_file() else ""


def _path(text: str) -> str:
    return str(Path(text).expanduser().absolute()) if text else ""
