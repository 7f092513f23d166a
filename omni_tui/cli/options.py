"""Turn the parsed command line into the options of an engine start."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from omni_tui.cli.output import CliError, ExitStatus, print_note
from omni_tui.config.paths import PROJECT_FILE
from omni_tui.protocol.launch_options import LaunchOptions

if TYPE_CHECKING:
    from omni_tui.config.load import LoadedConfig
    from omni_tui.memory import Vault

_PREFIX = "omni-tui-demo-"


@contextmanager
def temporary_state(options: LaunchOptions) -> Iterator[LaunchOptions]:
    """Give a demo a temporary state folder, removed afterwards; leave other options unchanged.

    A demo with a named state folder keeps its files.
    """
    if not options.demo or options.state_dir:
        yield options
        return
    _sweep()
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    try:
        yield msgspec.structs.replace(options, state_dir=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of demos that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = re.fullmatch(rf"{_PREFIX}(\d+)-\w+", folder.name)
        with contextlib.suppress(OSError):
            if owner and folder.lstat().st_uid == os.getuid() and not _is_alive(int(owner[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_vault(state: Path, what: str, *, make: bool = False) -> Vault:
    """Return the keys of a state folder, to read `what`; `make` one if there is none. Raises `CliError`."""
    from omni_tui.memory import Vault, VaultRefused

    try:
        vault = Vault.open(state) if make else Vault.for_reading(state)
    except (VaultRefused, OSError) as error:
        raise CliError(f"{what} cannot be read", why=str(error)) from None
    if vault.missing:
        print_note(f"omni-tui: {vault.missing}")
    return vault


def launch_options(
    arguments: argparse.Namespace,
    *,
    headless: bool = False,
    only: tuple[str, ...] = (),
) -> LaunchOptions:
    """Return the options of a start, with absolute paths. Raises `CliError` without the project folder."""
    demo = arguments.command == "demo" or arguments.demo
    here = Path.cwd()
    # A project file in the current folder restricts, which must not be missed.
    found = str(here) if not demo and (here / PROJECT_FILE).is_file() else ""
    project = _path(arguments.project) or found
    if project and not Path(project).is_dir():
        raise CliError(
            f"there is no folder {project}",
            todo="Use an existing folder for --project.",
            status=ExitStatus.USAGE,
        )
    return LaunchOptions(
        config=_path(arguments.config),
        mcp_config=_path(arguments.mcp_config),
        project=project,
        state_dir=_path(arguments.state_dir),
        env_file=_path(arguments.env_file),
        model=arguments.model,
        api_base=arguments.api_base,
        mode=arguments.mode,
        connect_timeout=arguments.connect_timeout,
        resume="new" if headless or arguments.new else arguments.session or "auto",
        demo=demo,
        headless=headless,
        debug=arguments.debug,
        only=only,
    )


def load_configuration(arguments: argparse.Namespace) -> LoadedConfig:
    """Load the configuration of a command, with the secrets of the sealed store. Raises `CliError`."""
    from omni_tui.config.load import load_config
    from omni_tui.memory.secret_store import environment_with_secrets

    options = launch_options(arguments)
    return load_config(options, environment_with_secrets(options, os.environ))


def _path(text: str) -> str:
    return str(Path(text).expanduser().absolute()) if text else ""
