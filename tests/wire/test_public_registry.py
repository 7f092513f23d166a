"""The public registry against a double on loopback: search, look, add; faults and hostile texts."""

from __future__ import annotations

import json
import os
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import keyring
import msgspec
import pytest

from omni_tui.cli.command_table import run_command
from omni_tui.cli.parser import parse
from omni_tui.config.load import load_config
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol import events as e
from omni_tui.protocol import public_registry as m
from omni_tui.protocol.server_settings import LaunchRead
from omni_tui.public_registry import RegistryClient, RegistryError, RegistryPage
from tests.engine.faults.harness import SERVER
from tests.engine.rig import Rig, rig
from tests.face.test_hostile_text import TEXTS
from tests.wire.registry_double import FILES, OLD, RegistryDouble, entry, registry

SECRET = "hunter2-hunter2-canary"
ANSWERS = {"argument.0": "/srv/notes", "env.FILES_TOKEN": SECRET}


def names(page: RegistryPage) -> list[str]:
    return [server.name for server in page.servers]


# --- the client


async def test_every_word_counts_and_the_longest_is_asked_for() -> None:
    with registry(FILES, OLD, entry("io.example.other/mail")) as double:
        page = await RegistryClient(double.url).search("FILES someone")
        assert names(page) == ["io.example.someone/files"]
        assert double.asked[0]["search"] == "someone"
        assert double.asked[0]["version"] == "latest"


async def test_the_older_spelling_is_found_too() -> None:
    with registry(OLD) as double:
        (found,) = (await RegistryClient(double.url).search("old")).servers
        assert (found.version, found.packages[0].identifier) == ("0.9.0", "old-files")


async def test_pages_are_followed_to_the_words_and_the_rest_by_the_cursor() -> None:
    many = [entry(f"io.example.a/x{number}") for number in range(70)]
    with registry(*many, entry("io.example.a/needle-x")) as double:
        client = RegistryClient(double.url)
        first = await client.search("x")
        assert len(first.servers) == 30
        second = await client.search("x", first.cursor)
        third = await client.search("x", second.cursor)
        assert len({*names(first), *names(second), *names(third)}) == 71
        assert not third.cursor
        asked = len(double.asked)
        await client.search("x")  # an answer of some minutes ago is used again
        assert len(double.asked) == asked
        assert names(await client.search("needle io.example"))[0].endswith("needle-x")


async def test_a_cursor_without_end_is_not_followed_without_end() -> None:
    with registry() as double:
        double.body = json.dumps({"servers": [OLD], "metadata": {"next_cursor": "again"}}).encode()
        page = await RegistryClient(double.url).search("nothing has this")
        assert len(double.asked) == 2
        assert not page.cursor
        assert not page.servers


async def test_one_bad_entry_is_named_and_leaves_its_neighbours() -> None:
    with registry({"server": {"name": "\x1b[2J"}}, 7, FILES) as double:
        page = await RegistryClient(double.url).search("")
        assert names(page) == ["io.example.someone/files"]
        assert len(page.problems) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 503}, "answered 503"),
        ({"body": b"<html>"}, "not JSON"),
        ({"body": b"[" * 100_000}, "not JSON"),
        ({"body": b'{"servers": {}}'}, "not a list of servers"),
        ({"body": b"[]"}, "not a list of servers"),
        ({"body": b" " * 1_100_000}, "longer than"),
        ({"location": "https://elsewhere.example/v0.1/servers"}, "answered 302"),
        ({"silent": True}, "did not answer"),
    ],
)
async def test_a_registry_that_fails_says_so(fault: dict[str, Any], words: str) -> None:
    with registry(FILES) as double:
        for name, value in fault.items():
            setattr(double, name, value)
        with pytest.raises(RegistryError, match=words) as error:
            await RegistryClient(double.url, timeout=0.3 if double.silent else 15).search("files")
        assert error.value.todo


async def test_nothing_is_asked_over_plain_http_or_of_nobody() -> None:
    with pytest.raises(RegistryError, match="not https"):
        await RegistryClient("http://registry.example").search("x")
    with registry() as double:
        gone = double.url
    with pytest.raises(RegistryError, match="could not be reached"):
        await RegistryClient(gone).search("x")


# --- in the engine


def config(double: RegistryDouble) -> str:
    return f'[registry]\nurl = "{double.url}"\n'


