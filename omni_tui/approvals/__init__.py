"""Who decides on tool calls: the gate, its grants, base decisions, pins and cards."""

from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import Grant, GrantRefused
from omni_tui.approvals.pins import Pins, definition_hash, fingerprint, since
from omni_tui.approvals.policy import COVERS, Assessment, Decision, Facts, assess
from omni_tui.approvals.queue import Refused, Resolution
from omni_tui.approvals.risk import classify
from omni_tui.approvals.subject import Proposal, Subject

__all__ = [
    "COVERS",
    "Assessment",
    "Decision",
    "Facts",
    "Gate",
    "Grant",
    "GrantRefused",
    "Pins",
    "Proposal",
    "Refused",
    "Resolution",
    "Subject",
    "assess",
    "classify",
    "definition_hash",
    "fingerprint",
    "since",
]
