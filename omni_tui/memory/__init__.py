"""What is remembered: sealed session journals, the table of calls, and whom the person trusts."""

from omni_tui.memory.branch import Branch, NoSuchMessage, branch_before, copy_branch_calls
from omni_tui.memory.call_table import CallMoved, CallRow, GrantSpent
from omni_tui.memory.credentials import Credentials
from omni_tui.memory.crypto import SealBroken, Sealer, Vault, VaultRefused
from omni_tui.memory.journal import Journal
from omni_tui.memory.private_files import UnsafePlace
from omni_tui.memory.saved_session import SavedSession
from omni_tui.memory.server_logs import LogEntry, ServerLogs
from omni_tui.memory.session_files import (
    SessionList,
    delete_session,
    last_unclean,
    list_sessions,
    new_session_id,
    session_path,
)
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction
from omni_tui.memory.task_table import SavedTask, TaskAlreadySaved
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
    "SavedSession",
    "SavedTask",
    "SealBroken",
    "Sealer",
    "ServerLogs",
    "ServerTrust",
    "SessionList",
    "TaskAlreadySaved",
    "Transaction",
    "TrustStore",
    "UnsafePlace",
    "Vault",
    "VaultRefused",
    "branch_before",
    "copy_branch_calls",
    "delete_session",
    "last_unclean",
    "list_sessions",
    "new_session_id",
    "session_path",
]
