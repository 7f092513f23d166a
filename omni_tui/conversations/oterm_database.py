"""Read the chats of `oterm` (`store.db`): a table `chat`, and a table `message` without times and calls."""

from __future__ import annotations

from omni_tui.conversations.document import SavedConversation
from omni_tui.conversations.foreign import ItemCollector
from omni_tui.conversations.foreign_database import ForeignDatabase, text_of


def is_oterm(database: ForeignDatabase) -> bool:
    """Whether a database is such a store."""
    return database.has("chat", "message") and {"chat_id", "author"} <= database.columns("message")


def from_oterm(database: ForeignDatabase) -> list[SavedConversation]:
    """Return the chats of a store, oldest first."""
    chats: dict[object, tuple[str, str, ItemCollector]] = {}
    for row in database.rows("chat", ("id", "name", "model")):
        chats[row["id"]] = text_of(row["name"]), text_of(row["model"]), ItemCollector("oterm")
    for row in database.rows("message", ("chat_id", "author", "text")):
        if row["chat_id"] not in chats:
            continue
        collector = chats[row["chat_id"]][2]
        add = collector.user if row["author"] == "user" else collector.answer
        add(text_of(row["text"]))
    return [
        collector.conversation(ident=str(ident), title=name, model=model)
        for ident, (name, model, collector) in chats.items()
        if collector.items
    ]
