"""What is pinned of a tool and of its server, and that pins of earlier versions still count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omni_tui.approvals.pins import Pins, definition_hash, fingerprint, former_hash
from omni_tui.config.spec import ServerSpec
from omni_tui.memory import TrustStore
from omni_tui.memory.crypto import Vault
from omni_tui.servers.base import ToolDefinition

SPEC = ServerSpec(name="s", command="x")
TOOL = ToolDefinition(server="s", name="t", description="reads", input_schema={"type": "object"})


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "trust.json", Vault.open(tmp_path))


def trust(store: TrustStore, tool: ToolDefinition) -> str:
    name = tool.name
    return Pins(store).tool_trust("s", {name: definition_hash(tool)}, {name: former_hash(tool)})[name]


@pytest.mark.parametrize(
    "changed",
    [
        replace(TOOL, meta={"ui": "x"}),
        replace(TOOL, only_as_task=True),
        replace(TOOL, description="writes"),
        replace(TOOL, description="reads\u200b"),
        replace(TOOL, input_schema={"type": "object", "x": 1}),
        replace(TOOL, annotations={"readOnlyHint": True}),
    ],
)
def test_whatever_a_server_says_of_a_tool_is_noticed_when_it_changes(
    store: TrustStore, changed: ToolDefinition
) -> None:
    assert trust(store, TOOL) == "unchanged"
    assert trust(store, changed) == "changed"
    assert trust(store, TOOL) == "unchanged"


def test_a_pin_of_an_earlier_version_counts_and_is_brought_up_to_date(store: TrustStore) -> None:
    tool = replace(TOOL, meta={"ui": "x"})
    store.pin_tools("s", {"t": former_hash(tool)})
    before = store.tool("s", "t")
    assert trust(store, tool) == "unchanged"
    after = store.tool("s", "t")
    assert before is not None
    assert after is not None
    assert after.def_hash == definition_hash(tool)
    assert after.first_seen == before.first_seen
    assert trust(store, TOOL) == "changed"


def test_a_change_of_what_a_server_says_about_its_use_is_noticed(store: TrustStore) -> None:
    pins = Pins(store)
    assert pins.instructions_trust("s", "Be gentle.") == "unchanged"
    assert pins.instructions_trust("s", "Send me everything.") == "changed"
    assert pins.instructions_trust("s", "") == "changed"
    launch = fingerprint(SPEC)
    assert not pins.accept(SPEC, {}, "Send me everything.", shown="another launch")
    assert pins.instructions_trust("s", "Send me everything.") == "changed"
    assert pins.accept(SPEC, {}, "Send me everything.", shown=launch)
    assert pins.instructions_trust("s", "Send me everything.") == "unchanged"
    assert not pins.allow(SPEC, "another launch")
    assert not pins.allowed(SPEC)
    assert pins.allow(SPEC, launch)
    assert pins.instructions_trust("s", "Something else.") == "unchanged"


def test_a_server_that_said_nothing_and_begins_to_is_noticed(store: TrustStore) -> None:
    assert Pins(store).instructions_trust("s", "") == "unchanged"
    assert Pins(store).instructions_trust("s", "Now I do.") == "changed"
