"""The transcript: a fold over events drawn line by line."""

from omni_tui.face.transcript.messages import OpenResult
from omni_tui.face.transcript.view import TranscriptView

__all__ = ["OpenResult", "TranscriptView"]
