"""Files for the person: saved where they say, or opened with this machine's own program.

The program is started without a shell, with one absolute path of ours, without our standard streams,
and with a short list of the environment's variables: no key of ours reaches it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omni_tui.memory.private_files import open_private, private_dir
from omni_tui.protocol import UserError
from omni_tui.protocol.errors import FileInTheWay
from omni_tui.servers.reaper import start_time
from omni_tui.tools.media_types import file_suffix

logger = logging.getLogger(__name__)

FOLDER = "opened"
HANDOVER_S = 2.0
"""Seconds in which a program may fail. One that still runs then shows the file, or hangs."""
MAX_RUNNING = 8
MAX_FILES = 50
_NAMES = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "DISPLAY",
    "XAUTHORITY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION",
    "GNOME_DESKTOP_SESSION_ID", "KDE_FULL_SESSION", "KDE_SESSION_VERSION", "PULSE_SERVER",
    "WSL_DISTRO_NAME", "WSL_INTEROP",
})  # fmt: skip
_PREFIXES = ("LC_", "XDG_", "QT_", "GTK_", "GDK_")


@dataclass(frozen=True, slots=True)
class OpenOutcome:
    """`by` is the program that has the file; `why` says why none has, "" if one has."""

    by: str = ""
    why: str = ""


class FileOpener:
    """Writes files for other programs and opens them there. Its methods block: call them in a thread.

    Such a program outlives the engine: it is the person's window.
    """

    def __init__(self, state_dir: Path, environ: Mapping[str, str]) -> None:
        self._root = state_dir / FOLDER
        self._environ = environ
        self._running: list[subprocess.Popen[bytes]] = []
        self.lock = asyncio.Lock()
        """Held while one file is opened: one at a time."""

    def put(self, data: bytes, suffix: str) -> Path:
        """Write a new private file under a random name. Raises `OSError`."""
        private_dir(self._root)
        folder = private_dir(self._root / f"{os.getpid()}-{start_time(os.getpid())}")
        path = folder / f"{secrets.token_hex(8)}{suffix}"
        with os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(data)
        files = sorted(folder.iterdir(), key=lambda one: one.lstat().st_mtime_ns)
        for old in files[:-MAX_FILES]:
            old.unlink(missing_ok=True)
        return path.resolve()

    def show(self, path: Path) -> OpenOutcome:
        """Open a file with the system's program; waits `HANDOVER_S` at most."""
        if why := no_display_reason(self._environ):
            return OpenOutcome(why=why)
        program = _program(self._environ)
        if not program:
            return OpenOutcome(why="this machine has no program that opens files (xdg-open)")
        self._running = [one for one in self._running if one.poll() is None]
        if len(self._running) >= MAX_RUNNING:
            return OpenOutcome(why=f"{MAX_RUNNING} files are being shown already; close some of them")
        name = os.path.basename(program)
        try:
            process = subprocess.Popen(
                [program, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=path.parent,
                env=desktop_environ(self._environ),
                start_new_session=True,
            )
        except OSError as error:
            return OpenOutcome(why=f"{name} cannot be started: {error.strerror or error}")
        try:
            code = process.wait(HANDOVER_S)
        except subprocess.TimeoutExpired:
            self._running.append(process)
            return OpenOutcome(by=name)
        return OpenOutcome(by=name) if code == 0 else OpenOutcome(why=f"{name} failed ({_words(code)})")


def no_display_reason(environ: Mapping[str, str]) -> str:
    """Return why no window can be opened for the person here, "" if one can.

    Over ssh only a forwarded display is the person's own: a local one (`:0`) is somebody else's calls.
    """
    remote = bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))
    if platform.system() == "Darwin":
        return "this is a session over ssh, whose screen is not the one you sit at" if remote else ""
    display = environ.get("DISPLAY", "")
    if remote and (not display or display.startswith((":", "unix:"))):
        return "this is a session over ssh without a forwarded display"
    if not display and not environ.get("WAYLAND_DISPLAY"):
        return "there is no display here"
    return ""


def desktop_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program with a window needs, and no other."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}


def sweep_opened(state_dir: Path) -> None:
    """Remove the files that ended engines have left behind."""
    root = state_dir / FOLDER
    if root.is_symlink() or not root.is_dir():
        return
    for entry in list(os.scandir(root)):
        if entry.is_dir(follow_symlinks=False) and not _owner_lives(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)


def _owner_lives(name: str) -> bool:
    pid, _, since = name.partition("-")
    if not (pid.isdecimal() and since.isdecimal()):
        return False
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return int(since) == start_time(int(pid))


def _program(environ: Mapping[str, str]) -> str:
    if platform.system() == "Darwin":
        return "/usr/bin/open"
    found = shutil.which("xdg-open", path=environ.get("PATH", os.defpath))
    return found if found and os.path.isabs(found) else ""


def _words(code: int) -> str:
    # The exit codes that the xdg-open manual page names.
    known = {
        1: "it did not understand",
        2: "the file is gone",
        3: "no program for this type",
        4: "no reason",
    }
    return f"signal {-code}" if code < 0 else known.get(code, f"exit code {code}")


def write_new_file(name: str, data: bytes, mime: str, *, stem: str, overwrite: bool) -> tuple[str, int]:
    """Write a new file of mode 0600 and return its path and size in bytes. Raises `UserError`.

    `name` is what the person typed. In a folder, the file is named `stem` with the suffix that fits its
    bytes; nothing of a server becomes part of a path.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            path = path / f"{stem}{file_suffix(data, mime)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
        # Opening a pipe that nobody reads would block for ever.
        with os.fdopen(os.open(path, flags | os.O_NONBLOCK, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise FileInTheWay(
            f"{path} exists already; choose another name, or allow it to be replaced"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:
        raise UserError(f"this is not a path: {error}") from None
    return str(path), len(data)
