"""Calls that run as tasks, through the whole engine, against a real server of tasks."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from omni_tui.approvals.grants import Grant
from omni_tui.memory import JournalBroken
from omni_tui.models.base import ToolCall
from omni_tui.models.message_history import read_result
from omni_tui.protocol import AnyEvent, JsonText, encode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.server_requests import AnswerServerRequest, ServerRequestOpened
from omni_tui.servers import Dispatch, DispatchRefused
from omni_tui.servers import task_poller as following
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply
from tests.wire.conftest import WebServer, free_port, listening

SERVER = Path(__file__).with_name("task_server.py")


def stdio(folder: Path, more: str = "") -> str:
    args = json.dumps(["-I", "-S", str(SERVER), "stdio", str(folder)])
    return f"[servers.jobs]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n{more}\n"


def web(url: str, more: str = "") -> str:
    return f"[servers.jobs]\nurl = {json.dumps(url)}\n{more}\n"


@contextmanager
def serving(folder: Path, port: int) -> Iterator[WebServer]:
    with listening(
        folder, [sys.executable, "-I", "-S", str(SERVER), str(port), str(folder)], port
    ) as server:
        yield server


def requests(folder: Path, method: str = "") -> list[dict[str, Any]]:
    """Return what the server was sent, in order."""
    lines = (folder / "requests").read_text().splitlines()
    return [each for line in lines if (each := json.loads(line))["method"].startswith(method)]


async def call(running: Rig, tool: str, **arguments: Any) -> str:
    await running.until(e.ToolsListed, lambda event: event.server == "jobs" and bool(event.tools))
    command = c.CallTool(server="jobs", tool=tool, arguments_json=JsonText(json.dumps(arguments)))
    answer = await running.ask(command)
    assert isinstance(answer, e.CommandDone), answer
    return answer.id


async def end(running: Rig, number: str) -> e.CallFinished | e.CallChanged:
    """Return the event with which a call ended."""
    final = ("uncertain", "cancelled", "failed", "succeeded", "result_rejected")

    def ends(event: e.Event) -> bool:
        return getattr(event, "call", "") == number and getattr(event, "state", "") in final

    found = await running.until(e.Journalled, ends)
    assert isinstance(found, e.CallFinished | e.CallChanged)
    return found


def told_to(model: ScriptedModel, request: int) -> list[tuple[str, str]]:
    """Return state and words of each result that a model was given."""
    return [read_result(one.text) for one in model.requests[request].messages if one.role == "tool"]


async def ended(running: Rig, tool: str, **arguments: Any) -> e.CallFinished | e.CallChanged:
    return await end(running, await call(running, tool, **arguments))


# --- what the extension allows ------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_task_is_started_once_and_polled_to_its_result(tmp_path: Path, transport: str) -> None:
    port = free_port()
    with serving(tmp_path, port) as server:
        config = web(server.url) if transport == "http" else stdio(tmp_path)
        async with rig(tmp_path, demo=False, config=config) as running:
            number = await call(running, "quick")
            finished = await end(running, number)
            assert finished.state == "succeeded"
            assert isinstance(finished, e.CallFinished)
            assert finished.parts[0].text == "done"
            (begun,) = running.of(CallTask)
            assert (begun.call, begun.status, begun.poll_ms, begun.attempt) == (number, "working", 100, 1)
            await running.until(TaskProgress, lambda event: event.message.startswith("seen 2 times"))
            order = [type(event).__name__ for event in running.of(e.Journalled) if hasattr(event, "call")]
            assert order == ["CallProposed", "CallChanged", "CallChanged", "CallTask", "CallFinished"]
    assert len(requests(tmp_path, "tools/call")) == 1
    asked = requests(tmp_path, "tasks/get")
    assert len(asked) == 3
    meta = asked[0]["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert meta["extensions"] == {"io.modelcontextprotocol/tasks": {}}
    if transport == "http":
        assert {each["headers"]["mcp-method"] for each in asked} == {"tasks/get"}
        names = {each["headers"]["mcp-name"] for each in asked}
        assert len(names) == 1
        assert "\u202e" not in names.pop()


async def test_a_server_that_is_not_told_of_tasks_answers_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path, "tasks = false")) as running:
        assert (await ended(running, "quick")).state == "succeeded"
        assert not running.of(CallTask)
        # One that makes a task all the same may be running it, and is not asked about it.
        told = await ended(running, "seeded")
        assert (told.state, "tasks are off for it" in told.reason) == ("uncertain", True)
    assert not requests(tmp_path, "tasks/")


async def test_a_server_of_tasks_may_answer_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        assert (await ended(running, "plain")).state == "succeeded"
    assert not requests(tmp_path, "tasks/")


@pytest.mark.parametrize(
    ("tool", "state", "words"),
    [
        ("seeded", "succeeded", ""),
        ("hiccups", "succeeded", ""),
        ("tool_error", "failed", ""),
        ("breaks_schema", "result_rejected", "breaks the tool's own schema"),
        ("fails", "failed", "the task failed: the rate limit <U+001B>[2J was reached (error -32603)"),
        ("cancelled", "cancelled", "the server cancelled the task"),
    ],
)
async def test_every_end_of_a_task_is_told(tmp_path: Path, tool: str, state: str, words: str) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        told = await ended(running, tool)
        assert told.state == state
        assert words in told.reason
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_the_result_of_a_task_goes_to_the_model_as_any_other(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ToolCall("p1", "jobs__quick", "{}"))], [reply("I see")])
    async with rig(tmp_path, demo=False, config=stdio(tmp_path), model=model, mode="auto") as running:
        await running.connected("jobs")
        await running.ask(c.SendMessage(text="go"))
        assert (await running.until(e.TurnEnded)).status == "done"
        assert told_to(model, 1) == [("succeeded", "done")]


@pytest.mark.parametrize(("tool", "state"), [("broken", "uncertain"), ("cancelled", "cancelled")])
async def test_words_of_a_server_are_not_told_to_the_model_as_ours(
    tmp_path: Path, tool: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ODD_PAUSE", 0.01)
    model = ScriptedModel([reply("", ToolCall("p1", f"jobs__{tool}", "{}"))], [reply("I see")])
    async with rig(tmp_path, demo=False, config=stdio(tmp_path), model=model, mode="auto") as running:
        await running.connected("jobs")
        await running.ask(c.SendMessage(text="go"))
        told = await running.until(e.CallChanged, lambda event: event.state == state)
        assert "the store is busy" in told.reason or "seen 3 times" in told.reason
        await running.until(e.TurnEnded)
        ((status, text),) = told_to(model, 1)
        assert status == state
        assert "busy" not in text
        assert "seen" not in text


# --- servers that do what they must not -----------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("forgets", "does not know the task any more"),
        ("renames", "another task than the requested one"),
        ("strange", "its status '\\x1bmeditating' is not known"),
        ("no_result", "gives no result"),
        ("no_id", "a task that cannot be followed: it has no usable id"),
        ("long_id", "a task that cannot be followed: it has no usable id"),
        ("broken", "the store is busy"),
        ("expires", "outlived the 0.2 s"),
    ],
)
async def test_a_task_that_cannot_be_followed_has_an_unknown_outcome(
    tmp_path: Path, tool: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ODD_PAUSE", 0.01)
    monkeypatch.setattr(following, "TTL_GRACE", 0.2)
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        told = await ended(running, tool)
        if tool == "expires":  # its time was up, so it was cancelled, and the server says that it was
            assert (told.state, told.reason.count("confirms")) == ("cancelled", 1)
        else:
            assert told.state == "uncertain"
        assert words in told.reason
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_a_result_that_is_another_task_is_not_followed(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        told = await ended(running, "nested")
        assert "'task', which is not supported" in told.reason
    assert {one["params"]["taskId"] for one in requests(tmp_path, "tasks/get")} == {"task-1\u202e"}


async def test_a_server_that_wants_to_be_asked_at_once_does_not_make_us_spin(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        for tool in ("zero_poll", "odd_poll"):
            finished = await ended(running, tool)
            assert isinstance(finished, e.CallFinished)
            assert finished.elapsed_ms >= 300
    assert len(requests(tmp_path, "tasks/get")) == 6


async def test_a_task_that_never_ends_is_cancelled_when_its_time_is_up(tmp_path: Path) -> None:
    config = stdio(tmp_path, "task_timeout = 0.6")
    async with rig(tmp_path, demo=False, config=config) as running:
        told = await ended(running, "never")
        assert told.state == "cancelled"
        assert told.reason == "the task ran for more than 0.6 s; the server confirms it"
        # Nor does one whose server asks for patience beyond all measure.
        assert (await ended(running, "far_poll")).state in ("cancelled", "succeeded")
    assert len(requests(tmp_path, "tasks/cancel")) == 2


async def test_a_large_result_of_a_task_is_kept_whole_and_shown_in_part(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, "big", size=3_000_000)
        finished = await end(running, number)
        assert isinstance(finished, e.CallFinished)
        assert finished.state == "succeeded"
        assert finished.size > 3_000_000
        assert finished.parts[0].truncated


async def test_nothing_unsafe_of_a_task_leaves_the_engine(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        await ended(running, "quick")
        await running.until(TaskProgress)
        told: list[AnyEvent] = [*running.of(CallTask), *running.of(TaskProgress)]
        for event in told:
            text = encode(event).decode().strip()
            assert "\\u001b" not in text
            assert not {one for one in text if unicodedata.category(one) in {"Cc", "Cf"}}


# --- cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "state", "words"),
    [
        ("never", "cancelled", "cancelled by you; the server confirms it"),
        ("done_on_cancel", "succeeded", ""),
        ("stubborn", "uncertain", "cancelled by you; the server accepted that, but did not say"),
    ],
)
async def test_cancelling_ends_as_the_server_says(
    tmp_path: Path, tool: str, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CANCEL", 0.6)
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, tool)
        await running.until(TaskProgress)
        assert isinstance(await running.ask(c.CancelCall(call=number)), e.CommandDone)
        told = await end(running, number)
        assert told.state == state
        assert words in told.reason
        assert isinstance(await running.ask(c.CancelCall(call=number)), e.CommandFailed)
    assert len(requests(tmp_path, "tasks/cancel")) == 1
    assert not requests(tmp_path, "notifications/cancelled")


async def test_stopping_a_turn_cancels_its_task_and_tells_the_model(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ToolCall("p1", "jobs__never", "{}"))], [reply("I see")])
    async with rig(tmp_path, demo=False, config=stdio(tmp_path), model=model, mode="auto") as running:
        await running.connected("jobs")
        await running.ask(c.SendMessage(text="go"))
        await running.until(TaskProgress)
        await running.ask(c.StopRun())
        assert (await running.until(e.TurnEnded)).status == "stopped"
        told = await running.until(e.CallChanged, lambda event: event.state == "cancelled")
        assert (told.decider, "confirms" in told.reason) == ("stop", True)
        await running.ask(c.SendMessage(text="and now?"))
        await running.count(e.TurnEnded, 2)
        words = "Cancelled: the turn was stopped; the server confirms it. What it had done by then is done."
        assert told_to(model, 1) == [("cancelled", words)]


async def test_a_task_that_asks_is_cancelled_where_nobody_answers(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path), headless=True) as running:
        told = await ended(running, "asks")
        assert told.state == "failed"
        assert "elicitation/create" in told.reason
        assert told.reason.endswith("the task was cancelled")
    assert not requests(tmp_path, "tasks/update")


async def test_what_a_task_asks_waits_in_the_queue_and_is_answered_once(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, "asks")
        ask = await running.until(ServerRequestOpened)
        assert (ask.kind, ask.call) == ("form", number)
        given = JsonText('{"name": "Ada"}')
        await running.ask(
            AnswerServerRequest(ask=ask.ask, digest=ask.digest, action="accept", content_json=given)
        )
        finished = await running.until(e.CallFinished, lambda event: event.call == number)
        assert "Ada" in finished.parts[0].text
        assert len(running.of(ServerRequestOpened)) == 1
    (sent,) = requests(tmp_path, "tasks/update")
    assert list(sent["params"]["inputResponses"]) == ["who"]


@pytest.mark.parametrize("broken", [False, True])
async def test_a_task_is_on_disk_before_it_is_asked_after(tmp_path: Path, broken: bool) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        journal = running.session.journal
        commit = journal.commit
        asked: list[int] = []

        async def slowly(*events: AnyEvent, **more: Any) -> Any:
            mine = any(isinstance(event, CallTask) for event in events)
            if mine and broken:
                raise JournalBroken("the disk is full")
            done = await commit(*events, **more)
            if mine:  # a whole other call fits in before the first question may be asked
                await ended(running, "plain")
                asked.append(len(requests(tmp_path, "tasks/get")))
            return done

        journal.commit = slowly  # type: ignore[method-assign]
        number = await call(running, "seeded")
        if broken:
            await running.until(e.CallChanged, lambda event: event.state == "dispatching")
            await ended(running, "plain")
            await ended(running, "plain")
            assert not requests(tmp_path, "tasks/get")
        else:
            assert (await end(running, number)).state == "succeeded"
            assert asked == [0]


async def test_nothing_can_be_sent_under_a_call_that_runs_as_a_task(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        gate = running.session.gate
        sent: list[Dispatch] = []
        redeem = gate.redeem

        async def redeemed(grant: Grant) -> Dispatch:
            sent.append(await redeem(grant))
            return sent[-1]

        gate.redeem = redeemed  # type: ignore[method-assign]
        await call(running, "never")
        await running.until(TaskProgress)
        (dispatch,) = sent
        assert dispatch not in gate.dispatches
        with pytest.raises(DispatchRefused, match="does not know"):
            await running.engine.context.registry.get("jobs").call_tool(dispatch, timeout=5)
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_tasks_hold_no_place_that_other_calls_need(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        for _ in range(6):
            await call(running, "never")
        await running.count(CallTask, 6)
        assert (await ended(running, "plain")).state == "succeeded"


async def test_a_task_of_a_server_that_is_removed_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.tools.task_tracker.ABSENT", 0.0)
    monkeypatch.setattr(following, "_AGAIN", 0.05)
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, "never")
        await running.until(TaskProgress)
        await running.engine.context.registry.remove("jobs")
        told = await end(running, number)
        assert (told.state, "not configured any more" in told.reason) == ("uncertain", True)


# --- connections and engines that come and go -----------------------------------------------------


async def test_a_task_outlives_its_connection(tmp_path: Path) -> None:
    """The server is killed and started again in mid-task: asking goes on, nothing is sent again."""
    port = free_port()
    server = serving(tmp_path, port)
    config = web(f"http://127.0.0.1:{port}/mcp", "heartbeat = 1")
    first: AbstractContextManager[WebServer] = server
    with first:
        engine = rig(tmp_path, demo=False, config=config)
        running = await engine.__aenter__()
        number = await call(running, "waits")
        await running.until(TaskProgress, lambda event: event.message.startswith("seen"))
    try:
        await running.until(TaskProgress, lambda event: event.away)
        back = len(running.seen)
        with serving(tmp_path, port):
            await running.ask(c.ReconnectServer(server="jobs"))
            await running.until(TaskProgress, lambda event: not event.away, after=back)
            (tmp_path / "go").touch()
            assert (await end(running, number)).state == "succeeded"
            assert len(requests(tmp_path, "tools/call")) == 1
    finally:
        await engine.__aexit__(None, None, None)


async def test_a_stdio_server_that_dies_in_mid_task_is_asked_when_it_is_back(tmp_path: Path) -> None:
    import os
    import signal

    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, "waits")
        await running.until(TaskProgress)
        pid = running.engine.context.registry.get("jobs").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await running.until(TaskProgress, lambda event: event.away)
        (tmp_path / "go").touch()
        assert (await end(running, number)).state == "succeeded"
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_leaving_lets_the_task_be_and_the_next_start_goes_on(tmp_path: Path) -> None:
    calling = ScriptedModel([reply("", ToolCall("p1", "jobs__waits", "{}"))])
    with serving(tmp_path, free_port()) as server:
        options: dict[str, Any] = {"demo": False, "config": web(server.url), "mode": "auto"}
        async with rig(tmp_path, model=calling, **options) as running:
            await running.connected("jobs")
            await running.ask(c.SendMessage(text="go"))
            await running.until(TaskProgress)
        assert not requests(tmp_path, "tasks/cancel")
        answering = ScriptedModel([reply("I see")])
        async with rig(tmp_path, model=answering, **options) as running:
            await running.until(TaskProgress)
            assert not [one for one in running.of(e.CallChanged) if one.state == "uncertain"]
            await running.ask(c.ContinueRun())
            (tmp_path / "go").touch()
            done = await running.until(e.TurnEnded, lambda event: event.status != "parked")
            assert done.status == "done"
            assert told_to(answering, 0) == [("succeeded", "done")]
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_a_task_that_ended_while_nobody_waited_gives_its_result_on_continue(tmp_path: Path) -> None:
    calling = ScriptedModel([reply("", ToolCall("p1", "jobs__waits", "{}"))])
    with serving(tmp_path, free_port()) as server:
        options: dict[str, Any] = {"demo": False, "config": web(server.url), "mode": "auto"}
        async with rig(tmp_path, model=calling, **options) as running:
            await running.connected("jobs")
            await running.ask(c.SendMessage(text="go"))
            await running.until(TaskProgress)
        (tmp_path / "go").touch()
        answering = ScriptedModel([reply("I see")])
        async with rig(tmp_path, model=answering, **options) as running:
            finished = await running.until(e.CallFinished)
            assert finished.state == "succeeded"
            await running.ask(c.ContinueRun())
            await running.until(e.TurnEnded, lambda event: event.status == "done")
            assert told_to(answering, 0) == [("succeeded", "done")]
    assert len(requests(tmp_path, "tools/call")) == 1


async def test_a_task_is_not_told_to_another_server_of_the_same_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with rig(tmp_path, demo=False, config=stdio(tmp_path)) as running:
        number = await call(running, "never")
        await running.until(TaskProgress)
    async with rig(tmp_path, demo=False, config=stdio(other)) as running:
        told = await end(running, number)
        assert told.state == "uncertain"
        assert "started or reached in another way" in told.reason
    assert not requests(other, "tasks/")


async def test_stopping_a_continued_turn_cancels_the_task_from_before(tmp_path: Path) -> None:
    calling = ScriptedModel([reply("", ToolCall("p1", "jobs__never", "{}"))])
    options: dict[str, Any] = {"demo": False, "config": stdio(tmp_path), "mode": "auto"}
    async with rig(tmp_path, model=calling, **options) as running:
        await running.connected("jobs")
        await running.ask(c.SendMessage(text="go"))
        await running.until(TaskProgress)
    async with rig(tmp_path, model=ScriptedModel([reply("I see")]), **options) as running:
        await running.until(TaskProgress, lambda event: not event.away)
        await running.ask(c.ContinueRun())
        await running.count(e.TurnStarted, 2)
        await running.ask(c.StopRun())
        told = await running.until(e.CallChanged, lambda event: event.state == "cancelled")
        assert "the server confirms it" in told.reason
    assert len(requests(tmp_path, "tasks/cancel")) == 1
