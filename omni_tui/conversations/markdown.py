"""A conversation as Markdown, in which no text can pass for a part of the frame around it.

Answers are Markdown already, written by a model that may have been told what to write: their headings are
moved below those of the frame, their HTML is shown as text, and their images are links. Whatever cannot be
made so stands in a code block. All other texts are quoted or fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from omni_tui.conversations.shown import ShownConversation, ShownItem

_FENCE = re.compile(r"`{3,}")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_AT_START = re.compile(r"^([-+#=])|^(\d{1,9})([.)])")
_HTML = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!(?=\[)")
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)[^\s<>]*>")
_DEEPEST = 6
_BELOW = 2
_MOST_PARSED = 200_000
"""Characters of an answer that is read as Markdown; a longer one stands in a code block."""


def as_markdown(conversation: ShownConversation) -> Iterator[bytes]:
    """Yield a conversation as the pieces of a Markdown file."""
    yield f"# {escaped(conversation.title)}\n".encode()
    if conversation.facts:
        yield f"\n{' · '.join(map(escaped, conversation.facts))}\n".encode()
    for item in conversation.items:
        for block in _blocks(item):
            yield f"\n{block}\n".encode()


def _blocks(item: ShownItem) -> Iterator[str]:
    match item.kind:
        case "you":
            yield "## You" + (f" ({escaped(item.about)})" if item.about else "")
            yield quoted(as_text(item.text))
        case "answer":
            yield "## Answer" + (f" ({escaped(item.about)})" if item.about else "")
            yield contained(item.text)
        case "thought":
            yield "<details><summary>Thought</summary>"
            yield fenced(item.text)
            yield "</details>"
        case "call":
            about = f" · {in_html(item.about)}" if item.about else ""
            yield f"<details><summary>{item.mark} {in_html(item.name)}{about}</summary>"
            yield fenced(item.text, "json")
            yield from (fenced(result) for result in item.results)
            yield "</details>"
        case "note":
            yield "\n".join(f"*{escaped(line)}*" for line in item.text.splitlines() if line.strip())


def escaped(text: str) -> str:
    """Return one line of text that Markdown shows as it is."""
    return _literal(" ".join(text.split()))


def _literal(line: str) -> str:
    shown = _SPECIAL.sub(r"\\\1", line)
    return _AT_START.sub(lambda found: _backslashed(found[1], found[2], found[3]), shown)


def _backslashed(mark: str | None, number: str, end: str) -> str:
    """Return what would begin a list, a heading or an underline, so that it does not."""
    return f"\\{mark}" if mark else f"{number}\\{end}"


def as_text(text: str) -> str:
    """Return lines of text that Markdown shows as they are, each as a line of its own."""
    return "\n".join(_kept_line(line) for line in text.split("\n"))


def _kept_line(line: str) -> str:
    body = line.lstrip(" ")
    indent = "&nbsp;" * (len(line) - len(body))
    shown = _literal(body)
    return f"{indent}{shown}\\" if shown else ""


def quoted(text: str) -> str:
    """Return text as a quotation."""
    lines = text.rstrip("\n").split("\n")
    lines[-1] = lines[-1].removesuffix("\\")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def fenced(text: str, language: str = "") -> str:
    """Return text in a code block that ends nowhere inside it."""
    longest = max((len(run) for run in _FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def in_html(text: str) -> str:
    """Return one line of text for inside an HTML tag of a Markdown file."""
    plain = " ".join(text.split())
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        plain = plain.replace(character, reference)
    return plain


def contained(text: str) -> str:
    """Return Markdown whose headings are below those of the frame, without HTML and images.

    What the parser then still takes for one of these stands in a code block.
    """
    if len(text) > _MOST_PARSED:
        return fenced(text)
    changed = _changed(text)
    return changed if _is_contained(changed) else fenced(text)


def _changed(text: str) -> str:
    lines = text.split("\n")
    code: set[int] = set()
    under: set[int] = set()
    for token in _parse(text):
        if token.map is None:
            continue
        first, last = token.map
        if token.type in ("fence", "code_block"):
            code.update(range(first, last))
        elif token.type == "heading_open" and token.level == 0:
            level = min(_DEEPEST, int(token.tag[1:]) + _BELOW)
            if token.markup in ("-", "="):
                under.add(last - 1)
                lines[first] = " ".join(line.strip() for line in lines[first : last - 1])
                under.update(range(first + 1, last - 1))
            lines[first] = f"{'#' * level} {lines[first].lstrip(' #')}"
    kept = []
    for number, line in enumerate(lines):
        if number in under:
            continue
        kept.append(line if number in code else _without_html(line))
    return "\n".join(kept)


def _without_html(line: str) -> str:
    """Return a line in which no tag and no image begins, outside of code in backticks."""
    parts, at = [], 0
    for found in re.finditer(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|" + _AUTOLINK.pattern, line):
        parts.append(_no_tags(line[at : found.start()]))
        parts.append(found.group())
        at = found.end()
    parts.append(_no_tags(line[at:]))
    return "".join(parts)


def _no_tags(text: str) -> str:
    return _IMAGE.sub("\\\\!", _HTML.sub("&lt;", text))


def _is_contained(text: str) -> bool:
    """Whether the parser finds no HTML, image, or heading of the frame, and everything is closed."""
    end = f"\n\n{_END}"
    tokens = list(_parse(text + end))
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    if any(token.type in ("html_block", "html_inline", "image") for token in flat):
        return False
    if any(
        token.type == "heading_open" and token.level == 0 and int(token.tag[1:]) <= _BELOW
        for token in tokens
    ):
        return False
    # What follows must not become a part of the last block, such as a code block that was left open.
    return bool(
        len(tokens) >= _CLOSING
        and tokens[-_CLOSING].type == "paragraph_open"
        and tokens[-_CLOSING].level == 0
        and tokens[-2].content == _END
    )


_END = "end-of-the-answer"
_CLOSING = 3


def _parse(text: str) -> list[Any]:
    parsed: list[Any] = _parser().parse(text)
    return parsed


@cache
def _parser() -> Any:
    """Return the parser. Making one takes as long as it takes to parse a page."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable("table")
