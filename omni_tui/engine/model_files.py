"""Two small files about models: what each was found to need, and what was used day by day.

Nothing in them tells what was said: numbers by date, and digests of names. Losing them costs a failed
request, or the day's sum.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from omni_tui.memory.private_files import open_private, private_dir, read_private, write_atomic
from omni_tui.models.budget import UsageTotal
from omni_tui.models.quirks import ModelQuirks
from omni_tui.protocol.events import Usage

_log = logging.getLogger(__name__)

TEXT_FOR_S = 30 * 86_400.0
"""Seconds after which a model is offered tools in its provider's way again: providers learn."""
MOST = 500
DAYS = 400
_LARGEST = 256 * 1024


class _Known(msgspec.Struct):
    habits: ModelQuirks = ModelQuirks()
    seen: float = 0.0


class _QuirksFile(msgspec.Struct):
    version: int = 1
    text: dict[str, float] = {}
    known: dict[str, _Known] = {}


class ModelQuirksFile:
    """Which models need tools as text, and what else they need, in `ways.json`; usable from any thread."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / "ways.json"
        self._clock = clock
        self._lock = threading.Lock()
        self._known: _QuirksFile | None = None

    def is_text(self, model: str) -> bool:
        """Whether it was found out within the last 30 days."""
        with self._lock:
            seen = self._read().text.get(_digest(model))
        return seen is not None and 0 <= self._clock() - seen < TEXT_FOR_S

    def remember_text(self, model: str) -> None:
        """Note it; a file that cannot be written is a line in the log."""
        with self._lock:
            known = self._read()
            known.text[_digest(model)] = self._clock()
            newest = sorted(known.text.items(), key=lambda pair: pair[1])[-MOST:]
            self._write(_QuirksFile(1, dict(newest), known.known))

    def quirks(self, model: str) -> ModelQuirks:
        """Return what was learned of a model within the last 30 days."""
        with self._lock:
            known = self._read().known.get(_digest(model), _Known())
        return known.habits if 0 <= self._clock() - known.seen < TEXT_FOR_S else ModelQuirks()

    def learn(self, model: str, quirks: ModelQuirks) -> None:
        """Keep it; a file that cannot be written is a line in the log."""
        with self._lock:
            ways = self._read()
            ways.known[_digest(model)] = _Known(quirks, self._clock())
            newest = sorted(ways.known.items(), key=lambda pair: pair[1].seen)[-MOST:]
            self._write(_QuirksFile(1, ways.text, dict(newest)))

    def _write(self, ways: _QuirksFile) -> None:
        self._known = ways
        try:
            private_dir(self._path.parent)
            write_atomic(self._path, msgspec.json.encode(ways))
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)

    def _read(self) -> _QuirksFile:
        if self._known is None:
            try:
                self._known = msgspec.json.decode(_bounded(self._path), type=_QuirksFile)
            except FileNotFoundError:
                self._known = _QuirksFile()
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.info("%s is not usable and is begun anew: %s", self._path.name, error)
                self._known = _QuirksFile()
        return self._known


class _Counter(msgspec.Struct):
    tokens: int = 0
    cost: float = 0.0
    estimated: bool = False
    unpriced: int = 0


class _Days(msgspec.Struct):
    version: int = 1
    days: dict[str, _Counter] = {}


class DailyUsageFile:
    """What was used each day, in `usage.json`: one sum for all sessions and processes.

    `add` counts at once in memory; `flush`, which takes a lock on the disk, brings it to the file and
    reads what others have added. A day is one of the local calendar.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / "usage.json"
        self._clock = clock
        self._lock = threading.Lock()
        self._file = _Days()
        self._new: dict[str, UsageTotal] = {}

    def today(self) -> UsageTotal:
        """Return the sum of today as far as it is known here. Never touches the disk."""
        day = self._day()
        with self._lock:
            known, new = self._file.days.get(day, _Counter()), self._new.get(day, UsageTotal())
            return UsageTotal(
                known.tokens + new.tokens,
                known.cost + new.cost,
                known.estimated or new.estimated,
                known.unpriced + new.unpriced,
            )

    def add(self, usage: Usage) -> None:
        """Add one request's usage."""
        with self._lock:
            self._new.setdefault(self._day(), UsageTotal()).add(usage)

    def flush(self) -> None:
        """Read the file, add what is new, write it if there was something. Blocks; never raises."""
        try:
            private_dir(self._path.parent)
            with self._alone():
                self._merge()
        except OSError as error:
            _log.warning("%s cannot be used: %s", self._path, error)

    def _merge(self) -> None:
        file = self._read()
        with self._lock:
            new, self._new = self._new, {}
            for day, more in new.items():
                known = file.days.setdefault(day, _Counter())
                known.tokens += more.tokens
                known.cost += more.cost
                known.estimated = known.estimated or more.estimated
                known.unpriced += more.unpriced
            file.days = dict(sorted(file.days.items())[-DAYS:])
            self._file = file
        if new:
            try:
                write_atomic(self._path, msgspec.json.encode(file))
            except OSError:
                with self._lock:  # It is still known here, and is tried again with the next.
                    self._file, self._new = self._read(), new
                raise

    def _read(self) -> _Days:
        try:
            return msgspec.json.decode(_bounded(self._path), type=_Days)
        except FileNotFoundError:
            return _Days()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("%s is not usable and is begun anew: %s", self._path.name, error)
            return _Days()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out while the file is read and written."""
        lock = open_private(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _day(self) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(self._clock()))


def _digest(model: str) -> str:
    return hashlib.sha256(model.encode(errors="surrogatepass")).hexdigest()[:32]


def _bounded(path: Path) -> bytes:
    data = read_private(path)
    if len(data) > _LARGEST:
        raise OSError(f"it is longer than {_LARGEST} bytes")
    return data
