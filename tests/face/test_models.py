"""Choosing a model, standing in for one, what was spent: as a person sees it."""

from __future__ import annotations

import pytest

from omni_tui.face.messages import RunAction
from omni_tui.face.overview import Overview
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import NoticeItem, TextItem
from omni_tui.face.widgets.status import right_parts
from omni_tui.protocol import SafeText
from omni_tui.protocol import events as ev
from omni_tui.protocol.commands import SetModel
from omni_tui.protocol.models import (
    FindModels,
    ModelChoice,
    ModelFellBack,
    ModelsFound,
    SetBudget,
    Spending,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_manage import text_of

FOUND = (
    ModelChoice(
        name="anthropic/clever", label=SafeText("anthropic/clever"), because=SafeText("your config"),
        costs_money=True, current=True, state="open", wait_s=14.0,
    ),
    ModelChoice(
        name="ollama_chat/qwen3", label=SafeText("ollama_chat/qwen3"),
        because=SafeText("Ollama on this machine (port 11434)"), costs_money=False,
    ),
)  # fmt: skip
SPENT = Spending(session_tokens=900, session_cost=0.5, day_tokens=90_000, day_cost=1.5, day_cost_limit=2.0)
FELL = ModelFellBack(
    turn="t", model=SafeText("a/big"), to=SafeText("b/small"), reason=SafeText("no credit"), ts=1.0
)


def line(overview: Overview, *, wide: bool = True) -> str:
    overview.ready = ev.EngineReady(
        version="1", pid=1, head=0, log_path="", state_dir="", config_path="", first_run=False,
        encryption=SafeText(""), mode="chat", model=SafeText("a/big"), model_label=SafeText(""),
    )  # fmt: skip
    return " ".join(part.plain for _, part in right_parts(overview, wide=wide))


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (80, 24)])
async def test_models_are_listed_with_why_and_enter_uses_one(size: tuple[int, int]) -> None:
    face = Face(scenario.ready())
    face.link.answers[FindModels] = lambda _: [ModelsFound(models=FOUND)]
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        face.app.post_message(RunAction("model"))
        await until(pilot, lambda: "esc back" in text_of(face))
        text = text_of(face)
        assert "● anthropic/clever" in text
        assert "costs money" in text
        if size[0] >= 120:
            assert "paused 14 s" in text
            assert "Ollama on this machine (port 11434)" in text
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(face.link.sent(SetModel)))
        assert face.link.sent(SetModel)[-1].name == "ollama_chat/qwen3"


async def test_the_model_that_answers_already_is_not_set_again() -> None:
    face = Face(scenario.ready(model=SafeText("anthropic/clever")))
    face.link.answers[FindModels] = lambda _: [ModelsFound(models=FOUND)]
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.app.post_message(RunAction("models"))
        await until(pilot, lambda: "esc back" in text_of(face))
        await pilot.press("enter")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert face.link.sent(SetModel) == []


async def test_a_budget_is_set_and_nonsense_is_not_sent() -> None:
    face = Face(scenario.ready(), SPENT)
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        for words in ("", "nonsense 5", "day_cost much", "day_cost $2.50"):
            face.app.post_message(RunAction("budget", words))
        await until(pilot, lambda: bool(face.link.sent(SetBudget)))
        assert [(sent.key, sent.value) for sent in face.link.sent(SetBudget)] == [("day_cost", 2.5)]


def test_the_words_about_spending() -> None:
    overview = Overview()
    assert "Usage is not known yet" in overview.spending_summary()
    overview.apply(SPENT)
    words = overview.spending_summary()
    assert "this session 900 tokens, $0.5000" in words
    assert "today 90,000 tokens, $1.5000 of $2" in words


def test_the_top_bar_shows_the_day_and_who_stands_in() -> None:
    overview = Overview(tokens=900)
    assert "today" not in line(overview)
    overview.apply(SPENT)
    assert "$1.50 today" in line(overview)
    assert "today" not in line(overview, wide=False)
    overview.apply(FELL)
    assert "→ small" in line(overview)
    overview.apply(ev.TurnStarted(turn="t2", mode="chat", model=SafeText("a/big")))
    assert "→" not in line(overview)


def test_the_transcript_says_who_answers_in_whose_place() -> None:
    fold = Fold()
    fold.apply(FELL)
    (item,) = fold.items
    assert isinstance(item, NoticeItem)
    assert (item.what, item.why) == ("b/small answers instead of a/big", "no credit")


def test_a_streamed_answer_that_was_a_thought_is_shown_as_one_only() -> None:
    fold = Fold()
    fold.apply(ev.AnswerDelta(turn="t", message="m", text=SafeText("I add.")))
    fold.apply(ev.Thought(turn="t", message="m", text=SafeText("I add.")))
    fold.apply(ev.TurnEnded(turn="t", status="done"))
    shown = [item for item in fold.items if isinstance(item, TextItem) and not item.hidden]
    assert [item.kind for item in shown] == ["thought"]
