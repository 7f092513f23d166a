"""Invariant 10 on a real disk: after a session full of canaries, no file below the state folder has one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from itertools import product
from pathlib import Path

import msgspec
import pytest

from omni_tui.links import spawn_engine
from omni_tui.protocol import AnyCommand, AnyEvent, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.faults.web import serving
from tests.lengths import some

SERVER = Path(__file__).with_name("canary_server.py")
SECRETS = {
    "CANARY_ENV": 'canary-env-7Qx!2mK9"vB\\r',
    "CANARY_HEADER": "canary-header-p4Tz8LwYc",
    "CANARY_BEARER": "canary-bearer-Jd61sXoRn",
    "CANARY_KEY": "canary-model-key-Hb3uEq0",
}
BODIES = {
    "argument": "canary-argument-aZ1",
    "result": "canary-result-bY2",
    "message": "canary-message-cX3",
    "structured": "canary-structured-dW4",
    "error": "canary-error-eV5",
    "title": "canary-title-fU6",
}


def forms(secret: str) -> set[bytes]:
    """Return the shapes in which a value may lie about: as it is, as JSON, base64, hex."""
    data = secret.encode()
    return {
        data,
        json.dumps(secret)[1:-1].encode(),
        json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(),
        base64.b64encode(data).rstrip(b"=")[:-1],
        data.hex().encode(),
    }


def places(folder: Path, word: str) -> list[str]:
    """Return the files below a folder that hold a word in any form, or have it in their name."""
    found = [str(path) for path in folder.rglob("*") if word in path.name]
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [f"{path.name}: {form!r}" for form in forms(word) if form in data]
    return found


class Face:
    """The face's end of an engine process; every event is kept."""

    def __init__(self, options: LaunchOptions) -> None:
        self.engine = spawn_engine(options)
        self.seen: list[AnyEvent] = []
        self._number = 1
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Face:
        self.link = await self.engine.link()
        self._reader = asyncio.create_task(self._read())
        self.link.send(c.Hello(client="test", request=1))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        async for event in self.link.events():
            async with self._news:
                self.seen.append(event)
                self._news.notify_all()

    async def ask(self, command: AnyCommand) -> AnyEvent:
        self._number += 1
        number = self._number
        self.link.send(msgspec.structs.replace(command, request=number))
        await self.until(
            lambda seen: any(isinstance(x, e.CommandReply) and x.request == number for x in seen)
        )
        return next(x for x in self.seen if isinstance(x, e.CommandReply) and x.request == number)

    async def until(self, holds: object) -> None:
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: holds(self.seen))  # type: ignore[operator]

    def ended(self) -> int:
        return sum(isinstance(event, e.CallFinished) for event in self.seen)


def config(url: str) -> str:
    """Secrets as references in every place that takes one; servers that work, and one for each failure."""
    command = f"command = {sys.executable!r}\nargs = ['-I', '-S', {str(SERVER)!r}"
    return f"""
[model]
name = "offline"
key = "${{CANARY_KEY}}"
[servers.good]
{command}]
env = {{ API_TOKEN = "${{CANARY_ENV}}", OTHER = "prefix ${{CANARY_ENV}} suffix" }}
[servers.tells]
{command}, "tells"]
env = {{ API_TOKEN = "${{CANARY_ENV}}" }}
[servers.web]
url = "{url}"
headers = {{ X-Api-Key = "${{CANARY_HEADER}}", X-Other = "${{CANARY_HEADER}}" }}
[servers.bearer]
url = "{url}"
auth = "bearer"
token = "${{CANARY_BEARER}}"
[servers.closed]
url = "http://127.0.0.1:9/mcp"
headers = {{ X-Api-Key = "${{CANARY_HEADER}}" }}
[servers.nowhere]
command = "/nowhere/at/all"
env = {{ API_TOKEN = "${{CANARY_ENV}}" }}
"""


async def session(options: LaunchOptions) -> None:
    """Use everything a body or a secret can go through: calls by hand, a turn, a title, failures."""
    async with Face(options) as face:
        for server in ("good", "tells", "web", "bearer"):
            await face.until(
                lambda seen, server=server: any(
                    isinstance(x, e.ToolsListed) and x.server == server and x.tools for x in seen
                )
            )
        for server in ("closed", "nowhere"):
            await face.until(
                lambda seen, server=server: any(
                    isinstance(x, e.ServerChanged) and x.name == server and x.state == "failed"
                    for x in seen
                )
            )
        for number, tool in enumerate(("say", "fail", "refuse"), 1):
            arguments = json.dumps({"text": BODIES["argument"]})
            reply = await face.ask(c.CallTool(server="good", tool=tool, arguments_json=arguments))  # type: ignore[arg-type]
            assert isinstance(reply, e.CommandDone), reply
            await face.until(lambda _seen, number=number: face.ended() >= number)
        await face.ask(c.SendMessage(text=f"{BODIES['title']} {BODIES['message']}"))
        await face.until(lambda seen: any(isinstance(x, e.TurnEnded) for x in seen))
        await face.ask(c.SendMessage(text=f'/call good__say {{"text": "{BODIES["argument"]}"}}'))
        await face.until(lambda seen: any(isinstance(x, e.ApprovalRequested) for x in seen))


@pytest.mark.parametrize(("killed", "debug"), some(product([False, True], [False, True]), 2))
async def test_no_file_of_ours_holds_a_canary(
    debug: bool, killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    state = tmp_path / "state"
    with serving() as web:
        file = tmp_path / "config.toml"
        file.write_text(config(web.url))
        options = LaunchOptions(config=str(file), state_dir=str(state), debug=debug)
        await session(options)
        if killed:  # what a journal leaves behind that nobody closed
            async with Face(options) as face:
                await face.until(lambda seen: any(isinstance(x, e.ToolsListed) and x.tools for x in seen))
                await face.ask(c.SendMessage(text=BODIES["message"]))
                await face.until(lambda seen: any(isinstance(x, e.TurnEnded) for x in seen))
                face.engine.process.kill()
    files = [path for path in state.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files), files
    assert sum(path.stat().st_size for path in files) > 20_000, "nothing was written: nothing was tested"
    found = {name: places(tmp_path / "state", word) for name, word in {**SECRETS, **BODIES}.items()}
    assert {name: where for name, where in found.items() if where} == {}
    loose = [path for path in files if path.stat().st_mode & 0o077]
    assert loose == []
