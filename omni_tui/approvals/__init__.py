"""Who decides on tool calls: the gate, its grants, base decisions, pins and cards."""

from omni_tui.approvals.gate import Gate
from omni_tui.approvals.grants import Grant, GrantRefused
from omni_tui.approvals.pending import PendingCall, Resolution
from omni_tui.approvals.pins import Pins, definition_hash, fingerprint, since
from omni_tui.approvals.policy import COVERS, Assessment, Decision, DecisionFacts, assess
from omni_tui.approvals.risk import classify
from omni_tui.approvals.subject import CallProposal, Subject

__all__ = [
    "COVERS",
    "Assessment",
    "CallProposal",
    "Decision",
    "DecisionFacts",
    "Gate",
    "Grant",
    "GrantRefused",
    "PendingCall",
    "Pins",
    "Resolution",
    "Subject",
    "assess",
    "classify",
    "definition_hash",
    "fingerprint",
    "since",
]
