"""Mirror one session's journal to Redis while the session is open.

A task of its own reads what is on disk, from where Redis ends, and appends it. Whoever writes the journal
does not wait for it: they only wake it. When Redis cannot be reached it tries again, and begins from the
number that Redis has then: nothing is lost, doubled or out of order, whatever was carried out unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory.crypto import SealBroken, Sealer
from omni_tui.memory.journal import Journal
from omni_tui.memory.redis.client import RedisTrouble, connection, load_library
from omni_tui.memory.redis.layout import (
    APPEND,
    CLAIM,
    FORMAT,
    INDEX,
    Info,
    as_text,
    events_key,
    facts_key,
    open_entry,
    open_info,
    run_script,
    seal_entry,
    seal_info,
)
from omni_tui.memory.redis.mirrored_rows import (
    Batch,
    read_batch,
    read_heading,
    read_record,
)
from omni_tui.memory.redis_claim import read_claim, write_claim
from omni_tui.memory.sqlite import JournalBroken

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

MirrorWord = Literal["connecting", "on", "away", "full", "refused", "elsewhere"]

_LARGE = 256 << 10
"""Bytes of a batch above which it gets a connection with more time."""
_OPENED = 1
"""The number of a session's first event, which says that it was opened."""
_MANY = 100
"""Events behind from which the state says so: fewer are on their way."""
_TELL_S = 0.5
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the mirror waits, in seconds.

    `gather`: from an event to sending it, since more may come and travel together. `beat`: until it is seen
    whether Redis is still there and still ours, and the facts for lists are written again. `retry` and
    `longest`: before the first and between later tries; `refused`: if somebody has to change something.
    """

    gather: float = 0.05
    beat: float = 5.0
    retry: float = 0.1
    longest: float = 2.0
    refused: float = 10.0


@dataclass(frozen=True, slots=True)
class MirrorState:
    """How far the mirror is.

    `word`: `connecting` (not tried to the end yet), `on`, `away` (not reachable), `full`, `refused`
    (somebody has to change something), `elsewhere` (another machine has the session now: nothing is written
    any more). `behind`: how many events are here and not there. `since`: when the word became true, in Unix
    seconds. `why` and `todo` explain.
    """

    word: MirrorWord
    behind: int
    since: float
    why: str = ""
    todo: str = ""


class _GivenUp(Exception):
    """It makes no sense to go on: another machine has the session, or what Redis has is not from here."""

    def __init__(self, word: Literal["elsewhere", "refused"], why: str, todo: str) -> None:
        super().__init__(why)
        self.word = word
        self.todo = todo


class SessionMirror:
    """Mirrors an open session. Made, started and closed in one event loop.

    `on_change` is called whenever `state` has another word, and from time to time while it catches up.
    """

    def __init__(
        self,
        journal: Journal,
        address: RedisAddress,
        sealers: dict[str, Sealer],
        on_change: Callable[[], None],
        *,
        ttl: int,
        most: int,
        pace: Pace = Pace(),
    ) -> None:
        self._journal = journal
        self._session = journal.session
        self._address = address
        self._sealers = sealers
        self._sealer = next(iter(sealers.values()))
        self._on_change = on_change
        self._ttl, self._most = ttl, most
        self._pace = pace
        self._pause = pace.retry
        self._owner = secrets.token_hex(8)
        self._gen = ""
        self._head = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._stays_open = False
        self._info_at = 0.0
        self._heading: tuple[str, float] | None = None
        self._state = MirrorState("connecting", 0, time.time())
        self._told = self._state
        self._told_at = 0.0
        self._task: asyncio.Task[None] | None = None

    # --- for its owner --------------------------------------------------------------------------

    @property
    def state(self) -> MirrorState:
        """Return how far it is now."""
        now = self._state
        behind = 0 if self._is_empty else max(0, self._journal.head - self._head)
        return MirrorState(now.word, behind, now.since, now.why, now.todo)

    @property
    def behind(self) -> bool:
        """Whether Redis may lack events that it should get."""
        return (
            not self._is_empty
            and self._state.word != "elsewhere"
            and (self._state.word != "on" or self._head < self._journal.head)
        )

    def start(self) -> None:
        """Begin. It tries until it is closed."""
        self._task = asyncio.create_task(self._run(), name=f"mirror {self._session[:8]}")

    async def hold(self) -> None:
        """Become the owner and have Redis say that the session is open here, without sending any event.

        From then on whoever fetches it lets nothing wait that waits here. Not for a mirror that was
        started. Raises `RedisTrouble`, also where another machine has the session, `JournalBroken`.
        """
        await asyncio.to_thread(load_library)
        try:
            async with connection(self._address) as redis:
                await self._claim(redis)
                await self._append(redis, self._nothing())
        except _GivenUp as end:
            raise RedisTrouble("refused", str(end), end.todo) from None

    def wake(self) -> None:
        """Events are on disk. Costs nothing: the task does the rest."""
        self._wake.set()

    def renamed(self) -> None:
        """The session has another title."""
        self._heading, self._info_at = None, 0.0

    @property
    def _is_empty(self) -> bool:
        """Whether nothing happened in the session yet: such a one is not sent to Redis."""
        return self._journal.head <= _OPENED

    async def close(self, grace: float, *, stays_open: bool = False) -> None:
        """Send what is left, for at most `grace` seconds if Redis answers, and end.

        `stays_open`: only the mirror ends. Redis goes on saying that the session is open.
        """
        self._stays_open = stays_open
        if self._task is None:
            return
        self._closing = True
        self._wake.set()
        if self._state.word not in ("on", "connecting"):
            self._task.cancel()
        await asyncio.wait([self._task], timeout=grace)
        self._task.cancel()
        await asyncio.wait([self._task], timeout=_CLOSE_S)

    # --- the task -------------------------------------------------------------------------------

    async def _run(self) -> None:
        await asyncio.to_thread(load_library)
        while True:
            try:
                await self._mirror()
                return
            except RedisTrouble as trouble:
                self._become(trouble.kind, str(trouble), trouble.todo)
            except _GivenUp as end:
                self._become(end.word, str(end), end.todo)
                return
            except JournalBroken:
                return  # its owner has told everybody
            except Exception as error:
                logger.exception("the mirror of session %s broke", self._session)
                what = f"mirroring failed inside Omni TUI ({type(error).__name__})"
                self._become("refused", what, "the log has the details")
            if self._closing:
                return
            await asyncio.sleep(self._pace.refused if self._state.word == "refused" else self._pause)
            self._pause = min(2 * self._pause, max(self._pace.longest, self._pace.retry))

    async def _mirror(self) -> None:
        """Connect and mirror until closed. Raises `_GivenUp`, `RedisTrouble`."""
        async with connection(self._address) as redis:
            while self._is_empty:
                self._become("on")
                if self._closing:
                    return
                if not await self._woken(self._pace.beat):
                    await redis.ping()
            await self._claim(redis)
            self._pause = self._pace.retry
            self._become("on")
            await self._publish(redis)

    def _become(self, word: MirrorWord, why: str = "", todo: str = "") -> None:
        same = word == self._state.word
        self._state = MirrorState(word, 0, self._state.since if same else time.time(), why, todo)
        self._tell()

    def _tell(self) -> None:
        """Report the state if it looks different; how far behind it is only now and then."""
        now, told, at = self.state, self._told, time.monotonic()
        if (now.word, now.why) == (told.word, told.why):
            far, was_far = now.behind >= _MANY, told.behind >= _MANY
            numbers = now.behind != told.behind and (far or now.word != "on")
            if far == was_far and not (numbers and at - self._told_at > _TELL_S):
                return
        self._told, self._told_at = now, at
        self._on_change()

    # --- owning the session in Redis ------------------------------------------------------------

    async def _claim(self, redis: Redis) -> None:
        """Become the owner, and learn where Redis ends. Raises `_GivenUp`."""
        noted = await self._journal.run(read_claim)
        claim = noted.about_to_take(self._owner)
        if claim != noted:
            # On disk first: after a crash in between, the name in Redis is known to be this journal's.
            await self._journal.run(lambda tx: write_claim(tx, claim))
        kept, epoch, gen, head, version = await run_script(
            redis,
            self._session,
            CLAIM,
            FORMAT,
            self._owner,
            claim.epoch,
            secrets.token_hex(8),
            self._ttl,
            *claim.names,
        )
        if kept != 1:
            if version is not None and as_text(version) != FORMAT:
                raise _GivenUp(
                    "refused", "another version of Omni TUI wrote this session to Redis", "update"
                )
            raise await self._elsewhere(redis)
        self._gen, self._head = as_text(gen), int(head)
        taken = claim.taken(self._owner, int(epoch))
        if taken != claim:
            await self._journal.run(lambda tx: write_claim(tx, taken))
        await self._compare(redis)
        self._info_at = 0.0

    async def _compare(self, redis: Redis) -> None:
        """Check that the last event in Redis is the one of that number here."""
        if not self._head:
            return
        more = self._head - self._journal.head
        if more > 0:
            raise self._not_from_here(f"Redis has {more} events of this session that its file here lacks")
        here = await self._journal.run(lambda tx: read_record(tx, self._head))
        ident = f"{self._head}-0"
        found: Any = await redis.xrange(events_key(self._session), ident, ident)
        if not found:  # it was emptied just now, or somebody deleted the entry: the next try will tell
            raise RedisTrouble("refused", f"event {self._head} of this session is gone from Redis")
        try:
            sealed = found[0][1][b"e"]
            there = open_entry(self._sealers, self._session, self._gen, self._head, sealed).event
        except (LookupError, SealBroken) as error:
            raise self._not_from_here(
                f"the last event in Redis, number {self._head}, cannot be read here ({error})"
            ) from error
        if there and not here:
            why = f"event {self._head} is lost here and whole in Redis"
            raise _GivenUp("refused", why, self._copy_of_it())
        if there != here:
            raise self._not_from_here(f"event {self._head} in Redis is another one than here")

    def _not_from_here(self, why: str) -> _GivenUp:
        return _GivenUp("refused", why, f"omni-tui sessions resume {self._session} fetches what is there")

    def _copy_of_it(self) -> str:
        return f"omni-tui sessions resume --copy {self._session} fetches what is there as another session"

    async def _elsewhere(self, redis: Redis) -> _GivenUp:
        """Return the end of this mirror, with who has the session."""
        sealed: Any = await redis.hget(facts_key(self._session), "info")
        todo = "what happens here is saved here only"
        try:
            info = open_info(self._sealers, self._session, sealed or b"")
        except SealBroken:
            why = "another installation has this session in Redis now"
        else:
            at = time.strftime("%H:%M", time.localtime(info.updated))
            why = f"this session goes on at {info.machine} (last written there at {at})"
            if info.machine == platform.node():  # as after a backup was put back
                todo = f"{todo}; {self._copy_of_it()}"
        return _GivenUp("elsewhere", why, todo)

    # --- publishing -----------------------------------------------------------------------------

    async def _publish(self, redis: Redis) -> None:
        """Append what is new, until closed. Raises `_GivenUp`, `RedisTrouble`."""
        while True:
            if self._head < self._journal.head:
                head = self._journal.head
                batch = await self._journal.run(lambda tx: read_batch(tx, self._head, head))  # noqa: B023
                await self._append(redis, batch)
                self._tell()
                continue
            self._tell()
            if self._closing:
                await self._append(redis, self._nothing(), closing=True)
                return
            if time.monotonic() - self._info_at > self._pace.beat:
                await self._append(redis, self._nothing())
            if not await self._woken(self._pace.beat):
                self._info_at = 0.0
            elif not self._closing:
                await asyncio.sleep(self._pace.gather)

    def _nothing(self) -> Batch:
        return Batch(self._head + 1, [], 0)

    async def _woken(self, within: float | None = None) -> bool:
        """Wait until there is something to do; return False if there was nothing in that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._wake.wait()
        woken = self._wake.is_set()
        self._wake.clear()
        return woken

    async def _append(self, redis: Redis, batch: Batch, *, closing: bool = False) -> None:
        if batch.size > _LARGE:
            sealed = await asyncio.to_thread(self._sealed, batch)
            size = sum(map(len, sealed))
            async with connection(self._address, size=size) as patient:
                await self._send(patient, batch.first, sealed, b"")
            return
        now = time.monotonic()
        info = b""
        if closing or now - self._info_at > self._pace.beat:
            info = await self._info(batch, closing=closing)
            self._info_at = now
        await self._send(redis, batch.first, self._sealed(batch), info)
        if info:
            await redis.hset(INDEX, self._session, str(int(time.time())))

    def _sealed(self, batch: Batch) -> list[bytes]:
        return [
            seal_entry(self._sealer, self._session, self._gen, seq, entry)
            for seq, entry in enumerate(batch.entries, batch.first)
        ]

    async def _send(self, redis: Redis, first: int, sealed: list[bytes], info: bytes) -> None:
        verdict, number = await run_script(
            redis,
            self._session,
            APPEND,
            self._owner,
            self._gen,
            self._ttl,
            self._most,
            info,
            first,
            *sealed,
        )
        if verdict == 0:
            self._head = int(number)
        elif verdict == -2:
            self._head = int(
                number
            )  # Redis lost the last ones, for instance in a failover: send them again
        else:
            # Redis began anew, empty or from an older state: then its owner may be a former name of ours.
            await self._claim(redis)

    async def _info(self, batch: Batch, *, closing: bool) -> bytes:
        if self._heading is None:
            self._heading = await self._journal.run(read_heading)
        title, created = self._heading
        info = Info(
            title=title,
            machine=platform.node() or "another machine",
            created=created,
            updated=time.time(),
            events=batch.first + len(batch.entries) - 1,
            open=self._stays_open or not closing,
        )
        return seal_info(self._sealer, self._session, info)
