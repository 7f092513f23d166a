"""Read an SQLite file and its write-ahead log page by page, as far as they are whole and further.

SQLite ends a log at its first frame with a wrong checksum, and refuses a file whose first pages are
damaged. A row is still in its page then; who can tell a right row from a wrong one (here: by its seal) may
read it. Layout and checksum: https://www.sqlite.org/fileformat2.html, sections 1.3, 1.6, 2.1 and 4.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Column = str | int | float | bytes | None
"""The value of a column."""
PAGE = 4096
"""The size of a page where the file does not tell; what SQLite uses by default."""
LOG_HEADER = 32
_FRAME = 24
_LITTLE = 0x377F0682
_BIG = 0x377F0683
_MASK = 0xFFFFFFFF
_MAGIC = b"SQLite format 3\0"
_INDEX_NODE, _INDEX_LEAF, _TABLE_LEAF = 2, 10, 13
_LARGEST = 1 << 30
"""No row is larger, in bytes."""
_FIXED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8}


def page_size(data: bytes | bytearray) -> int:
    """Return the size of a file's pages in bytes, `PAGE` if its header is damaged."""
    size = int.from_bytes(data[16:18])
    size = 65536 if size == 1 else size
    known = data.startswith(_MAGIC) and 512 <= size <= 65536 and not size & (size - 1)
    return size if known else PAGE


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a log: the new content of a page, at `at`.

    `commit` is the number of the file's pages after the commit that it ends, 0 within one. `sound`: its
    checksum is right, and that of each frame before it.
    """

    number: int
    commit: int
    salt: bytes
    at: int
    sound: bool


@dataclass(frozen=True, slots=True)
class Log:
    """A write-ahead log. `frames` holds all that stand in it, also those of earlier rounds."""

    data: bytes = b""
    size: int = PAGE
    salt: bytes = b""
    sound: bool = True
    frames: list[Frame] = field(default_factory=list)

    def page(self, frame: Frame) -> bytes:
        """Return the content of a frame's page."""
        return self.data[frame.at : frame.at + self.size]

    @property
    def lost(self) -> int:
        """How many commits SQLite would drop. With a broken header that is all of it; then it is 1."""
        if not self.sound:
            return 1
        return sum(
            1 for frame in self.frames if frame.commit and not frame.sound and frame.salt == self.salt
        )

    @property
    def accepted(self) -> list[Frame]:
        """The frames that SQLite applies to the file."""
        sound = [frame for frame in self.frames if frame.sound]
        while sound and not sound[-1].commit:
            sound.pop()
        return sound


def read_log(data: bytes, size: int = PAGE) -> Log:
    """Read a log. `size` is that of the file's pages. Takes about 0.1 ms a frame."""
    if len(data) < LOG_HEADER + _FRAME:
        return Log()  # it has no commits
    magic, version, own_size, _ = struct.unpack_from(">4I", data)
    order = "<" if magic == _LITTLE else ">"
    sums = _checksum(order, data[:24])
    sound = (
        magic in (_LITTLE, _BIG) and version == 3_007_000 and sums == struct.unpack_from(">2I", data, 24)
    )
    size = own_size if sound else size
    salt = data[16:24] if sound else data[LOG_HEADER + 8 : LOG_HEADER + 16]
    frames: list[Frame] = []
    whole = sound
    for at in range(LOG_HEADER, len(data) - _FRAME - size + 1, _FRAME + size):
        number, commit = struct.unpack_from(">2I", data, at)
        own = data[at + 8 : at + 16]
        if whole and number and own == salt:
            sums = _checksum(order, data[at : at + 8], sums)
            sums = _checksum(order, data[at + _FRAME : at + _FRAME + size], sums)
            whole = sums == struct.unpack_from(">2I", data, at + 16)
        else:
            whole = False
        frames.append(Frame(number, commit, own, at + _FRAME, whole))
    return Log(data, size, salt, sound, frames)


def merged(data: bytes, log: Log) -> bytearray:
    """Return the file as SQLite would read it with its log, in a form that needs none.

    A file that is shorter than its first page says is filled with zeros: SQLite reads nothing of it else.
    """
    image = bytearray(data)
    pages = 0
    for frame in log.accepted:
        end = frame.number * log.size
        if len(image) < end:
            image += bytes(end - len(image))
        image[end - log.size : end] = log.page(frame)
        pages = frame.commit or pages
    if pages:
        del image[pages * log.size :]
    if image.startswith(_MAGIC):
        image[18:20] = b"\1\1"
        whole = page_size(image) * int.from_bytes(image[28:32])
        if len(image) < whole <= _LARGEST:
            image += bytes(whole - len(image))
    return image


