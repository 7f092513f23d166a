"""Parts saved and opened at the engine: with an opener of our own, with lies, with none at all."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_tui.engine import files
from omni_tui.engine.files import FOLDER, desktop_environ, no_display_reason, sweep_opened
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import media as m
from omni_tui.protocol import prompts_and_resources as o
from omni_tui.servers.reaper import start_time
from tests.engine.rig import Rig, rig
from tests.unit.test_media import HTML, PNG, SAMPLES, SVG

SERVER = str(Path(__file__).parent / "faults" / "media.py")
WAV = SAMPLES["audio/wav"]
BAD = "\x1b]52;c;aGk=\x07\u202e../../etc/cron.d/x"


def block(data: bytes, mime: str, kind: str = "image") -> dict[str, object]:
    return {"type": kind, "data": base64.b64encode(data).decode(), "mimeType": mime}


@contextlib.asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    args = json.dumps(["-I", "-S", SERVER])
    config = f"[servers.s]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n"
    async with rig(folder, demo=False, config=config, **options) as engine:
        await engine.connected("s")
        yield engine


async def called(engine: Rig, arguments: object) -> str:
    text = JsonText(json.dumps(arguments))
    reply = await engine.ask(c.CallTool(server="s", tool="give", arguments_json=text))
    assert isinstance(reply, e.CommandDone), reply
    await engine.until(e.CallFinished, lambda event: event.call == reply.id)
    return reply.id


async def given(engine: Rig, *blocks: object) -> str:
    return await called(engine, {"blocks": blocks})


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A display, and an `xdg-open` that notes its arguments and environment; returns the note's path."""
    programs = tmp_path / "programs"
    programs.mkdir()
    note = tmp_path / "note"
    write_opener(programs, f'printf "%s\\n" "$#" "$1" > {note}; env > {note}.env; cp "$1" {note}.data')
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("SSH_CONNECTION", "SSH_TTY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return note


def write_opener(folder: Path, script: str) -> Path:
    program = folder / "xdg-open"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


# --- opening


async def test_a_picture_and_a_sound_are_opened_from_a_private_file(
    tmp_path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"), block(WAV, "audio/x-wav", "audio"))
        for part, data, suffix in ((0, PNG, ".png"), (1, WAV, ".wav")):
            reply = await engine.ask(m.OpenPart(source=call, part=part))
            assert isinstance(reply, m.PartOpened), reply
            assert (reply.by, reply.why, reply.size) == ("xdg-open", "", len(data))
            path = Path(reply.path)
            assert desk.read_text().splitlines() == ["1", str(path)]
            assert Path(f"{desk}.data").read_bytes() == path.read_bytes() == data
            assert path.suffix == suffix
            assert path.is_relative_to(tmp_path / "state" / FOLDER)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            for folder in (path.parent, path.parent.parent):
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    told = Path(f"{desk}.env").read_text()
    assert "DISPLAY=:0" in told
    assert "sk-0123456789abcdef" not in told


@pytest.mark.parametrize(
    ("data", "mime", "why"),
    [
        (HTML, "image/png", "its bytes are something else"),
        (SVG, "image/svg+xml", "only pictures"),
        (HTML, "text/html", "only pictures"),
        (PNG, "application/x-desktop", "only pictures"),
        (PNG, "image/jpeg", "its bytes are image/png"),
        (b"#!/bin/sh\nreboot", "audio/mpeg", "its bytes are something else"),
        (PNG, BAD, "only pictures"),
        (b"", "image/png", "it is empty"),
    ],
)
async def test_lies_and_other_types_are_never_opened(
    tmp_path: Path, desk: Path, data: bytes, mime: str, why: str
) -> None:
    async with running(tmp_path) as engine:
        call = await given(engine, block(data, mime))
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, e.CommandFailed)
        assert why in reply.what
        assert not {"\x1b", "\u202e", "\x07"} & set(reply.what)
        checked = await engine.ask(m.CheckPart(source=call))
        assert isinstance(checked, m.PartChecked)
        assert why in checked.why
        assert not {"\x1b", "\u202e", "\x07"} & set(checked.why)
    assert not desk.exists()
    assert not (tmp_path / "state" / FOLDER).exists(), "nothing was written for another program"


async def test_text_and_what_is_not_there_is_refused(tmp_path: Path, desk: Path) -> None:
    async with running(tmp_path) as engine:
        call = await given(engine, {"type": "text", "text": "x", "data": "iVBORw0KGgo="})
        for command in (
            m.OpenPart(source=call),
            m.OpenPart(source=call, part=-1),
            m.OpenPart(source=call, part=7),
            m.OpenPart(source="nothing"),
            m.OpenPart(source="r-0", of="resource"),
            m.OpenPart(source=call, of="resource"),
        ):
            assert isinstance(await engine.ask(command), e.CommandFailed)
    assert not desk.exists()


async def test_a_resource_that_was_read_is_opened(tmp_path: Path, desk: Path) -> None:
    async with running(tmp_path) as engine:
        blob = base64.b64encode(PNG).decode()
        good = await engine.ask(o.OpenResource(server="s", uri=f"a://../../x?image/png&{blob}"))
        assert isinstance(good, o.ResourceOpened), good
        reply = await engine.ask(m.OpenPart(source=good.id, of="resource"))
        assert isinstance(reply, m.PartOpened), reply
        assert Path(reply.path).read_bytes() == PNG
        lie = await engine.ask(o.OpenResource(server="s", uri=f"a://x?image/gif&{blob}"))
        assert isinstance(lie, o.ResourceOpened)
        assert isinstance(await engine.ask(m.OpenPart(source=lie.id, of="resource")), e.CommandFailed)
        (tmp_path / "here").mkdir()
        saved = await engine.ask(o.SaveResourcePart(id=good.id, path=str(tmp_path / "here")))
        assert isinstance(saved, e.FileSaved)
        assert saved.path == str(tmp_path / "here" / "resource.png")


async def test_embedded_resources_are_opened_too(tmp_path: Path, desk: Path) -> None:
    async with running(tmp_path) as engine:
        inner = {"uri": BAD, "mimeType": "image/png", "blob": base64.b64encode(PNG).decode()}
        call = await given(engine, {"type": "resource", "resource": inner})
        assert isinstance(await engine.ask(m.OpenPart(source=call)), m.PartOpened)
    assert Path(f"{desk}.data").read_bytes() == PNG


async def test_ten_megabytes_are_opened_and_saved(tmp_path: Path, desk: Path) -> None:
    size = 10_000_000
    async with running(tmp_path) as engine:
        head = base64.b64encode(PNG).decode()
        call = await called(engine, {"head": head, "size": size, "mime": "image/png"})
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, m.PartOpened), reply
        saved = await engine.ask(c.SaveResult(call=call, path=str(tmp_path / "x.png")))
        assert isinstance(saved, e.FileSaved), saved
        assert saved.size == (tmp_path / "x.png").stat().st_size == Path(reply.path).stat().st_size == size


