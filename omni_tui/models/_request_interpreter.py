"""Interpret a request in plain words: calls, a clarifying question, or no matching tool. Deterministic.

Stateless: a pending question is found again by replaying the conversation.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omni_tui.models._argument_reader import (
    Schema,
    coerce,
    fill,
    is_destructive,
    kind_of,
    plain,
    tool_words,
)
from omni_tui.models.base import ToolSpec
from omni_tui.models.tool_search import Ranker, ToolMatch, stem, words

_CLOSE = 0.9
_CLOSE_IF_DANGEROUS = 0.6
_THEN = re.compile(r"[,;.]?(?<!\s)\s*\b(?:and then|after that|then)\b,?\s+|(?<!\s)\s*->\s*", re.IGNORECASE)
_ALSO = re.compile(r"(?<!\s)\s*[;\n]\s*|,?(?<!\s)\s+\b(?:and also|as well as|also|and)\b\s+", re.IGNORECASE)
_TAKES_ALL = re.compile(
    r"\b(?:saying|says|reads|containing|because|with the text)\b|[\"“]|\w:\s", re.IGNORECASE
)
_NEVER_MIND = re.compile(r"\W*(?:never ?mind|cancel|stop|no|nothing|forget it|abort)\W*", re.IGNORECASE)
_RESULT = re.compile(r"\b(?:the|its|that) (?:result|answer|outcome)\b", re.IGNORECASE)
_BARE_RESULT = re.compile(
    r"(?<![\w-])(?:(?:the|its|that) )?(?:result|answer|outcome)(?![\w-])", re.IGNORECASE
)
_MAX_PASSED_ON = 2_000


@dataclass(frozen=True, slots=True)
class InterpretedCall:
    """A call to make, and the reasons for it."""

    tool: ToolSpec
    arguments: dict[str, Any]
    because: str


@dataclass(frozen=True, slots=True)
class ClarifyingQuestion:
    """A question for the person: a value for `key` of `tool`, or which of `choices` is meant."""

    text: str
    because: str
    clause: str
    tool: ToolSpec | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    choices: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class NoMatchingTool:
    """No tool does what the clause asks. `nearest` are tools that share a word with it."""

    clause: str
    nearest: tuple[ToolSpec, ...] = ()
    problem: str = ""


Interpretation = InterpretedCall | ClarifyingQuestion | NoMatchingTool
Groups = tuple[tuple[str, ...], ...]
"""Clauses: groups run one after the other, the clauses of a group together."""


class RequestInterpreter:
    """Interprets requests with one list of tools."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.tools = tuple(tools)
        self._ranker = Ranker(tools)

    # --- splitting ------------------------------------------------------------------------------

    def split(self, text: str) -> Groups:
        """Split a request into clauses, only where the next part names a tool itself."""
        if text.lstrip().startswith("/"):
            return ((text,),)
        return tuple(
            tuple(self._cut(part, _ALSO, whole=True)) for part in self._cut(text, _THEN, whole=False)
        )

    def _cut(self, text: str, separator: re.Pattern[str], *, whole: bool) -> list[str]:
        """Cut at separators. With `whole`, both sides must be complete calls, and text arguments are not
        cut.
        """
        parts: list[str] = []
        start = 0
        for found in separator.finditer(text):
            before = text[start : found.start()]
            first = separator.split(text[found.end() :], maxsplit=1)[0]
            if whole and (_TAKES_ALL.search(before) or not self._is_call(before)):
                continue
            if before.strip() and self._named(first) and (not whole or self._is_call(first)):
                parts.append(before.strip())
                start = found.end()
        return [*parts, text[start:].strip()]

    def _is_call(self, clause: str) -> bool:
        return isinstance(self.resolve(clause), InterpretedCall)

    def _named(self, clause: str) -> bool:
        hits = self._ranker.search(tool_words(clause), 1)
        return bool(hits) and _is_strong(hits[0])

    # --- one clause -----------------------------------------------------------------------------

    def resolve(self, clause: str, previous: str = "") -> Interpretation:
        """Interpret one clause; `previous` is the text for "the result"."""
        if clause.lstrip().startswith("/"):
            return self._direct(clause.strip())
        hits = self._ranker.search(tool_words(clause), 4)
        exact = [tool for tool in self.tools if _mentions(clause, tool)]
        if len(exact) == 1:
            hits = [hit for hit in hits if hit.tool is exact[0]] or [ToolMatch(exact[0], 9.0, (), ())]
        if not hits or not (exact or _is_strong(hits[0])):
            return NoMatchingTool(clause, tuple(hit.tool for hit in hits[:3]))
        rivals = [hit for hit in hits[1:] if _is_strong(hit) and _is_close(hits[0], hit)]
        if rivals and not exact:
            return _which(clause, (hits[0], *rivals))
        return self.with_tool(clause, hits[0].tool, {}, _why(clause, hits), previous, chose=hits[0].matched)

    def with_tool(
        self,
        clause: str,
        tool: ToolSpec,
        given: Mapping[str, Any],
        because: str,
        previous: str = "",
        chose: Sequence[str] = (),
    ) -> Interpretation:
        """Find the arguments of a chosen tool."""
        filled = fill(clause, tool, given, chose)
        because = "\n".join((because, *filled.sources))
        if filled.missing:
            key = filled.missing[0]
            return ClarifyingQuestion(_ask(tool, key), because, clause, tool, filled.values, key)
        arguments, note = _pass_on(clause, filled.values, previous)
        return InterpretedCall(tool, arguments, because + note)

    def _direct(self, text: str) -> Interpretation:
        """`/call tool key=value …` and `/call tool {"key": value}`."""
        command, _, rest = text.partition(" ")
        name, _, rest = rest.strip().partition(" ")
        if command != "/call" or not name:
            return NoMatchingTool(
                text, problem="The direct form is: /call tool key=value, or /call tool {JSON}."
            )
        found = tuple(tool for tool in self.tools if name in (tool.name, bare(tool.name)))
        if not found:
            return NoMatchingTool(text, problem=f"There is no tool named {name}.")
        if len(found) == 1:
            return _direct_call(text, found[0], rest.strip())
        because = f"{name} exists more than once."
        return ClarifyingQuestion(_list("Which one?", found), because, text, choices=found)

    # --- answers to questions -------------------------------------------------------------------

    def answer(self, question: ClarifyingQuestion, line: str) -> Interpretation | None:
        """Take a line as the answer to a question; None if it is a new request."""
        line = line.strip()
        if line.startswith("/"):
            return None
        if question.choices:
            chosen = _choice(question.choices, line)
            if chosen is None:
                return None
            if question.clause.startswith("/"):
                rest = question.clause.split(maxsplit=2)[2:]
                return _direct_call(question.clause, chosen, rest[0] if rest else "")
            return self.with_tool(question.clause, chosen, {}, f"You chose {bare(chosen.name)}.")
        if question.tool is None:
            return None
        parts = line.split()
        if len(parts) > 2 and words(line) and self._named(parts[0]) and self._is_call(line):
            return None
        schema = _property(question.tool, question.key)
        value = coerce(line.strip("\"'“”"), schema)
        if value is None:
            what = f"That is no {kind_of(schema) or 'value'} for {question.key}. {question.text}"
            return replace(question, text=what, because="")
        given = {**question.given, question.key: value}
        return self.with_tool(question.clause, question.tool, given, f"You answered {question.key}.")


