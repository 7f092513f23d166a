"""A page with everything a transcript can hold, for looking at it and for pictures."""

from __future__ import annotations

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import ReadResult
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    CallProgress,
    ContentPart,
    Notice,
    Retrying,
    TextPage,
    Thought,
    ThoughtDelta,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from tests.face import scenario
from tests.face.scenario import NOW, START, proposed

ANSWER = SafeText("""\
# What changed

Both notes now say **web-1**, and the runbook's *second* paragraph no longer tells people to `ping` a host
that is gone. See [the wiki](https://wiki.example/hosts) for the others.

1. `notes/deploy.md`, line 12
2. `notes/runbook.md`
   - line 3: the check
   - line 41: the way in

| note | before | after |
|---|---|---|
| deploy.md | ssh deploy@old-host | ssh deploy@web-1 |
| runbook.md | ping old-host | ping web-1 |

```python
def host(name: str) -> str:
    # 日本語 and an emoji 👍 keep their columns
    return {"old-host": "web-1"}.get(name, name)
```

> The commit is local; nothing was pushed.
""")
JSON = SafeText(
    '{\n  "branch": "main",\n  "ahead": 1,\n  "files": ["notes/deploy.md", "notes/runbook.md"]\n}'
)


def part(text: str, *, truncated: bool = False, size: int = 0) -> ContentPart:
    """Return a text part."""
    return ContentPart(
        index=0, kind="text", text=SafeText(text), size=size or len(text), truncated=truncated
    )


def done(call: str, text: str, ms: float = 6.2, **changes: object) -> list[AnyEvent]:
    """Return what follows the approval of a call that goes well."""
    values: dict[str, object] = {"parts": (part(text),), "size": len(text), **changes}
    return [
        CallChanged(call=call, state="approved", decider="user"),
        CallChanged(call=call, state="dispatching", ts=NOW - 3),
        CallFinished(call=call, state="succeeded", elapsed_ms=ms, **values),  # type: ignore[arg-type]
    ]


def answered() -> list[AnyEvent]:
    """Return the believable turn to its good end."""
    return [
        *scenario.conversation(),
        *done("c2", "1 file changed, 1 insertion, 1 deletion"),
        *done("c3", "1 file changed, 2 insertions, 2 deletions", 1840.0),
        proposed("c4", "git", "git_status", {"repo_path": "."}, "read"),
        *done("c4", JSON, 22.4),
        Answer(turn="t1", message="m3", text=ANSWER),
        TurnEnded(turn="t1", status="done", steps=3),
    ]


def troubles() -> list[AnyEvent]:
    """Return a turn in which everything goes another way."""
    return [
        UserMessage(turn="t2", text=SafeText("Clean up the branches\nand report."), ts=START + 60),
        TurnStarted(turn="t2", mode="chat", model=SafeText("m"), ts=START + 60),
        Thought(turn="t2", message="m4", text=SafeText("Old branches first.")),
        proposed("d1", "git", "git_branch", {"repo_path": ".", "branch_type": "local"}, "read"),
        *done("d1", "\n".join(f"feature/{n}" for n in range(40)), 31.0, size=5_200_000,
              parts=(part("\n".join(f"feature/{n}" for n in range(40)), truncated=True),)),
        proposed("d2", "git", "git_reset", {"repo_path": ".", "hard": True}, "destructive"),
        CallChanged(call="d2", state="rejected", decider="user", feedback=SafeText("never reset")),
        proposed("d3", "files", "read_text_file", {"path": "notes/missing.md"}, "read"),
        CallFinished(call="d3", state="failed", elapsed_ms=3, size=0, parts=(),
                     reason=SafeText("no such file")),
        proposed("d4", "tracker", "create_issue", {"title": "Tidy", "body": "x" * 200}, "write"),
        CallChanged(call="d4", state="dispatching", ts=NOW - 90),
        CallChanged(call="d4", state="uncertain", reason=SafeText(
            "The connection was cut after the request was sent; whether it ran is not known.")),
        proposed("d5", "search", "crawl", {"url": "https://example.com/long/path"}, "read", origin="hand"),
        CallChanged(call="d5", state="dispatching", ts=NOW - 12),
        CallProgress(call="d5", progress=40, total=100, message=SafeText("page 40 of 100")),
        Notice(level="warning", what=SafeText("search stopped answering pings"), why=SafeText("3 in a row"),
               todo=SafeText("press c on its row to connect again")),
    ]  # fmt: skip


def streaming() -> list[AnyEvent]:
    """Return text that is still arriving, and a retry that waits."""
    half = (
        "Two branches are **left**:\n\n- main\n- web-1\n\n```sh\ngit branch -d old\nand this is still com"
    )
    return [
        ThoughtDelta(turn="t2", message="m5", text=SafeText("I should sum up what is left, then")),
        AnswerDelta(turn="t2", message="m5", text=SafeText(half)),
        Retrying(turn="t9", attempt=2, of=5, delay_s=8, reason=SafeText("rate limited"), ts=NOW),
    ]


def result(command: ReadResult) -> TextPage:
    """Return a page of a long result."""
    whole = "\n".join(f"feature/{n}  {'ahead ' * (n % 9)}of main by {n}" for n in range(9_000))
    piece = SafeText(whole[command.offset : command.offset + command.limit])
    return TextPage(call=command.call, part=0, offset=command.offset, total=len(whole), text=piece)


def everything() -> list[AnyEvent]:
    """Return all of it."""
    return [*answered(), *troubles(), *streaming()]
