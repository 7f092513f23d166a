"""What servers ask of the person: shown, judged, answered, withdrawn; in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import JournalBroken
from omni_tui.memory.audit_table import entries
from omni_tui.models.base import ToolCall
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    EditServerRequest,
    OpenServerRequestPage,
    ServerRequestClosed,
    ServerRequestOpened,
)
from omni_tui.servers.server_request_types import ServerRequestAnswer
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

SERVER = str(Path(__file__).parent / "faults" / "asks.py")
ERAS = ["legacy", "modern"]


def config(era: str, file: str = "", more: str = "") -> str:
    args = json.dumps(["-I", "-S", SERVER, era, file])
    return f"{more}\n[servers.s]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n"


async def call(running: Rig, tool: str, arguments: str = "{}") -> str:
    await running.connected("s")
    reply = await running.ask(c.CallTool(server="s", tool=tool, arguments_json=JsonText(arguments)))
    assert isinstance(reply, e.CommandDone), reply
    return reply.id


async def asked(running: Rig, number: int = 1) -> ServerRequestOpened:
    await running.count(ServerRequestOpened, number)
    return running.of(ServerRequestOpened)[number - 1]


async def answer(running: Rig, ask: ServerRequestOpened, action: Any, content: Any = None) -> e.AnyEvent:
    given = JsonText(json.dumps(content if content is not None else {}))
    return await running.ask(
        AnswerServerRequest(ask=ask.ask, digest=ask.digest, action=action, content_json=given)
    )


def advertised(lines: Path) -> set[str]:
    """Return the names of the capabilities that a server of the legacy protocol was told of."""
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    hello = next(frame for frame in frames if frame["method"] == "initialize")
    return set(hello["params"]["capabilities"])


async def told(running: Rig, call: str) -> Any:
    """Return what the server says it was told."""
    done = await running.until(e.CallFinished, lambda event: event.call == call)
    assert done.state == "succeeded", done
    value = json.loads(done.parts[0].text)
    return value["given"]["a"] if "given" in value and "a" in value["given"] else value


# --- forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_form_is_shown_and_its_values_reach_the_server(tmp_path: Path, era: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era)) as running:
        number = await call(running, "form", '{"x":1}')
        ask = await asked(running)
        assert (ask.server, ask.kind, ask.stage, ask.call) == ("s", "form", "asked", number)
        assert ask.message == "Who are you?"
        assert json.loads(ask.content_json)["required"] == ["name"]
        assert "name: string (required) · Your name" in ask.content
        done = await answer(running, ask, "accept", {"name": "Bo", "age": 3, "sure": False})
        assert isinstance(done, e.CommandDone)
        assert await told(running, number) == {
            "action": "accept",
            "content": {"name": "Bo", "age": 3, "sure": False},
        }
        closed = running.of(ServerRequestClosed)[0]
        assert (closed.ask, closed.outcome, closed.decider) == (ask.ask, "accepted", "user")
        assert '"Bo"' in closed.answer
        rounds = running.of(e.CallRound)
        assert [(one.call, one.round, one.asked) for one in rounds] == (
            [(number, 1, ("elicitation/create",))] if era == "modern" else []
        )
        if rounds:  # on disk in the order in which it happened
            assert closed.seq < rounds[0].seq


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_refusal_is_told_to_the_server(tmp_path: Path, era: str, action: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era)) as running:
        number = await call(running, "form")
        await answer(running, await asked(running), action)
        assert await told(running, number) == {"action": action}
        assert (
            running.of(ServerRequestClosed)[0].outcome
            == {"decline": "declined", "cancel": "cancelled"}[action]
        )


async def test_values_that_do_not_fit_are_refused_and_the_question_waits(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        number = await call(running, "form")
        ask = await asked(running)
        for wrong in ({"age": 3}, {"name": "x", "age": -1}, {"name": "x", "colour": "blue"}, [1]):
            refused = await answer(running, ask, "accept", wrong)
            assert isinstance(refused, e.CommandFailed), wrong
        stale = await running.ask(
            AnswerServerRequest(
                ask=ask.ask, digest="x", action="accept", content_json=JsonText('{"name":"x"}')
            )
        )
        assert isinstance(stale, e.CommandFailed)
        assert "changed" in stale.what
        assert not running.of(ServerRequestClosed)
        await answer(running, ask, "accept", {"name": "x"})
        assert (await told(running, number))["content"] == {"name": "x"}
        late = await answer(running, ask, "accept", {"name": "y"})
        assert isinstance(late, e.CommandFailed)


async def test_a_secret_can_neither_be_asked_for_nor_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOP", "correct-horse-battery-staple")
    known = '[servers.other]\nurl = "https://127.0.0.1:9/"\nenabled = false\n'
    known += 'auth = "bearer"\ntoken = "${TOP}"\n'
    async with rig(tmp_path, demo=False, config=config("legacy", more=known)) as running:
        await call(running, "secret")
        ask = await asked(running)
        assert "dbPassword" in ask.refused
        assert isinstance(await answer(running, ask, "accept", {"dbPassword": "x"}), e.CommandFailed)
        assert isinstance(await answer(running, ask, "decline"), e.CommandDone)
        number = await call(running, "form")
        ask = await asked(running, 2)
        refused = await answer(running, ask, "accept", {"name": "correct-horse-battery-staple"})
        assert isinstance(refused, e.CommandFailed)
        assert "secret" in refused.what
        await answer(running, ask, "decline")
        assert await told(running, number) == {"action": "decline"}


async def test_hostile_words_are_made_safe(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        await call(running, "hostile")
        ask = await asked(running)
        for text in (ask.message, ask.content):
            assert "\x1b" not in text
            assert "\u202e" not in text
        assert ask.differs


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_page_is_shown_whole_and_nothing_is_fetched(tmp_path: Path, era: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era)) as running:
        number = await call(running, "page")
        ask = await asked(running)
        assert (ask.kind, ask.content, ask.host) == ("url", "https://example.com/pay?id=7", "example.com")
        assert any("carries data" in why for why in ask.why)
        assert isinstance(await answer(running, ask, "accept"), e.CommandDone)
        assert await told(running, number) == {"action": "accept"}


async def test_an_address_that_is_no_web_page_can_only_be_declined(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        number = await call(running, "evil_page")
        ask = await asked(running)
        assert ask.refused
        opening = await running.ask(OpenServerRequestPage(ask=ask.ask, digest=ask.digest))
        assert isinstance(opening, e.CommandFailed)
        assert isinstance(await answer(running, ask, "accept"), e.CommandFailed)
        await answer(running, ask, "decline")
        assert await told(running, number) == {"action": "decline"}


async def test_a_page_that_a_call_needs_is_asked_for_and_the_call_fails_with_words(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        number = await call(running, "needs_page")
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        assert done.state == "failed"
        ask = await asked(running)
        assert (ask.kind, ask.call) == ("url", number)
        assert any("refused a call" in why for why in ask.why)
        await answer(running, ask, "accept")
        assert (await running.until(ServerRequestClosed)).outcome == "accepted"


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("long_form", "too long to be shown whole"),
        ("long_page", "more than 4096 characters"),
        ("long_sample", "more than 40,000 characters"),
    ],
)
async def test_what_is_not_shown_whole_can_only_be_declined(tmp_path: Path, tool: str, said: str) -> None:
    """Also where a client sends the yes that the face does not offer."""
    model = ScriptedModel()
    async with rig(tmp_path, demo=False, config=config("legacy"), model=model) as running:
        await call(running, tool)
        ask = await asked(running)
        assert not ask.complete
        refused = await answer(running, ask, "accept", {"name": "Ada"})
        assert isinstance(refused, e.CommandFailed)
        assert said in refused.what
        page = await running.ask(OpenServerRequestPage(ask=ask.ask, digest=ask.digest))
        assert isinstance(page, e.CommandFailed)
        assert not running.of(ServerRequestClosed)
        assert not model.requests
        await answer(running, ask, "decline")
        assert (await running.until(ServerRequestClosed)).outcome == "declined"


async def test_the_audit_binds_what_a_server_was_answered_and_what_was_shown(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        shown = []
        for number, (action, values) in enumerate(
            [("accept", {"name": "Ada"}), ("accept", {"name": "Bob"}), ("decline", None)], 1
        ):
            await call(running, "form")
            ask = await asked(running, number)
            shown.append(ask.digest)
            await answer(running, ask, action, values)
            await running.count(ServerRequestClosed, number)
        found = await running.session.journal.run(lambda tx: list(entries(tx)))
    closed = [each for each in found if each.action == "request closed"]
    assert [each.def_hash for each in closed] == shown
    sent = [each.args_hash for each in closed]
    assert all(sent)
    assert len(set(sent)) == 3, "another answer has another digest"


async def test_a_request_that_is_answered_while_the_session_closes_has_one_end(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        await call(running, "form")
        ask = await asked(running)
        requests, journal = running.session.server_requests, running.session.journal
        commit, begun, go = journal.commit, asyncio.Event(), asyncio.Event()

        async def slowly(*events: Any, **more: Any) -> Any:
            begun.set()
            await go.wait()
            return await commit(*events, **more)

        journal.commit = slowly  # type: ignore[method-assign]
        yes = ServerRequestAnswer("accept", content={"name": "Ada"})
        answering = asyncio.create_task(requests.answer(ask.ask, ask.digest, yes))
        await begun.wait()
        closing = asyncio.create_task(requests.close())
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(answering, closing)
        await running.until(ServerRequestClosed)
        read = await journal.read(0, 1_000)
    ends = [each for each in read if isinstance(each, ServerRequestClosed)]
    assert [each.outcome for each in ends] == ["accepted"]


# --- sampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_sampling_request_is_shown_edited_answered_reviewed_and_sent(
    tmp_path: Path, era: str
) -> None:
    model = ScriptedModel([reply("Hello there STOP and more", usage=e.Usage(input=20, output=7))])
    async with rig(tmp_path, demo=False, config=config(era), model=model) as running:
        number = await call(running, "sample")
        ask = await asked(running)
        assert (ask.kind, ask.stage) == ("sampling", "asked")
        assert "Be short" in ask.content
        assert "Say hello" in ask.content
        assert "50,000" in ask.budget
        body = json.loads(ask.content_json)
        body["messages"][0]["content"]["text"] = "Say goodbye"
        edited = JsonText(json.dumps(body))
        await running.ask(EditServerRequest(ask=ask.ask, digest=ask.digest, content_json=edited))
        second = await asked(running, 2)
        assert second.edited
        assert second.digest != ask.digest
        assert isinstance(await answer(running, ask, "accept"), e.CommandFailed)
        assert isinstance(await answer(running, second, "accept"), e.CommandDone)
        review = await running.until(ServerRequestOpened, lambda event: event.stage == "review")
        assert review.content == "Hello there "
        assert "49,973" in review.budget
        assert [(one.role, one.text) for one in model.requests[0].messages] == [
            ("system", "Be short"),
            ("user", "Say goodbye"),
        ]
        mended = JsonText(json.dumps({"text": "Hello!"}))
        await running.ask(EditServerRequest(ask=review.ask, digest=review.digest, content_json=mended))
        last = await running.until(
            ServerRequestOpened, lambda event: event.stage == "review" and event.edited
        )
        await answer(running, last, "accept")
        assert await told(running, number) == {
            "role": "assistant",
            "content": {"type": "text", "text": "Hello!"},
            "model": "scripted",
            "stopReason": "stopSequence",
        }
        assert running.of(e.UsageChanged)[0].usage.output == 7


async def test_a_refused_sampling_request_never_reaches_the_model(tmp_path: Path) -> None:
    model = ScriptedModel()
    async with rig(tmp_path, demo=False, config=config("legacy"), model=model) as running:
        number = await call(running, "sample")
        await answer(running, await asked(running), "decline")
        assert (await told(running, number))["code"] == -1
        image = await call(running, "image")
        ask = await asked(running, 2)
        assert "image" in ask.refused
        await answer(running, ask, "decline")
        assert (await told(running, image))["code"] == -1
        assert not model.requests


async def test_an_answer_of_the_model_that_cannot_be_written_down_is_said_and_leaves_nothing_waiting(
    tmp_path: Path,
) -> None:
    model = ScriptedModel([reply("Hello there")])
    async with rig(tmp_path, demo=False, config=config("legacy"), model=model) as running:
        await call(running, "sample")
        ask = await asked(running)
        journal = running.session.journal
        commit = journal.commit

        async def broken(*events: Any, **more: Any) -> Any:
            if any(isinstance(event, e.UsageChanged) for event in events):
                raise JournalBroken("the disk is full")
            return await commit(*events, **more)

        journal.commit = broken  # type: ignore[method-assign]
        await answer(running, ask, "accept")
        said = await running.until(e.Notice, lambda event: "could not be written to disk" in event.what)
        assert said.level == "error"
        late = await answer(running, running.of(ServerRequestOpened)[-1], "decline")
        assert isinstance(late, e.CommandFailed), "it waits no more"


async def test_the_budget_stops_before_it_is_passed(tmp_path: Path) -> None:
    model = ScriptedModel()
    tight = "[sampling]\nsession_tokens = 10\n"
    async with rig(tmp_path, demo=False, config=config("legacy", more=tight), model=model) as running:
        await call(running, "sample")
        await answer(running, await asked(running), "accept")
        again = await running.until(ServerRequestOpened, lambda event: bool(event.why))
        assert again.stage == "asked"
        assert "budget" in again.why[0]
        assert not model.requests


async def test_sampling_that_is_switched_off_is_not_offered(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    off = config("legacy", str(lines), "[sampling]\nenabled = false\n")
    async with rig(tmp_path, demo=False, config=off) as running:
        await running.connected("s")
        assert "sampling" not in advertised(lines)
        assert "elicitation" in advertised(lines)


# --- rounds -------------------------------------------------------------------------------------


async def test_several_things_asked_at_once_are_items_of_their_own(tmp_path: Path) -> None:
    model = ScriptedModel([reply("hi")])
    quick = "[sampling]\nreview = false\n"
    async with rig(tmp_path, demo=False, config=config("modern", more=quick), model=model) as running:
        number = await call(running, "three", '{"n": 2}')
        await running.count(ServerRequestOpened, 3)
        for ask in running.of(ServerRequestOpened)[:3]:
            assert ask.call == number
            await answer(running, ask, "accept", {"name": "x"})
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        value = json.loads(done.parts[0].text)
        assert value["state"] == "s-1"
        assert value["args"] == {"n": 2}
        assert value["given"]["a"]["content"] == {"name": "x"}
        assert value["given"]["c"]["content"]["text"] == "hi"


async def test_every_round_is_written_down_under_the_one_approval(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    async with rig(tmp_path, demo=False, config=config("modern", str(lines))) as running:
        number = await call(running, "endless")
        for ordinal in range(1, 11):
            await answer(running, await asked(running, ordinal), "accept", {"name": "x"})
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        assert done.state == "failed"
        assert "more than 10 times" in done.reason
        assert [one.round for one in running.of(e.CallRound)] == list(range(1, 11))
        states = [event.state for event in running.of(e.CallChanged) if event.call == number]
        assert states.count("dispatching") == 1
        frames = [json.loads(line) for line in lines.read_text().splitlines()]
        assert sum(frame.get("method") == "tools/call" for frame in frames) == 11


async def test_a_round_without_a_question_just_goes_on(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("modern")) as running:
        number = await call(running, "state_only")
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        assert done.state == "succeeded"
        assert len(running.of(e.CallRound)) == 2
        assert not running.of(ServerRequestOpened)


async def test_what_is_asked_and_not_known_ends_the_call(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("modern")) as running:
        number = await call(running, "unknown")
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        assert "moon/shine" in done.reason
        assert not running.of(e.CallRound)


async def test_roots_are_told_within_a_round(tmp_path: Path) -> None:
    here = f"[agent]\nroots = [{json.dumps(str(tmp_path))}]\n"
    async with rig(tmp_path, demo=False, config=config("modern", more=here)) as running:
        number = await call(running, "roots")
        assert (await told(running, number))["roots"][0]["uri"] == tmp_path.as_uri()


# --- ends ---------------------------------------------------------------------------------------


async def test_a_server_that_withdraws_its_question_takes_it_out_of_the_queue(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        await call(running, "withdraw")
        closed = await running.until(ServerRequestClosed)
        assert (closed.outcome, closed.decider) == ("withdrawn", "")
        assert "nobody waits" in closed.reason


async def test_a_server_that_goes_takes_its_questions_with_it(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        number = await call(running, "form")
        await asked(running)
        await running.ask(c.DisconnectServer(server="s"))
        assert (await running.until(ServerRequestClosed)).outcome == "withdrawn"
        ended = await running.until(
            e.CallChanged, lambda event: event.call == number and event.state == "uncertain"
        )
        assert ended.decider == "cut"


@pytest.mark.parametrize("era", ERAS)
async def test_stopping_the_call_withdraws_what_it_asked(tmp_path: Path, era: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era)) as running:
        number = await call(running, "form")
        ask = await asked(running)
        await running.ask(c.CancelCall(call=number))
        if era == "legacy":  # the server decides there; ours leaves it to ask on
            await answer(running, ask, "decline")
        closed = await running.until(ServerRequestClosed)
        assert closed.outcome == ("declined" if era == "legacy" else "withdrawn")


async def test_a_flood_is_bounded(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=config("legacy")) as running:
        number = await call(running, "flood")
        await running.count(ServerRequestOpened, 5)
        for ask in running.of(ServerRequestOpened):
            await answer(running, ask, "decline")
        done = await running.until(e.CallFinished, lambda event: event.call == number)
        given = json.loads(done.parts[0].text)["given"]
        assert sorted(one["action"] for one in given.values()) == ["cancel"] * 7 + ["decline"] * 5
        assert len(running.of(ServerRequestOpened)) == 5


async def test_waiting_for_the_person_is_not_waiting_for_the_server(tmp_path: Path) -> None:
    impatient = config("legacy") + "call_timeout = 0.3\n"
    async with rig(tmp_path, demo=False, config=impatient) as running:
        number = await call(running, "form")
        ask = await asked(running)
        plain = await call(running, "plain")
        await running.until(e.CallFinished, lambda event: event.call == plain)
        connection = running.engine.context.registry.get("s")
        waits = connection._session._timeouts  # type: ignore[union-attr]
        assert waits._asking == 1
        assert all(one._limit is not None and one._limit.when() is None for one in waits._running)
        await answer(running, ask, "accept", {"name": "x"})
        assert (await told(running, number))["action"] == "accept"


@pytest.mark.parametrize("era", ERAS)
async def test_after_a_restart_nothing_is_left_open(tmp_path: Path, era: str) -> None:
    async with rig(tmp_path, demo=False, config=config(era)) as running:
        await call(running, "form")
        ask = await asked(running)
        session = running.session.journal.session
    async with rig(tmp_path, demo=False, config=config(era), resume=session) as running:
        closed = await running.until(ServerRequestClosed)
        assert closed.ask == ask.ask
        assert closed.outcome in ("cancelled", "withdrawn")


async def test_nobody_is_asked_where_nobody_is(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    async with rig(tmp_path, demo=False, config=config("legacy", str(lines)), headless=True) as running:
        await running.connected("s")
        assert advertised(lines).isdisjoint({"elicitation", "sampling"})


@pytest.mark.parametrize("era", ERAS)
async def test_a_result_that_hangs_on_an_answer_is_not_kept_for_another_call(
    tmp_path: Path, era: str
) -> None:
    calls = [ToolCall("1", "s__form", "{}")]
    model = ScriptedModel([reply("", *calls)], [reply("", *calls)], [reply("done")])
    more = '[agent]\nmode = "auto"\n[tools]\ncacheable = ["s/*"]\n'
    async with rig(tmp_path, demo=False, model=model, config=config(era, more=more)) as running:
        await running.connected("s")
        await running.ask(c.SendMessage(text="go"))
        for number, name in enumerate(("Ada", "Bo"), 1):
            asked_for = await asked(running, number)
            await answer(running, asked_for, "accept", {"name": name})
        await running.until(e.TurnEnded)
        assert [event.cached_s for event in running.of(e.CallFinished)] == [None, None]
        assert "Bo" in running.of(e.CallFinished)[1].parts[0].text
