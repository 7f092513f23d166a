"""Who a journal is in Redis: noted in its file, which alone says under which names it wrote there."""

from __future__ import annotations

import msgspec

from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction

MOST_NAMES = 100
_CLAIM = "redis"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who this journal is in Redis.

    `names`: under the first one it wrote last. It was about to take each of the others, or had it before:
    Redis may name one of them after it began again from an older state. `epoch` counts the changes of
    owners.
    """

    epoch: int = 0
    names: tuple[str, ...] = ()

    def about_to_take(self, name: str) -> Claim:
        """Return the claim with one more name; the one that wrote last stays the first."""
        if name in self.names:
            return self
        return Claim(epoch=self.epoch, names=(*self.names[:1], name, *self.names[1:])[:MOST_NAMES])

    def taken(self, name: str, epoch: int) -> Claim:
        """Return the claim of a journal that writes under this name now."""
        others = (each for each in self.names if each != name)
        return Claim(epoch=epoch, names=(name, *others)[:MOST_NAMES])


def read_claim(tx: Transaction) -> Claim:
    """Return who this journal is in Redis; an unreadable note counts as none."""
    row = tx.execute("SELECT value FROM meta WHERE name = ?", (_CLAIM,)).fetchone()
    try:
        return msgspec.json.decode(tx.open(row[0], f"meta/{_CLAIM}"), type=Claim) if row else Claim()
    except (SealBroken, msgspec.MsgspecError):
        return Claim()


def write_claim(tx: Transaction, claim: Claim) -> None:
    """Note who this journal is in Redis."""
    sealed = tx.seal(msgspec.json.encode(claim), f"meta/{_CLAIM}")
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_CLAIM, sealed))
