"""Takes our secrets (tokens, keys, passwords) out of what a server says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote

from omni_tui.config.server_display import server_secrets
from omni_tui.config.spec import ServerSpec
from omni_tui.security.redaction import MASK, MIN_LENGTH

_MOST_VALUES = 200_000
"""How many values of a message are searched; the limit keeps the loop responsive."""
_DEEPEST = 200

_Json = TypeVar("_Json")


class ServerRedactor:
    """Takes the secrets that one server was given out of what it says.

    `tokens` returns the tokens of a sign-in that the server has seen.
    """

    def __init__(self, spec: ServerSpec, tokens: Callable[[], Iterable[str]] = tuple) -> None:
        self._fixed = [value for value in server_secrets(spec) if len(value.strip()) >= MIN_LENGTH]
        self._tokens = tokens
        self._known: tuple[str, ...] = ()
        self._forms: tuple[str, ...] = ()

    def hide(self, text: str) -> str:
        """Return a text without secrets."""
        for form in self._current():
            if form in text:
                text = text.replace(form, MASK)
        return text

    def redact_in(self, value: _Json) -> _Json:
        """Return a JSON value without secrets; the same object if it has none."""
        if not self._current():
            return value
        left = _MOST_VALUES

        def without_secrets(value: Any, depth: int) -> Any:
            """Copy only the changed parts of a value."""
            nonlocal left
            left -= 1
            if left < 0 or depth > _DEEPEST:
                return value
            if isinstance(value, str):
                return self.hide(value)
            if isinstance(value, dict):
                table = {self.hide(key): without_secrets(each, depth + 1) for key, each in value.items()}
                same = all(table.get(key) is each for key, each in value.items())
                return value if same and len(table) == len(value) else table
            if isinstance(value, list):
                entries = [without_secrets(each, depth + 1) for each in value]
                return value if all(a is b for a, b in zip(value, entries, strict=True)) else entries
            return value

        hidden: _Json = without_secrets(value, 0)
        return hidden

    def _current(self) -> tuple[str, ...]:
        known = (*self._fixed, *self._tokens())
        if known != self._known:
            self._known = known
            long = [each for each in known if len(each) >= MIN_LENGTH]
            forms = {*long, *(quote(each, safe="") for each in long)}
            self._forms = tuple(sorted(forms, key=len, reverse=True))
        return self._forms
