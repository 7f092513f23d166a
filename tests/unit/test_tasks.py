"""Tasks by themselves: what is kept of them, how old journals open, at what pace servers are asked."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from omni_tui.config.sections import Config
from omni_tui.config.servers import server_spec
from omni_tui.config.spec import ServerSpec
from omni_tui.memory import (
    Journal,
    JournalBroken,
    SavedTask,
    Transaction,
    call_table,
    new_session_id,
    session_path,
    task_table,
)
from omni_tui.memory.sqlite import SCHEMA, SCHEMA_VERSION
from omni_tui.servers import CallError, RawResult
from omni_tui.servers import task_poller as following
from omni_tui.servers.task_client import read_task
from omni_tui.servers.task_poller import PollOptions, TaskPoller
from omni_tui.servers.task_types import (
    ServerTask,
    ServerUnavailable,
    TaskCancelled,
    UnknownTask,
    UnusableTaskAnswer,
    seconds,
)
from tests.unit.test_calls import ROW, fresh, put
from tests.unit.test_journal import VAULT

TASK = SavedTask("secret-task", began=5.0, ttl=60.0)
DONE = ServerTask("t", "completed", result=RawResult(content=[]))


@pytest.fixture
def tx() -> Iterator[Transaction]:
    connection, made = fresh()
    with closing(connection):
        yield made


# --- what is kept ---------------------------------------------------------------------------------


def test_a_task_is_kept_sealed_and_found_again(tx: Transaction) -> None:
    put(tx, "dispatching")
    task_table.put(tx, "c1", 1, TASK)
    assert task_table.load(tx, "c1", 1) == TASK
    assert task_table.running(tx) == {"c1": TASK}
    (body,) = tx.execute("SELECT body FROM tasks").fetchone()
    assert b"secret-task" not in body


def test_an_attempt_has_one_task_and_only_while_it_is_under_way(tx: Transaction) -> None:
    put(tx, "dispatching")
    task_table.put(tx, "c1", 1, TASK)
    with pytest.raises(ValueError, match="already"):
        task_table.put(tx, "c1", 1, SavedTask("another", 6.0))
    with pytest.raises(ValueError, match="not under way"):
        task_table.put(tx, "c1", 2, TASK)
    put(tx, "approved", "c2")
    with pytest.raises(ValueError, match="not under way"):
        task_table.put(tx, "c2", 1, TASK)


def test_a_crash_leaves_a_call_with_a_task_as_it_is(tx: Transaction) -> None:
    put(tx, "dispatching")
    put(tx, "dispatching", "c2")
    task_table.put(tx, "c1", 1, TASK)
    changed = call_table.mark_after_crash(tx)
    assert [(row.call, row.state) for row in changed] == [("c2", "uncertain")]
    assert task_table.running(tx) == {"c1": TASK}


@pytest.mark.parametrize("damage", ["UPDATE tasks SET body = x'00'", "UPDATE calls SET args = x'00'"])
def test_a_damaged_task_is_uncertain_like_any_call(tx: Transaction, damage: str) -> None:
    put(tx, "dispatching")
    task_table.put(tx, "c1", 1, TASK)
    tx.execute(damage)
    assert [(row.call, row.state) for row in call_table.mark_after_crash(tx)] == [("c1", "uncertain")]
    assert task_table.running(tx) == {}


def test_a_task_of_another_place_does_not_open(tx: Transaction) -> None:
    put(tx, "dispatching")
    put(tx, "dispatching", "c2")
    task_table.put(tx, "c1", 1, TASK)
    tx.execute("INSERT INTO tasks SELECT 'c2', attempt, body FROM tasks")
    assert task_table.load(tx, "c2", 1) is None


def test_a_call_that_ended_has_no_running_task(tx: Transaction) -> None:
    put(tx, "dispatching")
    task_table.put(tx, "c1", 1, TASK)
    call_table.move(tx, "c1", "succeeded", expect=("dispatching",))
    assert task_table.running(tx) == {}
    assert task_table.load(tx, "c1", 1) == TASK


# --- journals of the first version ----------------------------------------------------------------


def make_old(path: Path) -> None:
    """Turn a journal into one of version 1 of the schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE tasks")
        connection.execute("DROP TABLE IF EXISTS audit")
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'schema'")


async def journal_at(folder: Path, session: str) -> Journal:
    return await Journal.open(session_path(folder, session), session, VAULT, lambda _events: None)