async def test_twenty_megabytes_are_no_answer_and_there_is_nothing_to_open(
    tmp_path: Path, desk: Path
) -> None:
    async with running(tmp_path) as engine:
        arguments = {"head": "", "size": 20_000_000, "mime": "image/png"}
        text = JsonText(json.dumps(arguments))
        reply = await engine.ask(c.CallTool(server="s", tool="give", arguments_json=text))
        assert isinstance(reply, e.CommandDone), reply
        await engine.until(
            e.CallChanged, lambda event: event.call == reply.id and event.state == "uncertain"
        )
        opened = await engine.ask(m.OpenPart(source=reply.id))
        assert isinstance(opened, e.CommandFailed)
        assert "no result" in opened.what
    assert not desk.exists()


# --- an opener that does not do what it should


async def test_without_an_opener_the_file_is_there_and_it_is_said(
    tmp_path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_program", lambda _environ: "")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, m.PartOpened)
        assert "no program that opens files" in reply.why
        assert Path(reply.path).read_bytes() == PNG


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 3", "no program for this type"), ("exit 77", "exit code 77"), ("kill -9 $$", "signal 9")],
)
async def test_an_opener_that_fails_is_told_of(tmp_path: Path, desk: Path, script: str, words: str) -> None:
    write_opener(tmp_path / "programs", f"echo '\033]0;x\007' >&2; {script}")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, m.PartOpened)
        assert words in reply.why
        assert Path(reply.path).exists()


async def test_an_opener_that_cannot_be_started_is_told_of(tmp_path: Path, desk: Path) -> None:
    (tmp_path / "programs" / "xdg-open").write_bytes(b"\x7fELF not really")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, m.PartOpened)
        assert "cannot be started" in reply.why


async def test_openers_that_hang_hold_nobody_up_and_are_counted(
    tmp_path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HANDOVER_S", 0.05)
    monkeypatch.setattr(files, "MAX_RUNNING", 2)
    pids = tmp_path / "pids"
    write_opener(tmp_path / "programs", f"echo $$ >> {pids}; exec sleep 600")
    try:
        async with running(tmp_path) as engine:
            call = await given(engine, block(PNG, "image/png"))
            for _ in range(2):
                reply = await engine.ask(m.OpenPart(source=call))
                assert isinstance(reply, m.PartOpened)
                assert (reply.by, reply.why) == ("xdg-open", "")
            full = await engine.ask(m.OpenPart(source=call))
            assert isinstance(full, m.PartOpened)
            assert "close some" in full.why
            assert isinstance(await engine.ask(c.ListSessions()), e.SessionsListed)
        started = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
        assert all(start_time(pid) for pid in started), "what is shown outlives the engine"
    finally:
        for pid in [int(pid) for pid in pids.read_text().split()] if pids.exists() else []:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "no display"),
        ({"DISPLAY": ":0"}, ""),
        ({"WAYLAND_DISPLAY": "wayland-0"}, ""),
        ({"SSH_CONNECTION": "1", "DISPLAY": ":0"}, "over ssh"),
        ({"SSH_TTY": "/dev/pts/1", "WAYLAND_DISPLAY": "wayland-0"}, "over ssh"),
        ({"SSH_CONNECTION": "1", "DISPLAY": "localhost:10.0"}, ""),
    ],
)
def test_a_window_opens_only_where_the_person_sits(environ: dict[str, str], words: str) -> None:
    assert words in no_display_reason(environ)
    assert bool(no_display_reason(environ)) is bool(words)


