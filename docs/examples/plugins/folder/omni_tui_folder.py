"""Copies of sessions in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from omni_tui.plugins.api import PluginInfo, PluginMemory, SessionStore, hookimpl

PLUGIN = PluginInfo(api=1, summary="Copies of sessions in a folder", permissions=frozenset({"files"}))
FOLDER = "OMNI_TUI_COPIES"
"""The environment variable that names the folder, as on another disk; without it a private one is used."""
_ID = re.compile(r"[0-9a-f-]{36}")


class FolderStore:
    """One file for each session."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, session: str, data: bytes) -> None:
        """Write a session's file, whole or not at all."""
        new = self._file(session).with_suffix(".new")
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file(session))

    def get(self, session: str) -> bytes:
        """Read a session's file. Raises `KeyError` if there is none."""
        try:
            return self._file(session).read_bytes()
        except FileNotFoundError:
            raise KeyError(session) from None

    def sessions(self) -> Sequence[str]:
        """Return the ids of the files."""
        return [path.stem for path in self._folder.glob("*.copy") if _ID.fullmatch(path.stem)]

    def _file(self, session: str) -> Path:
        if not _ID.fullmatch(session):
            raise KeyError(session)
        return self._folder / f"{session}.copy"


def open_store(private: str) -> SessionStore:
    """Open the folder that the environment names, else the private one."""
    return FolderStore(os.environ.get(FOLDER) or private)


@hookimpl
def omni_memory() -> Sequence[PluginMemory]:
    """Return the memory: `omni-tui sessions restore ID --from folder` fetches a copy."""
    return [PluginMemory(name="folder", open=open_store)]
