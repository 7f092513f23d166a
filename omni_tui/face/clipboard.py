"""Copying: through the terminal, with a clipboard program, else into a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
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


def terminal_accepts(text: str) -> bool:
    """Return whether the terminal takes this text by OSC 52."""
    if os.environ.get("TERM_PROGRAM") in _DEAF or os.environ.get("TERM") in ("dumb", "linux"):
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


def copy_to_file(text: str, folder: str = "") -> str:
    """Write the text to a file that only this person can read; return its path. Raises `OSError`."""
    where = Path(folder) if folder and Path(folder).is_dir() else None
    handle, name = tempfile.mkstemp(prefix="omni-copy-", suffix=".txt", dir=where)
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return name
