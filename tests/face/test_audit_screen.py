"""The audit in the face: newest first, a page at a time, filtered, one entry whole."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.audit import AuditEntryScreen, AuditScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.audit import AuditLine, AuditRead, ReadAudit
from omni_tui.protocol.deciders import decider_words
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready

SIZE = (120, 40)


def line(entry: int, **changes: object) -> AuditLine:
    fields: dict[str, object] = {
        "entry": entry, "ts": NOW - 60 + entry, "action": SafeText("approved"), "actor": SafeText("user"),
        "subject": SafeText(f"call-{entry}"), "attempt": 1, "server": SafeText("files"),
        "tool": SafeText("edit_file"), "args_hash": SafeText(f"{entry:04}abcdef"),
        "state": SafeText("approved"),
    }  # fmt: skip
    values = {**fields, **changes}
    by = SafeText(decider_words(str(values["actor"])))
    return AuditLine(**{"by": by, **values})  # type: ignore[arg-type]


class AuditEngine:
    """Answers `ReadAudit` from a list; a page looks at 100 entries."""

    def __init__(self, face: Face, lines: Iterable[AuditLine]) -> None:
        self.lines = sorted(lines, key=lambda each: -each.entry)
        face.link.answers[ReadAudit] = self._read

    def _read(self, command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, ReadAudit)
        left = [each for each in self.lines if not command.before or each.entry < command.before]
        page, rest = left[:100], left[100:]
        words = command.query.split()
        found = [each for each in page if all(word in f"{each.actor} {each.tool}" for word in words)]
        before = page[-1].entry if rest else 0
        return [AuditRead(lines=tuple(found), before=before, total=len(self.lines))]


async def opened(face: Face, pilot: Pilot[None]) -> AuditScreen:
    await face.settle(pilot)
    await pilot.press("slash", *"audit", "enter")
    if not isinstance(face.app.screen, AuditScreen):  # the first one completed the command
        await pilot.press("enter")
    await until(pilot, lambda: isinstance(face.app.screen, AuditScreen))
    screen = face.app.screen
    assert isinstance(screen, AuditScreen)
    await until(pilot, lambda: screen.message == "")
    return screen


def listed(screen: AuditScreen) -> list[str]:
    rows = screen.rows
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


async def test_each_row_says_who_did_what_on_which_bytes() -> None:
    face = Face(ready())
    AuditEngine(face, [
        line(1, actor=SafeText("rule:files-read")),
        line(2, action=SafeText("finished"), actor=SafeText("server"), state=SafeText("succeeded")),
        line(3, action=SafeText("rule added"), subject=SafeText("files-read"), server=SafeText(""),
             tool=SafeText(""), args_hash=SafeText(""), state=SafeText("session")),
    ])  # fmt: skip
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        rule, finished, approved = (row.split() for row in listed(screen)[:3])
        assert "rule added files-read session" in " ".join(rule), "the newest is first"
        assert finished[-2:] == ["succeeded", "0002abcd"]
        assert " ".join(approved[3:]) == "rule files-read approved files › edit_file 0001abcd"


async def test_pages_come_as_the_cursor_goes_down() -> None:
    face = Face(ready())
    AuditEngine(face, [line(n) for n in range(1, 251)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        assert len(screen.rows.keys) == 100
        for count in (200, 250):
            await pilot.press("end")
            await until(pilot, lambda count=count: len(screen.rows.keys) == count)  # type: ignore[misc]
        await pilot.press("end")
        assert screen.rows.selected == "1"


async def test_the_filter_looks_through_all_pages() -> None:
    face = Face(ready())
    AuditEngine(face, [line(n, tool=SafeText("rare" if n == 7 else "read")) for n in range(1, 400)])
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("slash", *"rare")
        await until(pilot, lambda: screen.rows.keys == ["7"])
        await pilot.press(*"x")
        await until(pilot, lambda: not screen.rows.keys)
        assert "No entry has all of these words" in str(screen.query_one("#list-empty", Static).content)
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.rows.keys) == 100)


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_enter_shows_every_field_and_nothing_invisible(size: tuple[int, int]) -> None:
    face = Face(ready())
    hostile = SafeText("no,\nbecause \u202eevil " + "x" * 300)
    AuditEngine(face, [line(1, detail=hostile, def_hash=SafeText("d" * 64), server_fp=SafeText("f" * 64))])
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, AuditEntryScreen))
        view = face.app.screen.query_one("LinesView")
        await until(pilot, lambda: view.count > 0)  # type: ignore[attr-defined]
        rows = [view.render_line(y).text for y in range(view.count)]  # type: ignore[attr-defined]
        text = "".join("".join(rows).split())
        for part in ("d" * 64, "f" * 64, "x" * 300, "call-1", "<U+202E>evil"):
            assert part in text
        assert not any(ord(c) < 32 or c == "\u202e" for row in rows for c in row)


async def test_what_cannot_be_read_is_said() -> None:
    face = Face(ready())
    face.link.refuse(ReadAudit, "it could not be read", todo="look into the log")
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("audit")
        await until(pilot, lambda: isinstance(face.app.screen, AuditScreen))
        screen = face.app.screen
        empty = screen.query_one("#list-empty", Static)
        await until(pilot, lambda: "it could not be read" in str(empty.content))
        await pilot.press("enter", "down", "escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
