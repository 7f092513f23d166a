"""Opening a sign-in page on this machine, only ever because the person pressed a key for it."""

from __future__ import annotations

import os
import platform
import webbrowser

from omni_tui.servers.auth.urls import authorize_problem


def browser_available() -> bool:
    """Whether a browser with a window of its own could be opened here (not over ssh, not on a console)."""
    if platform.system() in ("Darwin", "Windows"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> str:
    """Open an address that may be opened; returns what stands in the way, or ""."""
    if problem := authorize_problem(url):
        return problem
    if not browser_available():
        return "there is no browser with a window on this machine; copy the address instead"
    try:
        opened = webbrowser.open(url)
    except (webbrowser.Error, OSError):
        opened = False
    return "" if opened else "no browser could be opened; copy the address instead"
