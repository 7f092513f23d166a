"""Copying: through the terminal, with a clipboard program, else into a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

OSC52_LIMIT = 74_000
"""Longest text in UTF-8 bytes that is sent through the terminal; many drop longer ones."""
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
    """Where a text was copied to, in words for the person. `path` is set if it is a file."""

    how: str
    path: str = ""


def terminal_accepts(text: str, environ: dict[str, str] | None = None) -> bool:
    """Return whether the terminal takes this text by OSC 52."""
    values = os.environ if environ is None else environ
    if values.get("TERM_PROGRAM") in _DEAF or values.get("TERM") in ("dumb", "linux"):
        return False
    return len(text.encode("utf-8", "replace")) <= OSC52_LIMIT


async def copy_locally(text: str) -> str:
    """Copy with a clipboard program of this machine; return its name, "" if none worked."""
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
    """Write the text to a file that only this person can read. Raises `OSError`."""
    where = Path(folder) if folder and Path(folder).is_dir() else None
    handle, name = tempfile.mkstemp(prefix="omni-copy-", suffix=".txt", dir=where)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return CopyDestination(f"written to {name}", name)
