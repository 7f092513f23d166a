"""What is remembered: sealed session journals, the table of calls, and whom the person trusts."""

from omni_tui.memory.accepted_texts import AcceptedText
from omni_tui.memory.audit_check import AuditReport, check_audit, read_audit
from omni_tui.memory.audit_table import AuditEntry
from omni_tui.memory.backups import Backup, BackupFailed, all_backups
from omni_tui.memory.branch import Branch, NoSuchMessage, branch_before, copy_branch_calls, fork_all
from omni_tui.memory.call_table import CallMoved, CallRow, GrantSpent
from omni_tui.memory.checkpoint import Checkpoint
from omni_tui.memory.credentials import Credentials
from omni_tui.memory.crypto import SealBroken, Sealer, Vault, VaultRefused
from omni_tui.memory.installation_audit import CLOSED, DELETED, RESTORED, UNDONE, InstallationAudit
from omni_tui.memory.journal import Journal
from omni_tui.memory.private_files import UnsafePlace
from omni_tui.memory.restore import Restored, back_up, restore
from omni_tui.memory.retention import Retention, delete_unused
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
from omni_tui.memory.task_table import SavedTask
from omni_tui.memory.trust import PinnedTool, ServerTrust, TrustStore

__all__ = [
    "CLOSED",
    "DELETED",
    "RESTORED",
    "UNDONE",
    "AcceptedText",
    "AuditEntry",
    "AuditReport",
    "Backup",
    "BackupFailed",
    "Branch",
    "CallMoved",
    "CallRow",
    "Checkpoint",
    "Credentials",
    "GrantSpent",
    "InstallationAudit",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "LogEntry",
    "NoSuchMessage",
    "PinnedTool",
    "Restored",
    "Retention",
    "SavedSession",
    "SavedTask",
    "SealBroken",
    "Sealer",
    "ServerLogs",
    "ServerTrust",
    "SessionList",
    "Transaction",
    "TrustStore",
    "UnsafePlace",
    "Vault",
    "VaultRefused",
    "all_backups",
    "back_up",
    "branch_before",
    "check_audit",
    "copy_branch_calls",
    "delete_session",
    "delete_unused",
    "fork_all",
    "last_unclean",
    "list_sessions",
    "new_session_id",
    "read_audit",
    "restore",
    "session_path",
]
