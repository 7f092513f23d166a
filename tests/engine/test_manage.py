"""Servers at run time: added, edited, switched, saved; with a real engine and real tiny servers."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_tui.memory import UNDONE
from omni_tui.protocol import encode
from omni_tui.protocol import events as e
from omni_tui.protocol import server_settings as m
from omni_tui.protocol.commands import AddServer, ImportServers, ReconnectServer, RemoveServer
from omni_tui.protocol.server_settings import KEPT, ServerChecked, ServerRead, ServerSettings
from tests.engine.faults.harness import SERVER
from tests.engine.rig import Rig, rig
from tests.engine.test_audited import said

ARGS = ("-I", "-S", SERVER, "good")
CANARY = "hunter2-hunter2-canary"
TINY = f"""
# mine
[servers.tiny]   # a small one
command = {sys.executable!r}
args = {list(ARGS)!r}
connect_timeout = 20   # seconds
"""


def tiny(**more: Any) -> ServerSettings:
    return ServerSettings(command=sys.executable, **{"args": ARGS, **more})


async def idle(running: Rig, name: str, after: int = 0) -> e.ServerChanged:
    return await running.until(
        e.ServerChanged, lambda event: event.name == name and event.state == "idle", after=after
    )


def file_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "config.toml").read_text())


async def read(running: Rig, name: str) -> ServerRead:
    reply = await running.ask(m.ReadServer(server=name))
    assert isinstance(reply, ServerRead), reply
    return reply


async def edit(running: Rig, name: str, settings: ServerSettings, **more: Any) -> e.CommandDone:
    reply = await running.ask(m.EditServer(name=name, settings=settings, **more))
    assert isinstance(reply, e.CommandDone), reply
    return reply


async def refused(running: Rig, command: Any) -> str:
    reply = await running.ask(command)
    assert isinstance(reply, e.CommandFailed), reply
    return reply.what


async def test_added_for_the_session_leaves_the_file_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await edit(running, "more", tiny(), new=True)
        await idle(running, "more")
        assert (tmp_path / "config.toml").read_text() == TINY
        assert (await read(running, "more")).settings == tiny()
        assert "already" in await refused(running, m.EditServer(name="more", settings=tiny(), new=True))


async def test_added_and_saved_stands_in_the_file_with_the_rest_as_it_was(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await edit(running, "more", tiny(env={"A": "b"}), new=True, save=True)
        await idle(running, "more")
        text = (tmp_path / "config.toml").read_text()
        assert all(line in text for line in TINY.splitlines())
        assert file_of(tmp_path)["servers"]["more"] == {
            "command": sys.executable,
            "args": list(ARGS),
            "env": {"A": "b"},
        }


async def test_an_edit_of_a_running_server_connects_it_with_the_new_settings(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await idle(running, "tiny")
        registry = running.engine.context.registry
        before, place = registry.get("tiny").pid, registry.names()
        form = await read(running, "tiny")
        assert form.settings == tiny(connect_timeout=20)
        seen = len(running.seen)
        settings = msgspec.structs.replace(form.settings, env={"OWN": "yes"})
        await edit(running, "tiny", settings, save=True, revision=form.revision)
        changed = await idle(running, "tiny", seen)
        after = registry.get("tiny").pid
        assert after != before
        assert not Path(f"/proc/{before}").exists()
        assert b"OWN=yes" in Path(f"/proc/{after}/environ").read_bytes()
        assert registry.names() == place
        assert changed.trust == "unchanged"
        text = (tmp_path / "config.toml").read_text()
        assert "[servers.tiny]   # a small one" in text
        assert "connect_timeout = 20   # seconds" in text
        assert any("changed by you" in line for line in registry.get("tiny").log.lines())


async def test_the_persons_edit_starts_it_and_its_changed_tools_are_held(tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(Path(SERVER).read_text().replace("The {name[:20]} tool", "Another {name[:20]} tool"))
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        seen = len(running.seen)
        await edit(running, "tiny", tiny(args=("-I", "-S", str(other), "good")))
        await running.until(e.ToolsListed, lambda event: bool(event.tools), after=seen)
        catalogue = running.engine.context.catalogue
        assert catalogue.server_trust("tiny") == "unchanged"
        assert {tool.trust for tool in catalogue.all()} == {"changed"}
        assert all(tool.held for tool in catalogue.all())


async def test_an_edit_is_refused_if_the_file_says_something_else_by_now(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        form = await read(running, "tiny")
        file = tmp_path / "config.toml"
        file.write_text(TINY.replace("= 20", "= 25"))
        command = m.EditServer(name="tiny", settings=tiny(), save=True, revision=form.revision)
        assert "was changed meanwhile" in await refused(running, command)
        assert "= 25" in file.read_text()
        # What others wrote elsewhere in the file is kept.
        form = await read(running, "tiny")
        assert form.settings.connect_timeout == 25
        file.write_text(file.read_text() + '\n[policy]\nauto = "ask"\n')
        await edit(running, "tiny", tiny(), save=True, revision=form.revision)
        assert file_of(tmp_path)["policy"] == {"auto": "ask"}
        assert file_of(tmp_path)["servers"]["tiny"]["connect_timeout"] == 30


async def test_off_and_on_are_written_only_when_the_person_says_so(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await idle(running, "tiny")
        await running.ask(m.DisableServer(server="tiny"))
        assert (tmp_path / "config.toml").read_text() == TINY
        await running.ask(m.EnableServer(server="tiny"))
        await running.ask(m.DisableServer(server="tiny", save=True))
        assert file_of(tmp_path)["servers"]["tiny"]["enabled"] is False
        assert running.engine.context.registry.get("tiny").state == "disabled"
        seen = len(running.seen)
        await running.ask(m.EnableServer(server="tiny", save=True))
        await idle(running, "tiny", seen)
        assert (tmp_path / "config.toml").read_text() == TINY
        seen = len(running.seen)
        pid = running.engine.context.registry.get("tiny").pid
        await running.ask(ReconnectServer(server="tiny"))
        await idle(running, "tiny", seen)
        assert running.engine.context.registry.get("tiny").pid != pid


async def test_switched_off_survives_a_restart(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.ask(m.DisableServer(server="tiny", save=True))
    text = (tmp_path / "config.toml").read_text()
    async with rig(tmp_path, demo=False, config=text) as running:
        off = await running.until(e.ServerChanged, lambda event: event.name == "tiny")
        assert off.state == "disabled"


async def test_a_projects_server_is_changed_for_the_session_only(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    file = project / ".omni-tui.toml"
    text = TINY.replace("servers.tiny", "servers.theirs")
    file.write_text(text)
    async with rig(tmp_path, demo=False, config="", project=str(project)) as running:
        form = await read(running, "theirs")
        assert "project" in form.unsaved
        assert running.engine.context.registry.get("theirs").state == "not_allowed"
        why = await refused(running, m.EditServer(name="theirs", settings=form.settings, save=True))
        assert "never written" in why
        assert "never written" in await refused(running, m.DisableServer(server="theirs", save=True))
        assert "allow it first" in await refused(running, m.EnableServer(server="theirs"))
        assert running.engine.context.registry.get("theirs").pid is None
        await edit(running, "theirs", form.settings)
        await idle(running, "theirs")
    assert file.read_text() == text
    assert (tmp_path / "config.toml").read_text() == ""


async def test_an_imported_server_is_changed_for_the_session_only(tmp_path: Path) -> None:
    theirs = tmp_path / "claude.json"
    theirs.write_text(
        msgspec.json.encode(
            {
                "mcpServers": {
                    "theirs": {"command": sys.executable, "args": ARGS, "env": {"X_TOKEN": CANARY}}
                }
            }
        ).decode()
    )
    text = theirs.read_text()
    async with rig(tmp_path, demo=False, config="") as running:
        await running.ask(ImportServers(path=str(theirs)))
        form = await read(running, "theirs")
        assert form.settings.env == {"X_TOKEN": KEPT}
        assert "another program" in form.unsaved
        await edit(running, "theirs", form.settings)
        await idle(running, "theirs")
        pid = running.engine.context.registry.get("theirs").pid
        assert f"X_TOKEN={CANARY}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        assert (await read(running, "theirs")).settings.env == {"X_TOKEN": KEPT}
        assert all(CANARY.encode() not in encode(event) for event in running.seen)
    assert theirs.read_text() == text


async def test_resolved_secrets_never_leave_and_references_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", CANARY)
    text = TINY + 'env = {API_KEY = "${MY_SECRET}", OLD_TOKEN = "in-the-clear-99", PLAIN = "p"}\n'
    async with rig(tmp_path, demo=False, config=text) as running:
        form = await read(running, "tiny")
        assert form.settings.env == {"API_KEY": "${MY_SECRET}", "OLD_TOKEN": KEPT, "PLAIN": "p"}
        settings = msgspec.structs.replace(form.settings, cwd=str(tmp_path))
        seen = len(running.seen)
        await edit(running, "tiny", settings, save=True, revision=form.revision)
        await idle(running, "tiny", seen)
        env = file_of(tmp_path)["servers"]["tiny"]["env"]
        assert env == {"API_KEY": "${MY_SECRET}", "OLD_TOKEN": "in-the-clear-99", "PLAIN": "p"}
        for event in running.seen:
            assert CANARY.encode() not in encode(event)
            assert b"in-the-clear-99" not in encode(event)
        made_up = tiny(env={"NEW_TOKEN": KEPT})
        why = await refused(running, m.EditServer(name="tiny", settings=made_up))
        assert "nothing that could be kept" in why


@pytest.mark.parametrize(
    ("settings", "where", "words"),
    [
        (tiny(env={"API_KEY": CANARY}), "env.API_KEY", "looks like a secret"),
        (tiny(env={"HARMLESS": "ghp_0123456789abcdefghij"}), "env.HARMLESS", "looks like a secret"),
        (ServerSettings(url="https://x/", headers={"Authorization": "Basic eDp5"}), "headers.Authorization",
         "looks like a secret"),
        (tiny(args=(*ARGS, "--token=abcdef0123456789")), "args", "seems to hold a secret"),
        (ServerSettings(url="https://x/?api_key=abcdef123456"), "url", "seems to hold a secret"),
        (ServerSettings(url="https://x/", auth="bearer", token="abcdef"), "token", "must be a reference"),
        (tiny(connect_timeout="soon"), "connect_timeout", 'must be a number, not "soon"'),
        (tiny(call_timeout=-1), "call_timeout", "must be more than 0"),
        (tiny(mode="odd"), "mode", 'must be one of "auto", "legacy"'),
        (ServerSettings(), "", "needs `command` or `url`"),
        (ServerSettings(url="ftp://x"), "url", "must begin with https://"),
        (ServerSettings(url="http://far.example/", auth="bearer", token="${HOME}"), "", "plain HTTP"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_as_config_check_says_it_and_nothing_is_written(
    tmp_path: Path, settings: ServerSettings, where: str, words: str
) -> None:
    async with rig(tmp_path, demo=False, config=TINY, connect="none") as running:
        reply = await running.ask(m.CheckServer(name="new", settings=settings))
        assert isinstance(reply, ServerChecked)
        assert words in {each.where: each.what for each in reply.problems}[where]  # type: ignore[index]
        await refused(running, m.EditServer(name="new", settings=settings, new=True, save=True))
        assert (tmp_path / "config.toml").read_text() == TINY
        assert running.engine.context.registry.names() == ["tiny"]
        assert all(CANARY.encode() not in encode(event) for event in running.seen)


async def test_a_reference_that_leads_nowhere_yet_is_a_warning(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY, connect="none") as running:
        settings = tiny(env={"K": "${NOT_SET_ANYWHERE}"})
        reply = await running.ask(m.CheckServer(name="new", settings=settings))
        assert isinstance(reply, ServerChecked)
        assert reply.problems == ()
        assert "NOT_SET_ANYWHERE is not set" in reply.warnings[0].what
        await edit(running, "new", settings, new=True, save=True)
        failed = await running.until(e.ServerChanged, lambda event: event.state == "failed")
        assert "NOT_SET_ANYWHERE" in failed.reason


async def test_a_secret_goes_into_the_keyring_and_a_reference_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    kept: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(keyring, "set_password", lambda s, n, v: kept.update({(s, n): v}))
    monkeypatch.setattr(keyring, "get_password", lambda s, n: kept.get((s, n)))
    async with rig(tmp_path, demo=False, config=TINY) as running:
        done = await running.ask(m.KeepSecret(server="a b", place="env", key="API_KEY", value=CANARY))
        assert isinstance(done, e.CommandDone)
        assert done.text == "keyring:omni-tui/a%20b.env.API_KEY"
        await edit(running, "a b", tiny(env={"API_KEY": done.text}), new=True, save=True)
        await idle(running, "a b")
        pid = running.engine.context.registry.get("a b").pid
        assert CANARY.encode() in Path(f"/proc/{pid}/environ").read_bytes()
        assert CANARY not in (tmp_path / "config.toml").read_text()
        assert all(CANARY.encode() not in encode(event) for event in running.seen)
        assert CANARY not in running.engine.context.redactor.redact(f"x {CANARY}")
        monkeypatch.setattr(keyring, "get_password", lambda s, n: None)
        sealed = await running.ask(m.KeepSecret(server="x", place="token", key="", value="v" * 9))
        assert isinstance(sealed, e.CommandDone)
        assert sealed.text == "${sealed:x.token}"
        assert ("v" * 9).encode() not in (tmp_path / "state" / "secrets.json").read_bytes()


async def test_removing_and_adding_again_begins_anew(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await edit(running, "tiny", tiny(env={"A": "1"}))
        shown = running.engine.context.registry.get("tiny").describe().digest
        assert isinstance(
            await running.ask(RemoveServer(server="tiny", digest=shown, save=True)), e.CommandDone
        )
        assert "servers" not in file_of(tmp_path)
        await running.ask(AddServer(name="tiny", command=sys.executable, args=ARGS))
        assert (await read(running, "tiny")).settings == tiny()


async def test_a_server_that_is_another_one_now_is_not_removed(tmp_path: Path) -> None:
    """The yes was to the one that was shown."""
    async with rig(tmp_path, demo=False, config=TINY) as running:
        shown = running.engine.context.registry.get("tiny").describe().digest
        revision = (await read(running, "tiny")).revision
        await edit(running, "tiny", tiny(env={"A": "1"}), save=True, revision=revision)
        why = await refused(running, RemoveServer(server="tiny", digest=shown, save=True))
        assert "has changed since you were asked" in why
        assert file_of(tmp_path)["servers"]["tiny"]["env"] == {"A": "1"}
        now = running.engine.context.registry.get("tiny").describe().digest
        assert isinstance(
            await running.ask(RemoveServer(server="tiny", digest=now, save=True)), e.CommandDone
        )
        assert "servers" not in file_of(tmp_path)


@pytest.mark.parametrize("save", [True, False])
async def test_the_audit_takes_back_only_what_was_not_written(tmp_path: Path, save: bool) -> None:
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await idle(running, "tiny")

        async def changed(_spec: object, _shown: str) -> bool:
            return False

        running.engine.context.catalogue.allow = changed  # type: ignore[method-assign, assignment]
        why = await refused(running, m.EditServer(name="more", settings=tiny(), new=True, save=save))
        assert "changed on the disk just now" in why
        assert ("more" in file_of(tmp_path)["servers"]) is save
        actions = [each.action for each in said(tmp_path)]
    assert actions == (["server added"] if save else ["server added", UNDONE])


async def test_edits_at_the_same_time_leave_one_server(tmp_path: Path) -> None:
    import asyncio

    async with rig(tmp_path, demo=False, config=TINY) as running:
        await idle(running, "tiny")
        edits = [edit(running, "tiny", tiny(env={"N": str(n)})) for n in range(4)]
        await asyncio.gather(*edits, running.ask(ReconnectServer(server="tiny")))
        await running.until(
            e.ServerChanged, lambda _: running.engine.context.registry.get("tiny").state == "idle"
        )
        assert len(running.engine.context.processes.groups) == 1


async def test_settings_that_do_not_show_are_not_put_into_a_form(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    hidden = {"odd": "args = ['\\u202e']", "lines": 'env = {"A\\nB" = "x"}', "tame": 'env = {A = "a\\nb"}'}
    (project / ".omni-tui.toml").write_text(
        "".join(f"[servers.{name}]\ncommand = 'x'\n{line}\n" for name, line in hidden.items()).replace(
            "'\\u202e'", '"\\u202e"'
        )
    )
    async with rig(tmp_path, demo=False, config="", project=str(project), connect="none") as running:
        assert "do not show" in (await read(running, "odd")).fixed
        assert "do not show" in (await read(running, "lines")).fixed
        tame = await read(running, "tame")
        assert (tame.fixed, tame.settings.env) == ("", {"A": KEPT})
        for name in ("odd", "lines"):
            why = await refused(running, m.EditServer(name=name, settings=tiny()))
            assert "do not show" in why


async def test_a_mistaken_server_can_be_mended_in_the_form(tmp_path: Path) -> None:
    text = TINY + 'headers = {A = "b"}\nargz = 1\nenv = "none"\n'
    async with rig(tmp_path, demo=False, config=text) as running:
        assert (await running.until(e.ServerChanged, lambda event: event.name == "tiny")).reason
        form = await read(running, "tiny")
        assert (form.settings.headers, form.settings.env) == ({"A": "b"}, {})
        why = await refused(
            running, m.EditServer(name="tiny", settings=tiny(), save=True, revision=form.revision)
        )
        assert "no key `argz`" in why
        assert (tmp_path / "config.toml").read_text() == text


@pytest.mark.parametrize(
    ("settings", "where", "words"),
    [
        (ServerSettings(command="https://x.example/mcp"), "command", "this is an address"),
        (ServerSettings(command="x", args=("${HOME}/notes",)), "args", "${HOME} is not filled in here"),
        (ServerSettings(command="x", args=("$HOME",)), "args", "$HOME is not filled in here"),
        (ServerSettings(command="x", args=("~/notes",)), "args", "~ is not filled in here"),
        (ServerSettings(command="${TOOL}"), "command", "${TOOL} is not filled in here"),
        (ServerSettings(command="x", cwd="${HOME}"), "cwd", "${HOME} is not filled in here"),
        (ServerSettings(url="https://x.example/${PART}"), "url", "${PART} is not filled in here"),
        (ServerSettings(command="npx -y x"), "command", "belongs under `args`"),
    ],
)
async def test_what_would_not_work_is_said_while_the_form_is_filled_in(
    tmp_path: Path, settings: ServerSettings, where: str, words: str
) -> None:
    async with rig(tmp_path) as running:
        checked = await running.ask(m.CheckServer(name="s", settings=settings, new=True))
        assert isinstance(checked, ServerChecked)
        said = {str(each.where): each.what for each in (*checked.problems, *checked.warnings)}
        assert words in said[where]


async def test_what_works_is_not_spoken_against(tmp_path: Path) -> None:
    program = tmp_path / "my program"
    program.touch()
    settings = ServerSettings(command=str(program), args=("a$", "50%", "cost: $5"), env={"A": "${HOME}"})
    async with rig(tmp_path) as running:
        checked = await running.ask(m.CheckServer(name="s", settings=settings, new=True))
        assert isinstance(checked, ServerChecked)
        assert (checked.problems, checked.warnings) == ((), ())


async def test_an_import_says_what_cannot_start_and_what_is_not_used(tmp_path: Path) -> None:
    theirs = tmp_path / "mcp.json"
    entries = {"good": {"command": "x", "autoApprove": ["a"]}, "odd": {"type": "ws"}}
    theirs.write_text(json.dumps({"mcpServers": entries}))
    async with rig(tmp_path, demo=False, config=TINY, connect="none") as running:
        done = await running.ask(ImportServers(path=str(theirs)))
        assert isinstance(done, e.CommandDone)
        assert "2 servers imported" in done.text
        assert "these cannot start, and their rows say why: odd" in done.text
        assert "good: never taken over, since you decide here: autoApprove" in done.text
        told = {event.name: event.state for event in running.of(e.ServerChanged)}
        assert (told["good"], told["odd"]) == ("not_allowed", "failed")
