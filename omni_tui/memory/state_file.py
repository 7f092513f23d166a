"""A small JSON file that the app keeps for itself: private, and written whole or not at all."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from omni_tui.memory.private_files import private_dir, read_private, write_atomic

logger = logging.getLogger(__name__)

LARGEST = 256 * 1024
"""Bytes of a state file; a longer one is not ours."""

_T = TypeVar("_T", bound=msgspec.Struct)


class StateFile(Generic[_T]):
    """One JSON file of a struct whose fields all have defaults; usable from any thread under `lock`.

    A file that cannot be used is kept as `NAME.damaged` and begun anew. It is a memory only: losing it
    must cost no more than finding something out again.
    """

    def __init__(self, path: Path, kind: type[_T]) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._kind = kind

    def read(self) -> _T:
        """Return what is in the file, the defaults if there is none that can be used."""
        try:
            data = read_private(self.path)
            if len(data) > LARGEST:
                raise ValueError(f"it is longer than {LARGEST} bytes")
            return msgspec.json.decode(data, type=self._kind)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("%s cannot be read: %s", self.path, error)
        except ValueError as error:  # msgspec's errors and those of UTF-8 are of this kind
            damaged = self.path.with_name(f"{self.path.name}.damaged")
            logger.warning("%s cannot be used (%s); it is kept as %s", self.path, error, damaged.name)
            try:
                self.path.replace(damaged)
            except OSError:
                logger.exception("%s cannot be moved away", self.path)
        return self._kind()

    def write(self, value: _T) -> None:
        """Replace the file. Raises `OSError`."""
        private_dir(self.path.parent)
        write_atomic(self.path, msgspec.json.format(msgspec.json.encode(value)))