async def test_without_a_display_nothing_is_started_and_the_path_is_said(
    tmp_path: Path, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(m.OpenPart(source=call))
        assert isinstance(reply, m.PartOpened)
        assert "over ssh" in reply.why
        assert Path(reply.path).read_bytes() == PNG
    assert not desk.exists()


def test_no_secret_of_ours_reaches_the_program() -> None:
    given = {
        "OPENAI_API_KEY": "s",
        "OMNI_TUI_PASSPHRASE": "s",
        "LD_PRELOAD": "s",
        "BROWSER": "s",
        "HOME": "/h",
    }
    assert desktop_environ(given) == {"HOME": "/h"}


async def test_nothing_is_opened_without_a_person(tmp_path: Path, desk: Path) -> None:
    async with running(tmp_path, headless=True) as engine:
        call = await given(engine, block(PNG, "image/png"))
        assert isinstance(await engine.ask(m.OpenPart(source=call)), e.CommandFailed)
    assert not desk.exists()


# --- cleaning up


async def test_files_of_engines_that_are_gone_are_removed_at_the_next_start(
    tmp_path: Path, desk: Path
) -> None:
    root = tmp_path / "state" / FOLDER
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    gone, alive = root / "999999999-1", root / f"{os.getppid()}-{start_time(os.getppid())}"
    reused = root / f"{os.getppid()}-1"
    for folder in (gone, alive, reused, root / "strange"):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(PNG)
    (root / "link").symlink_to(outside)
    (gone / "link").symlink_to(outside)
    async with running(tmp_path):
        assert sorted(one.name for one in root.iterdir()) == sorted([alive.name, "link"])
    assert (outside / "kept").exists()


def test_a_link_in_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "1-1"
    outside.mkdir(parents=True)
    (tmp_path / FOLDER).symlink_to(outside.parent)
    sweep_opened(tmp_path)
    assert outside.exists()
    with pytest.raises(OSError, match="symbolic link"):
        files.FileOpener(tmp_path, {}).put(PNG, ".png")


def test_only_the_last_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 3)
    one = files.FileOpener(tmp_path, {})
    paths = [one.put(PNG, ".png") for _ in range(6)]
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 3


# --- saving


async def test_a_part_is_saved_decoded_where_the_person_said_and_nowhere_else(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        inner = {"uri": BAD, "mimeType": "text/html", "blob": base64.b64encode(PNG).decode(), "name": BAD}
        call = await given(engine, block(PNG, BAD), {"type": "resource", "resource": inner})
        here = tmp_path / "here"
        here.mkdir()
        for part in (0, 1):
            saved = await engine.ask(c.SaveResult(call=call, part=part, path=str(here), overwrite=True))
            assert isinstance(saved, e.FileSaved), saved
            assert saved.path == str(here / "result.png")
        named = await engine.ask(c.SaveResult(call=call, path=str(here / "mine.dat")))
        assert isinstance(named, e.FileSaved)
        assert {one.name: one.read_bytes() for one in here.iterdir()} == {
            "result.png": PNG,
            "mine.dat": PNG,
        }
        assert stat.S_IMODE((here / "mine.dat").stat().st_mode) == 0o600
        again = await engine.ask(c.SaveResult(call=call, path=str(here)))
        assert isinstance(again, e.CommandFailed)
        assert "exists already" in again.what
        assert again.exists


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a\0b", "/no/such/folder/x"])
async def test_a_path_that_cannot_be_is_refused_in_words(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(c.SaveResult(call=call, path=path))
        assert isinstance(reply, e.CommandFailed)
        assert "inside Omni TUI" not in reply.what


async def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with running(tmp_path) as engine:
        call = await given(engine, block(PNG, "image/png"))
        reply = await engine.ask(c.SaveResult(call=call, path=str(tmp_path / "pipe"), overwrite=True))
        assert isinstance(reply, e.CommandFailed)


async def test_damaged_base64_is_neither_saved_nor_opened(tmp_path: Path, desk: Path) -> None:
    async with running(tmp_path) as engine:
        call = await given(engine, {"type": "image", "data": "iVBOR\x1b]0;x%%", "mimeType": "image/png"})
        for command in (m.OpenPart(source=call), c.SaveResult(call=call, path=str(tmp_path / "x"))):
            reply = await engine.ask(command)
            assert isinstance(reply, e.CommandFailed)
            assert "not base64" in reply.what
    assert not (tmp_path / "x").exists()