async def found(running: Rig, words: str = "files") -> list[m.RegistryServerInfo]:
    reply = await running.ask(m.SearchRegistry(words=words))
    assert isinstance(reply, m.RegistryFound), reply
    return list(reply.servers)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """Give the machine a keyring."""
    entries: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(keyring, "set_password", lambda s, n, v: entries.update({(s, n): v}))
    monkeypatch.setattr(keyring, "get_password", lambda s, n: entries.get((s, n)))
    return entries


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an `npx` on the path that writes down how it was called, and is a tiny MCP server."""
    folder = tmp_path / "bin"
    folder.mkdir()
    noted = tmp_path / "called"
    script = folder / "npx"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" "token=$FILES_TOKEN" > {noted}\n'
        f"exec {sys.executable} -I -S {SERVER} good\n"
    )
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return noted


async def test_a_server_is_looked_at_added_allowed_and_started(
    tmp_path: Path, kept: dict[tuple[str, str], str], runner: Path
) -> None:
    folder = tmp_path / "app"
    with registry(FILES, OLD) as double:
        async with rig(folder, demo=False, config=config(double)) as running:
            info = (await found(running, "someone"))[0]
            assert info.runs.startswith("npx -y @someone/files@1.0.0")
            shown = await running.ask(
                m.ReadRegistryServer(
                    digest=info.digest, answers={"argument.0": "/srv/notes", "env.FILES_TOKEN": m.HIDDEN}
                )
            )
            assert isinstance(shown, m.RegistryServerRead)
            assert shown.command == "npx -y @someone/files@1.0.0 /srv/notes"
            assert shown.settings == ("FILES_TOKEN=(secret)", "FILES_LEVEL=low")
            assert (shown.missing, shown.name) == ((), "files")
            done = await running.ask(
                m.AddRegistryServer(digest=info.digest, launch=0, answers=ANSWERS, name="files")
            )
            assert isinstance(done, e.CommandDone), done
            assert running.engine.context.registry.get("files").state == "not_allowed"
            assert not runner.exists()
        text = (folder / "config.toml").read_text()
        assert SECRET not in text
        written = tomllib.loads(text)["servers"]["files"]
        assert written["registry"] == "io.example.someone/files"
        assert written["env"]["FILES_TOKEN"] == "${keyring:omni-tui/files.env.FILES_TOKEN}"
        assert kept == {("omni-tui", "files.env.FILES_TOKEN"): SECRET}
        # Written into the person's own file, it still waits for them at the next start.
        async with rig(folder, demo=False, config=text) as running:
            assert running.engine.context.registry.get("files").state == "not_allowed"
            launch = await running.launch("files")
            await running.ask(launch)
            await running.until(e.ServerChanged, lambda event: event.state == "idle")
            called = runner.read_text().splitlines()
            assert called == ["-y", "@someone/files@1.0.0", "/srv/notes", f"token={SECRET}"]
        async with rig(folder, demo=False, config=text) as running:
            await running.until(e.ServerChanged, lambda event: event.state == "idle")
        # Another command under the same name is asked about again.
        other = text.replace("@1.0.0", "@6.6.6")
        async with rig(folder, demo=False, config=other) as running:
            assert running.engine.context.registry.get("files").state == "not_allowed"


async def test_allowing_says_where_it_comes_from(tmp_path: Path, kept: dict[tuple[str, str], str]) -> None:
    from omni_tui.protocol.commands import ReadLaunch

    with registry(FILES) as double:
        async with rig(tmp_path, demo=False, config=config(double)) as running:
            info = (await found(running))[0]
            await running.ask(
                m.AddRegistryServer(digest=info.digest, launch=0, answers=ANSWERS, name="files")
            )
            launch = await running.ask(ReadLaunch(server="files"))
            assert isinstance(launch, LaunchRead)
            assert launch.source == "registry"
            assert SECRET not in launch.launch_json


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answers": {"argument.0": "/srv"}}, "it needs a value for: FILES_TOKEN"),
        ({"answers": {**ANSWERS, "env.FILES_LEVEL": "middle"}}, "must be one of"),
        ({"answers": {**ANSWERS, "argument.0": "a\nb"}}, "line breaks"),
        ({"answers": {**ANSWERS, "argument.0": "${HOME}"}}, "secret values only"),
        ({"name": "taken"}, "there is a server named taken"),
        ({"name": " bad "}, "must be printable"),
        ({"launch": 7}, "search again"),
        ({"launch": -1}, "search again"),
        ({"digest": "0" * 64}, "search again"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_is_kept(
    tmp_path: Path, kept: dict[tuple[str, str], str], changes: dict[str, Any], words: str
) -> None:
    with registry(FILES) as double:
        text = config(double) + '[servers.taken]\ncommand = "no-such-program"\nenabled = false\n'
        async with rig(tmp_path, demo=False, config=text) as running:
            info = (await found(running))[0]
            command = m.AddRegistryServer(digest=info.digest, launch=0, answers=ANSWERS, name="files")
            reply = await running.ask(msgspec.structs.replace(command, **changes))
            assert isinstance(reply, e.CommandFailed)
            assert words in reply.what
            assert not kept
            assert (tmp_path / "config.toml").read_text() == text


async def test_without_a_keyring_a_secret_is_sealed_and_a_reference_stays_as_it_is(tmp_path: Path) -> None:
    with registry(FILES) as double:
        async with rig(tmp_path, demo=False, config=config(double)) as running:
            info = (await found(running))[0]
            command = m.AddRegistryServer(digest=info.digest, launch=0, answers=ANSWERS, name="files")
            reply = await running.ask(command)
            assert isinstance(reply, e.CommandDone), reply
            own = {**ANSWERS, "env.FILES_TOKEN": "${HOME}"}
            reply = await running.ask(msgspec.structs.replace(command, answers=own, name="again"))
            assert isinstance(reply, e.CommandDone), reply
            written = tomllib.loads((tmp_path / "config.toml").read_text())["servers"]
            assert written["files"]["env"]["FILES_TOKEN"] == "${sealed:files.env.FILES_TOKEN}"
            assert written["again"]["env"]["FILES_TOKEN"] == "${HOME}"
            assert running.engine.context.registry.get("files").spec.env["FILES_TOKEN"] == SECRET
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


async def test_a_deleted_server_cannot_be_added(tmp_path: Path) -> None:
    gone = entry("io.example.x/files", status="deleted", packages=FILES["server"]["packages"])
    with registry(gone) as double:
        async with rig(tmp_path, demo=False, config=config(double)) as running:
            (info,) = await found(running)
            assert info.status == "deleted"
            command = m.AddRegistryServer(digest=info.digest, launch=0, answers=ANSWERS, name="files")
            reply = await running.ask(command)
            assert isinstance(reply, e.CommandFailed)
            assert "was deleted" in reply.what


async def test_the_demo_asks_nobody(tmp_path: Path) -> None:
    with registry(FILES) as double:
        async with rig(tmp_path, demo=False, config=config(double)) as running:
            options = msgspec.structs.replace(running.engine.context.options, demo=True)
            object.__setattr__(running.engine.context, "options", options)
            reply = await running.ask(m.SearchRegistry(words="files"))
            assert isinstance(reply, e.CommandFailed)
            assert not double.asked


@pytest.mark.parametrize("text", TEXTS)
async def test_hostile_texts_never_reach_the_screen_raw(tmp_path: Path, text: str) -> None:
    bad = entry(
        "io.example.x/files",
        title=text, version=text, websiteUrl=text, repository={"url": text},
        packages=[{"registryType": text or "x", "identifier": text or "x", "version": text},
                  {"registryType": "npm", "identifier": "files", "version": "1.0.0",
                   "environmentVariables": [{"name": "A", "description": text, "placeholder": text}]}],
        remotes=[{"type": "sse", "url": text or "x"}],
    )  # fmt: skip
    bad["server"]["description"] = f"files {text}"
    bad["_meta"]["io.modelcontextprotocol.registry/official"]["statusMessage"] = text
    with registry(bad) as double:
        async with rig(tmp_path, demo=False, config=config(double)) as running:
            (info,) = await found(running)
            shown = await running.ask(m.ReadRegistryServer(digest=info.digest, launch=1))
            assert isinstance(shown, m.RegistryServerRead | e.CommandFailed)
            for line in _texts(msgspec.to_builtins([info, shown])):
                assert line.isprintable(), repr(line)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def test_a_projects_file_cannot_name_a_registry(tmp_path: Path) -> None:
    (tmp_path / ".omni-tui.toml").write_text('[registry]\nurl = "https://evil.example"\n')
    options = LaunchOptions(project=str(tmp_path), state_dir=str(tmp_path / "state"))
    loaded = load_config(options, {})
    assert loaded.config.registry.url != "https://evil.example"
    assert any("which servers you are offered" in each.what for each in loaded.problems)


# --- on the command line


def run(tmp_path: Path, double: RegistryDouble, *words: str) -> int:
    file = tmp_path / "config.toml"
    file.write_text(config(double))
    return run_command(parse(["servers", "search", *words, "--config", str(file)]))


def test_the_command_prints_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with registry(FILES, OLD) as double:
        assert run(tmp_path, double, "files") == 0
        out = capsys.readouterr().out
        assert "npm: npx -y @someone/files@1.0.0" in out
        assert "(needs folder, FILES_TOKEN)" in out
        assert "from https://code.example/io.example.someone/files" in out
        assert "pypi: uvx old-files==0.9.0" in out
        assert run(tmp_path, double, "files", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["name"] for row in rows] == ["io.example.someone/files", "io.example.old/files"]
        assert rows[0]["launches"][0]["needs"] == ["folder", "FILES_TOKEN"]
        assert run(tmp_path, double, "nothing", "has", "these") == 1
        assert run(tmp_path, double, "files", "--limit", "0") == 2
        double.status = 500
        assert run(tmp_path, double, "files") == 1
        assert "answered 500" in capsys.readouterr().err


# --- bundles


def bundle(path: Path, **config: Any) -> Path:
    """Write a bundle whose server is the tiny one; it notes how it was started."""
    manifest = {
        "manifest_version": "0.4", "name": "tiny", "version": "1.0.0", "description": "A tiny server",
        "author": {"name": "Somebody"},
        "server": {"type": "python", "entry_point": "start.py", "mcp_config": {
            "command": sys.executable, "args": ["-I", "-S", "${__dirname}/start.py", "${user_config.word}"],
            "env": {"TINY_TOKEN": "${user_config.token}"}}},
        "user_config": {"word": {"type": "string", "required": True, "title": "Word"},
                        "token": {"type": "string", "sensitive": True, "required": True}},
        **config,
    }  # fmt: skip
    start = (
        "import os, runpy, sys\n"
        f"open({str(path) + '.called'!r}, 'w').write(sys.argv[1] + ' ' + os.environ['TINY_TOKEN'])\n"
        f"sys.argv = ['x', 'good']\nrunpy.run_path({str(SERVER)!r}, run_name='__main__')\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("start.py", start)
    return path


async def test_a_bundle_is_looked_at_unpacked_allowed_and_started(
    tmp_path: Path, kept: dict[tuple[str, str], str]
) -> None:
    folder = tmp_path / "app"
    path = bundle(tmp_path / "tiny.mcpb")
    async with rig(folder, demo=False) as running:
        shown = await running.ask(m.OpenBundle(path=str(path)))
        assert isinstance(shown, m.RegistryServerRead), shown
        assert [each.label for each in shown.questions] == ["Word", "token"]
        assert any("not signed" in each for each in shown.problems)
        bundles = folder / "state" / "bundles"
        assert not bundles.exists(), "nothing is unpacked by looking"
        digest, answers = shown.info.digest, {"config.word": "hello", "config.token": SECRET}
        command = m.AddRegistryServer(digest=digest, launch=0, answers=answers, name=shown.name)
        done = await running.ask(command)
        assert isinstance(done, e.CommandDone), done
        assert running.engine.context.registry.get(shown.name).state == "not_allowed"
        (unpacked,) = bundles.iterdir()
        assert sorted(each.name for each in unpacked.iterdir()) == ["manifest.json", "start.py"]
        assert not Path(f"{path}.called").exists()
        launch = await running.launch(shown.name)
        await running.ask(launch)
        await running.until(e.ServerChanged, lambda event: event.state == "idle")
        assert Path(f"{path}.called").read_text() == f"hello {SECRET}"
    text = (folder / "config.toml").read_text()
    assert SECRET not in text
    assert tomllib.loads(text)["servers"][shown.name]["registry"] == "bundle:tiny"


async def test_a_bundle_that_was_exchanged_is_not_unpacked(
    tmp_path: Path, kept: dict[tuple[str, str], str]
) -> None:
    path = bundle(tmp_path / "tiny.mcpb")
    async with rig(tmp_path / "app", demo=False) as running:
        shown = await running.ask(m.OpenBundle(path=str(path)))
        assert isinstance(shown, m.RegistryServerRead)
        bundle(path, version="2.0.0")
        answers = {"config.word": "hello", "config.token": SECRET}
        command = m.AddRegistryServer(digest=shown.info.digest, launch=0, answers=answers, name="tiny")
        reply = await running.ask(command)
        assert isinstance(reply, e.CommandFailed)
        assert "has changed since it was read" in reply.what
        assert not kept
        assert "tiny" not in running.engine.context.registry.names()


@pytest.mark.parametrize("text", TEXTS)
async def test_a_hostile_manifest_is_shown_safe(tmp_path: Path, text: str) -> None:
    config = {"a": {"type": "string", "title": text, "description": text}}
    path = bundle(
        tmp_path / "tiny.mcpb",
        name=text, version=text, description=text, display_name=text, homepage=text,
        author={"name": text}, repository={"url": text}, user_config=config,
        server={"type": "node", "entry_point": "x", "mcp_config": {"command": "node", "args": []}},
    )  # fmt: skip
    async with rig(tmp_path / "app", demo=False) as running:
        reply = await running.ask(m.OpenBundle(path=str(path)))
        assert isinstance(reply, m.RegistryServerRead | e.CommandFailed)
        for line in _texts(msgspec.to_builtins(reply)):
            assert line.isprintable(), repr(line)


@pytest.mark.parametrize("path", ["nowhere.mcpb", ".", ""])
async def test_what_is_no_bundle_is_said(tmp_path: Path, path: str) -> None:
    async with rig(tmp_path / "app", demo=False) as running:
        reply = await running.ask(m.OpenBundle(path=str(tmp_path / path)))
        assert isinstance(reply, e.CommandFailed)
        assert "cannot be read" in reply.what
