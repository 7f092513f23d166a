"""The transcript: a fold over events drawn line by line."""

from omni_tui.face.transcript.view import OpenResult, TranscriptView

__all__ = ["OpenResult", "TranscriptView"]
