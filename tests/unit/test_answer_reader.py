"""Streams cut at every byte and split in every legal way: the same answer or a named failure.

A short run cuts each of them at some of its bytes, with `OMNI_TUI_LONG=1` at all.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.models import _provider_streams
from omni_tui.models._answer_assembler import AnswerAssembler, StreamEnd, judge
from omni_tui.models._provider_streams import AnswerReader
from omni_tui.models.message_history import arguments_of
from tests.lengths import some
from tests.streams import DONE, STREAMS, TOOLS, Stream, chunk, encoded, fragments, halves

NAMES = [tool.name for tool in TOOLS]
BY_NAME = {tool.name: tool for tool in TOOLS}
every = pytest.mark.parametrize("stream", STREAMS, ids=lambda each: f"{each.wire}: {each.name}")


class Outcome(NamedTuple):
    """What became of a stream: `failure` is "" for an answer that is complete."""

    failure: str
    text: str = ""
    thought: str = ""
    calls: tuple[tuple[str, Any], ...] = ()


def read(pieces: Iterable[bytes], kind: str = "") -> Outcome:
    """Return what becomes of bytes that come in these pieces, and then end in an orderly way."""
    reader = AnswerReader(kind, NAMES)
    passed = b"".join([*(reader.feed(piece) for piece in pieces), reader.end()])
    if reader.problem is not None:
        return Outcome(reader.problem.kind)
    collector = AnswerAssembler(NAMES)
    thought = ""
    for delta in _deltas(passed, reader.wire):
        thought += collector.add(delta)[0]
    thought += collector.rest()[0] + collector.late_thought()
    end = StreamEnd(reader.finish, reader.finished, reader.surely_finished)
    message, _, complete = judge(collector, end, BY_NAME)
    calls = tuple((call.name, arguments_of(call)) for call in message.calls)
    return Outcome("" if complete else "unfinished", message.text, thought, calls)


def _deltas(passed: bytes, wire: str) -> Iterator[Any]:
    """Read what goes on to LiteLLM as LiteLLM does: strictly, and calls by their number only."""
    numbers = itertools.count()
    for event in _events(passed, wire):
        text, thought, found = _READ[wire](event, numbers) if wire else (None, None, [])
        yield SimpleNamespace(
            content=text, reasoning_content=thought, tool_calls=found, thinking_blocks=None
        )


_Parts = tuple[str | None, str | None, list[Any]]


def _openai(event: dict[str, Any], _: Iterator[int]) -> _Parts:
    if not event["choices"]:
        return None, None, []
    delta = event["choices"][0]["delta"]
    calls = delta.get("tool_calls", [])
    found = [_fragment(each["index"], each.get("id"), each["function"]) for each in calls]
    return delta.get("content"), delta.get("reasoning_content"), found


def _anthropic(event: dict[str, Any], numbers: Iterator[int]) -> _Parts:
    block, more = event.get("content_block", {}), event.get("delta", {})
    found = []
    if block.get("type") == "tool_use":
        opening = {"name": block["name"], "arguments": ""}
        found = [_fragment(next(numbers), block["id"], opening)]
    elif more.get("type") == "input_json_delta":
        # LiteLLM gives them to the call that was opened last, whatever their index.
        found = [_fragment(None, None, {"arguments": more["partial_json"]})]
    return more.get("text"), more.get("thinking"), found


def _gemini(event: dict[str, Any], numbers: Iterator[int]) -> _Parts:
    text = thought = ""
    found = []
    for part in event["candidates"][0].get("content", {}).get("parts", []):
        if "functionCall" in part:
            call = part["functionCall"]
            whole = {"name": call["name"], "arguments": json.dumps(call["args"])}
            found.append(_fragment(next(numbers), None, whole))
        elif part.get("thought"):
            thought += part["text"]
        else:
            text += part["text"]
    return text, thought, found


def _ollama(event: dict[str, Any], _: Iterator[int]) -> _Parts:
    message = event["message"]
    assert "<think>" not in message["content"]
    assert "</think>" not in message["content"]
    found = []
    for call in message.get("tool_calls", []):
        function = call["function"]
        whole = {**function, "arguments": json.dumps(function["arguments"])}
        found.append(_fragment(call["index"], None, whole))
    return message["content"], message.get("thinking"), found


_READ = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini, "ollama": _ollama}


def _fragment(index: int | None, ident: str | None, function: dict[str, Any]) -> Any:
    named = SimpleNamespace(name=function.get("name"), arguments=function.get("arguments"))
    return SimpleNamespace(index=index, id=ident, function=named)


def _events(passed: bytes, wire: str) -> Iterator[dict[str, Any]]:
    text = passed.decode()
    if wire == "ollama":
        yield from (json.loads(line) for line in text.splitlines())
        return
    for event in text.split("\n\n"):
        data = event.partition("data: ")[2]
        if data and data != "[DONE]":
            yield json.loads(data)


def meant(stream: Stream) -> Outcome:
    """Return what a stream was written to mean."""
    return Outcome("", stream.text, stream.thought, stream.calls)


def assert_as_meant(stream: Stream, found: Outcome) -> None:
    if stream.ends == "whole":
        assert found == meant(stream)
    elif stream.ends == "unfinished":
        assert found.failure == "unfinished"
    else:
        assert found.failure not in ("", "unfinished")


def test_there_are_enough_of_them() -> None:
    count = {
        wire: sum(stream.wire == wire for stream in STREAMS)
        for wire in ("openai", "anthropic", "gemini", "ollama")
    }
    assert sum(count.values()) >= 80
    assert min(count.values()) >= 10
    assert len({(stream.wire, stream.name) for stream in STREAMS}) == len(STREAMS)


@every
def test_whole_it_means_what_it_says(stream: Stream) -> None:
    assert_as_meant(stream, read([stream.bytes()], stream.kind))


@every
def test_it_does_not_matter_where_the_network_cuts(stream: Stream) -> None:
    framed = stream.wire != "ollama" and not stream.content_type
    for line_end in ("\n", "\r\n", "\r") if framed else ("\n", "\r\n"):
        data = stream.bytes(line_end)
        whole = read([data], stream.kind)
        assert_as_meant(stream, whole)
        assert read([data[at : at + 1] for at in range(len(data))], stream.kind) == whole
        if line_end == "\n":
            for at in some(range(1, len(data)), 40):
                assert read([data[:at], data[at:]], stream.kind) == whole, at
    chance = random.Random(stream.name)
    for _ in range(20):
        cuts = sorted(chance.sample(range(len(data) + 1), min(6, len(data))))
        pieces = [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]
        assert read(pieces, stream.kind) == whole, cuts


@every
def test_what_is_cut_off_is_the_same_or_a_failure_and_never_another_call(stream: Stream) -> None:
    data = stream.bytes()
    for at in some(range(len(data)), 80):
        found = read([data[:at]], stream.kind)
        if found.failure:
            continue
        assert stream.ends == "whole", at
        assert found.calls == stream.calls, at
        assert found == meant(stream) or stream.early, at


@every
def test_a_text_may_come_in_two_events_instead_of_one(stream: Stream) -> None:
    for other in halves(stream):
        assert_as_meant(other, read([other.bytes()], other.kind))


@every
def test_comments_and_pings_change_nothing(stream: Stream) -> None:
    if stream.wire == "ollama" or stream.content_type:
        return
    noise = ": keep-alive\n\nevent: ping\ndata:\n\nid: 3\n\n"
    events = [each for event in stream.events for each in (noise, event)]
    other = Stream(stream.name, stream.wire, (*events, noise))
    assert read([other.bytes()], stream.kind) == read([stream.bytes()], stream.kind)


# --- calls written in every manner ---------------------------------------------------------------

VALUES = st.one_of(
    st.integers(-9, 99), st.text(max_size=6), st.none(), st.lists(st.integers(0, 9), max_size=2)
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


@dataclass(frozen=True)
class Manner:
    """How a server writes its calls."""

    index: str
    ident: str
    name: str
    braces: bool
    doubled: bool
    side_by_side: bool
    finish: str | None


MANNERS = st.builds(
    Manner,
    index=st.sampled_from(["all", "first", "none", "zero"]),
    ident=st.sampled_from(["first", "all", "fresh"]),
    name=st.sampled_from(["first", "all", "pieces", "grows", "late"]),
    braces=st.booleans(),
    doubled=st.booleans(),
    side_by_side=st.booleans(),
    finish=st.sampled_from(["tool_calls", "stop", None]),
)


def written(
    number: int, name: str, arguments: dict[str, Any], manner: Manner, cuts: list[int]
) -> list[dict[str, Any]]:
    """Return the fragments of one call."""
    text = json.dumps(arguments)
    text = json.dumps(text) if manner.doubled else text
    at = sorted({min(cut, len(text)) for cut in cuts})
    braces = manner.braces and arguments and not manner.doubled and manner.name != "late"
    texts = ["{}"] if braces else [""]
    texts += [text[a:b] for a, b in itertools.pairwise([0, *at, len(text)])]
    names = {"all": [name] * len(texts), "late": ["", name]}.get(manner.name, [name])
    if manner.name in ("pieces", "grows"):
        names = ["demo__", name[6:] if manner.name == "pieces" else name]
        texts.insert(1, "")
    out = []
    for step, each in enumerate(texts):
        given = names[step] if step < len(names) else ""
        function = {"arguments": each} | ({"name": given} if given else {})
        fragment: dict[str, Any] = {"function": function}
        if manner.ident == "all" or step == 0:
            fragment["id"] = f"call_{number}"
        elif manner.ident == "fresh" and not given and each:
            fragment["id"] = f"call_{number}_{step}"
        if manner.index == "all" or (manner.index == "first" and step == 0):
            fragment["index"] = number
        elif manner.index == "zero":
            fragment["index"] = 0
        out.append(fragment)
    return out


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), ARGUMENTS, st.lists(st.integers(0, 30), max_size=4)),
        min_size=1,
        max_size=4,
    ),
    MANNERS,
    st.randoms(use_true_random=False),
)
def test_calls_are_the_same_in_whatever_manner_they_are_written(
    calls: list[tuple[str, dict[str, Any], list[int]]], manner: Manner, chance: random.Random
) -> None:
    rows = [written(n, name, arguments, manner, cuts) for n, (name, arguments, cuts) in enumerate(calls)]
    pieces = [piece for row in rows for piece in row]
    if manner.side_by_side and manner.index == "all":
        order = [n for n, row in enumerate(rows) for _ in row]
        chance.shuffle(order)
        pieces = [rows[n].pop(0) for n in order]
    events = [fragments(piece) for piece in pieces]
    data = encoded("openai", (*events, chunk({}, manner.finish), DONE))
    found = read([data])
    assert found.calls == tuple((name, arguments) for name, arguments, _ in calls)


# --- what is large -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        b'data: {"choices": [{"delta": {"content": "',
        b'{"choices": [{"message": {"content": "',
        b"[",
        b"data: ",
    ],
)
def test_a_piece_without_end_is_given_up_and_read_once(
    monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    looked = 0
    real = _provider_streams._LINE_END

    class Counting:
        def finditer(self, held: bytearray, at: int) -> Iterator[Any]:
            nonlocal looked
            looked += len(held) - at
            return real.finditer(held, at)

        search = real.search

    monkeypatch.setattr(_provider_streams, "LONGEST_PIECE", 1_000_000)
    monkeypatch.setattr(_provider_streams, "_LINE_END", Counting())
    reader = AnswerReader("", NAMES)
    reader.feed(start)
    fed = 0
    while reader.problem is None:
        reader.feed(b"a" * 1_000)
        fed += 1_000
    assert reader.problem.kind == "large"
    assert fed <= 1_001_000
    assert looked <= fed + len(start)
    assert reader.feed(b"more") == b""


def test_lines_without_end_of_their_event_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_provider_streams, "LONGEST_PIECE", 1_000_000)
    reader = AnswerReader("", NAMES)
    for _ in range(2_000):
        reader.feed(b"data: " + b"a" * 1_000 + b"\n")
    assert reader.problem is not None
    assert reader.problem.kind == "large"


def test_a_long_page_is_a_page() -> None:
    reader = AnswerReader("text/html", NAMES)
    for _ in range(100):
        reader.feed(b"<p>Log in</p>\n" * 1_000)
    assert reader.problem is not None
    assert (reader.problem.kind, len(reader.problem.words)) == ("page", 2_000)
