"""The pauses before further attempts in one session. The person can end them."""

from __future__ import annotations

import asyncio
import contextlib


class Pauses:
    """Pauses that run now. `sleep` fits `RetryPolicy` and `RetryBackoff`."""

    def __init__(self) -> None:
        self._skipped = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds, or until `skip`."""
        skipped = self._skipped
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(skipped.wait(), seconds)

    def skip(self) -> None:
        """End the pauses that run now; later ones take their time."""
        self._skipped.set()
        self._skipped = asyncio.Event()
