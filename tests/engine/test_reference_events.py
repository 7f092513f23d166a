"""What `run --json` really prints stands on the page of events, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import command
from tests.guide import REFERENCE

HEADER = {"type", "v", "seq", "ts", "session"}


def documented(page: Path) -> dict[str, set[str]]:
    """Return the fields of each event and value on a page."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^### `?(\w+)`?$", text, flags=re.MULTILINE)[1:]
    return {
        name: set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }


def strays(event: dict[str, Any], pages: dict[str, set[str]]) -> list[str]:
    """Return what of an event does not stand on the page."""
    kind = event["type"]
    if kind not in pages:
        return [kind]
    return [f"{kind}.{name}" for name in event if name not in HEADER | pages[kind]]


@pytest.mark.parametrize(
    ("prompt", "mode", "status"),
    [
        ("add 17 and 25", "auto", 0),
        ("add 17 and 25", "chat", 3),
        ("add 17 and 25, then list my notes", "orchestrator", 3),
    ],
)
def test_every_event_and_field_is_documented(prompt: str, mode: str, status: int) -> None:
    done = command("run", prompt, "--demo", "--mode", mode, "--json")
    assert done.returncode == status, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    pages = documented(REFERENCE / "events.md")
    assert len(events) > 8
    assert [stray for event in events for stray in strays(event, pages)] == []
    missing = {f"{event['type']}.{name}" for event in events for name in pages[event["type"]] - set(event)}
    assert missing == set(), "documented, and not printed"


def test_a_stray_event_and_a_stray_field_are_found() -> None:
    pages = {"answer": {"text"}}
    assert strays({"type": "answer", "text": "", "v": 1}, pages) == []
    assert strays({"type": "answer", "texts": ""}, pages) == ["answer.texts"]
    assert strays({"type": "question"}, pages) == ["question"]
