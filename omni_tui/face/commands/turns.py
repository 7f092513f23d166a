"""Commands about the running turn, its mode and its calls."""

from __future__ import annotations

from typing import get_args

from omni_tui.face.shell import Shell, request, say_reply
from omni_tui.protocol import Mode
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.commands import ContinueRun, SendNow, SetMode, StopRun

MODES: tuple[Mode, ...] = get_args(Mode)


def stop(shell: Shell, _argument: str) -> None:
    """Stop the running turn."""
    shell.port.send(StopRun())


def send_now(shell: Shell, _argument: str) -> None:
    """Send the message without the servers it waits for, or try again what failed without its pause."""
    overview = shell.overview
    if overview.awaits or overview.next_attempt > shell.clock.time():
        overview.next_attempt = 0.0
        shell.port.send(SendNow())
    else:
        shell.say("Nothing waits for servers, or to be tried again.")


def resume(shell: Shell, _argument: str) -> None:
    """Continue a parked turn."""
    shell.port.send(ContinueRun())


def set_mode(shell: Shell, name: str) -> None:
    """Change the mode; without a name the palette lists them."""
    mode = next((mode for mode in MODES if mode == name), None)
    if mode is not None:
        shell.port.send(SetMode(mode=mode))
    elif name:
        shell.say(f"There is no mode {name}. The modes are {', '.join(MODES)}.", level="warning")
    else:
        shell.open_palette("mode ")


def clear_cache(shell: Shell, what: str) -> None:
    """Empty the cache of results, of one server or of all."""
    verb, _, server = what.strip().partition(" ")
    if verb in ("", "clear"):
        shell.in_background(say_reply(shell, ClearCache(server=server.strip()), "."), "cache")
    else:
        shell.say("Write /cache clear, or /cache clear SERVER.", level="warning")


def show_stats(shell: Shell, _argument: str) -> None:
    """Show how the calls of this session went."""
    shell.in_background(_show_stats(shell), "stats")


async def _show_stats(shell: Shell) -> None:
    from omni_tui.face.screens.stats import StatsScreen

    reply = await request(shell, ReadStats())
    if isinstance(reply, StatsRead):
        shell.show(StatsScreen(reply))
