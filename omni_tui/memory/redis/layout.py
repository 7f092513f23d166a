"""How a session lies in Redis: its keys, its entries, and the two scripts that write them.

Only these scripts write a session, and only for its present owner. Entries have the numbers of the
journal's events as ids, so that writing one twice is harmless and a missing one shows. Source of the rules
of streams and scripts: https://redis.io/docs/latest/develop/data-types/streams and `.../eval-intro`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from omni_tui.memory.call_table import CallRow
from omni_tui.memory.crypto import SealBroken, Sealer

if TYPE_CHECKING:
    from redis.asyncio import Redis

FORMAT = "1"
"""The format of what is written; an unknown one is neither read nor written."""
INDEX = "omni:sessions"
_LARGEST = 256 << 20
"""The bytes an entry may have once it is unpacked."""


def events_key(session: str) -> str:
    """Return the key of a session's stream."""
    return f"omni:{{{session}}}:ev"


def facts_key(session: str) -> str:
    """Return the key of a session's hash."""
    return f"omni:{{{session}}}:facts"


CLAIM = """#!lua
-- Become the owner: if nobody is, or if it is one that the caller knows (itself, or whom it follows).
-- KEYS events, facts. ARGV format, new owner, epoch known here, new generation, ttl (0: for ever,
-- nothing: as it is), known owner...
-- Returns {1, epoch, generation, head, format} or {-1, ...} with those of another owner.
local f = redis.call('HMGET', KEYS[2], 'v', 'owner', 'epoch', 'gen', 'head')
local epoch, gen, head = tonumber(f[3] or '0'), f[4], tonumber(f[5] or '0')
local known = not f[2]
for i = 6, #ARGV do known = known or f[2] == ARGV[i] end
if not known or (f[2] and f[1] ~= ARGV[1]) then
  return {-1, epoch, gen, head, f[1]}
end
if not f[2] then
  redis.call('DEL', KEYS[1])
  epoch, gen, head = tonumber(ARGV[3]), ARGV[4], 0
elseif head > 0 and redis.call('EXISTS', KEYS[1]) == 0 then
  gen, head = ARGV[4], 0
end
if f[2] ~= ARGV[2] then epoch = epoch + 1 end
redis.call('HSET', KEYS[2], 'v', ARGV[1], 'owner', ARGV[2], 'epoch', epoch, 'gen', gen, 'head', head)
for _, key in ipairs(KEYS) do
  if ARGV[5] == '0' then redis.call('PERSIST', key)
  elseif ARGV[5] ~= '' then redis.call('EXPIRE', key, ARGV[5]) end
end
return {1, epoch, gen, head, ARGV[1]}
"""

APPEND = """#!lua
-- Append entries that are not there yet.
-- KEYS events, facts. ARGV owner, generation, ttl, most entries, info, number of the first entry, entry...
-- Returns {0, head}; {-1, epoch} for another owner (0: nobody), {-2, head} if entries before these are
-- missing, {-3, head} if the stream is gone or began anew.
local f = redis.call('HMGET', KEYS[2], 'owner', 'gen', 'head', 'epoch')
if f[1] ~= ARGV[1] then return {-1, tonumber(f[4] or '0')} end
local head, seq = tonumber(f[3]), tonumber(ARGV[6])
if f[2] ~= ARGV[2] or (head > 0 and redis.call('EXISTS', KEYS[1]) == 0) then return {-3, head} end
if #ARGV > 6 and seq > head + 1 then return {-2, head} end
for i = 7, #ARGV do
  if seq > head then
    local id = string.format('%d-0', seq)
    if ARGV[4] == '0' then
      redis.call('XADD', KEYS[1], id, 'e', ARGV[i])
    else
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id, 'e', ARGV[i])
    end
    head = seq
  end
  seq = seq + 1
end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], 'info', ARGV[5]) end
redis.call('HSET', KEYS[2], 'head', head)
for _, key in ipairs(KEYS) do
  if ARGV[3] == '0' then redis.call('PERSIST', key) else redis.call('EXPIRE', key, ARGV[3]) end
end
return {0, head}
"""


