"""Copying: to the terminal, to the desktop's own tool, else into a file; and saying which it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

OSC52_LIMIT = 74_000
"""Longest text in UTF-8 bytes that is sent through the terminal; many drop what is longer."""
_TOOLS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
    ("pbcopy", (), ""),
    ("clip.exe", (), ""),
)
_DEAF = frozenset({"Apple_Terminal"})
"""Values of TERM_PROGRAM of terminals that ignore OSC 52."""


@dataclass(frozen=True, slots=True)
class CopyDestination:
    """Where a text went, in words for the person. `path` is set if it is a file."""

    how: str
    path: str = ""


def terminal_accepts(text: str, environ: dict[str, str] | None = None) -> bool:
    """True if the terminal can be trusted to take this text by OSC 52."""
    values = os.environ if environ is None else environ
    if values.get("TERM_PROGRAM") in _DEAF or values.get("TERM") in ("dumb", "linux"):
        return False
    return len(text.encode("utf-8", "replace")) <= OSC52_LIMIT


async def copy_locally(text: str) -> str:
    """Give the text to a clipboard program of this machine. Returns its name, "" if none took it."""
    for name, arguments, needs in _TOOLS:
        path = shutil.which(name)
        if path is None or (needs and not os.environ.get(needs)):
            continue
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(2.0):
                await process.communicate(text.encode("utf-8", "replace"))
        except (OSError, TimeoutError):
            continue
        if process.returncode == 0:
            return name
    return ""


def copy_to_file(text: str, folder: str = "") -> CopyDestination:
    """Write the text to a file only this person can read. Raises `OSError`."""
    where = Path(folder) if folder and Path(folder).is_dir() else None
    handle, name = tempfile.mkstemp(prefix="omni-copy-", suffix=".txt", dir=where)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return CopyDestination(f"written to {name}", name)
