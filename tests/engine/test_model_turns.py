"""Turns over several models, within budgets, and with tools as text: what is journalled and asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from omni_tui.agents import ToolOutcome, run_turn
from omni_tui.config.load import load_config
from omni_tui.engine import model_service
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.core import open_engine
from omni_tui.engine.handlers.models import ModelHandlers
from omni_tui.models import ModelSuggestion
from omni_tui.models.base import ErrorKind, Message, Model, ModelError, ModelRequest, TextPart, ToolCall
from omni_tui.models.budget import Budget, BudgetLimits, UsageTotal
from omni_tui.models.model_chain import ModelBreakers, ModelChain
from omni_tui.models.tool_calling_mode import ToolModeModel
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.events import Answer, Notice, Retrying, Thought, Usage, UsageChanged
from omni_tui.protocol.models import (
    FindModels,
    ModelFellBack,
    ModelsFound,
    ModelStateChanged,
    SetBudget,
    Spending,
)
from tests.engine.agent_host import QUICK, FakeHost, assert_one_result_each, call
from tests.engine.rig import rig
from tests.scripted_model import Item, ScriptedModel, reply

REFUSED = ModelError("auth", "the key was refused", todo="set another", status=401)
BUSY = ModelError("transient", "overloaded", status=529)


def chain(
    *turns: Sequence[Sequence[Item]], windows: tuple[int | None, ...] = (None, None)
) -> tuple[ModelChain, list[ScriptedModel]]:
    models = [
        ScriptedModel(*each, name=name, window=window)
        for each, name, window in zip(turns, ("big", "small"), windows, strict=False)
    ]
    by_name: dict[str, Model] = {model.name: model for model in models}
    return ModelChain(
        models[0], [model.name for model in models[1:]], by_name.__getitem__, ModelBreakers()
    ), models


# --- fallbacks ------------------------------------------------------------------------------------


async def test_a_refused_key_leads_to_the_next_model_for_the_rest_of_the_turn() -> None:
    both, (big, small) = chain([[REFUSED]], [[reply("I add.", call("1"))], [reply("It is 3.")]])
    host = FakeHost()
    ended = await run_turn(host, both, turn="t", settings=QUICK)
    assert ended.status == "done"
    (fell,) = host.seen(ModelFellBack)
    assert (fell.model, fell.to, fell.reason, fell.todo) == ("big", "small", REFUSED.what, REFUSED.todo)
    assert [answer.label for answer in host.seen(Answer)] == ["small, in the place of big"] * 2
    assert (len(big.requests), len(small.requests)) == (1, 2)
    assert_one_result_each(host.messages)
    assert both.name == "big", "the session's model stays"


async def test_a_busy_model_is_tried_again_first_and_then_left_alone() -> None:
    both, (big, small) = chain([[BUSY]] * 5, [[reply("a")], [reply("b")]])
    host = FakeHost()
    await run_turn(host, both, turn="t", settings=QUICK)
    assert len(host.seen(Retrying)) == 4
    assert len(big.requests) == 5
    host.messages.append(Message(role="user", text="again"))
    await run_turn(host, both, turn="t2", settings=QUICK)
    assert len(big.requests) == 5, "it is left alone now"
    assert len(small.requests) == 2
    assert "left alone" in host.seen(ModelFellBack)[1].reason


async def test_a_probe_is_made_once_and_a_success_brings_the_model_back() -> None:
    both, (_, small) = chain([[REFUSED], [BUSY], [reply("back")]], [[reply("a")], [reply("b")]])
    host = FakeHost()
    await run_turn(host, both, turn="t", settings=QUICK)
    for turn in ("t2", "t3"):
        both.breakers.of("big")._until = 0.0
        host.messages.append(Message(role="user", text="again"))
        await run_turn(host, both, turn=turn, settings=QUICK)
    assert host.seen(Retrying) == [], "who is only probed is not asked again and again"
    assert [answer.text for answer in host.seen(Answer)] == ["a", "b", "back"]
    assert both.breakers.of("big").state == "closed"
    assert len(small.requests) == 2


async def test_a_cut_answer_whose_text_was_shown_goes_to_nobody_else() -> None:
    cut = ModelError("cut", "it broke off")
    both, (_, small) = chain([[TextPart("I "), cut], [TextPart("I "), cut]], [[reply("x")]])
    host = FakeHost()
    ended = await run_turn(host, both, turn="t", settings=QUICK)
    assert (ended.status, ended.reason) == ("failed", "it broke off")
    assert small.requests == []
    assert host.seen(ModelFellBack) == []


@pytest.mark.parametrize(("windows", "answered"), [((20_000, 5_000), False), ((20_000, 100_000), True)])
async def test_an_overflow_goes_to_a_larger_model_only(windows: tuple[int, int], answered: bool) -> None:
    over = ModelError("overflow", "too long")
    both, (big, small) = chain([[over], [reply("a summary")], [over]], [[reply("read")]], windows=windows)
    host = FakeHost()
    host.messages[:0] = [
        Message(role=role, text=f"{n} " * 400) for n in range(6) for role in ("user", "assistant")
    ]
    ended = await run_turn(host, both, turn="t", settings=QUICK)
    assert (ended.status == "done") is answered
    assert len(big.requests) == 3, "it is tried with less first, after a summary of what is left out"
    assert len(small.requests) == answered


@pytest.mark.parametrize("kind", ["request", "tools"])
async def test_a_refused_request_ends_the_turn(kind: ErrorKind) -> None:
    both, _ = chain([[ModelError(kind, "no")]], [[reply("x")]])
    ended = await run_turn(FakeHost(), both, turn="t", settings=QUICK)
    assert (ended.status, ended.reason) == ("failed", "no")


async def test_stopping_a_turn_says_nothing_about_the_model() -> None:
    gate: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    both, _ = chain([[REFUSED], [gate]], [[reply("a")]])
    host = FakeHost()
    await run_turn(host, both, turn="t", settings=QUICK)
    both.breakers.of("big")._until = 0.0
    task = asyncio.create_task(run_turn(host, both, turn="t2", settings=QUICK))
    while not both.breakers.of("big")._probing:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    assert (await task).status == "stopped"
    assert both.breakers.of("big").take(), "the next one may probe"


# --- budgets --------------------------------------------------------------------------------------


class Today:
    def __init__(self) -> None:
        self.sum = UsageTotal()

    def today(self) -> UsageTotal:
        return self.sum

    def add(self, usage: Usage) -> None:
        self.sum.add(usage)


async def test_a_turn_ends_before_its_budget_is_passed_and_says_what_to_do() -> None:
    budget = Budget(BudgetLimits(turn_tokens=1_500), Today())

    class Counting(FakeHost):
        def post(self, *events: e.AnyEvent) -> None:
            for event in events:
                if isinstance(event, UsageChanged):
                    budget.count(event.turn, event.usage)
            super().post(*events)

    host = Counting()
    model = ScriptedModel([reply("more", call("1"), usage=Usage(input=400, output=100))])
    ended = await run_turn(host, model, turn="t", settings=replace(QUICK, budget=budget))
    assert ended.status == "limit"
    assert "turn's budget" in ended.reason
    assert "continue" in ended.todo
    assert len(model.requests) == 1, "the second was never sent"
    assert_one_result_each(host.messages)
    assert budget._held == {}


async def test_what_a_broken_answer_used_is_estimated_and_counted() -> None:
    cut = ModelError("cut", "it broke off")
    host = FakeHost()
    model = ScriptedModel([TextPart("one two three"), cut], [reply("one two three four")])
    await run_turn(host, model, turn="t", settings=QUICK)
    lost, whole = (event.usage for event in host.seen(UsageChanged))
    assert lost.estimated
    assert lost.input > 100
    assert 0 < lost.output < 20
    assert not whole.estimated


# --- through the engine ---------------------------------------------------------------------------


async def test_the_engine_falls_back_counts_and_says_which_models_there_are(tmp_path: Path) -> None:
    models = {
        "x/big": ScriptedModel([REFUSED], name="x/big"),
        "x/small": ScriptedModel(
            [reply("ok", usage=Usage(input=870, output=30, cost=0.5))], name="x/small"
        ),
    }
    config = '[model]\nname = "x/big"\nfallbacks = ["x/small"]\n[budget]\nsession_tokens = 2000\n'
    async with rig(tmp_path, config=config, model=models["x/big"]) as running:
        running.engine.context.models.make = lambda name, **_: models[name]  # type: ignore[method-assign]
        await running.ask(c.SendMessage(text="hello"))
        await running.until(e.TurnEnded)
        assert [event.to for event in running.of(ModelFellBack)] == ["x/small"]
        changed = await running.until(ModelStateChanged)
        assert (changed.model, changed.state) == ("x/big", "open")
        spent = await running.until(Spending, lambda event: event.session_tokens > 0)
        assert (spent.session_tokens, spent.day_tokens, spent.day_cost) == (900, 900, 0.5)
        found = await running.ask(FindModels(look=False))
        assert isinstance(found, ModelsFound)
        assert [(each.name, each.state) for each in found.models][:2] == [
            ("x/big", "open"),
            ("x/small", "closed"),
        ]
        assert found.models[-1].name == "offline"
        # Of the budget of 2,000, 900 are used, and the next request is reckoned at more than 1,000.
        await running.ask(c.SendMessage(text="again"))
        ended = await running.until(e.TurnEnded, lambda event: event.status == "limit")
        assert "900 of 2,000 tokens" in ended.reason
        assert isinstance(await running.ask(SetBudget(key="session_tokens", value=-1)), e.CommandFailed)
        raised = await running.ask(SetBudget(key="session_tokens", value=0))
        assert isinstance(raised, e.CommandDone)
        assert running.of(Spending)[-1].session_tokens_limit == 0
    async with rig(tmp_path, config=config, model=models["x/small"]) as again:
        spent = await again.until(Spending)
        assert spent.day_tokens == 900, "the day's sum is kept"


async def test_tools_as_text_through_a_turn() -> None:
    action = 'Adding.\n```json\n{"action": "demo__add", "action_input": {"a": 1, "b": 2}}\n```'
    broken = action.replace("}}", "}")
    inner = ScriptedModel(
        [ModelError("tools", "takes none")],
        [TextPart(broken), reply(broken)],
        [TextPart(action), reply(action)],
        [TextPart("It is 3."), reply("It is 3.")],
    )

    async def add(call: ToolCall) -> ToolOutcome:
        return ToolOutcome(f"3\n{action}", "succeeded")

    host = FakeHost(add)
    ended = await run_turn(host, ToolModeModel(inner), turn="t", settings=QUICK)
    assert ended.status == "done"
    assert [made.arguments for _, made in host.calls] == ['{"a": 1, "b": 2}']
    assert [event.text for event in host.seen(Thought)] == ["Adding."]
    assert host.seen(Answer)[-1].text == "It is 3."
    assert_one_result_each(host.messages)
    assert [message.role for message in inner.requests[-1].messages] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert "is not JSON" in inner.requests[2].messages[-1].text
    assert not host.seen(Notice)


async def test_a_picture_of_a_tool_reaches_the_model_and_survives_a_restart(tmp_path: Path) -> None:
    model = ScriptedModel([reply("I look.", call("1", "demo__picture", "{}"))], [reply("Nice.")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="show me a picture"))
        ended = await running.until(e.TurnEnded)
        assert ended.status == "done"
    (result,) = [message for message in model.requests[1].messages if message.role == "tool"]
    assert [image.mime for image in result.images] == ["image/png"]
    again = ScriptedModel([reply("Still nice.")])
    async with rig(tmp_path, model=again, resume=running.session.journal.session) as resumed:
        await resumed.ask(c.SendMessage(text="and now?"))
        await resumed.until(e.TurnEnded, lambda event: event.turn != ended.turn)
    (kept,) = [message for message in again.requests[0].messages if message.role == "tool"]
    assert kept.images == result.images


async def test_switching_the_model_in_mid_session_uses_its_own_settings(tmp_path: Path) -> None:
    config = (
        '[model]\nname = "openai/one"\ncontext = 9000\n'
        '[models."openai/two"]\ncontext = 1234\ntools = "text"\n'
        '[models."hosted_vllm/three"]\ninput_price = 2\noutput_price = 4\nmax_tokens = 500\n'
    )
    async with rig(tmp_path, config=config, demo=False) as running:
        session = running.session
        assert session.model().context_window() == 9000
        await running.ask(c.SetModel(name="openai/two"))
        two = session.model()
        assert isinstance(two, ModelChain)
        assert isinstance(two.first, ToolModeModel)
        assert (two.context_window(), two.first.mode) == (1234, "text")
        three = running.engine.context.models.make("hosted_vllm/three")
        assert isinstance(three, ToolModeModel)
        wanted = three.forecast(ModelRequest((Message(role="user", text="x" * 4_000),)))
        assert wanted.output == 500
        assert wanted.cost == pytest.approx(wanted.input * 2e-6 + 500 * 4e-6)
        assert three._inner._api_base == "http://127.0.0.1:8000/v1"  # type: ignore[attr-defined]


async def test_the_engine_looks_around_only_when_asked_and_never_in_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    async def look() -> list[ModelSuggestion]:
        looked.append(1)
        return [ModelSuggestion("ollama_chat/qwen3", "Ollama on this machine", costs_money=False)]

    monkeypatch.setattr(model_service, "find_local_models", look)
    async with rig(tmp_path / "a", demo=False) as running:
        assert looked == []
        found = await running.ask(FindModels())
        assert isinstance(found, ModelsFound)
        assert "ollama_chat/qwen3" in [each.name for each in found.models]
        assert looked == [1]
    options = LaunchOptions(state_dir=str(tmp_path / "b"), demo=True)
    engine = await open_engine(options, load_config(options, {}), {})
    client = await engine.attach(EventBuffer())
    await engine.start_servers()
    try:
        shown = await ModelHandlers(engine, client).table()[FindModels](FindModels())
        assert isinstance(shown, ModelsFound)
        assert [each.name for each in shown.models] == ["offline"]
        assert looked == [1]
    finally:
        await engine.stop()
