"""Budgets stop a request before it passes them; what is used is counted once and kept by day."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from omni_tui.engine.model_files import DAYS, TEXT_FOR_S, DailyUsageFile, ModelQuirksFile
from omni_tui.models.base import Message, ModelRequest
from omni_tui.models.budget import Budget, BudgetExceeded, BudgetLimits, Forecast, UsageTotal, forecast
from omni_tui.models.offline import OfflineModel
from omni_tui.protocol.events import Usage
from tests.scripted_model import ScriptedModel


class Today:
    def __init__(self) -> None:
        self.sum = UsageTotal()

    def today(self) -> UsageTotal:
        return self.sum

    def add(self, usage: Usage) -> None:
        self.sum.add(usage)


def budget(**limits: float) -> Budget:
    return Budget(BudgetLimits(**limits), Today())  # type: ignore[arg-type]


def test_without_limits_nothing_is_stopped() -> None:
    assert budget().hold("t", "m", Forecast(10**9, 10**9, None)) == 1


@pytest.mark.parametrize("span", ["turn", "session", "day"])
def test_a_request_that_would_pass_is_refused_before_it_is_sent(span: str) -> None:
    one = budget(**{f"{span}_tokens": 1_000})
    one.count("t", Usage(input=500, output=200))
    one.free(one.hold("t", "m", Forecast(200, 100)))
    with pytest.raises(BudgetExceeded) as over:
        one.hold("t", "m", Forecast(200, 101))
    assert f"{span}'s budget" in over.value.reason
    assert "700 of 1,000 tokens are used" in over.value.reason
    assert f"/budget {span}_tokens" in over.value.todo
    assert "continue" in over.value.todo


@pytest.mark.parametrize("span", ["turn", "session", "day"])
def test_money_is_held_the_same_way(span: str) -> None:
    one = budget(**{f"{span}_cost": 0.10})
    one.count("t", Usage(input=1, output=1, cost=0.08))
    one.free(one.hold("t", "m", Forecast(1, 1, 0.02)))
    with pytest.raises(BudgetExceeded, match=r"\$0\.0800 of \$0\.1 is used"):
        one.hold("t", "m", Forecast(1, 1, 0.021))


def test_sessions_that_share_a_day_do_not_pass_its_budget_together() -> None:
    today, reserved = Today(), dict[object, Forecast]()
    one, other = (Budget(BudgetLimits(day_tokens=1_000), today, reserved) for _ in range(2))
    held = one.hold("t", "m", Forecast(500, 200))
    with pytest.raises(BudgetExceeded, match="day's budget"):
        other.hold("t", "m", Forecast(300, 100))
    one.free(held)
    other.free(other.hold("t", "m", Forecast(300, 100)))
    assert not reserved


def test_another_turn_has_a_budget_of_its_own() -> None:
    one = budget(turn_tokens=100)
    one.count("t1", Usage(input=100))
    with pytest.raises(BudgetExceeded):
        one.hold("t1", "m", Forecast(1, 0))
    one.hold("t2", "m", Forecast(100, 0))


def test_requests_side_by_side_cannot_pass_it_together() -> None:
    one = budget(session_tokens=100)
    first = one.hold("a", "m", Forecast(40, 20))
    with pytest.raises(BudgetExceeded):
        one.hold("b", "m", Forecast(40, 1))
    one.free(first)
    one.free(first)
    one.hold("b", "m", Forecast(40, 1))


def test_the_built_in_rules_go_on_when_a_budget_is_used_up() -> None:
    one = budget(day_tokens=10, day_cost=0.1)
    one.count("t", Usage(input=50, cost=1.0))
    one.hold("t", "offline", forecast(OfflineModel(), ModelRequest((Message(role="user", text="hi"),))))
    with pytest.raises(BudgetExceeded):
        one.hold("t", "m", forecast(ScriptedModel(), ModelRequest(())))


def test_a_price_that_is_not_known_cannot_be_held() -> None:
    one = budget(day_cost=1.0)
    with pytest.raises(BudgetExceeded) as over:
        one.hold("t", "x/y", Forecast(1, 1, None))
    assert 'input_price and output_price under [models."x/y"]' in over.value.todo


def test_what_was_used_before_a_restart_counts_for_the_session_but_not_again_for_the_day() -> None:
    today = Today()
    one = Budget(BudgetLimits(session_tokens=100), today)
    one.restore(UsageTotal(90, estimated=True), {})
    assert today.today().tokens == 0
    with pytest.raises(BudgetExceeded, match="about 90 of 100"):
        one.hold("t2", "m", Forecast(11, 0))


def test_the_unpriced_are_counted_and_said() -> None:
    total = UsageTotal()
    total.add(Usage(input=5, output=5, cost=0.5))
    total.add(Usage(input=5, output=5))
    total.add(Usage())
    assert (total.tokens, total.cost, total.unpriced) == (20, 0.5, 1)


# --- the day's file -------------------------------------------------------------------------------


def test_a_day_is_the_sum_of_all_who_write(tmp_path: Path) -> None:
    one, other = DailyUsageFile(tmp_path / "m"), DailyUsageFile(tmp_path / "m")
    one.add(Usage(input=10, output=5, cost=0.25))
    one.flush()
    other.add(Usage(input=1, estimated=True))
    assert other.today().tokens == 1
    other.flush()
    assert (other.today().tokens, other.today().cost, other.today().unpriced) == (16, 0.25, 1)
    one.flush()
    assert one.today() == other.today()
    assert DailyUsageFile(tmp_path / "m").today().tokens == 0, "the file is read by flush only"


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    def work() -> None:
        book = DailyUsageFile(tmp_path / "m")
        for _ in range(5):
            book.add(Usage(input=1))
            book.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book = DailyUsageFile(tmp_path / "m")
    book.flush()
    assert book.today().tokens == 20


def test_another_day_begins_at_nothing_and_the_file_stays_small(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    book = DailyUsageFile(tmp_path / "m", lambda: now[0])
    for _ in range(DAYS + 5):
        book.add(Usage(input=7))
        book.flush()
        now[0] += 86_400
    assert book.today().tokens == 0
    text = (tmp_path / "m" / "usage.json").read_text()
    assert text.count("tokens") == DAYS
    assert (tmp_path / "m" / "usage.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"{", b'{"days": 5}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    folder = tmp_path / "m"
    folder.mkdir(mode=0o700)
    for name in ("usage.json", "ways.json"):
        (folder / name).write_bytes(damage)
        (folder / name).chmod(0o600)
    book, ways = DailyUsageFile(folder), ModelQuirksFile(folder)
    book.add(Usage(input=3))
    book.flush()
    assert book.today().tokens == 3
    assert not ways.is_text("a/b")
    ways.remember_text("a/b")
    assert ModelQuirksFile(folder).is_text("a/b")


def test_a_folder_that_cannot_be_used_costs_nothing_but_the_sum(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    book, ways = DailyUsageFile(tmp_path / "m"), ModelQuirksFile(tmp_path / "m")
    book.add(Usage(input=3))
    book.flush()
    assert book.today().tokens == 3
    ways.remember_text("a/b")
    assert ways.is_text("a/b")


def test_a_way_is_forgotten_after_a_month_and_names_nobody(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    ways = ModelQuirksFile(tmp_path / "m", lambda: now[0])
    ways.remember_text("ollama_chat/secret-project at http://10.0.0.5")
    assert ways.is_text("ollama_chat/secret-project at http://10.0.0.5")
    assert "secret" not in (tmp_path / "m" / "ways.json").read_text()
    now[0] += TEXT_FOR_S
    assert not ways.is_text("ollama_chat/secret-project at http://10.0.0.5")
