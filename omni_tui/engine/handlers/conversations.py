"""Commands that save the session to a file, and make a session of one."""

from __future__ import annotations

import time
from pathlib import Path

from omni_tui.conversations import (
    ConversationReader,
    UnreadableFile,
    format_of,
    load_conversation,
    read_conversations,
    rendered,
    write_conversation,
)
from omni_tui.engine.handlers.base import Handlers
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone, FileSaved
from omni_tui.protocol.loaded import PROGRAMS, LoadConversation, SaveConversation
from omni_tui.security.text import safe, safe_line


class ConversationHandlers(Handlers):
    """`/save` and `/load`."""

    async def _save(self, command: SaveConversation) -> AnyEvent:
        self._check_person()
        path = _path(command.path or time.strftime("conversation-%Y%m%d-%H%M%S.json")).absolute()
        journal = self._session.journal
        reader = ConversationReader(journal.session, journal.head, only=True)
        while await journal.run(reader.read_on):
            pass
        conversation = await self._in_pool(reader.conversation)
        if not conversation.items:
            raise UserError("there is nothing to save yet")
        kind = format_of(path.name)
        pieces = rendered(conversation, kind, self._context.redactor)
        size = await self._in_pool(write_conversation, path, pieces, overwrite=command.overwrite)
        return FileSaved(path=str(path), size=size)

    async def _load(self, command: LoadConversation) -> AnyEvent:
        self._check_person()
        path = _path(command.path)
        try:
            found = await self._in_pool(read_conversations, path)
            if len(found.conversations) > 1:
                raise UnreadableFile(
                    f"it holds {len(found.conversations):,} conversations; choose with: "
                    f"omni-tui sessions import --list {path}"
                )
            loaded = await load_conversation(
                found.conversations[0],
                self._context.loaded.paths.state_dir,
                self._context.vault,
                source=found.source,
                file=path.name,
                mode=self._session.settings.mode,
                model=self._session.settings.model,
            )
        except UnreadableFile as error:
            raise UserError(f"{safe_line(str(path))} cannot be loaded: {error}") from None
        await self._engine.switch(self._client, loaded.session)
        words = (
            f"loaded {loaded.messages:,} messages and {loaded.calls:,} calls from {PROGRAMS[found.source]}"
        )
        if loaded.forgotten:
            words += f"; {loaded.forgotten:,} of the messages were rewound: the model does not know them"
        return CommandDone(id=loaded.session, text=safe(words))


def _path(name: str) -> Path:
    if not name.strip():
        raise UserError("name the file to load")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UserError(f"this is not a path: {error}") from None