def declines(line: str) -> bool:
    """Whether a line cancels a pending question."""
    return _NEVER_MIND.fullmatch(line.strip()) is not None


def bare(name: str) -> str:
    """Return a tool's name without its server."""
    return name.rpartition("__")[2] or name


def signature(tool: ToolSpec) -> str:
    """Return a tool's name and arguments, optional ones in brackets."""
    properties = tool.parameters.get("properties")
    required = tool.parameters.get("required") or []
    keys = [key if key in required else f"[{key}]" for key in properties or {}]
    return f"{bare(tool.name)}({', '.join(keys)})"


def _is_strong(hit: ToolMatch) -> bool:
    """Whether a match is good enough: half of the tool's name, or more than one word."""
    name = set(words(bare(hit.tool.name)))
    return bool(hit.in_name) and (len(hit.in_name) >= len(name) / 2 or len(hit.matched) > 1)


def _is_close(best: ToolMatch, other: ToolMatch) -> bool:
    """Whether two matches are too close to choose; sooner if only one of them is destructive."""
    differ = is_destructive(best.tool.name) != is_destructive(other.tool.name)
    return other.score >= best.score * (_CLOSE_IF_DANGEROUS if differ else _CLOSE)


def _mentions(clause: str, tool: ToolSpec) -> bool:
    name = bare(tool.name)
    pattern = rf"(?<![\w-])(?:{re.escape(tool.name)}|{re.escape(name)})(?![\w-])"
    return ("_" in name or ("__" in tool.name and tool.name in clause)) and bool(re.search(pattern, clause))


