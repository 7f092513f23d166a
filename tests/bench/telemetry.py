"""What full tracing, metrics and log cost a call by hand: `python -m tests.bench.telemetry [CALLS]`.

Three engines, each in its own process with its own journal, take turns call by call: one that exports
nothing, the same once more (the control: how far two equal engines differ), and one with everything on:
traces and metrics to a receiver of OpenTelemetry, Prometheus reading once a second, the log at "debug". The
budget is 5 %. On a busy machine even equal engines differ by more: therefore the quietest tenth of the
calls is compared too, and what is done on the way of a call is timed alone.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from omni_tui.links import start_engine
from omni_tui.observability.logs import set_up_logs
from omni_tui.observability.metrics import Metrics
from omni_tui.observability.telemetry import Telemetry, TelemetrySettings
from omni_tui.protocol import AnyEvent, LaunchOptions, Link
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.bench.calls import SERVER, line, ours
from tests.unit.test_trace_fold import changed, finished, proposed

BUDGET = 0.05


def free_port() -> int:
    """Return a port that was free just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def started(folder: Path, more: str = "") -> tuple[Link, AsyncIterator[AnyEvent]]:
    """Start an engine process with the demo's server and wait until its tools are known."""
    (folder / "notes").mkdir(parents=True)
    arguments = json.dumps([*SERVER, str(folder / "notes")])
    config = folder / "config.toml"
    config.write_text(f"[servers.demo]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n{more}")
    link = await start_engine(
        LaunchOptions(config=str(config), state_dir=str(folder / "state"), resume="new")
    )
    events = link.events()
    link.send(c.Hello(client="bench", request=0))
    async for event in events:
        if isinstance(event, e.ToolsListed) and event.tools:
            break
    return link, events


def scrape(port: int) -> int:
    """Read Prometheus's page and return its length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    return len(connection.getresponse().read())


async def scraping(port: int) -> None:
    """Read the page once a second, as a zealous Prometheus does."""
    while True:
        await asyncio.to_thread(scrape, port)
        await asyncio.sleep(1)


def on_the_way(folder: Path, otlp: int, rounds: int = 1_000) -> float:
    """Return the milliseconds of processor time that one call costs on the loop, with everything on."""
    log = set_up_logs(folder, level="debug", redact=str)
    telemetry = Telemetry(TelemetrySettings(otlp=f"http://127.0.0.1:{otlp}"), metrics := Metrics())
    telemetry.start()
    spent = 0
    for number in range(rounds):
        call = f"c{number}"
        batches = (
            (proposed(call, 1.0, turn=""), changed(call, "dispatching", 1.0)),
            (finished(call, 1.1, 90.0),),
        )
        began = time.thread_time_ns()
        for batch in batches:
            metrics.take_all(batch)
            telemetry.take("s", batch)
            log.take("s", batch)
        with telemetry.propagated("s", "", call):
            pass
        spent += time.thread_time_ns() - began
        log.flush()  # as between calls: the other threads do their part
    telemetry.close()
    log.close()
    return spent / rounds / 1e6


async def main(count: int) -> None:
    """Measure and print."""
    otlp, prometheus = free_port(), free_port()
    everything = (
        f'[telemetry]\notlp = "http://127.0.0.1:{otlp}"\nprometheus_port = {prometheus}\n'
        '[log]\nlevel = "debug"\n'
    )
    receiver = OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=otlp))
    with tempfile.TemporaryDirectory() as name:
        async with receiver:
            engines = {
                "without telemetry": await started(Path(name) / "a"),
                "the same (control)": await started(Path(name) / "b"),
                "with all of it": await started(Path(name) / "c", everything),
            }
            reader = asyncio.create_task(scraping(prometheus))
            times: dict[str, list[float]] = {which: [] for which in engines}
            for number in range(count + 20):
                order = list(engines.items())
                for which, (link, events) in order[number % 3 :] + order[: number % 3]:
                    took = await ours(link, events)
                    if number >= 20:
                        times[which].append(took)
            reader.cancel()
            alone = await asyncio.to_thread(on_the_way, Path(name) / "log", otlp)
            for link, _ in engines.values():
                await link.close()
    for which, taken in times.items():
        print(line(which, taken))
    quiet = [statistics.quantiles(taken, n=10)[0] for taken in times.values()]
    usual = [statistics.median(taken) for taken in times.values()]
    print(
        f"on the engine's loop, alone: {alone:.3f} ms a call, {100 * alone / quiet[0]:.1f} % of a quiet one"
    )
    for which, (plain, control, full) in (("quiet tenth", quiet), ("median", usual)):
        print(
            f"overhead of all of it {100 * (full / plain - 1):+.1f} % of the {which} "
            f"(the control {100 * (control / plain - 1):+.1f} %), budget {100 * BUDGET:.0f} %"
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400))
