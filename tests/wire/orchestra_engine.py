"""Runs in a process of its own, to be killed: `python -m tests.wire.orchestra_engine FOLDER CONFIG`.

Prints every journalled event as a line of JSON, approves what is asked, and never ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import encode_record
from omni_tui.protocol import events as e
from tests.engine.orchestra import Players, plan, task
from tests.engine.rig import Rig, rig
from tests.scripted_model import reply

SERVERS = ("files", "git", "memory")


def players(folder: Path) -> Players:
    """Return the model: three phases, six tasks, of which the fourth fails."""
    here, repo = str(folder / "work"), str(folder / "work")

    def call(name: str, **arguments: object) -> ToolCall:
        # The same id for every call of every agent: ids of providers are not unique either.
        return ToolCall("call_0", name, json.dumps(arguments))

    ada = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
    write = call("files__write_file", path=f"{here}/a.txt", content="first\n")
    commit = call("git__git_commit", repo_path=repo, message="Add a.txt")
    work = {
        "write a.txt": [[reply("", write)], [reply("a.txt is written")]],
        "remember Ada": [
            [reply("", call("memory__create_entities", entities=[ada]))],
            [reply("Ada is remembered")],
        ],
        "look at git": [[reply("", call("git__git_status", repo_path=repo))], [reply("git is there")]],
        "read b.txt": [
            [reply("", call("files__read_text_file", path=f"{here}/b.txt"))],
            [reply("FAILED: there is no b.txt")],
            [reply("", call("files__list_directory", path=here))],
            [reply("FAILED: there still is no b.txt")],
        ],
        "commit a.txt": [
            [reply("", call("git__git_add", repo_path=repo, files=["a.txt"]))],
            [reply("", commit)],
            [reply("a.txt is committed")],
        ],
        "tell of Ada": [[reply("", call("memory__read_graph"))], [reply("Ada wrote the first program")]],
    }
    draft = plan(
        [
            task("a", "write a.txt", tools=["files/write_file"]),
            task("b", "remember Ada", tools=["memory/create_entities"]),
            task("c", "look at git", tools=["git/git_status"]),
        ],
        [
            task("d", "read b.txt", tools=["files/read_text_file", "files/list_directory"]),
            task("e", "commit a.txt", "a", tools=["git/git_add", "git/git_commit"]),
        ],
        [task("f", "tell of Ada", "b", tools=["memory/read_graph"])],
    )
    return Players(draft, '{"go_on": "b.txt is not needed"}', work=work)


async def approve(running: Rig) -> None:
    """Approve every call that is asked about, for ever."""
    decided: set[str] = set()

    def is_new(event: e.ApprovalRequested) -> bool:
        return event.digest not in decided

    while True:
        asked = await running.until(e.ApprovalRequested, is_new)
        decided.add(asked.digest)
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))


async def main(folder: Path, config: str) -> None:
    """Run the plan and print what happens."""
    async with rig(
        folder, config=config, demo=False, model=players(folder), mode="orchestrator"
    ) as running:
        for server in SERVERS:
            await running.connected(server)
        await running.ask(c.SendMessage(text="do all of it"))
        approving = asyncio.create_task(approve(running))
        told = 0
        while not approving.done():
            await running.until(e.Journalled, after=told)
            for event in running.seen[told:]:
                if event.journalled:
                    sys.stdout.write(encode_record(event).decode() + "\n")
                told += 1
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]).read_text()))
