"""The demonstration's own folder, so that nothing of the person's is read or written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from omni_tui.protocol.launch_options import LaunchOptions

_PREFIX = "omni-tui-demo-"


@contextmanager
def temporary_state(options: LaunchOptions) -> Iterator[LaunchOptions]:
    """Give a demo a temporary state folder, which is removed afterwards; other starts pass as they are.

    A demo whose state folder the person named keeps what it wrote.
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
    """Remove what demos left that were killed."""
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
