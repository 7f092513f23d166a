"""Conversations in files: saved in four formats, loaded from this program's files and those of others."""

from __future__ import annotations

from omni_tui.conversations.document import SavedConversation, UnreadableFile
from omni_tui.conversations.from_journal import (
    ConversationReader,
    arguments_of_call,
    content_of_loaded,
    conversation_of,
    result_of_call,
    text_of_call,
)
from omni_tui.conversations.read_file import FoundConversations, read_conversations
from omni_tui.conversations.to_journal import LoadedConversation, load_conversation
from omni_tui.conversations.written_file import (
    FORMATS,
    FileFormat,
    format_of,
    rendered,
    write_conversation,
)

__all__ = [
    "FORMATS",
    "ConversationReader",
    "FileFormat",
    "FoundConversations",
    "LoadedConversation",
    "SavedConversation",
    "UnreadableFile",
    "arguments_of_call",
    "content_of_loaded",
    "conversation_of",
    "format_of",
    "load_conversation",
    "read_conversations",
    "rendered",
    "result_of_call",
    "text_of_call",
    "write_conversation",
]