async def test_a_journal_of_the_first_version_is_opened_and_brought_up(tmp_path: Path) -> None:
    session = new_session_id()
    path = session_path(tmp_path, session)
    journal = await journal_at(tmp_path, session)
    await journal.run(lambda tx: call_table.insert(tx, ROW))
    await journal.close(clean=True)
    make_old(path)
    for _ in range(2):
        journal = await journal_at(tmp_path, session)
        assert await journal.run(lambda tx: call_table.load(tx, ROW.call)) == ROW
        assert await journal.run(task_table.running) == {}
        await journal.close(clean=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (4,)
        here = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(SCHEMA)
        assert here == new.execute("SELECT sql FROM sqlite_master WHERE name = 'tasks'").fetchone()[0]
    assert SCHEMA_VERSION == 4


async def test_bringing_up_is_done_wholly_or_not_at_all(tmp_path: Path) -> None:
    session = new_session_id()
    path = session_path(tmp_path, session)
    await (await journal_at(tmp_path, session)).close(clean=True)
    make_old(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE tasks (somebody_elses)")
    with pytest.raises(JournalBroken):
        await journal_at(tmp_path, session)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (1,)
        connection.execute("DROP TABLE tasks")
        connection.execute("DROP TABLE IF EXISTS audit")
    await (await journal_at(tmp_path, session)).close(clean=True)


# --- settings -------------------------------------------------------------------------------------


def spec_of(server: str, tools: str = "") -> ServerSpec:
    config = Config.model_validate(tomllib.loads(f'{tools}\n[servers.s]\ncommand = "x"\n{server}'))
    return server_spec("s", config.servers["s"], "user", {}, folder=Path("/"), config=config)


def test_tasks_are_told_of_unless_switched_off_and_have_a_limit_of_their_own() -> None:
    assert (spec_of("").tasks, spec_of("").task_timeout) == (True, 86_400.0)
    assert not spec_of("tasks = false").tasks
    assert spec_of("", "[tools]\ntask_timeout = 60.0").task_timeout == 60.0
    assert spec_of("task_timeout = 5.0", "[tools]\ntask_timeout = 60.0").task_timeout == 5.0
    with pytest.raises(ValidationError):
        spec_of("task_timeout = 0.0")


# --- reading what servers say ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, "100", -1, math.nan, math.inf, -math.inf, [1], {"ms": 1}])
def test_what_is_no_time_is_none(value: object) -> None:
    assert seconds(value) is None


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"taskId": "", "status": "working"},
        {"taskId": ["t"], "status": "working"},
        {"taskId": "\ud800", "status": "working"},
        {"taskId": "x" * 5000, "status": "working"},
        {"taskId": "t"},
        {"taskId": "t", "status": ["working"]},
        {"taskId": "t", "status": "Working"},
        {"taskId": "other", "status": "working"},
        {"taskId": "t", "status": "completed"},
        {"taskId": "t", "status": "completed", "result": [1]},
    ],
)
def test_what_is_no_task_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(UnusableTaskAnswer):
        read_task(answer, known="t")


def test_a_failed_task_without_an_error_still_has_words() -> None:
    bare = read_task({"taskId": "t", "status": "failed", "error": "no object"}, known="t")
    assert bare.error == "no reason was given"
    told = read_task({"taskId": "t", "status": "failed", "statusMessage": "out of\npaper"}, known="t")
    assert "out of" in told.error


# --- following ------------------------------------------------------------------------------------


class Script:
    """A server that says one thing after the other; the last for ever."""

    def __init__(
        self, *steps: ServerTask | Exception, cancelled: ServerTask | Exception | None = None
    ) -> None:
        self.steps = list(steps)
        self.cancelled = cancelled
        self.said: list[str] = []
        self.given: list[dict[str, Any]] = []

    async def get(self, task: str, timeout: float) -> ServerTask:
        self.said.append("get")
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step

    async def update(self, task: str, answers: Mapping[str, Any], timeout: float) -> None:
        self.said.append("update")
        self.given.append(dict(answers))

    async def cancel(self, task: str, timeout: float) -> None:
        self.said.append("cancel")
        if self.cancelled is not None:
            self.steps = [self.cancelled]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def refuse_inputs(_requests: dict[str, Any]) -> dict[str, Any]:
    raise CallError("nobody can answer", sent=True, answered=True)


def follow(script: Script, task: ServerTask, clock: Clock | None = None, **more: Any) -> TaskPoller:
    given: dict[str, Any] = {
        "client": lambda: script,
        "answer": refuse_inputs,
        "report": lambda _task, _away: None,
        "clock": clock or Clock(),
        **more,
    }
    return TaskPoller(task, PollOptions(began=1000.0, limit=3600.0, each=5.0), **given)


@pytest.mark.parametrize(
    ("poll", "age", "least", "most"),
    [
        (0.0, 0, 0.1, 0.11),
        (0.0, 100, 1.0, 1.1),
        (0.0, 100_000, 5.0, 5.5),
        (1e9, 0, 60.0, 66.0),
        (None, 0, 1.0, 1.1),
        (2.0, 10, 2.0, 2.2),
    ],
)
def test_the_pace_is_the_servers_within_bounds(poll: float, age: float, least: float, most: float) -> None:
    clock = Clock()
    followed = follow(Script(DONE), ServerTask("t", "working", poll=poll), clock)
    clock.now += age
    for _ in range(50):
        assert least <= followed._pace() <= most