def _checksum(order: str, data: bytes, before: tuple[int, ...] = (0, 0)) -> tuple[int, int]:
    first, second = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    end = len(words) - len(words) % 8
    each = iter(words[:end])
    for a, b, c, d, e, f, g, h in zip(*[each] * 8, strict=True):  # a third faster than two at a time
        first += a + second
        second += b + first
        first += c + second
        second += d + first
        first += e + second
        second += f + first
        first += g + second
        second += h + first
        first &= _MASK
        second &= _MASK
    each = iter(words[end:])
    for one, other in zip(each, each, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second


# --- rows -------------------------------------------------------------------------------------------

Row = tuple[int | None, tuple[Column, ...]]
"""The number of a row (None in an index), and its columns."""

_Chain = Callable[[int], bytes]


def all_rows(data: bytes, log: Log) -> Iterator[Row]:
    """Yield every row in any version of any page, those that count last first.

    Nothing is checked: rows may be older than others that came before, or not be rows at all. A row stands
    in many versions of its page.
    """
    return _Versions(data, log).rows()


class _Versions:
    """All versions of all pages. A version is a moment and a place; later moments hide earlier ones."""

    def __init__(self, data: bytes, log: Log) -> None:
        self._data, self._log = data, log
        self._size = page_size(data) if data else log.size
        current = [frame for frame in log.frames if frame.salt == log.salt and frame.number]
        while current and not current[-1].commit:
            current.pop()  # cut off while it was written: nobody was told that it is saved
        self._frames = current if log.size == self._size else []
        stale = [frame for frame in log.frames if frame.salt != log.salt and frame.number]
        self._stale = stale if log.size == self._size else []
        self._moments: dict[int, list[int]] = {}
        for moment, frame in enumerate(self._frames, 1):
            self._moments.setdefault(frame.number, []).append(moment)

    def rows(self) -> Iterator[Row]:
        end = len(self._frames)
        pages = -(-len(self._data) // self._size)
        for number in sorted({*self._moments, *range(1, pages + 1)}):
            yield from self._of(self._at(number, end), end)
        over = end
        for moment in range(end, 0, -1):
            frame = self._frames[moment - 1]
            over = moment if frame.commit else over
            if self._moments[frame.number][-1] != moment:
                yield from self._of(self._log.page(frame), over)
        for number in self._moments:
            yield from self._of(self._in_file(number), 0)
        for frame in reversed(self._stale):
            yield from self._of(self._log.page(frame), 0)

    def _at(self, number: int, moment: int) -> bytes:
        moments = self._moments.get(number, [])
        found = bisect_right(moments, moment)
        return self._log.page(self._frames[moments[found - 1] - 1]) if found else self._in_file(number)

    def _in_file(self, number: int) -> bytes:
        return self._data[(number - 1) * self._size : number * self._size]

    def _of(self, page: bytes, moment: int) -> Iterator[Row]:
        def chain(number: int) -> bytes:
            return self._at(number, moment)

        return _rows(page, chain, self._size)


def _rows(page: bytes, chain: _Chain, size: int) -> Iterator[Row]:
    """Yield the rows of a page that are whole; nothing for a page of another kind."""
    start = 100 if page.startswith(_MAGIC) else 0
    if len(page) < start + 8 or page[start] not in (_INDEX_NODE, _INDEX_LEAF, _TABLE_LEAF):
        return
    kind = page[start]
    cells = start + (12 if kind == _INDEX_NODE else 8)
    for place in range(cells, cells + 2 * int.from_bytes(page[start + 3 : start + 5]), 2):
        try:
            at = int.from_bytes(page[place : place + 2]) + (4 if kind == _INDEX_NODE else 0)
            length, at = _varint(page, at)
            number = None
            if kind == _TABLE_LEAF:
                number, at = _varint(page, at)
            columns = _columns(_payload(page, at, length, number is not None, chain, size))
        except (IndexError, ValueError, struct.error):
            continue
        yield number, columns


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _payload(page: bytes, at: int, length: int, table: bool, chain: _Chain, size: int) -> bytes:
    if not 0 < length <= _LARGEST:
        raise ValueError("no row is that long")
    most = size - 35 if table else (size - 12) * 64 // 255 - 23
    least = (size - 12) * 32 // 255 - 23
    part = least + (length - least) % (size - 4)
    kept = length if length <= most else part if part <= most else least
    data = bytearray(page[at : at + kept])
    following = int.from_bytes(page[at + kept : at + kept + 4])
    while len(data) < length:
        more = chain(following)
        if len(more) < size:
            raise ValueError("a page is missing")
        following = int.from_bytes(more[:4])
        data += more[4 : 4 + length - len(data)]
    return bytes(data)


def _columns(data: bytes) -> tuple[Column, ...]:
    head, place = _varint(data, 0)
    kinds = []
    while place < head:
        kind, place = _varint(data, place)
        kinds.append(kind)
    columns: list[Column] = []
    at = head
    for kind in kinds:
        value, at = _column(data, at, kind)
        columns.append(value)
    if at != len(data):
        raise ValueError("a row has another length than its columns")
    return tuple(columns)


def _column(data: bytes, at: int, kind: int) -> tuple[Column, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    length = _FIXED.get(kind, (kind - 12) // 2)
    found = data[at : at + length]
    if kind in (10, 11) or length < 0 or len(found) < length:
        raise ValueError("no such column")
    if kind == 7:
        return float(struct.unpack(">d", found)[0]), at + length
    if kind < 7:
        return int.from_bytes(found, signed=True), at + length
    return (found.decode() if kind % 2 else found), at + length
