"""`sessions search`, `rename` and `tag`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from omni_tui.cli.options import open_vault
from omni_tui.cli.output import CliError, ExitStatus, print_json, print_note, print_result
from omni_tui.memory import JournalBroken, JournalBusy, Vault
from omni_tui.memory.search_file import SearchFile
from omni_tui.memory.search_index import IndexDamaged, SearchIndex, SessionHit
from omni_tui.memory.search_text import FoundText, read_text, texts_after
from omni_tui.memory.search_words import query_words
from omni_tui.memory.session_files import file_mark, list_sessions, saved_ids, session_path
from omni_tui.memory.session_labels import LabelRefused, rename_closed, tag_closed
from omni_tui.memory.session_view import session_view
from omni_tui.memory.snippets import snippet_of
from omni_tui.protocol.events import SessionInfo

_T = TypeVar("_T")
_LISTED = 20
_ROLES = {
    "title": "title", "you": "you", "answer": "answer", "thought": "thought", "call": "call",
    "result": "result",
}  # fmt: skip


def search(arguments: argparse.Namespace, state: Path) -> int:
    """Print the sessions that have all words in one text; return 1 if some cannot be read."""
    words = query_words(" ".join(arguments.words))
    if not words:
        raise CliError(
            "there is nothing to search for: a word needs a letter or a digit", status=ExitStatus.USAGE
        )
    if not (state / "sessions").is_dir():
        print_note(f"there are no saved sessions in {state}")
        return ExitStatus.DONE
    vault = open_vault(state, "the saved sessions")
    index, unread = _read_index(state, vault)
    found = index.search(words, max(1, arguments.limit))
    infos = {info.id: info for info in list_sessions(state, vault).sessions}
    hits = [hit for hit in found.sessions if hit.session in infos]
    rows = [_row(hit, infos[hit.session], _text(state, hit, vault), words) for hit in hits]
    if arguments.json:
        print_json(rows)
    elif rows:
        print_result("\n\n".join(map(_shown, rows)))
        more = (
            f"; {found.total:,} texts have all words, the newest were looked at" if not found.ranked else ""
        )
        print_note(f"\nresume one: omni-tui --session ID{more}")
    else:
        print_note(f"no text in any session has all of these words: {' '.join(words)}")
    for session, why in unread.items():
        print_note(f"omni-tui: session {session} was not searched: {why}")
    return ExitStatus.FAILED if unread else ExitStatus.DONE


def _read_index(state: Path, vault: Vault) -> tuple[SearchIndex, dict[str, str]]:
    """Return the index with everything that is saved now, and why some sessions cannot be read.

    It is saved again unless another omni-tui has it.
    """
    file = SearchFile(state, vault)
    try:
        file.hold()
        index = file.read()
        there = list(reversed(saved_ids(state)))
        try:
            for session in set(index.heads()) - set(there):
                index.remove(session, [])
            unread = _add_all(index, state, there, vault)
        except IndexDamaged:
            index = SearchIndex()
            unread = _add_all(index, state, there, vault)
        if index.dirty:
            file.write(index)
    except OSError as error:
        raise CliError("the search index cannot be used", why=str(error)) from None
    finally:
        file.release()
    return index, unread


def _add_all(index: SearchIndex, state: Path, sessions: Sequence[str], vault: Vault) -> dict[str, str]:
    """Add what is new in all sessions; return why some cannot be read. Raises `IndexDamaged`."""
    whys = {session: _add(index, state, session, vault) for session in sessions}
    return {session: why for session, why in whys.items() if why}


def _add(index: SearchIndex, state: Path, session: str, vault: Vault) -> str:
    """Add what is new in a session; return why it cannot be read, "" if it can."""
    path = session_path(state, session)
    before = index.read_so_far(session)
    now = file_mark(path)
    if now == before.mark:
        return ""
    try:
        with session_view(path, session, vault) as tx:
            if not before.goes_on(tx):
                raise IndexDamaged(f"session {session} was restored from a backup")
            new = texts_after(tx, before.head)
    except (JournalBroken, OSError) as error:
        return str(error)
    index.add(session, new, now)
    return ""


def _text(state: Path, hit: SessionHit, vault: Vault) -> FoundText | None:
    try:
        with session_view(session_path(state, hit.session), hit.session, vault) as tx:
            return read_text(tx, hit.seq) if hit.seq else None
    except (JournalBroken, OSError):
        return None


def _row(hit: SessionHit, info: SessionInfo, text: FoundText | None, words: list[str]) -> dict[str, Any]:
    parts = snippet_of(text.text, words) if text is not None else ()
    return {
        "session": hit.session,
        "title": info.title,
        "tags": list(info.tags),
        "updated": info.updated,
        "state": info.state,
        "hits": hit.hits,
        "event": hit.seq,
        "role": hit.role,
        "ts": hit.ts or info.updated,
        "snippet": "".join(part.text for part in parts),
        "resume": f"omni-tui --session {hit.session}",
    }


def _shown(row: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(row["ts"]).strftime("%Y-%m-%d %H:%M")
    tags = "".join(f" #{tag}" for tag in row["tags"])
    hits = f"{row['hits']:,} hit{'s' if row['hits'] != 1 else ''}"
    lines = [f"{row['session']}  {when}  {hits}  {row['title'] or 'untitled'}{tags}"]
    if row["snippet"]:
        lines.append(f"    {_ROLES[row['role']]}: {row['snippet']}")
    return "\n".join(lines)


# --- titles and tags ------------------------------------------------------------------------------


def rename(arguments: argparse.Namespace, state: Path) -> int:
    """Give a session another title."""
    vault = open_vault(state, "the saved sessions")
    title = _changed(rename_closed(state, arguments.id, vault, " ".join(arguments.title)), arguments, state)
    print_result(f"{arguments.id} is called {title}")
    return ExitStatus.DONE


def tag(arguments: argparse.Namespace, state: Path) -> int:
    """Add and remove tags of a session; without any, print those it has."""
    for word in arguments.changes:
        if not word.startswith("+"):
            raise CliError(
                f"a change is +TAG to add it or -TAG to remove it, not {word}", status=ExitStatus.USAGE
            )
    vault = open_vault(state, "the saved sessions")
    add = [word[1:] for word in arguments.changes]
    if not add and not arguments.remove:
        info = next(
            (each for each in list_sessions(state, vault).sessions if each.id == arguments.id), None
        )
        if info is None:
            raise _missing(arguments.id, state)
        print_result(" ".join(info.tags) or "it has no tags")
        return ExitStatus.DONE
    tags = _changed(tag_closed(state, arguments.id, vault, add, arguments.remove), arguments, state)
    print_result(f"{arguments.id} has {'the tags ' + ' '.join(tags) if tags else 'no tags'}")
    return ExitStatus.DONE


def _changed(work: Coroutine[Any, Any, _T], arguments: argparse.Namespace, state: Path) -> _T:
    try:
        return asyncio.run(work)
    except FileNotFoundError:
        raise _missing(arguments.id, state) from None
    except (LabelRefused, ValueError) as error:
        raise CliError(str(error), status=ExitStatus.USAGE) from None
    except JournalBusy as error:
        raise CliError(
            "nothing was changed", why=str(error), todo="Or change it in that one: F7."
        ) from None
    except (JournalBroken, OSError) as error:
        raise CliError("nothing was changed", why=str(error)) from None


def has_tags(info: SessionInfo, tags: Sequence[str]) -> bool:
    """Whether a session has all of some tags, with or without `#`, in any case."""
    there = {tag.casefold() for tag in info.tags}
    return all(tag.removeprefix("#").casefold() in there for tag in tags)


def _missing(session: str, state: Path) -> CliError:
    return CliError(f"there is no session {session} in {state}", todo="See: omni-tui sessions list")
