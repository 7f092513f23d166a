"""What a server claims about its tools can only raise their risk, unless the person trusts it (A22)."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import rig
from tests.engine.test_gate import asking

RULE = """
[[policy.rule]]
id = "reading"
decision = "allow"
server = "demo"
risk_max = "{most}"
"""
TRUSTED = """
[policy.servers.demo]
trusted = true
"""


@pytest.mark.parametrize("most", ["read", "write"])
@pytest.mark.parametrize("trusted", [False, True])
async def test_a22_only_a_trusted_servers_claim_lets_a_rule_allow(
    tmp_path: Path, most: str, trusted: bool
) -> None:
    model = asking(("demo__list_notes", "{}"))
    config = RULE.format(most=most) + (TRUSTED if trusted else "")
    async with rig(tmp_path, model=model, config=config, headless=True) as running:
        await running.connected()
        claims = running.engine.context.catalogue.get("demo", "list_notes")
        assert claims is not None
        assert claims.risk == "read"
        listed = await running.until(e.ToolsListed, lambda event: bool(event.tools))
        assert {tool.server_trusted for tool in listed.tools} == {trusted}
        details = await running.ask(c.DescribeTool(server="demo", tool="list_notes"))
        assert isinstance(details, e.ToolDetails)
        assert details.server_trusted == trusted
        await running.ask(c.SendMessage(text="list"))
        await running.until(e.TurnEnded)
        states = [event.state for event in running.of(e.CallChanged)]
        assert running.of(e.CallProposed)[0].server_trusted == trusted
        assert states == (["approved", "dispatching"] if trusted else ["withheld"])


async def test_a_claim_does_not_escape_a_rule_that_asks_about_reading(tmp_path: Path) -> None:
    config = RULE.format(most="read").replace('"allow"', '"ask"')
    model = asking(("demo__list_notes", "{}"), ("demo__write_note", '{"name": "a", "text": "x"}'))
    async with rig(tmp_path, model=model, config=config, headless=True, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="list"))
        await running.until(e.TurnEnded)
        assert [event.state for event in running.of(e.CallChanged)] == [
            "withheld",
            "approved",
            "dispatching",
        ]
