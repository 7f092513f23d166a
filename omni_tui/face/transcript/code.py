"""Source code as spans with roles. Pygments is imported at the first use."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

from omni_tui.face.lines import Span

if TYPE_CHECKING:
    from pygments.lexer import Lexer  # type: ignore[import-untyped]

MAX_CHARS = 24_000
MAX_LINE = 2_000
BUDGET_S = 0.04
"""Longer code stays plain: lexers are regular expressions, and the text may be hostile."""

_LANGUAGES = (
    "bash c c# c++ console cpp csharp css csv diff docker dockerfile go graphql html http ini java "
    "javascript js json json5 jsx kotlin lua make makefile markdown md nginx objective-c patch perl php "
    "powershell proto protobuf py python python3 r rb rs ruby rust scala scss sh shell sql swift terraform "
    "toml ts tsx typescript vue xml yaml yml zig zsh"
)
_LEXERS = frozenset(_LANGUAGES.split())


def highlight(code: str, language: str) -> list[Span]:
    """Return code as spans; plain `code` spans where the language is unknown or the code too long."""
    lexer = _lexer(language.strip().lower())
    if lexer is None or len(code) > MAX_CHARS or max(map(len, code.split("\n"))) > MAX_LINE:
        return [Span(code, "code")]
    spans: list[Span] = []
    done = 0
    deadline = time.monotonic() + BUDGET_S
    for token, text in lexer.get_tokens(code):
        if not text:
            continue
        role = _role(token)
        if spans and spans[-1].role == role:
            spans[-1] = Span(spans[-1].text + text, role)
        else:
            spans.append(Span(text, role))
        done += len(text)
        if time.monotonic() > deadline:
            spans.append(Span(code[done:], "code"))
            break
    return _exactly(spans, code)


def _exactly(spans: list[Span], code: str) -> list[Span]:
    """Return the spans if they are the code. A lexer may add a line end; other changes are discarded."""
    text = "".join(span.text for span in spans)
    if text == code:
        return spans
    if text == code + "\n":
        last = spans[-1]
        return [*spans[:-1], Span(last.text[:-1], last.role)]
    return [Span(code, "code")]


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    if language not in _LEXERS:
        return None
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=512)
def _role(token: object) -> str:
    kind = str(token)
    for part, role in _ROLES:
        if part in kind:
            return role
    return "code"


_ROLES = (
    ("Generic.Deleted", "code code-removed"),
    ("Generic.Inserted", "code code-added"),
    ("Generic.Heading", "code code-keyword"),
    ("Generic.Subheading", "code code-number"),
    ("Generic.Prompt", "code code-comment"),
    ("Comment", "code code-comment"),
    ("Keyword", "code code-keyword"),
    ("Operator.Word", "code code-keyword"),
    ("Name.Tag", "code code-name"),
    ("Name.Attribute", "code code-name"),
    ("Name.Function", "code code-name"),
    ("Name.Class", "code code-name"),
    ("Name.Decorator", "code code-number"),
    ("Name.Builtin", "code code-name"),
    ("Literal.String", "code code-string"),
    ("Literal.Number", "code code-number"),
)
