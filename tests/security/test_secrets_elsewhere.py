"""Secrets in addresses, rules and sign-ins: in no file but sealed, and in no other server's environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.rules import AddRule, AdoptRule, ProposeRules, ReadRules, RulesProposed, RulesRead
from tests.engine.faults.web import serving
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply
from tests.security.test_key_stores import omni
from tests.security.test_secrets_at_rest import SERVER, places

SECRET = "canary-of-a-rule-Qm4Zt8"
PLAIN = "canary-of-an-argument-3k"
TELL = "import os, sys; sys.stderr.write(repr(sorted(os.environ.items())))"


def note(number: str, text: str, **more: str) -> ToolCall:
    return ToolCall(number, "demo__write_note", json.dumps({"name": "x", "text": text, **more}))


async def test_a_rule_for_good_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of a person's own stands in a file in plain text, to be read and edited."""
    monkeypatch.setenv("CANARY", SECRET)
    config = (
        f'[servers.mine]\ncommand = {sys.executable!r}\nargs = ["-c", ""]\nenv = {{ A = "${{CANARY}}" }}\n'
    )
    model = ScriptedModel([reply("", note("p1", f"it is {SECRET}"), note("p2", PLAIN))], [reply("done")])
    async with rig(tmp_path, config=config, model=model, mode="chat") as running:
        await running.connected()
        running.link.send(c.SendMessage(text="go"))
        await running.count(e.ApprovalRequested, 2)
        for card, secret in zip(running.of(e.ApprovalRequested), (True, False), strict=True):
            asked = await running.ask(ProposeRules(call=card.call, digest=card.digest, scope="user"))
            assert isinstance(asked, RulesProposed)
            exact = next(draft for draft in asked.drafts if draft.width == "exact")
            for scope in ("user", "session"):
                added = await running.ask(
                    AddRule(call=card.call, digest=card.digest, rule_toml=exact.rule_toml, scope=scope)
                )
                if secret and scope == "user":
                    assert isinstance(added, e.CommandFailed), added
                    assert "secret" in added.what
                else:
                    assert isinstance(added, e.CommandDone), added
        listed = await running.ask(ReadRules())
        assert isinstance(listed, RulesRead)
        assert len(listed.rules) == 3
    assert places(tmp_path, SECRET) == []
    rules = list(tmp_path.rglob("rules.toml"))
    assert [PLAIN in path.read_text() for path in rules] == [True], (
        "nothing was written: nothing was tested"
    )
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "rules.toml"]
    assert {"audit.jsonl", "vault.json"} <= {path.name for path in others}
    assert [path for path in others if PLAIN.encode() in path.read_bytes()] == []


async def test_what_is_adopted_and_counted_names_no_argument(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    condition = f'{{ path = "/text", op = "eq", value = "{PLAIN}" }}'
    (project / ".omni-tui.toml").write_text(
        '[[policy.rule]]\nid = "theirs"\ndecision = "allow"\nserver = "demo"\n'
        f"tool = 'write_note'\nmax_uses = 5\nargs = [{condition}]\n"
    )
    models = [ScriptedModel(), ScriptedModel([reply("", note("p1", PLAIN))], [reply("done")])]
    async with rig(tmp_path, model=models[0], project=str(project)) as running:
        listed = await running.ask(ReadRules())
        assert isinstance(listed, RulesRead)
        (rule,) = listed.rules
        adopted = await running.ask(AdoptRule(id=rule.id, digest=rule.digest))
        assert isinstance(adopted, e.CommandDone), adopted
    async with rig(tmp_path, model=models[1], project=str(project), mode="chat", resume="new") as running:
        await running.connected()
        running.link.send(c.SendMessage(text="go"))
        finished = await running.until(e.CallFinished)
        assert finished.state == "succeeded"
    state = [path for path in tmp_path.rglob("*") if path.is_file() and project not in path.parents]
    assert {"adopted.json", "rule-uses.json", "audit.jsonl"} <= {path.name for path in state}
    written = [path for path in state if PLAIN.encode() in path.read_bytes() and "notes" not in path.parts]
    assert written == []


def test_secrets_in_addresses_reach_no_file_and_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"CANARY_QUERY": "canary-query-Wq8rT2", "CANARY_ENV": "canary-env-Zp5yL9"}
    given |= {"CANARY_BEARER": "canary-bearer-Xk3n", "AWS_SECRET_ACCESS_KEY": "canary-aws-Hh7d"}
    given |= {"MY_TOKEN": "canary-mine-Uu1w"}
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    for name, value in {**given, **env}.items():
        monkeypatch.setenv(name, value)
    with serving() as web:
        (tmp_path / "config.toml").write_text(
            f'[servers.query]\nurl = "{web.url}?access_token=${{CANARY_QUERY}}"\n'
            '[servers.dead]\nurl = "http://127.0.0.1:9/mcp?api_key=${CANARY_QUERY}"\n'
            f'[servers.bearer]\nurl = "{web.url}"\nauth = "bearer"\ntoken = "${{CANARY_BEARER}}"\n'
            f"[servers.mine]\ncommand = {sys.executable!r}\nargs = ['-I', '-S', {str(SERVER)!r}, 'tells']\n"
            'env = { API_TOKEN = "${CANARY_ENV}" }\n'
            f"[servers.nosy]\ncommand = {sys.executable!r}\nargs = ['-c', {TELL!r}]\n"
        )
        listed = omni(tmp_path, "servers", "--json", env=dict(os.environ))
        told = omni(tmp_path, "servers", "log", "nosy", env=dict(os.environ))
    states = {one["name"]: one["state"] for one in json.loads(listed.stdout)}
    assert states["dead"] == "failed"
    assert states["mine"] == "idle"
    assert "'PATH'" in told.stdout
    every = list(given.values())
    for text in (listed.stdout, listed.stderr, told.stdout, told.stderr):
        assert [secret for secret in every if secret in text] == []
    assert {secret: where for secret in every if (where := places(tmp_path / "state", secret))} == {}
