"""What is kept of results, for how long, and what empties it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni_tui.config.sections import ToolsSection
from omni_tui.memory import CallRow
from omni_tui.servers.base import ToolDefinition
from omni_tui.tools.catalogue import Tool
from omni_tui.tools.result_cache import ResultCache
from omni_tui.tools.tool_settings import ToolSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tool(name: str, **more: object) -> Tool:
    made = Tool(
        definition=ToolDefinition("s", name),
        def_hash="d",
        server_fp="f",
        server_trust="unchanged",
        trust="unchanged",
        risk="read" if name.startswith("read") else "write",
        model_name=name,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def row(name: str = "read", **more: object) -> CallRow:
    made = CallRow("c", "t", 1, "root", "agent", "s", name, "f", "d", b"{}", "args", "approved")
    return replace(made, **more)  # type: ignore[arg-type]


class Bench:
    def __init__(
        self, allowed: bool = True, size: int = 10_000, entries: int = 3, **section: object
    ) -> None:
        self.tools = {name: tool(name) for name in ("read", "read2", "write", "slow")}
        self.clock = Clock()
        settings = ToolSettings(ToolsSection.model_validate(section))
        self.cache = ResultCache(
            settings,
            lambda _server, name: self.tools.get(name),
            lambda _server: allowed,
            clock=self.clock,
            size=size,
            entries=entries,
        )

    def run(self, made: CallRow, text: str = "answer") -> None:
        mark = self.cache.began(made)
        self.cache.touched(made.server, made.tool)
        self.cache.keep(mark, text.encode(), (), text)

    def text(self, made: CallRow) -> str | None:
        found = self.cache.find(made)
        return found[0].text if found else None


def test_a_read_is_kept_and_its_age_told() -> None:
    bench = Bench()
    bench.run(row())
    bench.clock.now = 12.0
    found = bench.cache.find(row())
    assert found is not None
    assert (found[0].text, found[1]) == ("answer", 12.0)
    bench.clock.now = 300.0
    assert bench.text(row()) is None


@pytest.mark.parametrize(
    "other",
    [{"args_hash": "x"}, {"def_hash": "x"}, {"server_fp": "x"}, {"server": "x"}, {"origin": "hand"}],
)
def test_another_call_does_not_find_it(other: dict[str, str]) -> None:
    bench = Bench()
    bench.run(row())
    assert bench.text(row(**other)) is None


def test_what_writes_is_not_kept_unless_the_person_says_so() -> None:
    bench = Bench(cacheable=["s/slow"])
    for name in ("write", "slow"):
        bench.run(row(name))
    assert bench.text(row("write")) is None
    assert bench.text(row("slow")) == "answer"


@pytest.mark.parametrize("changed", [{"trust": "changed"}, {"trust": "new"}, {"server_trust": "changed"}])
def test_a_tool_that_is_not_trusted_is_not_kept(changed: dict[str, str]) -> None:
    bench = Bench()
    bench.tools["read"] = tool("read", **changed)
    bench.run(row())
    assert bench.text(row()) is None


def test_a_server_that_was_not_allowed_is_not_kept_and_zero_is_off() -> None:
    for bench in (Bench(allowed=False), Bench(cache_ttl=0.0)):
        bench.run(row())
        assert bench.text(row()) is None
        assert len(bench.cache) == 0


def test_a_write_empties_its_server() -> None:
    bench = Bench()
    bench.run(row())
    bench.run(row("write"))
    assert bench.text(row()) is None


def test_a_read_that_ran_while_something_wrote_is_not_kept() -> None:
    bench = Bench()
    read = bench.cache.began(row())
    bench.cache.began(row("write"))
    bench.cache.keep(read, b"old", (), "old")
    assert bench.text(row()) is None
    read = bench.cache.began(row())  # begins while the write runs, and is back before its end
    bench.cache.keep(read, b"old", (), "old")
    bench.cache.touched("s", "write")
    assert bench.text(row()) is None


def test_other_definitions_empty_it_and_the_same_do_not() -> None:
    bench = Bench()
    bench.cache.listed("s", {"read": "d"})
    bench.run(row())
    bench.cache.listed("s", {"read": "d"})
    assert bench.text(row()) == "answer"
    bench.cache.listed("s", {"read": "d", "more": "e"})
    assert bench.text(row()) is None


def test_clearing_all_reaches_what_is_under_way() -> None:
    bench = Bench()
    bench.run(row())
    under_way = bench.cache.began(row("read2"))
    assert bench.cache.clear() == 1
    bench.cache.keep(under_way, b"x", (), "x")
    assert len(bench.cache) == 0


def test_it_is_bounded_in_entries_and_bytes() -> None:
    bench = Bench()
    for number in range(5):
        bench.run(row(args_hash=str(number)))
    assert len(bench.cache) == 3
    assert bench.text(row(args_hash="4")) == "answer"
    bench.run(row(args_hash="big"), "x" * 20_000)
    assert bench.text(row(args_hash="big")) is None
    small = Bench(size=1_000, entries=100)
    for number in range(50):
        small.run(row(args_hash=str(number)), "x" * 100)
    assert len(small.cache) <= 3
