"""Redis as a second place of sessions: whether it is used now, and the mirror of each open session."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from omni_tui.config.load import LoadedConfig
from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory import Journal, JournalBroken, JournalBusy, Sealer, Vault, session_path
from omni_tui.memory.redis import (
    FetchRefused,
    FetchReport,
    KeyRefused,
    MemoryKeys,
    MirrorState,
    RedisTrouble,
    RemoteSession,
    SessionMirror,
    SessionsBehind,
    SessionsToDelete,
    delete_remote,
    fetch_session,
    list_remote,
    names_in_redis,
)
from omni_tui.memory.redis_claim import read_claim
from omni_tui.protocol import AnyEvent, Event, UserError
from omni_tui.protocol.events import Notice, SessionOpened, SessionTitled
from omni_tui.protocol.memory import MemoryChanged
from omni_tui.security.text import safe, safe_line

logger = logging.getLogger(__name__)

_GRACE_S = 1.0
"""Seconds that the end of a session waits for what is not in Redis yet."""
_LONG_S = 600.0
_ASK_S = 3.0
"""Seconds for which Redis is asked whether another machine has a session in which calls wait."""


class RedisMemory:
    """Redis as the config and the person want it, for all sessions of an engine.

    `on`: sessions are mirrored now. `wanted`: the config asks for it, or the person did. `left_behind`: the
    sessions that may have more events than Redis.
    """

    def __init__(self, loaded: LoadedConfig, vault: Vault) -> None:
        self._loaded = loaded
        self._vault = vault
        self._keys = MemoryKeys(loaded.paths.state_dir, vault)
        self._catching_up: asyncio.Task[None] | None = None
        self._session = ""
        """The session that is being caught up."""
        self.on = self.wanted = loaded.config.memory.store == "redis"
        self.left_behind = SessionsBehind(loaded.paths.state_dir)
        self._to_delete = SessionsToDelete(loaded.paths.state_dir)

    @property
    def where(self) -> str:
        """The address of Redis, "" if it cannot be told."""
        return str(self._loaded.redis or "")

    def sealers(self) -> dict[str, Sealer]:
        """Return what seals and opens. Raises `UserError` without an address or a key. Reads the disk."""
        self._address()
        try:
            return self._keys.sealers()
        except KeyRefused as error:
            raise UserError(str(error)) from None

    async def list_remote(self) -> list[RemoteSession]:
        """Return the sessions in Redis, last used first. Raises `UserError`."""
        sealers = await asyncio.to_thread(self.sealers)
        try:
            return await list_remote(self._address(), sealers)
        except RedisTrouble as trouble:
            raise self._unusable(trouble) from None

    async def fetch(self, session: str, *, copy: bool) -> FetchReport:
        """Fetch a session that is not open here, or a copy of any. Raises `UserError`, `OSError`."""
        sealers = await asyncio.to_thread(self.sealers)
        await self.let_go(session)
        state_dir = self._loaded.paths.state_dir
        try:
            return await fetch_session(self._address(), sealers, session, state_dir, self._vault, copy=copy)
        except RedisTrouble as trouble:
            raise self._unusable(trouble) from None
        except (FetchRefused, ValueError) as error:
            raise UserError(f"the session was not fetched: {error}") from None

    def _address(self) -> RedisAddress:
        if self._loaded.redis is None:
            raise UserError(self._loaded.redis_problem)
        return self._loaded.redis

    def _unusable(self, trouble: RedisTrouble) -> UserError:
        todo = f"; {trouble.todo}" if trouble.todo else ""
        return UserError(f"Redis cannot be used ({self.where}): {trouble}{todo}")

    def catch_up(self, is_open: Callable[[str], bool]) -> None:
        """Send in the background what closed sessions have and Redis lacks; open ones do it themselves."""
        if self.on and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = asyncio.create_task(self._catch_up(is_open), name="sessions behind Redis")

    def note_deletion(self, session: str) -> bool:
        """Note what to delete in Redis, before a session's files go; return False if that cannot be told.

        Accesses the disk.
        """
        try:
            names = names_in_redis(self._loaded.paths.state_dir, session, self._vault)
            if names:
                self._to_delete.add(session, names)
        except (JournalBusy, JournalBroken, ValueError, OSError):
            logger.warning("it cannot be told whether session %s is in Redis", session, exc_info=True)
            return False
        return True

    async def delete_noted(self, session: str = "") -> str:
        """Delete in Redis what was deleted here, or ("") all of that; return what stays there, in words."""
        noted = await asyncio.to_thread(self._to_delete.all)
        for each in [session] if session in noted else [] if session else noted:
            path = session_path(self._loaded.paths.state_dir, each)
            if not await asyncio.to_thread(path.exists):  # else it was not deleted after all
                if self._loaded.redis is None:
                    return f"it is in Redis still, until that can be reached: {self._loaded.redis_problem}"
                try:
                    gone = await delete_remote(self._loaded.redis, each, noted[each])
                except RedisTrouble as trouble:
                    return f"it is in Redis still, and is deleted there once Redis can be used: {trouble}"
                if not gone and session:
                    await asyncio.to_thread(self._to_delete.remove, each)
                    return "in Redis it stays: another machine has it"
            await asyncio.to_thread(self._to_delete.remove, each)
        return ""

    async def let_go(self, session: str = "") -> None:
        """Leave alone a session that is about to be opened, or ("") every session."""
        task = self._catching_up
        if task is not None and session in ("", self._session):
            task.cancel()
            await asyncio.wait([task])

    async def _catch_up(self, is_open: Callable[[str], bool]) -> None:
        try:
            if left := await self.delete_noted():
                logger.info("a deleted session: %s", left)
        except OSError:
            logger.warning("deleted sessions are not deleted in Redis now", exc_info=True)
        try:
            sealers = await asyncio.to_thread(self.sealers)
        except UserError:
            return  # the sessions that are open say so
        for session in await asyncio.to_thread(self.left_behind.ids):
            if is_open(session):
                continue
            self._session = session
            try:
                if not await self._catch_up_one(session, sealers):
                    return
            except (JournalBusy, JournalBroken, ValueError, OSError):
                logger.info("session %s is not caught up in Redis now", session, exc_info=True)
            finally:
                self._session = ""

    async def _catch_up_one(self, session: str, sealers: dict[str, Sealer]) -> bool:
        """Catch up a closed session; return False if Redis does not take it now."""
        path = session_path(self._loaded.paths.state_dir, session)
        if not await asyncio.to_thread(path.exists):
            await asyncio.to_thread(self.left_behind.remove, session)
            return True
        clean = not await asyncio.to_thread(path.with_suffix(".lock").exists)
        journal = await Journal.open(path, session, self._vault, _ignore, background=True)
        mirror = self.mirror(journal, sealers, _say_nothing)
        try:
            mirror.start()
            await mirror.close(_LONG_S)
        finally:
            await mirror.close(0)
            await journal.close(clean)
        if mirror.state.word in ("on", "elsewhere") and not mirror.behind:
            await asyncio.to_thread(self.left_behind.remove, session)
        return mirror.state.word not in ("away", "full")

    def mirror(
        self, journal: Journal, sealers: dict[str, Sealer], on_change: Callable[[], None]
    ) -> SessionMirror:
        """Make the mirror of a session. Call it after `sealers`."""
        settings = self._loaded.config.memory.redis
        return SessionMirror(
            journal, self._address(), sealers, on_change, ttl=settings.ttl, most=settings.max_events
        )


class SessionMemory:
    """The mirror of one session, while there is one. `tell` sends its followers an event."""

    def __init__(self, memory: RedisMemory, journal: Journal, tell: Callable[[Event], None]) -> None:
        self._memory = memory
        self._journal = journal
        self._tell = tell
        self._mirror: SessionMirror | None = None
        self._refused = ""
        self._refused_at = 0.0
        self._word = "off"
        self._changing = asyncio.Lock()

    def committed(self, events: Sequence[AnyEvent]) -> None:
        """Take note of events that are on disk; does not wait for anything."""
        if self._mirror is None:
            return
        if any(isinstance(event, SessionOpened | SessionTitled) for event in events):
            self._mirror.renamed()
        self._mirror.wake()

    async def follow(self) -> None:
        """Begin or end the mirror as the engine's memory says now; one that gave up begins again."""
        async with self._changing:
            await self._end(stays_open=True)
            self._refused = ""
            if self._memory.on:
                await self._begin()
        self._changed()

    async def close(self) -> None:
        """Send what is left, if Redis is there, and end."""
        async with self._changing:
            await self._end()

    def state(self) -> list[MemoryChanged | Notice]:
        """Return what a client is told of it when it arrives."""
        event = self.event()
        return [] if event is None else [each for each in (event, _notice(event)) if each is not None]

    def event(self) -> MemoryChanged | None:
        """Return how far the session is mirrored, None where nobody ever asked for it."""
        if not self._memory.wanted:
            return None
        if self._mirror is not None:
            state = self._mirror.state
        elif self._refused:
            state = MirrorState("refused", self._journal.head, self._refused_at, self._refused)
        else:
            return MemoryChanged(ts=time.time(), word="off", where=safe_line(self._memory.where))
        return MemoryChanged(
            ts=time.time(),
            word=state.word,
            behind=state.behind,
            since=state.since,
            where=safe_line(self._memory.where),
            why=safe(state.why, limit=1000),
            todo=safe(state.todo, limit=1000),
        )

    async def _begin(self) -> None:
        try:
            sealers = await asyncio.to_thread(self._memory.sealers)
            self._mirror = self._memory.mirror(self._journal, sealers, self._changed)
        except UserError as error:
            self._refused, self._refused_at = str(error), time.time()
        else:
            await asyncio.to_thread(self._memory.left_behind.add, self._journal.session)
            self._mirror.start()
            self._mirror.wake()

    async def why_not_only_here(self) -> str:
        """Return why what waits in this session may wait on another machine too, "" if it cannot.

        That is known of a session that was never in Redis, and of one that Redis says is open here: whoever
        fetches that lets nothing wait. Call it before anybody can decide anything. Takes seconds if Redis
        is away.
        """
        claim = await self._journal.run(read_claim)
        if not claim.names:
            return ""
        try:
            sealers = await asyncio.to_thread(self._memory.sealers)
            async with asyncio.timeout(_ASK_S):
                await self._memory.mirror(self._journal, sealers, _say_nothing).hold()
        except (UserError, RedisTrouble) as error:
            return str(error)
        except TimeoutError:
            return f"Redis ({self._memory.where}) does not answer"
        return ""

    async def _end(self, *, stays_open: bool = False) -> None:
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            await mirror.close(_GRACE_S, stays_open=stays_open)
            if not mirror.behind:
                await asyncio.to_thread(self._memory.left_behind.remove, self._journal.session)

    def _changed(self) -> None:
        event = self.event()
        if event is None:
            return
        self._tell(event)
        if event.word != self._word and (notice := _notice(event)) is not None:
            self._tell(notice)
        self._word = event.word


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session that is caught up."""


def _say_nothing() -> None:
    """Nobody is told of a session that is caught up."""


def _notice(event: MemoryChanged) -> Notice | None:
    """Return what the person should be told at once, None if the status line is enough."""
    if event.word not in ("elsewhere", "refused"):
        return None
    what = safe(f"this session is not mirrored to Redis, only saved here: {event.why}", limit=1_200)
    return Notice(ts=event.ts, level="warning", what=what, todo=event.todo)
