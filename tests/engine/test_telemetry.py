"""What is exported, as real receivers get it: OpenTelemetry's spans and metrics, Prometheus's page."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings
from prometheus_client.parser import text_string_to_metric_families

from omni_tui.models.base import ModelError, ToolCall
from omni_tui.observability import telemetry as telemetry_module
from omni_tui.observability.metrics import Metrics
from omni_tui.observability.prometheus_endpoint import PrometheusEndpoint
from omni_tui.observability.telemetry import Telemetry, TelemetrySettings
from omni_tui.observability.trace_ids import span_id, trace_id
from omni_tui.protocol import SafeText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.wire_log import ReadWire, ReadWireFrame, SetWireLog, WireRead, WireText
from tests.engine.rig import rig
from tests.engine.test_execution import ECHO, go
from tests.scripted_model import ScriptedModel, reply
from tests.unit.test_trace_fold import CALL, asked, ended, finished, proposed, said, started

WAIT_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Receiver:
    """A real receiver of OpenTelemetry's protocol, and everything it was sent."""

    def __init__(self, running: OtelTapHttpProtobufReceiver, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.got: list[Any] = []
        self._news = asyncio.Condition()
        self.readers = [
            asyncio.create_task(self._read(stream))
            for stream in (running.stream_traces(), running.stream_metrics())
        ]

    async def _read(self, stream: AsyncIterator[Any]) -> None:
        async for each in stream:
            async with self._news:
                self.got.append(each)
                self._news.notify_all()

    async def named(self, name: str) -> Any:
        """Return the first span or metric of a name, come already or yet to come."""
        async with asyncio.timeout(WAIT_S), self._news:
            while not (found := [each for each in self.got if each.name == name]):
                await self._news.wait()
            return found[0]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    port = free_port()
    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as running:
        found = Receiver(running, port)
        await asyncio.sleep(0)  # the readers listen
        yield found
        for reader in found.readers:
            reader.cancel()


def attributes(span: Any) -> dict[str, Any]:
    return {
        each.key: each.value.string_value or each.value.int_value or each.value.bool_value
        for each in span.attributes
    }


async def test_a_turn_arrives_as_spans_and_its_server_was_told_the_trace(
    tmp_path: Path, receiver: Receiver
) -> None:
    config = f'\n[telemetry]\notlp = "{receiver.address}"\n'
    model = ScriptedModel([reply("", ECHO)], [reply("the answer")], name="some/model")
    async with rig(tmp_path, model=model, mode="auto", config=config) as running:
        await running.connected()
        await running.ask(SetWireLog(server="demo", on=True))
        await go(running, "secret words")
        session = running.session_id
        (call,) = running.of(e.CallProposed)
        root = await receiver.named("invoke_agent omni-tui")
        chat = await receiver.named("chat some/model")
        tool = await receiver.named("tools/call echo")
        server = await receiver.named("server demo › echo")
        wire = await running.ask(ReadWire(server="demo"))
        assert isinstance(wire, WireRead)
        (sent,) = (frame for frame in wire.frames if frame.sent and frame.method == "tools/call")
        text = await running.ask(ReadWireFrame(server="demo", number=sent.number))
        assert isinstance(text, WireText)
    assert int.from_bytes(root.trace_id) == trace_id(session, call.turn)
    assert {bytes(each.trace_id) for each in (chat, tool, server)} == {bytes(root.trace_id)}
    assert chat.parent_span_id == tool.parent_span_id == root.span_id
    assert int.from_bytes(tool.span_id) == span_id(session, call.call)
    parent = json.loads(text.text)["params"]["_meta"]["traceparent"]
    assert parent == f"00-{trace_id(session, call.turn):032x}-{span_id(session, call.call):016x}-01"
    found = attributes(tool)
    assert (found["mcp.method.name"], found["gen_ai.tool.name"]) == ("tools/call", "echo")
    assert attributes(root)["gen_ai.conversation.id"] == session
    assert attributes(chat)["gen_ai.usage.input_tokens"] == 10
    assert root.start_time_unix_nano <= chat.start_time_unix_nano <= root.end_time_unix_nano
    for span in (root, chat, tool, server):
        assert "secret words" not in str(span), "contents only if asked"
        assert "the answer" not in str(span)


async def test_metrics_arrive_too_and_the_end_of_the_engine_sends_the_last_ones(
    tmp_path: Path, receiver: Receiver
) -> None:
    model = ScriptedModel([reply("", ECHO)], [reply("a")])
    config = f'\n[telemetry]\notlp = "{receiver.address}"\n'
    async with rig(tmp_path, model=model, mode="auto", config=config) as running:
        await running.connected()
        await go(running)
    metric = await receiver.named("tool_executions_total")
    (point,) = metric.sum.data_points
    assert attributes(point) == {"server": "demo", "tool": "echo", "success": "true"}
    assert point.as_int == 1


async def test_contents_are_exported_only_when_asked_and_never_with_our_secrets(
    receiver: Receiver,
) -> None:

    def redact(text: str) -> str:
        return text.replace("s3cret", "***")

    telemetry = Telemetry(TelemetrySettings(otlp=receiver.address, contents=True, redact=redact), Metrics())
    telemetry.start()
    call = proposed("c", 103.0)
    asks = msgspec.structs.replace(call, arguments=SafeText('{"key": "s3cret"}'))
    telemetry.take("s", [said(100.0), started(100.0), asks, finished("c", 104.0, 9.0), ended(105.0)])
    root = await receiver.named("invoke_agent omni-tui")
    tool = await receiver.named("tools/call read")
    await asyncio.to_thread(telemetry.close)
    assert attributes(root)["gen_ai.input.messages"] == "do it"
    assert attributes(tool)["gen_ai.tool.call.arguments"] == '{"key": "***"}'


async def test_a_failed_request_and_a_failed_turn_are_errors(tmp_path: Path, receiver: Receiver) -> None:
    refused = ModelError("auth", "the key was refused")
    async with rig(
        tmp_path, model=ScriptedModel([refused]), config=f'\n[telemetry]\notlp = "{receiver.address}"\n'
    ) as running:
        await running.connected()
        await go(running)
        chat = await receiver.named("chat scripted")
        root = await receiver.named("invoke_agent omni-tui")
    assert attributes(chat)["error.type"] == "auth"
    assert (chat.status.code, root.status.code) == (2, 2)


def black_hole() -> tuple[socket.socket, str]:
    """Return a listener that takes connections and never answers."""
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(8)
    return hole, f"http://127.0.0.1:{hole.getsockname()[1]}"


async def test_a_collector_that_never_answers_delays_neither_calls_nor_the_end(tmp_path: Path) -> None:
    hole, address = black_hole()
    config = f'\n[telemetry]\notlp = "{address}"\n'
    with hole:
        model = ScriptedModel([reply("", ECHO)], [reply("a")], [reply("b")])
        async with rig(tmp_path, model=model, mode="auto", config=config) as running:
            await running.connected()
            await go(running)
            await go(running)
            assert [turn.status for turn in running.of(e.TurnEnded)] == ["done", "done"]
            telemetry = running.engine.context.telemetry
            began = time.monotonic()
        assert time.monotonic() - began < WAIT_S, "it does not hang"
        assert telemetry._thread is not None
        assert telemetry._thread.daemon, "what is still sent does not keep the process"


def test_without_the_extras_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "find_spec", lambda _name: None)
    telemetry = Telemetry(TelemetrySettings(otlp="http://127.0.0.1:1", prometheus_port=1), Metrics())
    telemetry.start()
    assert [problem.split(": ")[1] for problem in telemetry.problems] == [
        "pip install 'omni-tui[otel]'", "pip install 'omni-tui[prometheus]'",
    ]  # fmt: skip
    telemetry.take("s", [said(1.0)])
    assert telemetry.queued == 0
    telemetry.close()


