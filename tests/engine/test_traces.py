"""The traces of a real session: read while it runs, and of one that was opened again."""

from __future__ import annotations

from pathlib import Path

from omni_tui.models.base import ModelError, ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.metrics import MetricsRead, ReadMetrics
from omni_tui.protocol.traces import ReadTraces, Trace, TracesRead
from tests.engine.rig import Rig, rig
from tests.engine.test_execution import ECHO, go
from tests.scripted_model import ScriptedModel, reply


async def read(running: Rig, ident: str = "") -> TracesRead:
    answer = await running.ask(ReadTraces(id=ident))
    assert isinstance(answer, TracesRead)
    return answer


def kinds(trace: Trace | None) -> list[str]:
    assert trace is not None
    return [span.kind for span in trace.spans]


async def test_a_turn_and_a_call_by_hand_are_traced_and_found_again_after_a_restart(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ECHO)], [reply("a")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        assert (await read(running)).traces == ()
        await go(running)
        await running.by_hand("add", '{"a":1,"b":2}')
        await running.count(e.CallFinished, 2)
        told = await read(running)
        assert [trace.kind for trace in told.traces] == ["call", "turn"]
        assert kinds(told.shown)[-2:] == ["attempt", "server"]
        turn = (await read(running, told.traces[1].id)).shown
        assert [kind for kind in kinds(turn) if kind != "queue"] == [
            "model", "call", "attempt", "server", "model",
        ]  # fmt: skip
        assert turn is not None
        assert turn.summary.state == "done"
        assert all(span.began <= span.ended for span in turn.spans)
        session = running.session_id
    async with rig(tmp_path, model=ScriptedModel(), mode="auto", resume=session) as again:
        after = await read(again, told.traces[1].id)
        assert after.traces == told.traces
        assert after.shown == turn


async def test_a_refused_request_is_a_span_and_an_event(tmp_path: Path) -> None:
    refused = ModelError("auth", "the key was refused", todo="set another key")
    async with rig(tmp_path, model=ScriptedModel([refused])) as running:
        await running.connected()
        await go(running)
        (event,) = running.of(e.ModelRequestFailed)
        assert (event.kind, event.reason) == ("auth", "the key was refused")
        shown = (await read(running)).shown
        assert shown is not None
        (span,) = (each for each in shown.spans if each.kind == "model")
        assert (span.state, span.detail) == ("failed", "the key was refused")
        assert shown.summary.state == "failed"


async def test_a_call_that_waits_for_the_person_is_shown_as_it_waits(tmp_path: Path) -> None:
    write = ToolCall("w", "demo__write_note", '{"name":"a","text":"x"}')
    async with rig(tmp_path, model=ScriptedModel([reply("", write)], [reply("done")])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        waits = await running.until(e.ApprovalRequested)
        shown = (await read(running)).shown
        assert shown is not None
        assert [(span.kind, span.ended) for span in shown.spans][-1] == ("approval", 0.0)
        await running.ask(c.DecideCall(call=waits.call, digest=waits.digest, verdict="reject"))
        await running.until(e.TurnEnded)
        shown = (await read(running)).shown
        assert shown is not None
        assert {span.kind: span.state for span in shown.spans}["approval"] == "rejected"
        assert "person" in {each.kind for each in shown.spent}


async def test_an_unknown_trace_is_none_and_the_list_is_there(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("hello")])) as running:
        await running.connected()
        await go(running)
        told = await read(running, "t-nobody\x1b[31m")
        assert told.shown is None
        assert len(told.traces) == 1


async def test_the_engine_counts_what_all_its_sessions_do(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ECHO)], [reply("a")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await go(running)
        await running.ask(c.NewSession())
        await running.by_hand("echo", '{"text":"x"}')
        await running.count(e.CallFinished, 2)
        read = await running.ask(ReadMetrics())
        assert isinstance(read, MetricsRead)
        (tool,) = read.tools
        assert (tool.server, tool.tool, tool.total, tool.failed) == ("demo", "echo", 2, 0)
        (server,) = read.servers
        assert (server.server, server.calls) == ("demo", 2)
        assert server.state in ("active", "idle")
        (used,) = read.models
        assert (used.model, used.requests) == ("scripted", 2)
        assert read.turns == {"done": 1}
        assert sum(point.calls for point in read.points) == 2 - tool.cached
