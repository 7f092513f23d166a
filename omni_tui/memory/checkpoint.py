"""A checkpoint: what the first events of a session come to, so that opening reads only those after them.

It lies sealed in the session's own file, so it is erased and backed up with it. The journal stays the
truth: a checkpoint counts only for exactly the events that it was made of. One that is damaged, of another
session, of another version of the app, or of events that stand no longer in the file is none, and neither
is any where saved events are lost. Then the whole journal is read.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import msgspec

from omni_tui import __version__
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.transaction import Transaction

NAME = "checkpoint"
_PLACE = f"meta/{NAME}"
_MOST_BYTES = 64_000_000
"""Bytes of the largest checkpoint; one that would be larger is not made."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the events up to number `seq` come to. `body` means something only to who made it."""

    seq: int
    body: bytes


class _Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is sealed. `last` is the digest of the sealed event `seq`, which no other history has."""

    version: str
    seq: int
    last: bytes
    body: bytes


_decode = msgspec.msgpack.Decoder(_Content).decode


def save_checkpoint(tx: Transaction, made: Checkpoint) -> bool:
    """Write a checkpoint in the place of the one before; return False if it cannot stand for its events."""
    last = _last(tx, made.seq)
    if last is None or len(made.body) > _MOST_BYTES:
        return False
    content = _Content(__version__, made.seq, last, zlib.compress(made.body, 1))
    sealed = tx.seal(msgspec.msgpack.encode(content), _PLACE)
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (NAME, sealed))
    return True


def load_checkpoint(tx: Transaction) -> Checkpoint | None:
    """Return the checkpoint of a session, None if there is none that counts."""
    facts = dict(tx.execute("SELECT name, value FROM meta WHERE name IN (?, 'lost')", (NAME,)).fetchall())
    if NAME not in facts or facts.get("lost"):
        return None
    try:
        content = _decode(tx.open(facts[NAME], _PLACE))
        if content.version != __version__ or content.last != _last(tx, content.seq):
            return None
        body = _unpacked(content.body)
    except (SealBroken, msgspec.DecodeError, zlib.error):
        return None
    return None if body is None else Checkpoint(content.seq, body)


def _last(tx: Transaction, seq: int) -> bytes | None:
    """Return the digest of a sealed event: its nonce makes it unlike that of any other."""
    found = tx.execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone()
    if found is None or not isinstance(found[0], bytes) or not found[0]:
        return None
    return hashlib.sha256(found[0]).digest()


def _unpacked(packed: bytes) -> bytes | None:
    """Return what was compressed, None if it is cut off or more than a checkpoint can be."""
    reader = zlib.decompressobj()
    body = reader.decompress(packed, _MOST_BYTES)
    return body if reader.eof else None
