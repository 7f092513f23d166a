"""`sessions key`: the key of the sessions in Redis, created here and carried to other machines."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from omni_tui.cli.options import launch_options, open_vault
from omni_tui.cli.output import CliError, ExitStatus, print_note, print_result
from omni_tui.config.paths import find_paths
from omni_tui.memory.redis import KeyRefused, MemoryKeys

_LONGEST = 4_096


def session_key(arguments: argparse.Namespace) -> int:
    """Create, export or import the key."""
    state = find_paths(state_dir=launch_options(arguments).state_dir).state_dir
    keys = MemoryKeys(state, open_vault(state, "the key of the sessions in Redis", make=True))
    try:
        return {"create": _create, "export": _export, "import": _import}[arguments.step](
            keys, arguments.file
        )
    except KeyRefused as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise CliError("the key could not be written or read", why=error.strerror or str(error)) from None


def _create(keys: MemoryKeys, file: str) -> int:
    if file:
        raise CliError("create keeps the key in the state folder", todo="Then export it with --file.")
    print_result(f"made a key ({keys.create()})")
    print_note(
        "Sessions in Redis are encrypted with it. To go on with them elsewhere, or to read them should\n"
        "this machine be lost, keep a copy: omni-tui sessions key export"
    )
    return ExitStatus.DONE


def _export(keys: MemoryKeys, file: str) -> int:
    text = keys.export()
    if not file:
        print_result(text)
        print_note("Whoever has this key and reaches your Redis can read your sessions.")
        return ExitStatus.DONE
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CliError(f"{file} exists already", todo="Name another file.") from None
    with os.fdopen(fd, "w") as out:
        out.write(text + "\n")
    print_result(f"wrote the key to {file}, which only you can read")
    return ExitStatus.DONE


def _import(keys: MemoryKeys, file: str) -> int:
    if file:
        with Path(file).open("rb") as source:
            data = source.read(_LONGEST)
        text = data.decode("utf-8", "replace")
    elif sys.stdin.isatty():
        print_note("Paste the key, then press Enter:")
        text = sys.stdin.readline(_LONGEST)
    else:
        text = sys.stdin.read(_LONGEST)
    ident = keys.take(text)
    print_result(f"the key is here now ({ident}); sessions in Redis are encrypted with it from now on")
    return ExitStatus.DONE
