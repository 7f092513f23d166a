"""Import large libraries in a thread without blocking the other threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Import without the garbage collector, and exclude the imported objects from it for good.

    It would scan everything that is being imported again and again: up to a quarter of a second each time,
    while no thread of the process runs.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
