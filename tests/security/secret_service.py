"""A real Secret Service on a bus of its own: gnome-keyring, with its files in a folder of the test's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "the password of these tests' keyring"


def _environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of this process with a session bus and files elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "GNOME_"))}
    kept.pop("PYTHON_KEYRING_BACKEND", None)
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {**kept, "XDG_RUNTIME_DIR": str(run), "XDG_DATA_HOME": str(folder / "data"), **more}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def secret_service(folder: Path, *, unlocked: bool = True) -> Iterator[dict[str, str]]:
    """Run a Secret Service and yield the environment that leads to it.

    The first time it must be `unlocked`, which makes its collection. Started again it has what it kept;
    without `unlocked` that is locked, and nobody is there to type the password.
    """
    environ = _environment(folder)
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert bus.stdout is not None
        environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        unlock = ["--unlock"] if unlocked else []
        ring = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets", *unlock],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert ring.stdin is not None
            ring.stdin.write(PASSWORD.encode())
            ring.stdin.close()
            _wait_for(environ)
            yield environ
        finally:
            _end(ring)
    finally:
        _end(bus)


def _wait_for(environ: dict[str, str]) -> None:
    """Wait until the service has its name on the bus."""
    ask = [
        "dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
        "org.freedesktop.DBus.GetNameOwner", "string:org.freedesktop.secrets",
    ]  # fmt: skip
    until = time.monotonic() + 20
    while subprocess.run(ask, env=environ, capture_output=True, check=False).returncode:
        assert time.monotonic() < until, "the Secret Service does not come"
        time.sleep(0.05)
