"""Whether calls under OAuth hold each other up: `python -m tests.bench.oauth [ROUNDS]`.

Three calls of half a second at once against one of them, interleaved, to a server that wants a token
for every request (an authorisation server of ours). Held up by one another, they would take the time of
three.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.engine.faults.harness import Harness, connected
from tests.wire.authority import serving
from tests.wire.test_oauth import signed_in, spec

SECONDS = 0.5
AT_ONCE = 3
MOST = 1.5
"""The ratio that is still "the time of one": half a call more."""


async def taken(servers: Harness, count: int) -> float:
    """Return the seconds that `count` calls at once take."""
    begun = time.perf_counter()
    results = await asyncio.gather(
        *(servers.call("w", "nap", {"seconds": SECONDS}, timeout=20) for _ in range(count))
    )
    took = time.perf_counter() - begun
    assert all(result.content[0]["text"] == "rested" for result in results)
    return took


async def main(rounds: int) -> None:
    """Measure and print; exits with 1 if the calls wait for each other."""
    logging.disable(logging.WARNING)  # the server's own, a line for every request
    one, three = [], []
    with tempfile.TemporaryDirectory() as folder, serving() as authority:
        async with connected(Path(folder), spec(authority)) as servers:
            await signed_in(servers)
            await taken(servers, AT_ONCE)
            for _ in range(rounds):
                one.append(await taken(servers, 1))
                three.append(await taken(servers, AT_ONCE))
    ratio = statistics.median(three) / statistics.median(one)
    print(
        f"{AT_ONCE} calls of {SECONDS:g} s at once under OAuth: {statistics.median(three):.3f} s; "
        f"one: {statistics.median(one):.3f} s; ratio {ratio:.2f}, target <= {MOST:g}"
    )
    if ratio > MOST:
        raise SystemExit("calls under OAuth wait for each other")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
