"""The breaker of a model, and the way along a chain of models."""

from __future__ import annotations

import pytest

from omni_tui.models.base import ErrorKind, ModelError
from omni_tui.models.model_chain import ChainCursor, ModelBreakers, ModelChain
from omni_tui.resilience.breaker import FIRST_PAUSE_S, LASTING_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker
from tests.scripted_model import ScriptedModel


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def error(kind: ErrorKind = "transient", status: int | None = None) -> ModelError:
    return ModelError(kind, f"it is {kind}", todo="wait", status=status)


# --- the breaker ----------------------------------------------------------------------------------


def test_a_breaker_opens_is_probed_by_one_and_closes() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    assert breaker.take()
    breaker.failed("down", at_once=True)
    assert (breaker.state, breaker.reason) == ("open", "down")
    assert breaker.wait_s == FIRST_PAUSE_S
    assert not breaker.take()
    clock.now += FIRST_PAUSE_S
    assert breaker.state == "half_open"
    assert breaker.take()
    assert not breaker.take(), "one probe at a time"
    breaker.succeeded()
    assert (breaker.state, breaker.wait_s, breaker.reason) == ("closed", 0.0, "")


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.failed("down", at_once=True)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.wait_s)
        clock.now += breaker.wait_s
        assert breaker.take()
        breaker.failed("down", at_once=False)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_what_seldom_mends_by_waiting_pauses_longer_and_a_few_cuts_open_it_too() -> None:
    breaker = CircuitBreaker(Clock())
    breaker.failed("no credit", at_once=True, lasting=True)
    assert breaker.wait_s == LASTING_PAUSE_S
    other = CircuitBreaker(Clock())
    other.failed("cut", at_once=False)
    other.failed("cut", at_once=False)
    assert other.take()
    other.failed("cut", at_once=False)
    assert not other.take()


def test_a_probe_that_was_given_up_says_nothing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.failed("down", at_once=True)
    assert breaker.take(force=True)
    breaker.released()
    assert breaker.state == "open"
    clock.now += FIRST_PAUSE_S
    assert breaker.take()


# --- the walk -------------------------------------------------------------------------------------


def chain(clock: Clock | None = None, windows: tuple[int | None, ...] = (None, None, None)) -> ModelChain:
    clock = clock or Clock()
    made = {name: ScriptedModel(name=name, window=size) for name, size in zip("abc", windows, strict=True)}
    return ModelChain(
        made["a"], ["b", "a", "c", "b"], made.__getitem__, ModelBreakers(make=lambda: CircuitBreaker(clock))
    )


@pytest.mark.parametrize("kind", ["auth", "quota", "permanent", "transient"])
def test_errors_of_the_model_lead_to_the_next(kind: ErrorKind) -> None:
    models = chain()
    walk = ChainCursor(models)
    assert walk.begin() is None
    step = walk.failed(error(kind))
    assert step is not None
    assert (step.model, step.to, step.reason) == ("a", "b", f"it is {kind}")
    assert walk.model.name == "b"
    assert walk.label == "b, in the place of a"
    assert models.breakers.of("a").state == "open"
    assert len(models) == 3


@pytest.mark.parametrize("kind", ["request", "cut", "tools"])
def test_errors_of_the_request_and_cut_answers_end_there(kind: ErrorKind) -> None:
    models = chain()
    walk = ChainCursor(models)
    walk.begin()
    assert walk.failed(error(kind)) is None
    assert walk.model.name == "a"
    assert models.breakers.of("a").state == "closed"


def test_a_model_that_does_not_exist_leads_to_the_next() -> None:
    walk = ChainCursor(chain())
    walk.begin()
    assert walk.failed(error("request", 404)) is not None


def test_an_overflow_goes_to_a_larger_window_only() -> None:
    for windows, to in (((100, 50, 200), "c"), ((100, 100, None), ""), ((None, 500, 500), "")):
        models = chain(windows=windows)
        walk = ChainCursor(models)
        walk.begin()
        step = walk.failed(error("overflow"))
        assert (step.to if step else "") == to
        assert models.breakers.of("a").state == "closed"


def test_the_next_turn_passes_over_who_is_left_alone_and_says_so_and_probes_later() -> None:
    clock = Clock()
    models = chain(clock)
    first = ChainCursor(models)
    first.begin()
    first.failed(error())
    first.succeeded()
    step = ChainCursor(models).begin()
    assert step is not None
    assert (step.model, step.to) == ("a", "b")
    assert "left alone for another 15 s: it is transient" in step.reason
    clock.now += FIRST_PAUSE_S
    walk, beside = ChainCursor(models), ChainCursor(models)
    assert walk.begin() is None
    assert (walk.model.name, walk.probing) == ("a", True)
    assert beside.begin() is not None, "one probe at a time: who asks beside it goes to the next"
    walk.succeeded()
    assert models.breakers.of("a").state == "closed"
    assert ChainCursor(models).begin() is None


def test_within_a_turn_nobody_goes_back() -> None:
    walk = ChainCursor(chain())
    walk.begin()
    walk.failed(error())
    walk.succeeded()
    assert walk.begin() is None
    assert walk.model.name == "b"


def test_where_nothing_else_is_left_the_model_is_probed_all_the_same() -> None:
    alone = ScriptedModel(name="a")
    models = ModelChain(alone, [], lambda name: alone, ModelBreakers(make=lambda: CircuitBreaker(Clock())))
    walk = ChainCursor(models)
    walk.begin()
    assert walk.failed(error()) is None
    again = ChainCursor(models)
    assert again.begin() is None
    assert again.probing


def test_all_of_them_down_ends_with_the_last_error() -> None:
    walk = ChainCursor(chain())
    walk.begin()
    assert walk.failed(error()) is not None
    assert walk.failed(error()) is not None
    assert walk.failed(error()) is None


def test_a_change_of_a_breaker_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    breakers = ModelBreakers(lambda name, breaker: told.append((name, breaker.state)))
    breakers.succeeded("a")
    breakers.failed("a", error())
    breakers.succeeded("a")
    breakers.succeeded("a")
    assert told == [("a", "open"), ("a", "closed")]


def test_a_model_without_a_chain_just_fails() -> None:
    walk = ChainCursor(ScriptedModel(name="a"))
    assert walk.begin() is None
    assert walk.failed(error()) is None
    walk.succeeded()
    walk.released()
    assert walk.label == ""
