"""What the app said in passing: kept, so that it can be read again when its toast is gone."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TOASTS = 200
"""The newest messages that are kept."""


@dataclass(frozen=True, slots=True)
class ToastMessage:
    """One message: when, how grave (`information`, `warning`, `error`), and its words."""

    at: float
    severity: str
    words: str
