"""When the terminal's bell rings, what its title says, and that nothing else reaches it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.face.attention import BELL_PAUSE_S, LONG_TURN_S, Attention, TerminalWindow
from tests.security.terminal_bytes import Control, not_seen, read


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def arrived(self, stamp: float) -> float:
        return stamp


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attention(clock: Clock) -> Attention:
    return Attention(clock)


def test_it_rings_for_a_person_who_looks_elsewhere_only(attention: Attention) -> None:
    assert not attention.look(["a"], "", focus=True)
    assert attention.look(["a", "b"], "", focus=False)
    assert attention.title("notes") == "(2) Omni TUI · notes"


def test_what_waits_already_rings_once(attention: Attention, clock: Clock) -> None:
    assert attention.look(["a"], "t", focus=False)
    clock.now += 10 * BELL_PAUSE_S
    assert not attention.look(["a"], "t", focus=False)
    assert not attention.look([], "t", focus=False)


def test_many_items_ring_once_in_a_while(attention: Attention, clock: Clock) -> None:
    rings = 0
    for number in range(1000):
        rings += attention.look([str(number)], "", focus=False)
        clock.now += BELL_PAUSE_S / 100
    assert rings == 10


def test_the_end_of_a_long_turn_is_told_and_that_of_a_short_one_is_not(
    attention: Attention, clock: Clock
) -> None:
    attention.look([], "t1", focus=False)
    clock.now += LONG_TURN_S - 1
    assert not attention.look([], "", focus=False)
    assert attention.title("") == "Omni TUI"
    attention.look([], "t2", focus=False)
    clock.now += LONG_TURN_S + 1
    assert attention.look([], "", focus=False)
    assert attention.title("") == "(done) Omni TUI"
    attention.look([], "", focus=True)
    assert attention.title("") == "Omni TUI"


def test_a_long_turn_that_the_person_watched_is_not_told(attention: Attention, clock: Clock) -> None:
    attention.look([], "t1", focus=True)
    clock.now += LONG_TURN_S + 1
    assert not attention.look([], "", focus=True)
    assert attention.title("x") == "Omni TUI · x"


class Screen:
    """What was written."""

    def __init__(self) -> None:
        self.tape = ""

    def write(self, data: str) -> None:
        self.tape += data

    @property
    def controls(self) -> list[Control | str]:
        return list(read(self.tape.encode("utf-8", "surrogatepass")))


def test_the_title_is_saved_before_and_restored_after() -> None:
    screen = Screen()
    window = TerminalWindow(screen.write)
    window.show("early")  # the app does not have the terminal yet
    assert screen.tape == ""
    window.terminal_taken()
    window.show("late")
    window.show("late")
    window.terminal_left()
    window.show("while an editor has the terminal")
    window.ring()
    window.terminal_taken()
    window.ring()
    window.terminal_left()
    window.terminal_left()
    what = [(each.kind, each.what, each.data) for each in screen.controls if isinstance(each, Control)]
    assert what == [
        ("CSI", "22;2t", "22;2"),
        ("OSC", "2", "2;early"),
        ("OSC", "2", "2;late"),
        ("OSC", "2", "2;"),
        ("CSI", "23;2t", "23;2"),
        ("CSI", "22;2t", "22;2"),
        ("OSC", "2", "2;while an editor has the terminal"),
        ("C0", "U+0007", ""),
        ("OSC", "2", "2;"),
        ("CSI", "23;2t", "23;2"),
    ]


def test_without_a_title_nothing_is_written() -> None:
    screen = Screen()
    window = TerminalWindow(screen.write)
    window.terminal_taken()
    window.terminal_left()
    assert screen.tape == ""


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_text_gets_out_of_the_title(text: str) -> None:
    screen = Screen()
    window = TerminalWindow(screen.write)
    window.terminal_taken()
    window.show(text)
    controls = screen.controls
    assert all(
        isinstance(each, Control) and each.sort in {("OSC", "2"), ("CSI", "22;2t")} for each in controls
    )
    for each in controls:
        assert isinstance(each, Control)
        assert not_seen(each.data) == set()
        assert len(each.data) < 100
