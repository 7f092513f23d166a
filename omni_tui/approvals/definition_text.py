"""What a server says about a tool, and how it is started, as texts that can be compared line by line.

The same content gives the same text, whatever order a server sends it in. Long lines are cut at places
that depend only on the words around them, so that a changed word changes one line and not all that follow.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from omni_tui.config.server_program import resolved_program
from omni_tui.config.spec import ServerSpec
from omni_tui.servers.base import ToolDefinition

_LONG = 80
"""Characters of a line that stays as it is."""
_SENTENCE = re.compile(r"(?<=[.!?;:])(?=\s)")
_WORD = re.compile(r"(?:(?<!\s)\s+)?\S{1,80}")
_EVERY = 12
"""About how many words a piece of a long sentence has."""


def definition_text(tool: ToolDefinition) -> str:
    """Return all that is pinned of a tool."""
    lines = [f"name: {_one_line(tool.name)}"]
    if tool.title:
        lines.append(f"title: {_one_line(tool.title)}")
    lines += ["description:", *_indented(tool.description)] if tool.description else ["no description"]
    if tool.only_as_task:
        lines.append("it runs only as a task")
    for name, value in (
        ("arguments", tool.input_schema),
        ("result", tool.output_schema),
        ("claims", tool.annotations),
        ("further data", tool.meta),
    ):
        if value:
            lines += [f"{name}:", *_indented(_json(value))]
    return "\n".join(lines)


def instructions_text(instructions: str) -> str:
    """Return what a server says about its use."""
    return "\n".join(_cut(instructions))


def launch_text(spec: ServerSpec) -> str:
    """Return how a server is started or reached, without the values of secrets."""
    if spec.inside is not None:
        return "inside this program"
    lines = []
    if spec.url:
        lines.append(f"address: {_one_line(spec.url)}")
        lines += _named("header", spec.headers, spec.secret_headers)
        if spec.oauth:
            signs_in = (spec.oauth.grant, spec.oauth.client_id, spec.oauth.issuer)
            lines.append("signs in: " + _one_line(" ".join(each for each in signs_in if each)))
        return "\n".join(lines)
    program, real = resolved_program(spec)
    lines.append(f"runs: {_one_line(program) or '(no such program is found)'}")
    if real:
        lines.append(f"that is: {_one_line(real)}")
    lines.append(f"written: {_one_line(spec.command)}")
    lines += [f"argument {number}: {_one_line(each)}" for number, each in enumerate(spec.args, 1)]
    if spec.cwd:
        lines.append(f"in folder: {_one_line(spec.cwd)}")
    lines += _named("variable", spec.env, spec.secret_env)
    lines += [f"of yours: {_one_line(each)}" for each in sorted(spec.inherit)]
    return "\n".join(lines)


def _named(what: str, values: Any, secret: Any) -> Iterator[str]:
    for name, value in sorted(values.items()):
        shown = ", its value is secret" if name in secret else f": {_one_line(value)}"
        yield f"{what} {_one_line(name)}{shown}"


def _one_line(text: str) -> str:
    """Return a value as one line: as it is, or as JSON if it has line breaks or looks like JSON."""
    return json.dumps(text, ensure_ascii=False) if "\n" in text or "\r" in text or text[:1] == '"' else text


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    except RecursionError:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in _cut(text))


def _cut(text: str) -> Iterator[str]:
    for line in text.replace("\r\n", "\n").split("\n"):
        if len(line) <= _LONG:
            yield line
            continue
        for sentence in _SENTENCE.split(line):
            if len(sentence) <= _LONG:
                yield sentence
            else:
                yield from _pieces(sentence)


def _pieces(sentence: str) -> Iterator[str]:
    """Yield a long sentence in pieces that end at words picked by their own letters."""
    piece = ""
    for found in _WORD.finditer(sentence):
        piece += found[0]
        picked = zlib.crc32(found[0].strip().encode("utf-8", "surrogatepass")) % _EVERY == 0
        if (picked and len(piece) > _LONG // 4) or len(piece) > 2 * _LONG:
            yield piece
            piece = ""
    piece += sentence[sum(len(found[0]) for found in _WORD.finditer(sentence)) :]
    if piece:
        yield piece
