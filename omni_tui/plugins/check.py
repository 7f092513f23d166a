"""Check a plugin in a process of its own, with a time-out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import Any

import omni_tui
from omni_tui.plugins.discovery import InstalledPlugin

logger = logging.getLogger(__name__)

CHECK_S = 30.0
"""Seconds that a check may take: importing a large library takes some."""
_LARGEST = 256 * 1024
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(omni_tui.__file__)))
"""Where the child finds our own package, though it is isolated."""
_HANDED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "HOME", "XDG_CACHE_HOME", "TZ")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `problem` is "" if the plugin may be loaded. Its texts are the plugin's own."""

    problem: str = ""
    summary: str = ""
    permissions: tuple[str, ...] = ()
    provides: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def check_plugin(plugin: InstalledPlugin, *, timeout_s: float = CHECK_S) -> CheckReport:
    """Import and try a plugin in a child process. Never raises for what the plugin does."""
    if plugin.problem:
        return CheckReport(plugin.problem)
    reading, writing = os.pipe()
    code = "import sys; sys.path.append(sys.argv.pop(1)); from omni_tui.plugins.probe import main; main()"
    try:
        child = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-I",
                "-c",
                code,
                _OURS,
                plugin.target,
                str(plugin.folder.parent),
                str(writing),
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _HANDED_ON if name in os.environ},
            pass_fds=(writing,),
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        return CheckReport(f"it could not be checked: {error.strerror or error}")
    finally:
        os.close(writing)
    try:
        async with asyncio.timeout(timeout_s):
            data = await _all_of(reading)
            await child.wait()
    except TimeoutError:
        return CheckReport(f"its check did not end within {timeout_s:g} seconds")
    finally:
        # Also what the plugin has started: it is in the child's session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    return _report(plugin, data, child.returncode or 0)


async def _all_of(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    file = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        data = b""
        while len(data) <= _LARGEST and (more := await reader.read(65_536)):
            data += more
        return data
    finally:
        transport.close()


def _report(plugin: InstalledPlugin, data: bytes, code: int) -> CheckReport:
    try:
        found: Any = json.loads(data)
        if len(data) > _LARGEST or not isinstance(found, dict):
            raise ValueError("it is no report")
        report = CheckReport(
            problem=str(found["problem"]),
            summary=str(found.get("summary", "")),
            permissions=tuple(map(str, found.get("permissions", ()))),
            provides={
                str(kind): tuple(map(str, names)) for kind, names in found.get("provides", {}).items()
            },
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return CheckReport(f"it ends the process when it is checked ({how})")
    if found.get("detail"):
        logger.info("the check of plugin %s failed: %s", plugin.name, found["detail"])
    return report
