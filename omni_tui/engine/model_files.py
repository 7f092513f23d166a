"""Two small files about models: what each was found to need, and the usage of each day.

They contain numbers by date and digests of names, and nothing of any conversation.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from omni_tui.memory.private_files import open_private, private_dir
from omni_tui.memory.state_file import StateFile
from omni_tui.models.budget import UsageTotal
from omni_tui.models.quirks import ModelQuirks
from omni_tui.protocol.events import Usage

_log = logging.getLogger(__name__)

TEXT_FOR_S = 30 * 86_400.0
"""Seconds after which native tool calling is tried again: providers learn."""
MOST = 500
DAYS = 400


class _Known(msgspec.Struct):
    habits: ModelQuirks = ModelQuirks()
    seen: float = 0.0


class _QuirksFile(msgspec.Struct):
    version: int = 1
    text: dict[str, float] = {}
    known: dict[str, _Known] = {}


class ModelQuirksFile:
    """Stores which models need tools as text, and what else they need, in `ways.json`.

    Usable from any thread. A file that cannot be written costs a line in the log.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = StateFile(folder / "ways.json", _QuirksFile)
        self._clock = clock
        self._known: _QuirksFile | None = None

    def is_text(self, model: str) -> bool:
        """Return whether a model was found to need tools as text within the last 30 days."""
        with self._file.lock:
            seen = self._read().text.get(_digest(model))
        return seen is not None and 0 <= self._clock() - seen < TEXT_FOR_S

    def remember_text(self, model: str) -> None:
        """Store that a model needs tools as text."""
        with self._file.lock:
            known = self._read()
            known.text[_digest(model)] = self._clock()
            newest = sorted(known.text.items(), key=lambda pair: pair[1])[-MOST:]
            self._write(_QuirksFile(1, dict(newest), known.known))

    def quirks(self, model: str) -> ModelQuirks:
        """Return what was learned of a model within the last 30 days."""
        with self._file.lock:
            known = self._read().known.get(_digest(model), _Known())
        return known.habits if 0 <= self._clock() - known.seen < TEXT_FOR_S else ModelQuirks()

    def learn(self, model: str, quirks: ModelQuirks) -> None:
        """Store what a model was found to need."""
        with self._file.lock:
            known = self._read()
            known.known[_digest(model)] = _Known(quirks, self._clock())
            newest = sorted(known.known.items(), key=lambda pair: pair[1].seen)[-MOST:]
            self._write(_QuirksFile(1, known.text, dict(newest)))

    def _write(self, known: _QuirksFile) -> None:
        self._known = known
        try:
            self._file.write(known)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._file.path, error)

    def _read(self) -> _QuirksFile:
        if self._known is None:
            self._known = self._file.read()
        return self._known


class _Days(msgspec.Struct):
    version: int = 1
    days: dict[str, UsageTotal] = {}


class DailyUsageFile:
    """What was used each day, in `usage.json`: one sum for all sessions and processes.

    `add` counts at once in memory; `flush`, which takes a lock on the disk, brings it to the file and
    reads what others have added. A day is one of the local calendar.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = StateFile(folder / "usage.json", _Days)
        self._clock = clock
        self._saved = _Days()
        self._new: dict[str, UsageTotal] = {}

    def today(self) -> UsageTotal:
        """Return the sum of today as far as it is known here. Never touches the disk."""
        day = self._day()
        with self._file.lock:
            known, new = self._saved.days.get(day, UsageTotal()), self._new.get(day, UsageTotal())
            return UsageTotal(
                known.tokens + new.tokens,
                known.cost + new.cost,
                known.estimated or new.estimated,
                known.unpriced + new.unpriced,
            )

    def add(self, usage: Usage) -> None:
        """Add one request's usage."""
        with self._file.lock:
            self._new.setdefault(self._day(), UsageTotal()).add(usage)

    def flush(self) -> None:
        """Read the file, add what is new, write it if there was something. Blocks; never raises."""
        try:
            private_dir(self._file.path.parent)
            with self._alone():
                self._merge()
        except OSError as error:
            _log.warning("%s cannot be used: %s", self._file.path, error)

    def _merge(self) -> None:
        file = self._file.read()
        with self._file.lock:
            new, self._new = self._new, {}
            for day, more in new.items():
                known = file.days.setdefault(day, UsageTotal())
                known.tokens += more.tokens
                known.cost += more.cost
                known.estimated = known.estimated or more.estimated
                known.unpriced += more.unpriced
            file.days = dict(sorted(file.days.items())[-DAYS:])
            self._saved = file
        if new:
            try:
                self._file.write(file)
            except OSError:
                with self._file.lock:  # It is still known here, and is tried again with the next.
                    self._saved, self._new = self._file.read(), new
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out while the file is read and written."""
        lock = open_private(self._file.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _day(self) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(self._clock()))


def _digest(model: str) -> str:
    return hashlib.sha256(model.encode(errors="surrogatepass")).hexdigest()[:32]
