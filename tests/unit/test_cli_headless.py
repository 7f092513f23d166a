"""`run`, `servers`, `tools` and `call` against an engine that answers from a script."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import msgspec
import pytest

from omni_tui import links
from omni_tui.cli import headless
from omni_tui.cli.command_table import run_command
from omni_tui.cli.output import CliError
from omni_tui.cli.parser import parse
from omni_tui.cli.run import run
from omni_tui.protocol import AnyCommand, AnyEvent, LaunchOptions, Link
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.plan import (
    PlanDecided,
    PlanEnded,
    PlanPhase,
    PlanProposed,
    PlanTask,
    PlanTaskChanged,
)
from omni_tui.protocol.text import JsonText
from tests.unit.scripted_engine import Answer, S, Script, engine, nothing, server

__all__ = ["engine"]


# --- servers and tools ----------------------------------------------------------------------------


async def test_servers_prints_the_agreed_shape_and_fails_with_a_failed_one(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    good = server("good", "active", tools=0, protocol="2026-07-28", latency_ms=1.5)
    link = engine(
        nothing, good, server("bad", "failed", reason=S("no such command")), server("off", "disabled")
    )
    assert await headless.servers(parse(["servers", "--json"])) == 1
    printed = json.loads(capsys.readouterr().out)
    keys = {
        "name",
        "state",
        "transport",
        "protocol",
        "tools",
        "prompts",
        "resources",
        "latency_ms",
        "error",
    }
    assert [set(each) for each in printed] == [keys] * 3
    assert [(each["name"], each["state"], each["error"]) for each in printed] == [
        ("bad", "failed", "no such command"),
        ("good", "active", None),
        ("off", "disabled", None),
    ]
    assert link.closed


async def test_servers_without_any_says_what_to_do(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    engine()
    assert await headless.servers(parse(["servers"])) == 0
    assert "[servers.NAME]" in capsys.readouterr().err


# --- mistakes -------------------------------------------------------------------------------------


def test_a_mistaken_configuration_stops_a_command_before_anything_is_done(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = e.Problem(
        where=S("config.toml:3"), what=S("[model] has no key `nam`"), todo=S("did you mean `name`?")
    )
    link = engine(nothing, e.ConfigProblems(problems=(problem,)))
    assert run_command(parse(["run", "x"])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "config.toml:3: [model] has no key `nam` (did you mean `name`?)" in err
    assert [type(each) for each in link.sent] == [c.Hello]


def test_a_broken_command_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(options: LaunchOptions) -> Link:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(links, "start_engine", start)
    assert run_command(parse(["servers"])) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: odd" in err
    assert "Traceback" not in err


# --- run ------------------------------------------------------------------------------------------


def turn(*events: AnyEvent, status: e.TurnStatus = "done") -> Answer:
    def answer(command: AnyCommand) -> list[AnyEvent]:
        if not isinstance(command, c.SendMessage):
            return []
        return [*events, e.TurnEnded(seq=99, turn="t", status=status), e.CommandDone(id="t")]

    return answer


@pytest.mark.parametrize(
    ("status", "expected"), [("done", 0), ("failed", 1), ("parked", 1), ("limit", 4), ("stopped", 130)]
)
async def test_the_exit_status_of_a_run(engine: Script, status: e.TurnStatus, expected: int) -> None:
    engine(turn(status=status))
    assert await run(parse(["run", "x"])) == expected


async def test_a_call_that_nobody_could_approve_makes_it_3(engine: Script) -> None:
    engine(turn(e.CallChanged(seq=1, call="c", state="withheld")))
    assert await run(parse(["run", "x"])) == 3
    engine(turn(e.CallChanged(seq=1, call="c", state="denied")))
    assert await run(parse(["run", "x"])) == 0


async def test_a_plan_that_nobody_could_approve_makes_it_3(engine: Script) -> None:
    withdrawn = PlanDecided(seq=1, plan="x", turn="t", verdict="withdrawn", decider="headless")
    engine(turn(withdrawn, status="failed"))
    assert await run(parse(["run", "x", "--mode", "orchestrator"])) == 3
    engine(turn(PlanDecided(seq=1, plan="x", turn="t", verdict="approved", decider="policy")))
    assert await run(parse(["run", "x", "--mode", "orchestrator"])) == 0


async def test_what_agents_of_a_plan_say_is_not_the_answer(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    task = PlanTask(
        id="t1", title=S("look"), goal=S("look"), tools=(S("s/add"),), after=("t0",), agent="root/p1/t1"
    )
    phase = PlanPhase(id="p1", title=S("first"), tasks=(task,))
    agent: Any = {"turn": "t", "agent": "root/p1/t1"}
    changed: Any = {"plan": "x", "task": "t1", **agent}
    engine(
        turn(
            PlanProposed(
                seq=1,
                plan="x",
                turn="t",
                digest="d",
                analysis=S("so"),
                phases=(phase,),
                plan_json=JsonText("{}"),
            ),
            PlanDecided(seq=2, plan="x", turn="t", verdict="approved", decider="policy"),
            PlanTaskChanged(seq=3, state="running", **changed),
            e.AnswerDelta(message="m", text=S("mine"), **agent),
            e.Answer(seq=4, message="m", text=S("mine"), **agent),
            PlanTaskChanged(seq=5, state="failed", attempt=2, reason=S("no luck"), **changed),
            PlanEnded(seq=6, plan="x", turn="t", done=0, failed=1, skipped=0),
            e.Answer(seq=7, turn="t", message="n", text=S("the report")),
        )
    )
    await run(parse(["run", "x"]))
    out, err = capsys.readouterr()
    assert out == "the report\n"
    for said in (
        "Plan: so\n  1. first\n     t1 look after t0 (s/add)",
        "approved by policy",
        "▶ [root/p1/t1] look: running",
        "[root/p1/t1] mine",
        "✗ [root/p1/t1] look: failed, attempt 2: no luck",
        "0 done, 1 failed, 0 skipped",
    ):
        assert said in err


async def test_the_answer_streams_to_stdout_once_and_actions_go_to_stderr(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    engine(
        turn(
            e.AnswerDelta(turn="t", message="m", text=S("The ans")),
            e.CallProposed(
                seq=1, call="c", server="s", tool="add", label=S("add"), arguments=S('{\n  "a": 1\n}'),
                size=7, digest="d", origin="agent",
            ),
            e.CallFinished(
                seq=2, call="c", state="succeeded", elapsed_ms=1, size=1,
                parts=(e.ContentPart(index=0, kind="text", text=S("42")),),
            ),
            e.Answer(seq=3, turn="t", message="m", text=S("The answer\x1b[31m")),
            e.Answer(seq=4, turn="t", message="n", text=S("Second"), label=S("offline rules")),
        )
    )  # fmt: skip
    assert await run(parse(["run", "x"])) == 0
    out, err = capsys.readouterr()
    assert out == "The answer<U+001B>[31m\nSecond\n"
    assert err.splitlines() == ['→ s.add { "a": 1 }', "← s.add 42", "[offline rules]"]


async def test_json_prints_public_events_only_one_object_a_line(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = e.ModelMessage(seq=5, turn="t", role="user", body_json=JsonText("{}"))
    engine(turn(e.UserMessage(seq=1, turn="t", text=S("x\ny")), secret))
    assert await run(parse(["run", "x", "--json"])) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["user_message", "turn_ended"]
    assert all({"v", "seq", "ts", "session", "type"} <= set(line) for line in lines)


async def test_a_prompt_from_the_input(engine: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    link = engine(turn())
    await run(parse(["run", "-"]))
    assert any(isinstance(each, c.SendMessage) and each.text == "from a pipe" for each in link.sent)
    with pytest.raises(CliError, match="empty"):
        await run(parse(["run", "  "]))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"one\necho caf\xe9", r"not UTF-8 text: byte 0xE9 in line 2.*iconv"),
        (b"\xff\xfeh\x00i\x00", "it is UTF-16"),
        (b"\xed\xa0\x80", "byte 0xED in line 1"),
    ],
)
async def test_an_input_that_is_not_utf8_is_said_and_nothing_is_sent(
    engine: Script, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    link = engine(turn())
    with pytest.raises(CliError) as failure:
        await run(parse(["run", "-"]))
    assert re.search(says, str(failure.value), re.DOTALL)
    assert failure.value.status == 2
    assert link.sent == []


async def test_a_mark_at_the_start_of_the_input_is_no_part_of_it(
    engine: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf\tm\xc3\xa9\n")))
    link = engine(turn())
    await run(parse(["run", "-"]))
    assert [each.text for each in link.sent if isinstance(each, c.SendMessage)] == ["\tmé\n"]


# --- call -----------------------------------------------------------------------------------------

TOOL = e.ToolSummary(
    server="s",
    name="add",
    label=S("add"),
    model_name="s__add",
    title=S(""),
    description=S("Adds."),
    risk="read",
)
LISTED = (server("s", "active", tools=1), e.ToolsListed(server="s", generation=1, last=True, tools=(TOOL,)))
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}}'


def tool(*outcome: AnyEvent, confirm: bool = False) -> Answer:
    """Answer as an engine does for one tool; the outcome is told before the reply that names the call."""

    def answer(command: AnyCommand) -> list[AnyEvent]:
        if isinstance(command, c.DescribeTool):
            schema = JsonText(SCHEMA)
            details = e.ToolDetails(
                server="s", tool="add", label=S("add"), title=S(""), description=S("Adds."), risk="read",
                annotations=(), input_schema_json=schema,
            )  # fmt: skip
            return [details]
        if isinstance(command, c.CheckArguments):
            wrong = json.loads(command.arguments_json).get("a") == 13
            problem = e.Problem(where=S("/a"), what=S("unlucky"))
            return [e.ArgumentsChecked(problems=(problem,) if wrong else ())]
        if isinstance(command, c.CallTool):
            if confirm and not command.confirmed:
                return [
                    e.ConfirmNeeded(server="s", tool="add", risk="destructive", why=(S("may destroy"),))
                ]
            return [*outcome, e.CommandDone(id="c")]
        if isinstance(command, c.ReadResult):
            whole = json.dumps(
                {"content": [{"type": "text", "text": "4\u202e2"}], "structuredContent": {"n": 1}}
            )
            page = whole[command.offset : command.offset + 20]
            return [e.TextPage(call="c", part=-2, offset=command.offset, total=len(whole), text=S(page))]
        return []

    return answer


DONE = e.CallFinished(
    seq=1, call="c", state="succeeded", parts=(e.ContentPart(index=0, kind="text", text=S("4")),),
    elapsed_ms=1.5, size=2,
)  # fmt: skip


async def test_call_prints_the_agreed_shape_with_the_whole_result(
    engine: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    link = engine(tool(DONE), *LISTED)
    assert await headless.call(parse(["call", "s", "add", "a=1", "--json"])) == 0
    assert json.loads(capsys.readouterr().out) == {
        "server": "s",
        "tool": "add",
        "status": "succeeded",
        "content": [{"type": "text", "text": "4\u202e2"}],
        "structured": {"n": 1},
        "elapsed_ms": 1.5,
    }
    (sent,) = (each for each in link.sent if isinstance(each, c.CallTool))
    assert json.loads(sent.arguments_json) == {"a": 1}


async def test_call_shows_what_would_not_show(engine: Script, capsys: pytest.CaptureFixture[str]) -> None:
    engine(tool(DONE), *LISTED)
    await headless.call(parse(["call", "s", "add"]))
    assert capsys.readouterr().out == "4<U+202E>2\n"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (msgspec.structs.replace(DONE, state="failed", size=0), 1),
        (msgspec.structs.replace(DONE, state="result_rejected", size=0), 1),
        (e.CallChanged(seq=1, call="c", state="uncertain"), 1),
        (e.CallChanged(seq=1, call="c", state="cancelled"), 1),
        (e.CallChanged(seq=1, call="c", state="denied", reason=S("a rule")), 3),
        (e.CallChanged(seq=1, call="c", state="withheld"), 3),
    ],
    ids=lambda value: getattr(value, "state", ""),
)
async def test_the_exit_status_of_a_call(engine: Script, outcome: AnyEvent, expected: int) -> None:
    engine(tool(outcome), *LISTED)
    assert await headless.call(parse(["call", "s", "add", "--json"])) == expected


async def test_a_destructive_tool_needs_yes(engine: Script) -> None:
    link = engine(tool(DONE, confirm=True), *LISTED)
    with pytest.raises(CliError, match="nothing was sent") as caught:
        await headless.call(parse(["call", "s", "add"]))
    assert caught.value.status == 3
    assert link.closed
    engine(tool(DONE, confirm=True), *LISTED)
    assert await headless.call(parse(["call", "s", "add", "--yes"])) == 0


async def test_a_session_that_can_no_longer_be_saved_ends_a_run_and_a_call_in_words(engine: Script) -> None:
    broke = e.JournalFailed(what=S("the disk is full"))
    engine(lambda command: [e.CommandDone(id="t1"), broke] if isinstance(command, c.SendMessage) else [])
    with pytest.raises(CliError, match="the run ended: the disk is full") as caught:
        await run(parse(["run", "x"]))
    assert caught.value.status == 1
    engine(tool(e.CommandDone(id="c1"), broke), *LISTED)
    with pytest.raises(CliError, match="the outcome of the call is unknown: the disk is full") as caught:
        await headless.call(parse(["call", "s", "add", "a=1"]))
    assert caught.value.status == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t", "add"], "there is no server named t"),
        (["s", "ad"], "did you mean add"),
        (["s", "add", "a=x"], "whole number"),
        (["s", "add", "a=13"], "/a: unlucky"),
    ],
    ids=" ".join,
)
async def test_mistakes_of_a_call_are_usage_errors_and_send_nothing(
    engine: Script, words: list[str], said: str
) -> None:
    link = engine(tool(DONE), *LISTED)
    with pytest.raises(CliError) as caught:
        await headless.call(parse(["call", *words]))
    assert said in str(caught.value)
    assert caught.value.status == 2
    assert not [each for each in link.sent if isinstance(each, c.CallTool)]
