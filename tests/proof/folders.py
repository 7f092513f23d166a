"""Folders for what a proof writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 1_000_000_000
"""Bytes that must be free there; containers often have little."""


def short_lived(name: str) -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is removed again, in memory where Linux has such a place.

    Nothing is flushed to a disk there, which is most of what a run waits for. What a killed process has
    written survives it there too; losing power is not what the proofs are about.
    """
    usable = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    return tempfile.TemporaryDirectory(prefix=f"omni-tui-{name}-", dir=_MEMORY if usable else None)
