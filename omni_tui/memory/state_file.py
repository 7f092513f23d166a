"""A small private JSON file, written atomically."""

from __future__ import annotations

import errno
import logging
import threading
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from omni_tui.memory.private_files import private_dir, read_private, write_atomic

logger = logging.getLogger(__name__)

LARGEST = 256 * 1024
"""The largest file to read and write, in bytes."""
LARGEST_LIST = 64 * LARGEST
"""The same for a list of sessions, of which there may be very many."""

_T = TypeVar("_T", bound=msgspec.Struct)


class StateFile(Generic[_T]):
    """A JSON file of a struct whose fields all have defaults; usable from any thread under `lock`.

    A damaged file is renamed to `NAME.damaged` and counts as empty: only use it for what can be found out
    again, or look at `lost`. That says whether the last reading found no content although there was some:
    "set aside" if it was damaged, "unreadable" if it is still there.
    """

    def __init__(self, path: Path, kind: type[_T], largest: int = LARGEST) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._kind = kind
        self._largest = largest
        self.lost: Literal["", "set aside", "unreadable"] = ""

    def read(self) -> _T:
        """Return the content, the defaults if the file is missing or damaged."""
        damaged = self.path.with_name(f"{self.path.name}.damaged")
        self.lost = ""
        try:
            data = read_private(self.path)
            if len(data) > self._largest:
                raise ValueError(f"it is longer than {self._largest} bytes")
            return msgspec.json.decode(data, type=self._kind)
        except FileNotFoundError:
            # Set aside before, and nothing was written since.
            self.lost = "set aside" if damaged.exists() else ""
        except OSError as error:
            self.lost = "unreadable"
            logger.warning("%s cannot be read: %s", self.path, error)
        except ValueError as error:  # msgspec's errors and those of UTF-8 are of this kind
            self.lost = "set aside"
            logger.warning("%s cannot be used (%s); it is kept as %s", self.path, error, damaged.name)
            try:
                self.path.replace(damaged)
            except OSError:
                self.lost = "unreadable"
                logger.exception("%s cannot be moved away", self.path)
        return self._kind()

    def write(self, value: _T) -> None:
        """Replace the file. Raises `OSError`, also for more than could be read again; then it stays."""
        private_dir(self.path.parent)
        data = msgspec.json.format(msgspec.json.encode(value))
        if len(data) > self._largest:
            raise OSError(errno.EFBIG, f"it would be longer than {self._largest} bytes", str(self.path))
        write_atomic(self.path, data)
