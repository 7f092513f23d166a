"""The health of what a session depends on: servers, models, Redis, its journal, the disk, the key store."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from omni_tui.engine.context import EngineContext
from omni_tui.engine.live_session import LiveSession
from omni_tui.protocol.events import ServerChanged
from omni_tui.protocol.health import HealthCheck, HealthState
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.protocol.values import ServerState
from omni_tui.resilience.breaker import CircuitBreaker
from omni_tui.security.text import safe, safe_line

LITTLE_BYTES = 500_000_000
"""Free space of the disk below which it is said."""
LEAST_BYTES = 50_000_000
"""Below this, sessions may soon not be saved any more."""
_LONGEST = 1_000
"""Characters of what is wrong."""
_ORDER: dict[HealthState, int] = {"bad": 0, "note": 1, "ok": 2}
_SERVERS: dict[ServerState, HealthState] = {
    "active": "ok",
    "idle": "ok",
    "connecting": "note",
    "degraded": "note",
    "failed": "bad",
    "disabled": "ok",
}
"""What a state of a server means; in the others it waits for the person."""
_MEMORY: dict[str, HealthState] = {"on": "ok", "connecting": "note", "off": "note"}


def read_health(context: EngineContext, session: LiveSession) -> list[HealthCheck]:
    """Return a check of each part, those that need something first. Looks at the disk: it blocks."""
    checks = [
        *map(server_health, context.registry.snapshot()),
        *_models(context, session),
        *_redis(session.memory.event()),
        _journal(session.journal.broken),
        disk_health(context.loaded.paths.state_dir),
        _key_store(context),
    ]
    return sorted(checks, key=_need)


def _need(check: HealthCheck) -> int:
    return _ORDER[check.state]


def server_health(server: ServerChanged) -> HealthCheck:
    """Return how a server does, from its state."""
    working = server.state in ("active", "idle")
    latency = f", answers in {server.latency_ms:.0f} ms" if server.latency_ms is not None else ""
    odd = f", {server.odd:,} unreadable messages from it" if server.odd else ""
    what = f"{server.state}{latency}{odd}" if working else server.reason or server.state
    state = _SERVERS.get(server.state, "note")
    return HealthCheck(
        part="server",
        name=safe_line(server.name),
        state="note" if working and server.odd else state,
        what=safe_line(what, limit=_LONGEST),
        todo=safe_line(server.todo or ("see its log" if odd else "")),
        next_try=server.next_try,
    )


def _models(context: EngineContext, session: LiveSession) -> Iterator[HealthCheck]:
    """Yield the model in use, its fallbacks, and every other that failed."""
    breakers = context.models.breakers
    fallbacks = context.loaded.config.model.fallbacks
    names = dict.fromkeys((session.settings.model, *fallbacks, *breakers.troubled()))
    for name in names:
        yield model_health(name, breakers.of(name))


def model_health(name: str, breaker: CircuitBreaker) -> HealthCheck:
    """Return how a model does, from its circuit breaker."""
    paused = breaker.state != "closed"
    what = f"paused after it failed: {breaker.reason}" if paused else "no failure since it was chosen"
    return HealthCheck(
        part="model",
        name=safe_line(name),
        state="bad" if breaker.state == "open" else "note" if paused else "ok",
        what=safe_line(what, limit=_LONGEST),
        todo=safe_line("choose another with /model, or try it again" if paused else ""),
        next_try=time.time() + breaker.wait_s if breaker.wait_s else None,
    )


def _redis(memory: MemoryChanged | None) -> Iterator[HealthCheck]:
    if memory is None:
        return
    behind = f", {memory.behind:,} events are not there yet" if memory.behind else ""
    what = f"{memory.word}{behind}{': ' if memory.why else ''}{memory.why}"
    yield HealthCheck(
        part="Redis",
        name=memory.where or safe_line("Redis"),
        state=_MEMORY.get(memory.word, "bad"),
        what=safe_line(what, limit=_LONGEST),
        todo=memory.todo,
    )


def _journal(broken: str) -> HealthCheck:
    return HealthCheck(
        part="session",
        name=safe_line("this session"),
        state="bad" if broken else "ok",
        what=safe_line(broken or "every event is on the disk"),
        todo=safe_line("free space, then open the session again" if broken else ""),
    )


def disk_health(folder: Path) -> HealthCheck:
    """Return how much room there is for saved sessions, and whether they can be written."""
    state: HealthState = "ok"
    todo = ""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        state, what = "bad", f"it cannot be looked at: {error.strerror or error}"
    else:
        what = f"{free / 1e9:,.1f} GB free"
        if not os.access(folder, os.W_OK | os.X_OK):
            state, what, todo = "bad", "it cannot be written", "use another folder with --state-dir"
        elif free < LITTLE_BYTES:
            state = "bad" if free < LEAST_BYTES else "note"
            what, todo = f"{free / 1e6:,.0f} MB free", "free space, or the sessions cannot be saved"
    return HealthCheck(
        part="disk", name=safe(str(folder), limit=300), state=state, what=safe_line(what), todo=safe(todo)
    )


def _key_store(context: EngineContext) -> HealthCheck:
    vault = context.vault
    return HealthCheck(
        part="key store",
        name=safe_line(vault.kind),
        state="bad" if vault.missing else "note" if vault.warning else "ok",
        what=safe_line(
            vault.missing or vault.warning or "sessions are encrypted with its key", limit=_LONGEST
        ),
    )
