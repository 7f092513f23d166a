"""Sessions in Redis: mirrored from their journals, listed, and fetched to go on elsewhere.

The journal on this machine is the authority. Keys of a session, in one slot of a cluster:

- `omni:{ID}:ev`: a stream with one sealed entry per event of the journal, under the id `<number>-0`;
- `omni:{ID}:facts`: a hash with `v` (the format), `epoch` and `owner` (who may write), `gen` (new whenever
  the stream begins anew), `head` (the last event's number) and `info` (sealed: title, times, machine).

`omni:sessions` is a hash of the ids of all sessions, so that nobody has to scan.
"""

from omni_tui.memory.redis.behind import SessionsBehind
from omni_tui.memory.redis.client import RedisFacts, RedisTrouble, look_at
from omni_tui.memory.redis.delete import ANYBODY, delete_remote, names_in_redis
from omni_tui.memory.redis.fetch import (
    FetchRefused,
    FetchReport,
    RemoteSession,
    fetch_session,
    list_remote,
)
from omni_tui.memory.redis.fetch_remarks import fetch_remarks
from omni_tui.memory.redis.memory_key import CREATE as CREATE_KEY
from omni_tui.memory.redis.memory_key import KeyRefused, MemoryKeys
from omni_tui.memory.redis.mirror import MirrorState, SessionMirror
from omni_tui.memory.redis.to_delete import SessionsToDelete

__all__ = [
    "ANYBODY",
    "CREATE_KEY",
    "FetchRefused",
    "FetchReport",
    "KeyRefused",
    "MemoryKeys",
    "MirrorState",
    "RedisFacts",
    "RedisTrouble",
    "RemoteSession",
    "SessionMirror",
    "SessionsBehind",
    "SessionsToDelete",
    "delete_remote",
    "fetch_remarks",
    "fetch_session",
    "list_remote",
    "look_at",
    "names_in_redis",
]