async def test_a_server_that_is_away_is_asked_when_it_is_said_to_be_back() -> None:
    away: asyncio.Queue[bool] = asyncio.Queue()
    script = Script(ServerUnavailable("gone"), DONE)
    followed = follow(
        script, ServerTask("t", "working", poll=0), report=lambda _task, gone: away.put_nowait(gone)
    )
    running = asyncio.create_task(followed.run())
    async with asyncio.timeout(60):
        assert await away.get()
        followed.back()
        assert await running == DONE.result
        assert not await away.get()


async def test_away_without_end_ends_when_the_time_is_up() -> None:
    clock = Clock()
    followed = follow(
        Script(ServerUnavailable("gone")),
        ServerTask("t", "working", poll=0),
        clock,
        report=lambda _t, _a: setattr(clock, "now", 1e9),
    )
    with pytest.raises(CallError, match="60 minutes; the server cannot be reached now") as caught:
        async with asyncio.timeout(60):
            await followed.run()
    assert not caught.value.answered


async def test_stopping_while_away_is_not_sure_and_takes_no_time() -> None:
    followed = follow(Script(ServerUnavailable("gone")), ServerTask("t", "working", poll=0))
    running = asyncio.create_task(followed.run())
    await asyncio.sleep(0)
    followed.stop("cancelled by you")
    with pytest.raises(CallError, match="cancelled by you; the server cannot be reached now"):
        async with asyncio.timeout(60):
            await running


async def test_a_task_whose_cancellation_is_confirmed_is_cancelled() -> None:
    script = Script(ServerTask("t", "working", poll=0), cancelled=ServerTask("t", "cancelled"))
    followed = follow(script, ServerTask("t", "working", poll=60))
    followed.stop("cancelled by you")
    with pytest.raises(TaskCancelled) as caught:
        await followed.run()
    assert caught.value.asked
    assert script.said == ["cancel", "get"]


async def test_a_task_that_is_dropped_after_cancelling_is_not_sure() -> None:
    script = Script(DONE, cancelled=UnknownTask("not found"))
    followed = follow(script, ServerTask("t", "working", poll=60))
    followed.stop("cancelled by you")
    with pytest.raises(CallError, match="does not know the task any more"):
        await followed.run()


async def test_a_question_that_is_shown_again_is_put_once() -> None:
    put: list[list[str]] = []
    release = asyncio.Event()

    async def answer(asked: dict[str, Any]) -> dict[str, Any]:
        put.append(sorted(asked))
        await release.wait()
        return {key: {"action": "accept"} for key in asked}

    asking = ServerTask("t", "input_required", poll=0, inputs={"a": {}})
    more = ServerTask("t", "input_required", poll=0, inputs={"a": {}, "b": {}})

    class Waiting(Script):
        async def get(self, task: str, timeout: float) -> ServerTask:
            if len(put) == 2:
                release.set()
            answered = {key for given in self.given for key in given}
            return DONE if answered == {"a", "b"} else await super().get(task, timeout)

    script = Waiting(asking, asking, more)
    async with asyncio.timeout(60):
        assert await follow(script, ServerTask("t", "working", poll=0), answer=answer).run() == DONE.result
    assert put == [["a"], ["b"]]
    assert sorted(key for given in script.given for key in given) == ["a", "b"]


async def test_a_question_that_the_task_no_longer_waits_for_is_withdrawn() -> None:
    withdrawn = asyncio.Event()

    async def answer(asked: dict[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            withdrawn.set()
        return {}

    script = Script(
        ServerTask("t", "input_required", poll=0, inputs={"a": {}}),
        ServerTask("t", "working", poll=0),
        DONE,
    )
    async with asyncio.timeout(60):
        await follow(script, ServerTask("t", "working", poll=0), answer=answer).run()
        await withdrawn.wait()
    assert "update" not in script.said


async def test_an_answerer_that_breaks_ends_the_task() -> None:
    async def answer(asked: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("a mistake")

    script = Script(
        ServerTask("t", "input_required", poll=0, inputs={"a": {}}), cancelled=ServerTask("t", "cancelled")
    )
    with pytest.raises(CallError, match="could not be shown") as caught:
        await follow(script, ServerTask("t", "working", poll=0), answer=answer).run()
    assert caught.value.answered


async def test_a_flood_of_questions_ends_the_task() -> None:
    many: dict[str, Any] = {str(number): {} for number in range(following._MAX_INPUTS + 1)}
    script = Script(
        ServerTask("t", "input_required", poll=0, inputs=many), cancelled=ServerTask("t", "cancelled")
    )
    with pytest.raises(CallError, match="more than 100 questions"):
        await follow(script, ServerTask("t", "working", poll=0)).run()
