"""What the bytes of a terminal come to: a paste is one paste, however it is cut, and presses no key."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from textual import events
from textual.message import Message

from omni_tui.face import driver
from omni_tui.face.driver import GuardedParser, TerminalDriver

START, END = "\x1b[200~", "\x1b[201~"
LOG = "build log:\n\x1b[31merror\x1b[0m\nno such file\nsecond \x1b[1mbold\x1b[0m line\nA\rlast"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the reads, moved by hand."""
    now = [100.0]
    monkeypatch.setattr(driver, "get_time", lambda: now[0])
    monkeypatch.setattr("textual._parser.get_time", lambda: now[0])
    return now


def said(messages: Iterable[Message]) -> list[str]:
    """Pastes in full, keys by their names."""
    out: list[str] = []
    for message in messages:
        if isinstance(message, events.Paste):
            out.append(f"paste {message.text!r}")
        elif isinstance(message, events.Key):
            out.append(message.key)
        else:
            out.append(type(message).__name__)
    return out


def read(*reads: str, clock: list[float] | None = None, apart: float = 1.0) -> list[str]:
    parser = GuardedParser()
    messages: list[Message] = []
    for one in reads:
        messages += parser.feed(one)
        if clock is not None:
            clock[0] += apart
            messages += parser.tick()
    return said(messages)


def text_of(events_said: list[str]) -> str:
    import ast

    assert all(one.startswith("paste ") for one in events_said), events_said
    return "".join(ast.literal_eval(one.removeprefix("paste ")) for one in events_said)


@pytest.mark.parametrize("cut", range(1, len(START + LOG + END)))
def test_a_paste_with_escapes_is_one_paste_wherever_it_is_cut(cut: int) -> None:
    whole = START + LOG + END
    assert read(whole[:cut], whole[cut:]) == [f"paste {LOG!r}"]


@pytest.mark.parametrize(
    "inside",
    [
        "\x1bA", "\x1b\r", "\x1b[A", "\x1b[13u", "\x1bOM", "\x1b[27;2;13~", "\x1b[<0;1;1M", "\x1b[I",
        "\x1b]52;c;QQ==\x07", "\x1b", "\x1b\x1b\x1b", "\x1b[20", "\x1b[200~", "~", "\x1b[201", "A\rR\r",
    ],
)  # fmt: skip
def test_nothing_inside_a_paste_is_a_key(inside: str) -> None:
    assert read(f"{START}a{inside}b{END}") == [f"paste {'a' + inside + 'b'!r}"]
    assert read(*f"{START}a{inside}b{END}") == [f"paste {'a' + inside + 'b'!r}"]


@pytest.mark.parametrize("after", ["\r", "A", "A\r", "\x1b[13u", "\x1bOM", "/quit\r", "\x1b[A\r", "\x1b\r"])
def test_a_paste_that_holds_its_own_end_presses_nothing(after: str) -> None:
    """The oldest trick: the text in the clipboard closes the paste itself and goes on with a key."""
    for before in ("", "ls"):
        came = read(f"{START}{before}{END}{after}{END}")
        assert all(one.startswith("paste ") for one in came), came


def test_a_paste_that_lost_its_end_gives_its_text_and_the_keys_live_on(clock: list[float]) -> None:
    assert read(f"{START}half", "x", clock=clock, apart=2.0) == ["paste 'half'", "x"]


def test_keys_before_and_after_a_paste_stay_keys(clock: list[float]) -> None:
    assert read(f"ab{START}text{END}", "\r", clock=clock) == ["a", "b", "paste 'text'", "enter"]


@pytest.mark.parametrize(
    "burst",
    [
        "first line\rsecond line\rthird line",
        "/quit\r",
        "rm -rf\n",
        "hello\tworld\r",
        "می\u200cخواهم\r",
        "jjjjjj",
    ],
)
def test_what_comes_in_one_burst_is_text(burst: str) -> None:
    assert read(burst) == [f"paste {burst!r}"]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("ab\r", ["a", "b", "enter"]),
        ("hello", list("hello")),
        ("\r" * 8, ["enter"] * 8),
        ("\x7f" * 9, ["backspace"] * 9),
        ("\x1b[A" * 4, ["up"] * 4),
        ("\x1bOP", ["f1"]),
        ("\x1b[<0;3;4M\x1b[<0;3;4m", ["MouseMove", "MouseMove"]),
    ],
)
def test_keys_stay_keys(typed: str, keys: list[str]) -> None:
    assert [
        one.replace("MouseDown", "MouseMove").replace("MouseUp", "MouseMove") for one in read(typed)
    ] == keys


