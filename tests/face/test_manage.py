"""Managing servers from the face: the form, the switches, the wire; at three sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from omni_tui.face import actions
from omni_tui.face.form.server_fields import FormRow
from omni_tui.face.panes.servers import ServerRows
from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.server_form import ServerFormScreen
from omni_tui.face.screens.wire import FrameRows, WireLogScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import ReconnectServer, RemoveServer
from omni_tui.protocol.events import CommandDone, FileSaved, Problem, ServerChanged
from omni_tui.protocol.server_settings import (
    KEPT,
    CheckServer,
    DisableServer,
    EditServer,
    EnableServer,
    KeepSecret,
    ReadServer,
    ServerChecked,
    ServerRead,
    ServerSettings,
)
from omni_tui.protocol.wire_log import (
    ReadWire,
    ReadWireFrame,
    SaveWire,
    SetWireLog,
    WireFrame,
    WireRead,
    WireText,
)
from omni_tui.security.text import safe
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text
from tests.lengths import some

SIZES = [(80, 24), (120, 40), (160, 45)]
GIT = ServerSettings(command="mcp-server-git", args=("--repo", "two words"), env={"A": "${A}", "T": KEPT})
sizes = pytest.mark.parametrize("size", some(SIZES, 1), ids=lambda size: f"{size[0]}x{size[1]}")


def text_of(face: Face) -> str:
    return " ".join(screen_text(face.app).split())


def toasts(face: Face) -> str:
    return " ".join(str(each.message) for each in face.app._notifications)


def form_face(
    settings: ServerSettings = GIT, *, unsaved: str = "", fixed: str = "", problems: Any = ()
) -> Face:
    face = Face(*scenario.whole())
    face.link.answers[ReadServer] = lambda c: [
        ServerRead(name=c.server, settings=settings, revision="r1", unsaved=SafeText(unsaved),  # type: ignore[union-attr]
                   fixed=SafeText(fixed))
    ]  # fmt: skip
    found: Callable[[CheckServer], Any] = problems if callable(problems) else lambda _c: problems
    face.link.answers[CheckServer] = lambda c: [ServerChecked(problems=tuple(found(c)))]  # type: ignore[arg-type]
    return face


async def opened(face: Face, pilot: Pilot[None], key: str, *moves: str) -> None:
    await face.settle(pilot)
    await pilot.press("f2", "home", "down", *moves, key)  # the first row is the failed one
    await pilot.pause()


def row(face: Face, name: str) -> FormRow:
    return face.app.screen.query_one(f"#form-{name}", FormRow)


@sizes
async def test_edit_fills_the_form_and_sends_what_was_changed(size: tuple[int, int]) -> None:
    face = form_face()
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot, "e", "down")
        await until(pilot, lambda: row(face, "command").value == "mcp-server-git")
        assert face.link.sent(ReadServer)[0].server == "git"
        assert row(face, "args").value == "--repo 'two words'"
        assert row(face, "env").value == f"A=${{A}}\nT={KEPT}"
        assert row(face, "command").has_focus_within
        assert not row(face, "url").display
        await pilot.press("end", *"-x")
        await pilot.press("f9")
        await until(pilot, lambda: bool(face.link.sent(EditServer)))
        [sent] = face.link.sent(EditServer)
        assert (sent.name, sent.new, sent.save, sent.revision) == ("git", False, True, "r1")
        assert sent.settings == ServerSettings(
            command="mcp-server-git-x", args=("--repo", "two words"), env={"A": "${A}", "T": KEPT}
        )
        await until(pilot, lambda: face.app.screen is face.app.main)


@sizes
async def test_a_new_server_by_address_checked_while_typing(size: tuple[int, int]) -> None:
    def problems(command: CheckServer) -> list[Problem]:
        bad = command.settings.url and not command.settings.url.startswith("https://")
        return (
            [Problem(where=SafeText("url"), what=SafeText("url must begin with https://"))] if bad else []
        )

    face = form_face(problems=problems)
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot, "n")
        assert isinstance(face.app.screen, ServerFormScreen)
        await pilot.press(*"web", "enter", "right", "enter")
        assert row(face, "url").display
        assert not row(face, "command").display
        await pilot.press(*"http")
        await until(pilot, lambda: "url must begin with https://" in text_of(face))
        await pilot.press("f9")
        await until(pilot, lambda: "correct what is marked" in text_of(face))
        assert face.link.sent(EditServer) == []
        assert row(face, "url").has_focus_within
        await pilot.press(*"s://x/")
        await until(pilot, lambda: "url must begin" not in text_of(face))
        await pilot.press("f9")
        await until(pilot, lambda: bool(face.link.sent(EditServer)))
        [sent] = face.link.sent(EditServer)
        assert (sent.name, sent.new, sent.save) == ("web", True, True)
        assert sent.settings == ServerSettings(url="https://x/")


async def test_a_pasted_command_line_is_taken_apart() -> None:
    face = form_face()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "n")
        await pilot.press(*"web", "enter", "enter")
        assert row(face, "command").has_focus_within
        line = "$ API_URL=https://x npx -y @scope/server '/two words'"
        face.app.post_message(events.Paste(line))
        await until(pilot, lambda: row(face, "command").value == "npx")
        assert row(face, "args").value == "-y @scope/server '/two words'"
        assert row(face, "env").value == "API_URL=https://x"
        assert "was split" in text_of(face)


async def test_what_is_typed_into_the_command_stays_there() -> None:
    face = form_face()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "n")
        await pilot.press(*"web", "enter", "enter", *"my", "space", *"app")
        await pilot.pause()
        assert (row(face, "command").value, row(face, "args").value) == ("my app", "")


async def test_after_a_server_was_added_the_cursor_stands_on_it() -> None:
    face = form_face()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "n")
        await pilot.press(*"web", "enter", "enter", *"x")
        await pilot.press("f9")
        await until(pilot, lambda: face.app.screen is face.app.main)
        web = SafeText("web")
        told = ServerChanged(name="web", label=web, state="connecting", since=0.0, transport="stdio",
                             target=SafeText("x"), source="user")  # fmt: skip
        face.link.emit(told)
        rows = face.app.main.query_one(ServerRows)
        await until(pilot, lambda: rows.selected == "web")


async def test_a_refusal_of_the_engine_leaves_what_was_typed() -> None:
    face = form_face()
    face.link.refuse(EditServer, "config.toml was changed meanwhile")
    async with face.app.run_test(size=(80, 24)) as pilot:
        await opened(face, pilot, "e")
        await until(pilot, lambda: row(face, "command").value != "")
        await pilot.press("end", "x", "f9")
        await until(pilot, lambda: "was changed meanwhile" in text_of(face))
        assert row(face, "command").value == "mcp-server-gitx"
        await pilot.press("escape")
        await until(pilot, lambda: "esc again" in text_of(face))
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_a_projects_server_is_kept_for_the_session_and_the_form_says_so() -> None:
    face = form_face(unsaved="it comes from a project's file, which is never written")
    async with face.app.run_test(size=(80, 24)) as pilot:
        await opened(face, pilot, "e")
        await until(pilot, lambda: "for this session only" in text_of(face))
        assert row(face, "save").value == "no"
        assert not row(face, "save").display  # what would be refused is not offered
        await pilot.press("end", "x", "f9")
        await until(pilot, lambda: bool(face.link.sent(EditServer)))
        assert face.link.sent(EditServer)[0].save is False


async def test_in_the_demo_a_new_server_is_for_this_session_and_the_form_says_so() -> None:
    face = form_face()
    face.link.emit(scenario.ready(demo=True))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await opened(face, pilot, "n")
        await until(pilot, lambda: "added for this session only" in text_of(face))
        assert not row(face, "save").display
        await pilot.press(*"new", "tab", "tab", "x", "f9")
        await until(pilot, lambda: bool(face.link.sent(EditServer)))
        assert face.link.sent(EditServer)[0].save is False


async def test_a_server_nobody_allowed_is_not_started_by_saving_its_form() -> None:
    face = form_face()
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        first = scenario.servers()[0]
        assert isinstance(first, ServerChanged)
        face.link.emit(msgspec.structs.replace(first, state="not_allowed", source="project"))
        await opened(face, pilot, "e")
        await until(pilot, lambda: "not allowed to start yet" in text_of(face))
        await pilot.press("end", "x", "f9")
        await pilot.pause()
        assert face.link.sent(EditServer) == []


async def test_what_cannot_be_changed_is_said_and_not_sent() -> None:
    face = form_face(fixed="it is the bundled one")
    async with face.app.run_test(size=(80, 24)) as pilot:
        await opened(face, pilot, "e")
        await until(pilot, lambda: "cannot be changed here: it is the bundled one" in text_of(face))
        await pilot.press("f9")
        await pilot.pause()
        assert face.link.sent(EditServer) == []


async def test_a_secret_goes_to_the_keyring_and_its_reference_into_the_form() -> None:
    def problems(command: CheckServer) -> list[Problem]:
        clear = command.settings.env.get("API_KEY") == "s3cret"
        what = SafeText("env.API_KEY looks like a secret")
        return [Problem(where=SafeText("env.API_KEY"), what=what)] if clear else []

    face = form_face(ServerSettings(command="x"), problems=problems)
    face.link.answers[KeepSecret] = lambda _c: [
        CommandDone(text=SafeText("keyring:omni-tui/git.env.API_KEY"))
    ]
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "e", "down")
        await until(pilot, lambda: row(face, "command").value == "x")
        row(face, "env").control.focus()
        await pilot.press(*"API_KEY=s3cret", "enter", *"B=1")
        await until(pilot, lambda: "looks like a secret" in text_of(face) and "ctrl+k" in text_of(face))
        await pilot.press("ctrl+k")
        await until(
            pilot, lambda: row(face, "env").value == "API_KEY=keyring:omni-tui/git.env.API_KEY\nB=1"
        )
        [kept] = face.link.sent(KeepSecret)
        assert (kept.server, kept.place, kept.key, kept.value) == ("git", "env", "API_KEY", "s3cret")


async def test_lines_that_cannot_be_read_are_marked() -> None:
    face = form_face(ServerSettings(command="x"))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await opened(face, pilot, "e")
        await until(pilot, lambda: row(face, "command").value == "x")
        await pilot.press("down", *"'open", "down", *"no sign")
        await until(pilot, lambda: row(face, "args").bad and row(face, "env").bad)
        await pilot.press("f9")
        await until(pilot, lambda: "correct what is marked" in text_of(face))
        assert "no closing quotation" in text_of(face)
        assert face.link.sent(EditServer) == []


async def test_the_keys_of_the_pane_switch_and_restart() -> None:
    face = Face(*scenario.whole())
    face.link.answers[DisableServer] = lambda _c: [
        CommandDone(text=SafeText("files is switched off, also there"))
    ]
    async with face.app.run_test(size=(160, 45)) as pilot:
        await opened(face, pilot, "x")
        await until(pilot, lambda: "switched off, also there" in toasts(face))
        assert face.link.sent(DisableServer)[0].save is True
        await pilot.press("R")
        await until(pilot, lambda: bool(face.link.sent(ReconnectServer)))
        assert face.link.sent(ReconnectServer)[0].server == "files"


@pytest.mark.parametrize(
    ("typed", "kind", "server"),
    [
        ("/disable git", DisableServer, "git"),
        ("/enable git", EnableServer, "git"),
        ("/restart git", ReconnectServer, "git"),
        ("/edit git", ReadServer, "git"),
        ("/wire git", ReadWire, "git"),
    ],
)
async def test_slash_commands(typed: str, kind: type[Any], server: str) -> None:
    face = form_face()
    face.link.answers[ReadWire] = lambda _c: [WireRead(server="git", on=False, frames=())]
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press(*typed.replace(" ", "\x00").replace("\x00", " "), "enter")
        await until(pilot, lambda: bool(face.link.sent(kind)))
        assert face.link.sent(kind)[0].server == server


async def test_names_are_completed_after_a_command() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/disable ")
        await until(pilot, lambda: "/disable tracker" in text_of(face) and "/disable git" in text_of(face))
        await pilot.press(*"tr", "tab")
        await pilot.pause()
        assert face.app.main.chat.draft == "/disable tracker"
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(DisableServer)))
        assert face.link.sent(DisableServer)[0].server == "tracker"
        await pilot.press(*"/log gi", "enter")
        await until(pilot, lambda: "git: listening" in text_of(face))


async def test_an_unknown_server_is_said() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/disable nobody", "enter")
        await until(pilot, lambda: "There is no server nobody" in toasts(face))
        assert face.link.sent(DisableServer) == []


async def test_forgetting_takes_it_out_of_the_file_only_if_it_is_there() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        events = [each for each in scenario.whole() if isinstance(each, ServerChanged)]
        for each in events:
            face.link.emit(msgspec.structs.replace(each, digest="as it is shown"))
        await opened(face, pilot, "delete")
        assert isinstance(face.app.screen, ConfirmScreen)
        for each in events:  # it becomes another one while the person is asked
            face.link.emit(msgspec.structs.replace(each, digest="another", source="session"))
        await face.settle(pilot)
        assert "removed from your config file" in face.app.screen._detail
        await pilot.press("y")
        await until(pilot, lambda: bool(face.link.sent(RemoveServer)))
        assert face.link.sent(RemoveServer)[0].save is True
        assert face.link.sent(RemoveServer)[0].digest == "as it is shown"


def test_every_command_has_its_own_name() -> None:
    slashes = [action.slash for action in actions.slash_commands()]
    assert len(slashes) == len(set(slashes))
    assert {"edit", "enable", "disable", "restart", "refresh", "remove", "add", "wire"} <= set(slashes)


# --- the wire


def frame(number: int, method: str = "tools/call", **more: Any) -> WireFrame:
    values: dict[str, Any] = {
        "sent": number % 2 == 1, "kind": "request", "id": SafeText(str(number)), "size": 100 + number,
        "exact": True, "text": SafeText(f'{{"n":{number}}}'), "ts": scenario.NOW + number,
    }  # fmt: skip
    return WireFrame(number=number, method=safe(method), **{**values, **more})


class Wire:
    """An engine's wire log: what is in `frames` is told once it is on."""

    def __init__(self, face: Face, *frames: WireFrame, on: bool = False) -> None:
        self.frames = list(frames)
        self.on = on
        answers = face.link.answers
        answers[ReadWire] = self._read
        answers[SetWireLog] = self._set
        answers[ReadWireFrame] = lambda c: [
            WireText(server="files", number=c.number, text=SafeText(f'{{\n  "whole": {c.number}\n}}'))  # type: ignore[union-attr]
        ]
        answers[SaveWire] = lambda _c: [FileSaved(path="/state/wire/files.jsonl", size=1234)]

    def _read(self, command: Any) -> list[Any]:
        newer = [each for each in self.frames if each.number > command.after] if self.on else []
        more = len(newer) > 50
        return [WireRead(server="files", on=self.on, frames=tuple(newer[:50]), more=more)]

    def _set(self, command: Any) -> list[Any]:
        self.on = command.on
        return [CommandDone(text=SafeText("noted from now on"))]


