"""Importing large libraries in a thread without holding the other threads up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Import without the garbage collector, and spare it the imported objects for good.

    It would walk through all that is being imported again and again: up to a quarter of a second each
    time, in which no thread of the process runs.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
