"""`sessions export` and `import`: conversations in files. Neither sends anything anywhere."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

from omni_tui.cli.options import load_configuration, open_vault
from omni_tui.cli.output import (
    CliError,
    ExitStatus,
    print_document,
    print_json,
    print_note,
    print_result,
    table,
)
from omni_tui.cli.sessions import existing_session
from omni_tui.config.load import LoadedConfig
from omni_tui.conversations import (
    FoundConversations,
    LoadedConversation,
    SavedConversation,
    UnreadableFile,
    conversation_of,
    format_of,
    load_conversation,
    read_conversations,
    rendered,
    write_conversation,
)
from omni_tui.conversations.document import FileMessage
from omni_tui.memory import JournalBroken, JournalBusy
from omni_tui.memory.saved_session import saved_copy
from omni_tui.memory.session_files import saved_ids
from omni_tui.protocol.errors import FileInTheWay, UserError
from omni_tui.protocol.loaded import PROGRAMS
from omni_tui.security.redaction import Redactor
from omni_tui.security.text import safe_line

_SHORTEST = 4
"""Characters of the beginning of an id."""
_MOST_LISTED = 1_000


def export(arguments: argparse.Namespace) -> int:
    """Write a conversation to a file or to standard output; return 1 if some of it could not be read.

    It is read from a copy: the session may be open elsewhere.
    """
    loaded = _config(arguments)
    state = loaded.paths.state_dir
    session = _session(arguments.id, state)
    path = existing_session(session, state)
    try:
        with saved_copy(path, session, open_vault(state, "the saved sessions")) as copy:
            conversation = conversation_of(copy.tx, session, copy.expected)
    except (JournalBusy, JournalBroken, OSError) as error:
        raise CliError("the session cannot be read", why=str(error)) from None
    name = "" if arguments.output == "-" else arguments.output
    pieces = rendered(conversation, arguments.format or format_of(name), Redactor(loaded.secrets))
    if name:
        _write(Path(name).expanduser(), pieces, overwrite=arguments.force)
    else:
        for piece in pieces:
            print_document(piece.decode())
    if unread := conversation.session.unread:
        print_note(f"omni-tui: {unread} saved events of this session cannot be read and are left out")
        return ExitStatus.FAILED
    return ExitStatus.DONE


def _config(arguments: argparse.Namespace) -> LoadedConfig:
    return load_configuration(arguments)


def _session(given: str, state: Path) -> str:
    """Return the id that begins as given. Raises `CliError` for more than one."""
    ids = saved_ids(state)
    if given in ids or len(given) < _SHORTEST:
        return given
    found = [each for each in ids if each.startswith(given)]
    if len(found) > 1:
        raise CliError(
            f"{len(found)} sessions begin with {given}: write more of the id", status=ExitStatus.USAGE
        )
    return found[0] if found else given


def _write(path: Path, pieces: Iterator[bytes], *, overwrite: bool) -> None:
    try:
        size = write_conversation(path, pieces, overwrite=overwrite)
    except FileInTheWay:
        raise CliError(f"{path} exists already", todo="Use --force to replace it.") from None
    except UserError as error:
        raise CliError(str(error)) from None
    print_note(f"wrote {size:,} bytes to {path}, which only you can read")


def import_file(arguments: argparse.Namespace) -> int:
    """Make sessions of the conversations in a file; return 1 if one could not be saved."""
    path = Path(arguments.file).expanduser()
    try:
        found = read_conversations(path)
    except UnreadableFile as error:
        raise CliError(f"{path} cannot be imported", why=str(error)) from None
    if arguments.list:
        return _list(found, as_json=arguments.json)
    loaded = _config(arguments)
    vault = open_vault(loaded.paths.state_dir, "the saved sessions", make=True)
    made: list[LoadedConversation] = []
    for conversation in _chosen(found, arguments):
        work = load_conversation(
            conversation,
            loaded.paths.state_dir,
            vault,
            source=found.source,
            file=path.name,
            mode=loaded.config.agent.mode,
            model=loaded.config.model.name,
        )
        try:
            made.append(asyncio.run(work))
        except UnreadableFile as error:
            raise CliError(f"{path} was not imported", why=str(error)) from None
        if not arguments.json:
            _say(made[-1], found)
    if arguments.json:
        print_json([
            {
                "session": each.session,
                "title": each.title,
                "messages": each.messages,
                "calls": each.calls,
                "forgotten": each.forgotten,
            }
            for each in made
        ])  # fmt: skip
    return ExitStatus.DONE


def _say(made: LoadedConversation, found: FoundConversations) -> None:
    counts = f"{_count(made.messages, 'message')} and {_count(made.calls, 'call')}"
    print_result(f"imported {counts} of {PROGRAMS[found.source]} as {made.session}: {made.title}")
    if made.forgotten:
        print_note(
            f"{_count(made.forgotten, 'message')} of it had been rewound: the model does not know that"
        )
    print_note(f"go on with it: omni-tui --session {made.session}")


def _chosen(found: FoundConversations, arguments: argparse.Namespace) -> list[SavedConversation]:
    """Return the conversations to import. Raises `CliError` if that is not said or cannot be."""
    known = found.conversations
    for number in arguments.only:
        if not 1 <= number <= len(known):
            raise CliError(
                f"there is no conversation {number}: the file has {len(known):,}",
                status=ExitStatus.USAGE,
            )
    if arguments.only:
        return [known[number - 1] for number in dict.fromkeys(arguments.only)]
    if len(known) > 1 and not arguments.all:
        raise CliError(
            f"{arguments.file} holds {len(known):,} conversations",
            todo="List them with --list, then choose with --only N, or import them with --all.",
            status=ExitStatus.USAGE,
        )
    return list(known)


def _list(found: FoundConversations, *, as_json: bool) -> int:
    rows = [_row(number, each) for number, each in enumerate(found.conversations, 1)]
    if as_json:
        print_json([
            {"number": number, "messages": messages, "title": title} for number, messages, title in rows
        ])  # fmt: skip
        return ExitStatus.DONE
    shown = [(str(number), str(messages), title) for number, messages, title in rows[-_MOST_LISTED:]]
    print_result(table(("NUMBER", "ENTRIES", "TITLE"), shown))
    if len(rows) > len(shown):
        print_note(f"the last {len(shown):,} of {len(rows):,}")
    return ExitStatus.DONE


def _row(number: int, conversation: SavedConversation) -> tuple[int, int, str]:
    title = conversation.session.title
    if not title:
        title = next((item.text for item in conversation.items if isinstance(item, FileMessage)), "")
    return number, len(conversation.items), safe_line(" ".join(title[:400].split()), limit=80)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
