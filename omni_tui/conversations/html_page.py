"""A conversation as one HTML file: no script, nothing remote, readable in light and in dark.

Answers are rendered as Markdown without HTML; images become their address. The page's own policy (CSP)
allows nothing but its style, told by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from omni_tui.conversations.shown import ShownConversation, ShownItem

_MOST_RENDERED = 200_000
"""Characters of an answer that is rendered; a longer one is shown as plain text."""
_STYLE = """
:root { color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --line: #e4e1db; --text: #23211d; --grey: #6d6860; --mine: #e9f0fb;
  --mine-line: #b9cff0; --code: #f3f1ec; --good: #2a7d4f; --bad: #b3372f; --link: #2458a6; }
@media (prefers-color-scheme: dark) { :root {
  --page: #16171a; --card: #1d1f23; --line: #33363c; --text: #e4e2dd; --grey: #9a968e; --mine: #1d2a3d;
  --mine-line: #35507a; --code: #24262b; --good: #6cc793; --bad: #ee857c; --link: #8db4ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 50rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header { border-bottom: 1px solid var(--line); margin-bottom: 1.5rem; padding-bottom: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 0 0 .4rem; overflow-wrap: anywhere; }
header p, .about, .when { color: var(--grey); font-size: .85rem; margin: 0; overflow-wrap: anywhere; }
section { margin: 1.4rem 0; overflow-wrap: anywhere; }
.who { display: flex; gap: .75rem; align-items: baseline; margin-bottom: .25rem; }
.who b, .who .when { flex: none; }
.who b { font-size: .8rem; letter-spacing: .04em; text-transform: uppercase; color: var(--grey); }
.who .when { margin-left: auto; }
.you { background: var(--mine); border-left: 3px solid var(--mine-line); border-radius: 6px;
  padding: .7rem 1rem; }
.plain { white-space: pre-wrap; }
.note { color: var(--grey); font-size: .9rem; white-space: pre-wrap; border-left: 2px solid var(--line);
  padding-left: .8rem; }
.note.bad { color: var(--bad); }
details { background: var(--card); border: 1px solid var(--line); border-radius: 6px; margin: .7rem 0; }
summary { cursor: pointer; padding: .45rem .8rem; overflow-wrap: anywhere; }
summary .mark { color: var(--grey); } summary .mark.good { color: var(--good); }
summary .mark.bad { color: var(--bad); } summary .about { margin-left: .5rem; }
summary code { background: none; padding: 0; }
details > div { padding: 0 .8rem .6rem; }
.thought { font-style: italic; color: var(--grey); white-space: pre-wrap; }
.label { color: var(--grey); font-size: .75rem; letter-spacing: .04em; text-transform: uppercase;
  margin: .5rem 0 .2rem; }
pre { background: var(--code); border-radius: 5px; padding: .7rem .9rem; overflow: auto; max-height: 32rem;
  margin: .3rem 0; }
code { font: .87em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--code);
  border-radius: 3px; padding: .1em .3em; }
pre code { padding: 0; background: none; }
.answer h1, .answer h2, .answer h3, .answer h4 { font-size: 1.1rem; margin: 1.2rem 0 .4rem; }
.answer p { margin: .5rem 0; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; } .right { text-align: right; }
.center { text-align: center; }
blockquote { border-left: 3px solid var(--line); margin: .6rem 0; padding: 0 1rem; color: var(--grey); }
a { color: var(--link); } .address { color: var(--grey); font-size: .85em; }
footer { color: var(--grey); font-size: .8rem; border-top: 1px solid var(--line); padding-top: 1rem;
  margin-top: 2.5rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_SCHEMES = ("http", "https", "mailto")


def as_html(conversation: ShownConversation) -> Iterator[bytes]:
    """Yield a conversation as the pieces of an HTML file."""
    render = _Renderer()
    title = escape(conversation.title)
    facts = f"<p>{escape(' · '.join(conversation.facts))}</p>" if conversation.facts else ""
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header><h1>{title}</h1>{facts}</header>
""".encode()
    for item in conversation.items:
        yield f"{_section(item, render)}\n".encode()
    yield b"""<footer>Saved by Omni TUI. This page loads nothing and runs nothing.</footer>
</main>
</body>
</html>
"""


def _section(item: ShownItem, render: _Renderer) -> str:
    when = f'<span class="when">{escape(item.when)}</span>' if item.when else ""
    about = f'<span class="about">{escape(item.about)}</span>' if item.about else ""
    match item.kind:
        case "you":
            head = f'<div class="who"><b>You</b>{about}{when}</div>'
            return f'<section class="you">{head}<div class="plain">{escape(item.text)}</div></section>'
        case "answer":
            head = f'<div class="who"><b>Answer</b>{about}{when}</div>'
            return f'<section class="answer">{head}{render.answer(item.text)}</section>'
        case "thought":
            body = f'<div class="thought">{escape(item.text)}</div>'
            return f"<details><summary>Thought</summary>{body}</details>"
        case "call":
            mark = f'<span class="mark {"good" if item.good else "bad"}">{escape(item.mark)}</span>'
            summary = f"<summary>{mark} <code>{escape(item.name)}</code>{about}</summary>"
            return f"<details>{summary}<div>{''.join(_call_body(item))}</div></details>"
        case _:
            kind = "note" if item.good else "note bad"
            return f'<section class="{kind}">{escape(item.text)}</section>'


def _call_body(item: ShownItem) -> Iterator[str]:
    yield f'<p class="label">Arguments</p><pre><code>{escape(item.text)}</code></pre>'
    for result in item.results:
        yield f'<p class="label">Result</p><pre><code>{escape(result)}</code></pre>'


class _Renderer:
    """Renders answers as Markdown without HTML."""

    def __init__(self) -> None:
        from markdown_it import MarkdownIt

        markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
        markdown.add_render_rule("image", _image)
        markdown.add_render_rule("link_open", _link_open)
        markdown.add_render_rule("link_close", _link_close)
        for name in ("th_open", "td_open"):
            markdown.add_render_rule(name, _cell)
        self._markdown = markdown

    def answer(self, text: str) -> str:
        """Return an answer as HTML."""
        if len(text) > _MOST_RENDERED:
            return f'<div class="plain">{escape(text)}</div>'
        return str(self._markdown.render(text))


# The renderer calls these as methods of itself.


def _image(_self: Any, tokens: Sequence[Any], at: int, _options: Any, _env: Any) -> str:
    address = str(tokens[at].attrGet("src") or "")
    return f'<span class="address">[image: {escape(tokens[at].content)} {escape(address)}]</span>'


def _link_open(_self: Any, tokens: Sequence[Any], at: int, _options: Any, _env: Any) -> str:
    address = str(tokens[at].attrGet("href") or "")
    if _scheme(address) not in _SCHEMES:
        return "<span>"
    return f'<a href="{escape(address)}" rel="noopener noreferrer nofollow">'


def _link_close(
    _self: Any, tokens: Sequence[Any], at: int, _options: Any, _env: MutableMapping[str, Any]
) -> str:
    """Return the end of a link and where it leads, unless its text says so."""
    depth, opening = 0, at
    while opening > 0:
        depth += tokens[opening].type == "link_close"
        depth -= tokens[opening].type == "link_open"
        if not depth:
            break
        opening -= 1
    address = str(tokens[opening].attrGet("href") or "")
    said = "".join(token.content for token in tokens[opening + 1 : at])
    where = "" if said == address else f' <span class="address">({escape(address)})</span>'
    return f"{'</a>' if _scheme(address) in _SCHEMES else '</span>'}{where}"


def _cell(_self: Any, tokens: Sequence[Any], at: int, _options: Any, _env: Any) -> str:
    """Return the start of a cell: an alignment by a class, as the page allows no style of an element."""
    style = str(tokens[at].attrGet("style") or "")
    kind = next((side for side in ("right", "center") if style == f"text-align:{side}"), "")
    return f'<{tokens[at].tag} class="{kind}">' if kind else f"<{tokens[at].tag}>"


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme.lower()
    except ValueError:
        return ""
