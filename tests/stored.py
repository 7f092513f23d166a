"""Reading what an earlier version left behind: `tests/data/stored/<version>/`, made by `stored_state.py`.

    config.toml, project/, mcp.json   a configuration, and `environment.json` that it is read in
    config.json                       what it works out to
    state/                            a state folder whose key lies in a file
    sealed/                           one whose key is made of `PASSPHRASE`
    wire/                             `commands.jsonl`, `events.jsonl`: frames of every message, every shape
    tags.json                         the names of all messages
    sessions/<name>/                  what is in a session: `events.jsonl` (as on disk), `show.txt`,
                                      `transcript.txt`, `conversation.json`, `calls.json`
    sessions.json, names.json         the list of sessions, and the names they have here
    actions.json                      the actions that `[keys]` can name, with their slash commands

The data is never opened where it is: `copied` makes a copy with the modes that private files have.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from omni_tui.cli.printers import TextPrinter
from omni_tui.config.load import LoadedConfig, load_config
from omni_tui.config.spec import ServerSpec
from omni_tui.face import actions
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_lines import draw_item
from omni_tui.face.transcript.item_types import AnyItem
from omni_tui.memory import (
    Journal,
    SavedSession,
    Transaction,
    Vault,
    call_table,
    list_sessions,
    session_path,
    task_table,
)
from omni_tui.protocol import AnyEvent, LaunchOptions
from tests.stored_frames import built_in
from tests.whole_journal import whole_conversation

DATA = Path(__file__).parent / "data" / "stored"
PASSPHRASE = "correct horse battery staple"
WIDTH = 80


def versions() -> list[Path]:
    """Return the folders of the versions that left something."""
    return sorted(path for path in DATA.iterdir() if path.is_dir())


def copied(source: Path, target: Path) -> Path:
    """Copy a folder; what is in the copy belongs to this person alone, as Omni TUI demands."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return target


def environment(passphrase: str = "") -> dict[str, str]:
    """Return the environment that a vault is opened in."""
    return {"OMNI_TUI_PASSPHRASE": passphrase}


# --- sessions -----------------------------------------------------------------------------------