def test_a_burst_with_colours_keeps_them_and_presses_none_of_its_keys() -> None:
    assert text_of(read(LOG)) == LOG


def test_the_mouse_within_a_burst_is_the_mouse() -> None:
    came = read("hello \x1b[<35;3;4Mworld\r")
    assert came == ["paste 'hello '", "MouseMove", "paste 'world\\r'"]


def test_a_key_before_a_burst_is_a_key() -> None:
    assert read("\x1bOShello world\r") == ["f4", "paste 'hello world\\r'"]


def test_the_last_piece_of_a_long_paste_belongs_to_it(clock: list[float]) -> None:
    assert text_of(read("x" * 4096, "\r", clock=clock, apart=0.03)) == "x" * 4096 + "\r"
    clock[0] += 10
    assert read("hello world", "\r", clock=clock, apart=0.3)[1] == "enter"


def test_the_keys_of_one_read_bear_one_time_and_others_another(clock: list[float]) -> None:
    parser = GuardedParser()
    first = [message.time for message in parser.feed("xA")]
    clock[0] += 1
    (second,) = [message.time for message in parser.feed("A")]
    assert first[0] == first[1] != second


@pytest.mark.parametrize("one", ["\u200c", "\u200d", "\U0001fae8", "\xa0", "\u2028"])
def test_a_typed_character_that_textual_calls_unprintable_is_text(one: str) -> None:
    assert read(one) == [f"paste {one!r}"]
    assert read(f"\x1b[{ord(one)};;{ord(one)}u") == [f"paste {one!r}"]


@pytest.mark.parametrize(
    ("sequence", "keys"),
    [
        ("\x1b[27;2;13~", ["shift+enter"]),
        ("\x1b[27;5;13~", ["ctrl+enter"]),
        ("\x1b[27;2;65~", ["A"]),
        ("\x1b[27;2;33~", ["exclamation_mark"]),
        ("\x1b[27;5;97~", ["ctrl+a"]),
        ("\x1b[27;3;13~", ["alt+enter"]),
        ("\x1b[27;2;99999999~", []),
        ("\x1b[13;2u", ["shift+enter"]),
    ],
)
def test_modify_other_keys_is_read(sequence: str, keys: list[str]) -> None:
    assert read(sequence) == keys
    assert read(*sequence) == keys


def test_what_a_terminal_answers_is_nobodys_typing() -> None:
    assert read("\x1b]11;rgb:0000/0000/0000\x07", "\x1bP>|xterm(390)\x1b\\", "a") == ["a"]


def test_nul_is_dropped_and_a_paste_beyond_all_use_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MAX_PASTE", 10)
    assert read(f"{START}a\x00{'b' * 50}{END}") == [f"paste {'a' + 'b' * 8!r}"]


# --- what came after a key


def test_input_after_a_key_is_known_whoever_has_it() -> None:
    """In the terminal, being read, or read: at no instant between the two ends does it go unnoticed."""
    end, other = os.pipe()
    try:
        terminal = TerminalDriver.__new__(TerminalDriver)
        terminal.fileno, terminal._reading, terminal._read_at = end, False, 10.0
        assert not terminal.input_since(10.0)
        os.write(other, b"x")
        assert terminal.input_since(10.0)
        terminal._reading = True
        os.read(end, 10)
        assert terminal.input_since(10.0)
        terminal._read_at, terminal._reading = 11.0, False
        assert terminal.input_since(10.0)
        assert not terminal.input_since(11.0)
    finally:
        os.close(end)
        os.close(other)
    assert terminal.input_since(11.0)  # a terminal that cannot be asked may hold anything