DELETE = """#!lua
-- Delete a session, if one that the caller knows has it, or ('*') whoever has it.
-- KEYS events, facts. ARGV known owner... Returns 1 if it was there, 0 if not, -1 if another has it.
local owner = redis.call('HGET', KEYS[2], 'owner')
if not owner then return redis.call('DEL', KEYS[1]) end
for _, known in ipairs(ARGV) do
  if known == '*' or known == owner then
    redis.call('DEL', KEYS[1], KEYS[2])
    return 1
  end
end
return -1
"""


class MirroredCall(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A call as the table of calls had it when an event of it was mirrored.

    `args` is None where an earlier entry has them: they are those with the same `args_hash`.
    """

    call: str
    turn: str
    step: int
    agent: str
    origin: Literal["agent", "hand"]
    server: str
    tool: str
    server_fp: str
    def_hash: str
    args: bytes | None
    args_hash: str
    attempt: int
    decider: str
    provider_call_id: str
    created: float

    @classmethod
    def of(cls, row: CallRow, *, with_args: bool) -> MirroredCall:
        """Return a row of the table of calls."""
        return cls(
            row.call, row.turn, row.step, row.agent, row.origin, row.server, row.tool, row.server_fp,
            row.def_hash, row.args if with_args else None, row.args_hash, row.attempt, row.decider,
            row.provider_call_id, row.created,
        )  # fmt: skip


class MirroredResult(msgspec.Struct, frozen=True, array_like=True):
    """The whole result of an attempt of a call."""

    call: str
    attempt: int
    data: bytes


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One entry of the stream: the event as JSON, and what the journal's other tables have with it.

    `lost` says why the journal itself could not read the event, "" for all others.
    """

    event: bytes
    lost: str = ""
    call: MirroredCall | None = None
    result: MirroredResult | None = None


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of sessions shows. Times in Unix seconds.

    `open`: the session is open, or was when its app was last heard of; `updated` says when.
    """

    title: str
    machine: str
    created: float
    updated: float
    events: int
    open: bool


def seal_entry(sealer: Sealer, session: str, gen: str, seq: int, entry: Entry) -> bytes:
    """Return an entry packed and sealed for its place."""
    return sealer.seal(zlib.compress(msgspec.msgpack.encode(entry), 1), _place(session, gen, seq))


def open_entry(sealers: dict[str, Sealer], session: str, gen: str, seq: int, sealed: bytes) -> Entry:
    """Return an entry. Raises `SealBroken` if it was changed, moved, or sealed with a missing key."""
    data = sealer_for(sealers, sealed).unseal(sealed, _place(session, gen, seq))
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(data, _LARGEST)
        if unpacker.unconsumed_tail:
            raise SealBroken("an entry is too large")
        return msgspec.msgpack.decode(packed, type=Entry)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise SealBroken(f"an entry cannot be read ({error})") from error


def seal_info(sealer: Sealer, session: str, info: Info) -> bytes:
    """Return the facts for lists, sealed."""
    return sealer.seal(msgspec.json.encode(info), f"memory {session}/info")


def open_info(sealers: dict[str, Sealer], session: str, sealed: bytes) -> Info:
    """Return the facts for lists. Raises `SealBroken`."""
    try:
        data = sealer_for(sealers, sealed).unseal(sealed, f"memory {session}/info")
        return msgspec.json.decode(data, type=Info)
    except msgspec.MsgspecError as error:
        raise SealBroken(f"the facts of a session cannot be read ({error})") from error


def sealer_for(sealers: dict[str, Sealer], sealed: bytes) -> Sealer:
    """Return the sealer of the key that something was sealed with, else any: it will say so."""
    return sealers.get(Sealer.key_id(sealed)) or next(iter(sealers.values()))


def _place(session: str, gen: str, seq: int) -> str:
    return f"memory {session}/{gen}/{seq}"


async def run_script(redis: Redis, session: str, script: str, *arguments: object) -> Any:
    """Run one of the scripts on a session and return its answer."""
    given = [each if isinstance(each, bytes) else str(each) for each in arguments]
    return await redis.eval(script, 2, events_key(session), facts_key(session), *given)


def as_text(value: object) -> str:
    """Return what Redis answered as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