def raw_events(state: Path, session: str, vault: Vault) -> list[Any]:
    """Return the events of a session's file as they are on disk, parsed as JSON and no further."""
    with closing(sqlite3.connect(session_path(state, session))) as connection:
        (key,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
        tx = Transaction(connection, vault.unwrap(key, f"key of {session}"), session)
        rows = connection.execute("SELECT seq, body FROM events ORDER BY seq").fetchall()
        return [json.loads(tx.open(body, f"events/{seq}/body")) for seq, body in rows]


def saved_events(state: Path, session: str, vault: Vault) -> list[AnyEvent]:
    """Return the events of a session, all of which can be read."""
    saved = SavedSession(session_path(state, session), session, vault)
    events = list(saved)
    assert saved.unread == 0
    return events


def show_of(events: Sequence[AnyEvent]) -> str:
    """Return what `omni-tui sessions show` prints."""
    printer = TextPrinter()
    return "\n".join(said for event in events if (said := printer.saved(event))) + "\n"


def transcript_of(events: Sequence[AnyEvent]) -> str:
    """Return the transcript as it stands on the screen, by UTC."""
    fold = Fold()
    for event in events:
        if event.public:
            fold.apply(event)
    rows: list[str] = []
    above: AnyItem | None = None
    now = max((event.ts for event in events), default=0.0) + 60
    with _utc():
        for item in fold.items:
            rows += [line.text.rstrip() for line in draw_item(item, above, WIDTH, now)]
            above = above if item.hidden else item
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def _utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def conversation_of(events: Sequence[AnyEvent]) -> Any:
    """Return what a session says of its conversation: what the model has heard, and what is left."""
    found = whole_conversation(events)
    return {
        "messages": built_in(found.messages),
        "titled": found.titled,
        "unfinished": found.unfinished,
        "ended": found.ended,
        "modes": found.modes,
        "untold": found.untold,
        "queued": found.queued,
        "steps": dict(found.steps),
        "used": built_in(found.used),
        "summaries": built_in(found.summaries),
    }


async def calls_of(state: Path, session: str, vault: Vault) -> Any:
    """Return the table of calls with results and tasks, as the gate reads it. Opens a session."""
    journal = await Journal.open(session_path(state, session), session, vault, lambda _events: None)
    try:
        assert journal.damage == ""
        events = await journal.read(0, 100_000)
        assert journal.damaged == 0
        assert len(events) == journal.head
        return await journal.run(_calls)
    finally:
        await journal.close(clean=False)


def _calls(tx: Transaction) -> Any:
    found = []
    for (call,) in tx.execute("SELECT call FROM calls ORDER BY rowid").fetchall():
        row = call_table.load(tx, call)
        assert row is not None
        task = task_table.load(tx, call, row.attempt)
        found.append(
            {
                "call": row.call,
                "turn": row.turn,
                "step": row.step,
                "agent": row.agent,
                "origin": row.origin,
                "server": row.server,
                "tool": row.tool,
                "server_fp": row.server_fp,
                "def_hash": row.def_hash,
                "args": row.args.decode(),
                "args_hash": row.args_hash,
                "state": row.state,
                "attempt": row.attempt,
                "nonce": row.nonce,
                "decider": row.decider,
                "provider_call_id": row.provider_call_id,
                "created": row.created,
                "result": call_table.get_result(tx, call, row.attempt).decode(),
                "task": None if task is None else [task.id, task.began, task.ttl, task.poll],
            }
        )
    return found


def sessions_of(state: Path, vault: Vault) -> Any:
    """Return the list of sessions."""
    found = list_sessions(state, vault)
    assert found.unreadable == {}
    return built_in(found.sessions)


# --- actions ------------------------------------------------------------------------------------


def actions_now() -> dict[str, str]:
    """Return the name of every action that a configuration can give a key, with its slash command."""
    known = actions.all_actions()
    former = {action.former: action.slash for action in known if action.former}
    return former | {action.name: action.slash for action in known}


# --- configuration ------------------------------------------------------------------------------


def configuration(folder: Path, state: Path) -> LoadedConfig:
    """Load a stored configuration."""
    environ = json.loads((folder / "environment.json").read_text())
    launch = LaunchOptions(
        config=str(folder / "config.toml"),
        project=str(folder / "project"),
        mcp_config=str(folder / "mcp.json"),
        state_dir=str(state),
    )
    return load_config(launch, environ)


def effective(loaded: LoadedConfig) -> Any:
    """Return what a configuration works out to, by the names of its keys."""
    folder = f"{loaded.paths.config_dir}/"
    names = (loaded.config.model.name, *loaded.config.model.fallbacks, *loaded.config.models)
    models = {name: loaded.model(name) for name in names}
    return {
        "config": loaded.config.model_dump(mode="json"),
        "servers": {spec.name: _server(spec) for spec in loaded.servers},
        "models": {
            name: {
                "temperature": spec.temperature,
                "max_tokens": spec.max_tokens,
                "top_p": spec.top_p,
                "key": spec.key,
                "api_base": spec.api_base,
                "context": spec.context,
                "timeout": spec.timeout,
                "tools": spec.tools,
                "images": spec.images,
                "input_price": spec.input_price,
                "output_price": spec.output_price,
            }
            for name, spec in models.items()
        },
        "problems": len(loaded.problems),
        "notes": len(loaded.notes),
        "secrets": sorted(loaded.secrets),
        "origins": {
            ".".join(map(str, key)): origin.replace(folder, "")
            for key, origin in sorted((loaded.origins or {}).items())
        },
    }


def _server(spec: ServerSpec) -> Any:
    oauth = spec.oauth
    return {
        "source": spec.source,
        "transport": spec.transport,
        "command": spec.command,
        "args": list(spec.args),
        "cwd": spec.cwd,
        "env": spec.env,
        "inherit": list(spec.inherit),
        "url": spec.url,
        "headers": spec.headers,
        "secret_env": sorted(spec.secret_env),
        "secret_headers": sorted(spec.secret_headers),
        "mode": spec.mode,
        "web": spec.web,
        "connect_timeout": spec.connect_timeout,
        "call_timeout": spec.call_timeout,
        "heartbeat": spec.heartbeat,
        "roots": list(spec.roots),
        "tasks": spec.tasks,
        "task_timeout": spec.task_timeout,
        "log_level": spec.log_level,
        "sampling": spec.sampling,
        "allowed": spec.allowed,
        "enabled": spec.enabled,
        "secrets": sorted(spec.secrets),
        "problem": spec.problem,
        "oauth": oauth
        and {
            "grant": oauth.grant,
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
            "scopes": list(oauth.scopes),
            "issuer": oauth.issuer,
            "callback_port": oauth.callback_port,
            "idp_issuer": oauth.idp_issuer,
            "idp_client_id": oauth.idp_client_id,
            "idp_client_secret": oauth.idp_client_secret,
            "idp_token": oauth.idp_token,
            "idp_token_type": oauth.idp_token_type,
        },
    }