@sizes
async def test_the_wire_is_off_until_switched_on_and_then_followed(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    wire = Wire(face, frame(1), frame(2, kind="answer", after_ms=12.3))
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot, "w")
        assert isinstance(face.app.screen, WireLogScreen)
        await until(pilot, lambda: "The wire log is off" in text_of(face))
        assert face.link.sent(SetWireLog) == []
        await pilot.press("w")
        await until(pilot, lambda: '"whole": 2' in text_of(face))
        text = text_of(face)
        assert "→ tools/call #1" in text
        assert "← answer to tools/call #2" in text
        assert "12 ms 102 B" in text
        assert "following" in text
        wire.frames.append(frame(3, "ping"))
        await until(pilot, lambda: '"whole": 3' in text_of(face))
        await pilot.press("up")
        await until(pilot, lambda: '"whole": 2' in text_of(face))
        wire.frames.append(frame(4, "ping"))
        await until(pilot, lambda: "ping #4" in text_of(face))
        assert "following" not in text_of(face)
        assert '"whole": 2' in text_of(face)
        await pilot.press("f")
        await until(pilot, lambda: '"whole": 4' in text_of(face))
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_filter_save_and_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    face = Face(*scenario.whole(), folder=str(tmp_path))
    Wire(face, frame(1), frame(2, "notifications/progress"), frame(3, "tools/list"), on=True)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "w")
        rows = face.app.screen.query_one(FrameRows)
        await until(pilot, lambda: len(rows.keys) == 3)
        await pilot.press("slash", *"tools/", "enter")
        await until(pilot, lambda: rows.keys == ["1", "3"])
        assert "2 of 3" in text_of(face)
        await pilot.press("s")
        await until(pilot, lambda: "saved to /state/wire/files.jsonl" in text_of(face))
        await until(pilot, lambda: '"whole": 3' in text_of(face))
        await pilot.press("y")
        await until(pilot, lambda: bool(list(tmp_path.glob("omni-copy-*"))))
        assert next(tmp_path.glob("omni-copy-*")).read_text() == '{\n  "whole": 3\n}'
        await pilot.press("slash", "escape")
        await until(pilot, lambda: len(rows.keys) == 3)
        assert not face.app.screen.query_one("#wire-filter", Input).has_focus


async def test_a_flood_of_frames_is_bounded_and_the_keys_stay_live() -> None:
    face = Face(*scenario.whole())
    wire = Wire(face, *(frame(n) for n in range(1, 3001)), on=True)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "w")
        rows = face.app.screen.query_one(FrameRows)
        await until(pilot, lambda: rows.keys[-1:] == ["3000"])
        assert len(rows.frames) == 2000
        wire.frames += [frame(n, size=14_000_000, exact=False, cut=True) for n in range(3001, 3100)]
        await until(pilot, lambda: rows.keys[-1:] == ["3099"])
        assert "> 14 MB" in text_of(face)
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_hostile_methods_are_drawn_as_text() -> None:
    face = Face(*scenario.whole())
    bad = "\x1b[2J[red]x[/]\u202e"
    Wire(face, frame(1, bad, text=safe(bad), kind="note"), on=True)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "w")
        await until(pilot, lambda: "<U+001B>[2J[red]x[/]<U+202E>" in text_of(face))