def _why(clause: str, hits: Sequence[ToolMatch]) -> str:
    best = hits[0]
    said = (word.lower() for word in re.findall(r"[^\W\d_]+", clause) if stem(word) in best.matched)
    matched = ", ".join(dict.fromkeys(said)) or "its name"
    text = f"Words matched: {matched}. Best: {bare(best.tool.name)}, score {best.score:.1f}."
    if len(hits) > 1:
        return f"{text} Next: {bare(hits[1].tool.name)}, score {hits[1].score:.1f}."
    return f"{text} No other tool shares a word with the request."


def _which(clause: str, hits: Sequence[ToolMatch]) -> ClarifyingQuestion:
    tools = tuple(hit.tool for hit in hits[:3])
    dangerous = any(is_destructive(tool.name) for tool in tools)
    care = " One of them destroys something, so I do not choose." if dangerous else ""
    text = _list("More than one tool fits. Which one do you mean?" + care, tools)
    scores = "; ".join(f"{bare(hit.tool.name)}, score {hit.score:.1f}" for hit in hits[:3])
    return ClarifyingQuestion(text, f"Too close to choose: {scores}.", clause, choices=tools)


def _list(head: str, tools: Sequence[ToolSpec]) -> str:
    lines = [
        f"{at}. `{tool.shown}` {tool.description.partition(chr(10))[0][:100]}".rstrip()
        for at, tool in enumerate(tools, 1)
    ]
    return "\n".join((head, "", *lines))


def _property(tool: ToolSpec, key: str) -> Schema:
    return plain((tool.parameters.get("properties") or {}).get(key) or {})


def _ask(tool: ToolSpec, key: str) -> str:
    schema = _property(tool, key)
    kind = kind_of(schema)
    described = schema.get("description")
    about = f" {described.strip()}" if isinstance(described, str) and described.strip() else ""
    options = schema.get("enum")
    if isinstance(options, list):
        about += " One of: " + ", ".join(json.dumps(option) for option in options[:12]) + "."
    return f"What should `{key}` of `{bare(tool.name)}` be{f' ({kind})' if kind else ''}?{about}"


def _choice(choices: Sequence[ToolSpec], line: str) -> ToolSpec | None:
    number = re.fullmatch(r"\D{0,8}(\d)\D{0,4}", line)
    if number and 1 <= int(number[1]) <= len(choices):
        return choices[int(number[1]) - 1]
    named = [tool for tool in choices if tool.name in line.split()]
    named = named or [tool for tool in choices if bare(tool.name) in re.findall(r"[\w-]+", line)]
    if len(named) > 1 or not named:  # of several by one name, the server's name tells which
        servers = {tool.name: tool.shown.partition(" › ")[0] for tool in named or choices}
        named = [tool for tool in named or choices if servers[tool.name] in line.split()]
    if len(named) == 1:
        return named[0]
    order = ("first", "second", "third")
    return next((tool for word, tool in zip(order, choices, strict=False) if word in line.lower()), None)


def _direct_call(text: str, tool: ToolSpec, rest: str) -> Interpretation:
    because = "Called directly, no words were matched."
    if rest.startswith("{"):
        try:
            value = json.loads(rest)
        except (ValueError, RecursionError) as error:
            return NoMatchingTool(text, problem=f"The arguments are not JSON: {error}.")
        if not isinstance(value, dict):
            return NoMatchingTool(text, problem="Not an object.")
        return InterpretedCall(tool, value, because)
    try:
        parts = shlex.split(rest)
    except ValueError as error:
        return NoMatchingTool(text, problem=f"The arguments cannot be read: {error}.")
    arguments: dict[str, Any] = {}
    for part in parts:
        key, equals, raw = part.partition("=")
        if not equals:
            return NoMatchingTool(text, problem=f"{part!r} is not key=value.")
        value = coerce(raw, _property(tool, key), exact=True)
        if value is None and raw:
            return NoMatchingTool(text, problem=f"{raw!r} does not fit the type of {key}.")
        arguments[key] = "" if value is None else value
    missing = [key for key in tool.parameters.get("required") or [] if key not in arguments]
    if missing:
        return ClarifyingQuestion(_ask(tool, missing[0]), because, text, tool, arguments, missing[0])
    return InterpretedCall(tool, arguments, because)


def _pass_on(clause: str, values: Mapping[str, Any], previous: str) -> tuple[dict[str, Any], str]:
    """Replace "the result" by the previous result."""
    arguments, note = dict(values), ""
    named = previous and _RESULT.search(clause)
    for key, value in values.items():
        if named and isinstance(value, str) and _BARE_RESULT.search(value):
            arguments[key] = _BARE_RESULT.sub(lambda _: previous.strip()[:_MAX_PASSED_ON], value)
            note += f"\n{key} takes the result of the call before, since you named it"
    return arguments, note
