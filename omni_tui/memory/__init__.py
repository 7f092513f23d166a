"""What is remembered: sealed session journals, the table of calls, and whom the person trusts."""

from omni_tui.memory.branch import Branch, NoSuchMessage, cut, graft
from omni_tui.memory.calls import CallMoved, CallRow, GrantSpent
from omni_tui.memory.credentials import Credentials
from omni_tui.memory.crypto import SealBroken, Sealer, Vault, VaultRefused
from omni_tui.memory.journal import Journal
from omni_tui.memory.private import PlaceRefused
from omni_tui.memory.reading import SavedSession
from omni_tui.memory.server_logs import LogEntry, ServerLogs
from omni_tui.memory.session import (
    SavedSessions,
    delete_session,
    last_unclean,
    list_sessions,
    new_session_id,
    session_path,
)
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Tx
from omni_tui.memory.tasks import SavedTask, TaskKnown
from omni_tui.memory.trust import PinnedTool, ServerTrust, TrustStore

__all__ = [
    "Branch",
    "CallMoved",
    "CallRow",
    "Credentials",
    "GrantSpent",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "LogEntry",
    "NoSuchMessage",
    "PinnedTool",
    "PlaceRefused",
    "SavedSession",
    "SavedSessions",
    "SavedTask",
    "SealBroken",
    "Sealer",
    "ServerLogs",
    "ServerTrust",
    "TaskKnown",
    "TrustStore",
    "Tx",
    "Vault",
    "VaultRefused",
    "cut",
    "delete_session",
    "graft",
    "last_unclean",
    "list_sessions",
    "new_session_id",
    "session_path",
]
