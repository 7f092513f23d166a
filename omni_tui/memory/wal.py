"""What SQLite would pass over in the write-ahead log of a session that was not closed.

SQLite reads a log up to the first frame whose checksum is wrong and forgets the rest without a word.
Here the frames behind it are counted, before anything is opened and so before anything is overwritten.
Layout and checksum: https://www.sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = 32
_FRAME = 24
_LITTLE = 0x377F0682
_BIG = 0x377F0683
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WalState:
    """`read`: commits that SQLite takes from the log; `lost`: commits behind the first broken frame."""

    read: int = 0
    lost: int = 0


def wal_state(path: Path) -> WalState:
    """Read the log of the database at `path`; nothing is counted where there is none.

    A log whose header is broken counts as one lost commit, because SQLite drops all of it. Takes about
    0.1 ms a frame. Raises `OSError`.
    """
    try:
        data = Path(f"{path}-wal").read_bytes()
    except FileNotFoundError:
        return WalState()
    if len(data) < _HEADER + _FRAME:
        return WalState()  # nothing was committed into it
    magic, version, size, _, *salt = struct.unpack_from(">6I", data)
    order = "<" if magic == _LITTLE else ">"
    sums = _checksum(order, data[:24])
    if magic not in (_LITTLE, _BIG) or version != 3_007_000 or sums != struct.unpack_from(">2I", data, 24):
        return WalState(lost=1)
    read = lost = 0
    whole = True
    for at in range(_HEADER, len(data) - _FRAME - size + 1, _FRAME + size):
        number, commit, *salts = struct.unpack_from(">4I", data, at)
        if salts != salt or not number:
            if whole:
                break  # what the log held before it was begun anew
            continue
        if whole:
            sums = _checksum(order, data[at : at + 8], sums)
            sums = _checksum(order, data[at + _FRAME : at + _FRAME + size], sums)
            whole = sums == struct.unpack_from(">2I", data, at + 16)
        if commit:
            read, lost = (read + 1, lost) if whole else (read, lost + 1)
    return WalState(read, lost)


def _checksum(order: str, data: bytes, before: tuple[int, ...] = (0, 0)) -> tuple[int, int]:
    first, second = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