def test_a_queue_that_nobody_empties_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "_MOST_QUEUED", 3)
    telemetry = Telemetry(TelemetrySettings(otlp="http://127.0.0.1:1"), Metrics())
    telemetry._thread = threading.Thread(target=str)
    for _ in range(10):
        telemetry.take("s", [said(1.0)])
    assert (telemetry.queued, telemetry.dropped) == (3, 7)


# --- Prometheus -------------------------------------------------------------------------------------


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_prometheus_reads_the_metrics_of_a_running_engine(tmp_path: Path) -> None:
    port = free_port()
    write = ToolCall("w", "demo__write_note", '{"name":"a","text":"x"}')
    model = ScriptedModel([reply("", ECHO)], [reply("", write)], [reply("a")])
    config = f"\n[telemetry]\nprometheus_port = {port}\n"
    async with rig(tmp_path, model=model, mode="auto", config=config) as running:
        await running.connected()
        await go(running)
        status, text = await asyncio.to_thread(get, port)
        assert status == 200
        found = samples(text)
        labels = (("server", "demo"), ("success", "true"), ("tool", "echo"))
        assert found["tool_executions_total", labels] == 1
        assert found["tool_execution_duration_count", labels] == 1
        assert found["tool_execution_duration_bucket", (("le", "+Inf"), *labels)] == 1
        assert found["user_interaction", (("mode", "auto"),)] == 1
        assert found["model_requests_total", (("model", "scripted"), ("success", "true"))] == 3
        assert found["turns_total", (("status", "done"),)] == 1
        taken = Telemetry(TelemetrySettings(prometheus_port=port), Metrics())
        taken.start()
        assert "choose another telemetry.prometheus_port" in taken.problems[0]
    with pytest.raises(OSError, match=r"refused|reset"):
        await asyncio.to_thread(get, port)


def test_only_this_machine_reads_it_and_odd_names_stay_one_line_each() -> None:
    metrics = Metrics()
    call = proposed("c", 1.0)
    odd = msgspec.structs.replace(call, server='a"b\\c\nd', label=SafeText('x{y="z"}'))
    metrics.take_all([odd, finished("c", 2.0, 250.0), asked(1.0, 2.0), *CALL])
    endpoint = PrometheusEndpoint(metrics, 0)
    try:
        status, text = get(endpoint.port)
        assert status == 200
        labels = (("server", 'a"b\\c\nd'), ("success", "true"), ("tool", 'x{y="z"}'))
        assert samples(text)["tool_executions_total", labels] == 1
        assert get(endpoint.port, Host="evil.example:80")[0] == 403
        assert get(endpoint.port, Host="localhost")[0] == 200
        assert get(endpoint.port, "/other")[0] == 404
        with socket.create_connection(("127.0.0.1", endpoint.port)) as raw:
            raw.sendall(b"\x00\xff nonsense\r\n\r\n")
            raw.settimeout(WAIT_S)
            assert raw.recv(1) or True
        assert get(endpoint.port)[0] == 200, "nonsense ends nothing"
        assert endpoint._server.server_address[0] == "127.0.0.1"
    finally:
        endpoint.close()


async def test_nothing_is_exported_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", ECHO)], [reply("a")]), mode="auto") as running:
        await running.connected()
        await running.ask(SetWireLog(server="demo", on=True))
        await go(running)
        assert running.engine.context.telemetry.queued == 0
        wire = await running.ask(ReadWire(server="demo"))
        assert isinstance(wire, WireRead)
        assert "traceparent" not in str(wire.frames)
        assert isinstance(await running.ask(c.Hello(client="x")), e.EngineReady | e.CommandReply)
