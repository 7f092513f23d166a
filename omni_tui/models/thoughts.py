"""What a provider wants back of an answer's thoughts, gathered while it streams."""

from __future__ import annotations

from typing import Any

DETAILS = "reasoning."
"""How the kinds of OpenRouter's `reasoning_details` begin."""
SIGNED_TEXT = "thought_signature"
"""The kind of a block that holds Gemini's signature of the text of an answer."""

_JOINED = ("text", "summary", "data", "signature")


class Thoughts:
    """The thoughts of one answer: those in the open as text, signed ones as blocks."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._signatures: list[str] = []

    def add(self, delta: Any) -> None:
        """Take what a delta of LiteLLM holds of them. Anthropic's blocks are read elsewhere."""
        thought = getattr(delta, "reasoning_content", None)
        if isinstance(thought, str):
            self._open.append(thought)
        details = getattr(delta, "reasoning_details", None)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and str(detail.get("type", "")).startswith(DETAILS):
                self._detail(detail)
        fields = getattr(delta, "provider_specific_fields", None)
        signed = fields.get("thought_signatures") if isinstance(fields, dict) else None
        for signature in signed if isinstance(signed, list) else ():
            if isinstance(signature, str) and signature and signature not in self._signatures:
                self._signatures.append(signature)

    @property
    def text(self) -> str:
        """What was thought in the open."""
        return "".join(self._open)

    @property
    def blocks(self) -> tuple[dict[str, Any], ...]:
        """What was signed."""
        signed = [{"type": SIGNED_TEXT, "signature": each} for each in self._signatures]
        return (*self._details, *signed)

    def _detail(self, detail: dict[str, Any]) -> None:
        """Join the fragments of one detail; another kind or index begins the next."""
        last = self._details[-1] if self._details else None
        same = last is not None and all(last.get(key) == detail.get(key) for key in ("type", "index"))
        if last is None or not same or "index" not in detail:
            self._details.append(dict(detail))
            return
        for key, value in detail.items():
            if key in _JOINED and isinstance(value, str) and isinstance(last.get(key), str):
                last[key] += value
            elif value is not None:
                last[key] = value
