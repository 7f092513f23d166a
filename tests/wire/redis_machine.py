"""A machine with sessions that are mirrored to Redis: a state folder with its own vault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory import Journal, Vault, session_path
from omni_tui.memory.crypto import FoundKey, Sealer
from omni_tui.memory.redis.fetch import FetchReport, fetch_session
from omni_tui.memory.redis.layout import open_entry
from omni_tui.memory.redis.mirror import Pace, SessionMirror
from omni_tui.protocol import AnyEvent, decode_event
from omni_tui.protocol.events import SessionOpened, UserMessage
from omni_tui.security.text import safe
from tests.redis_server import RedisServer

KEY_BYTES = bytes(range(32))
KEY = Sealer(KEY_BYTES)
SEALERS = {KEY.id: KEY}
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
QUICK = Pace(gather=0.0, beat=0.05, retry=0.01, longest=0.05, refused=0.05)


def ignore(_events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


async def until(condition: Callable[[], bool], limit: float = 60) -> None:
    """Wait until something is true; the limit is only against hanging."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Open:
    """An open session that is mirrored."""

    def __init__(self, journal: Journal, address: RedisAddress, *, ttl: int = 1000, most: int = 0) -> None:
        self.journal = journal
        self.told: list[str] = []
        self.mirror = SessionMirror(journal, address, SEALERS, self._note, ttl=ttl, most=most, pace=QUICK)
        self.mirror.start()

    def _note(self) -> None:
        self.told.append(self.mirror.state.word)

    async def say(self, *texts: str) -> None:
        """Commit messages, and wake the mirror as the engine does."""
        events = [UserMessage(turn=text, text=safe(text)) for text in texts]
        await self.journal.commit(*events)
        self.mirror.wake()

    async def until(self, word: str) -> None:
        """Wait for a state."""
        await until(lambda: self.mirror.state.word == word)

    async def caught_up(self) -> None:
        """Wait until everything is in Redis."""
        await until(lambda: self.mirror.state.word == "on" and not self.mirror.state.behind)


class Machine:
    """A state folder."""

    def __init__(self, folder: Path, name: str, vault: Vault | None = None) -> None:
        self.state = folder / name
        self.vault = vault or Vault(FoundKey("key file", name.encode().ljust(32, b"-")))

    @contextlib.asynccontextmanager
    async def opened(
        self, address: RedisAddress, session: str = SESSION, *, ttl: int = 1000, most: int = 0
    ) -> AsyncIterator[Open]:
        """Open a session, a new one where there is none."""
        journal = await Journal.open(session_path(self.state, session), session, self.vault, ignore)
        opened = Open(journal, address, ttl=ttl, most=most)
        if not journal.head:
            await journal.commit(SessionOpened(title=safe("on two machines"), mode="chat", model=safe("m")))
        opened.mirror.wake()
        try:
            yield opened
        finally:
            await opened.mirror.close(5)
            await journal.close(clean=True)

    async def fetch(self, address: RedisAddress, session: str = SESSION) -> FetchReport:
        """Fetch a session."""
        return await fetch_session(address, SEALERS, session, self.state, self.vault)

    async def events(self, session: str = SESSION) -> list[AnyEvent]:
        """Return the events of a closed session."""
        path = session_path(self.state, session)
        journal = await Journal.open(path, session, self.vault, ignore)
        try:
            return await journal.read(0, 1_000_000)
        finally:
            await journal.close(clean=True)


async def in_redis(server: RedisServer, session: str = SESSION) -> list[tuple[int, AnyEvent]]:
    """Return number and event of every entry of a session in Redis."""
    gen = (await server.do("HGET", f"omni:{{{session}}}:facts", "gen") or b"").decode()
    found = []
    for ident, values in await server.do("XRANGE", f"omni:{{{session}}}:ev", "-", "+") or []:
        seq = int(ident.decode().partition("-")[0])
        entry = open_entry(
            SEALERS, session, gen, seq, values[b"e"] if isinstance(values, dict) else values[1]
        )
        found.append((seq, decode_event(entry.event)))
    return found


def texts(events: Sequence[AnyEvent]) -> list[str]:
    """Return what was said."""
    return [event.text for event in events if isinstance(event, UserMessage)]
