"""Find a tool's arguments in plain words by its schema, and report where each came from.

Nothing is guessed: missing values stay missing, and the person is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from omni_tui.models.base import ToolSpec
from omni_tui.models.tool_search import STOP_WORDS, stem, word_set, words

Schema = Mapping[str, Any]

_DESTROYS = frozenset(map(stem, ("delete", "remove", "drop", "erase", "kill", "purge")))
_UNITS = tuple(
    [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDED = {word: value for value, word in enumerate(_UNITS)} | {
    word: 20 + 10 * at for at, word in enumerate(_TENS)
}
_NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>-?\d+(?:,\d{3})*(?:\.\d+)?)(?![\w]*__)"
    rf"|\b(?P<tens>{'|'.join(_TENS)})[ -](?P<ones>{'|'.join(_UNITS[1:10])})\b"
    rf"|\b(?P<word>{'|'.join(sorted(_WORDED, key=len, reverse=True))})\b",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"\s*(?:s|secs?|seconds?)\b", re.IGNORECASE)


@dataclass(slots=True)
class NumberInText:
    """A number in a text, its position, and whether it counts seconds."""

    value: int | float
    start: int
    end: int
    seconds: bool


def coerce(raw: str, schema: Schema, *, exact: bool = False) -> Any:
    """Return a text as a value of the schema's type, None if it is not one.

    A number may be surrounded by words, unless `exact`.
    """
    text, kind = raw.strip(), kind_of(schema)
    options = schema.get("enum")
    if isinstance(options, list):
        return next((option for option in options if str(option).lower() == text.lower()), None)
    if kind == "boolean":
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            text.lower()
        )
    if kind in ("number", "integer"):
        found = [n for n in read_numbers(text) if fits(n.value, schema)]
        if exact:
            found = [n for n in found if (n.start, n.end) == (0, len(text))]
        return found[0].value if found else None
    if kind in ("array", "object"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return [part.strip() for part in text.split(",")] if kind == "array" and text else None
        return value if isinstance(value, list if kind == "array" else dict) else None
    return text or None


def plain(schema: Schema) -> Schema:
    """Return a schema's first alternative that is not null, else the schema."""
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        if isinstance(options, list):
            for option in options:
                if isinstance(option, dict) and option.get("type") != "null":
                    return {**schema, **option}
    return schema


def kind_of(schema: Schema) -> str:
    """Return the schema's type; of several the first that is not null; "" if it has none."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "")
    return kind if isinstance(kind, str) else ""


def is_destructive(name: str) -> bool:
    """Whether a tool's name says that it is destructive."""
    return not _DESTROYS.isdisjoint(words(name))


def read_numbers(text: str) -> list[NumberInText]:
    """Return the numbers of a text in order."""
    found: list[NumberInText] = []
    for match in _NUMBER.finditer(text):
        value: int | float
        if match["digits"]:
            digits = match["digits"].replace(",", "")
            value = float(digits) if "." in digits else int(digits)
        elif match["tens"]:
            value = _WORDED[match["tens"].lower()] + _WORDED[match["ones"].lower()]
        else:
            value = _WORDED[match["word"].lower()]
        found.append(NumberInText(value, *match.span(), _SECONDS.match(text, match.end()) is not None))
    return found


def fits(value: float, schema: Schema) -> bool:
    """Whether a number is whole where the schema wants that."""
    return kind_of(schema) != "integer" or float(value).is_integer()


_NAME_KEYS = word_set("name title id key slug note label identifier filename")
_CONTENT_KEYS = word_set(
    "text content contents body message value query q question prompt input reason description comment data"
)
_PLACE_KEYS = word_set("city location place country town region address where")
_PATH_KEYS = word_set("path file filename filepath directory dir folder source destination root")
_URL_KEYS = word_set("url uri link href endpoint")
_TIME_KEYS = word_set("s ms sec secs second seconds delay timeout duration interval wait")

_QUOTED = re.compile(r"\"([^\"]*)\"|“([^”]*)”|`([^`]*)`|(?<!\w)'([^']*)'(?!\w)")
_SAYING = re.compile(
    r"(?:\b(?:saying|(?:that|which) says|that reads|with the (?:text|words?|content)|with text|containing"
    r"|because(?: of)?|with the (?:message|reason))\b|(?<=\w):(?=\s))\s*",
    re.IGNORECASE,
)
_CALLED = re.compile(r"\b(?:called|named|titled|with the name)\s+", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:for|in|at|of|near)\s+((?:the\s+)?[^\W\d][\w'’.-]*(?:\s+[A-Z][\w'’.-]*)*)")
_PATH = re.compile(
    r"(?<!\S)(?:~|\.{1,2})?/?(?:[\w.-]+/)+[\w.-]*|(?<!\S)/[\w.-]+|(?<!\S)[\w-]+\.[A-Za-z]\w{0,5}(?!\S)"
)
_JOINED = re.compile(r"(?<!\S)(?:\S*\w[-/]\w\S*|\S+=\S+)")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)
_NO_NAMES = STOP_WORDS | {"please", "says", "say"}
_ASKING = word_set("show get find check fetch tell giv look see")
_EDGE = " \t\n.,;:!?"


@dataclass(slots=True)
class FilledArguments:
    """The values by key, where each came from, and the required keys without a value."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


_MOST = 200
"""Properties, allowed values and characters of a name that are looked for, each in a search of the text."""


class _Reader:
    """Reads one clause for one tool; each word is used once."""

    def __init__(self, text: str, tool: ToolSpec, chose: Iterable[str]) -> None:
        self.text = text
        self.tool = tool
        self.chose = {*chose, *words(tool.name.rpartition("__")[2])}
        self.used = [False] * len(text)
        self.filled = FilledArguments()
        properties = tool.parameters.get("properties")
        self.properties: dict[str, Schema] = {
            key: plain(value)
            for key, value in islice((properties or {}).items(), _MOST)
            if isinstance(value, dict) and len(key) <= _MOST
        }
        required = tool.parameters.get("required")
        self.required = [key for key in required or [] if key in self.properties]
        self.order = [*self.required, *(key for key in self.properties if key not in self.required)]

    def put(self, key: str, value: Any, source: str, start: int = 0, end: int = 0) -> None:
        self.filled.values[key] = value
        self.filled.sources.append(f"{key} = {json.dumps(value, ensure_ascii=False)} ({source})")
        self.use(start, end)

    def use(self, start: int, end: int) -> None:
        self.used[start:end] = [True] * (end - start)

    def open(self, *kinds: str) -> list[str]:
        """Keys of these types without a value, required ones first."""
        return [
            key
            for key in self.order
            if key not in self.filled.values and kind_of(self.properties[key]) in kinds
        ]

    def free(self, start: int, end: int) -> bool:
        return not any(self.used[start:end])

    # --- by what is written out -----------------------------------------------------------------

    def explicit(self) -> None:
        """`key=value`, `key: value` and `key "value"`."""
        for key, schema in self.properties.items():
            name = re.escape(key)
            pattern = rf"(?<![\w-]){name}\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))"
            found = re.search(pattern, self.text, re.IGNORECASE) or re.search(
                rf"(?<![\w-]){name}\s*:?\s+(?:\"([^\"]*)\"|“([^”]*)”)()", self.text, re.IGNORECASE
            )
            if not found or not self.free(*found.span()):
                continue
            raw = next((group for group in found.groups() if group), "")
            value = coerce(raw.rstrip(",;"), schema, exact=True)
            if value is not None:
                self.put(key, value, "written out", *found.span())

    def enums(self) -> None:
        for key, schema in self.properties.items():
            options = schema.get("enum")
            if key in self.filled.values or not isinstance(options, list):
                continue
            for option in options[:_MOST]:
                found = re.search(rf"\b{re.escape(str(option))}\b", self.text, re.IGNORECASE)
                if found and self.free(*found.span()):
                    self.put(key, option, "one of the allowed values", *found.span())
                    break

    def booleans(self) -> None:
        for key in self.open("boolean"):
            name = re.escape(key.replace("_", " "))
            found = re.search(rf"\b(not |no |without |non-?)?{name}(?:ly)?\b", self.text, re.IGNORECASE)
            if found:
                self.put(key, not found.group(1), "it is mentioned", *found.span())

    # --- numbers --------------------------------------------------------------------------------

    def numbers(self) -> None:
        found = [number for number in read_numbers(self.text) if self.free(number.start, number.end)]
        self._beside_their_name(found)
        for key in self.open("number", "integer"):
            if key not in self.required:
                continue
            fitting = [n for n in found if fits(n.value, self.properties[key])]
            fitting.sort(key=lambda n: n.seconds and not _is_time(key))
            if fitting:
                self._take(key, fitting[0], found, "the next number")
        self._seconds(found)
        for key in self.open("array"):
            if kind_of(plain(self.properties[key].get("items") or {})) in ("number", "integer") and found:
                self.put(key, [n.value for n in found], "the numbers")
                for number in found:
                    self.use(number.start, number.end)
                found.clear()

    def _beside_their_name(self, found: list[NumberInText]) -> None:
        for key in self.open("number", "integer"):
            name = re.escape(key.removesuffix("_s").removesuffix("_ms").replace("_", " "))
            for number in found:
                named = re.search(
                    rf"\b{name}\s+(?:of |is |to )?$", self.text[: number.start], re.IGNORECASE
                )
                if named and fits(number.value, self.properties[key]):
                    self._take(key, number, found, "it stands behind the name")
                    break

    def _seconds(self, found: list[NumberInText]) -> None:
        """A number of seconds is for a key that means time; as a count it means steps of a second."""
        for key in self.open("number", "integer"):
            if not _is_time(key):
                continue
            number = next((n for n in found if n.seconds), None)
            if number is not None:
                self._take(key, number, found, "a number of seconds")
            elif any(n.seconds for n in read_numbers(self.text)) and not found:
                self.put(key, 1, "a step of one second, since seconds were counted")

    def _take(self, key: str, number: NumberInText, found: list[NumberInText], source: str) -> None:
        found.remove(number)
        self.put(key, number.value, source, number.start, number.end)

    # --- texts ----------------------------------------------------------------------------------

    def texts(self) -> None:
        self._like(_URL_KEYS, _URL, "an address")
        self._quoted()
        self._said()
        self._like(_PATH_KEYS, _PATH, "it looks like a path")
        self._named()
        self._places()
        self._lists()
        self._rest()
        self._derived_name()

    def _of(self, keys: frozenset[str]) -> list[str]:
        return [key for key in self.open("string") if not keys.isdisjoint(_key_words(key))]

    def _like(self, keys: frozenset[str], pattern: re.Pattern[str], source: str) -> None:
        for key in self._of(keys):
            for found in pattern.finditer(self.text):
                if self.free(*found.span()):
                    self.put(key, found.group().strip().rstrip(".,;"), source, *found.span())
                    break

    def _quoted(self) -> None:
        quotes = [found for found in _QUOTED.finditer(self.text) if self.free(*found.span())]
        named = _CALLED.search(self.text)
        for found in quotes:
            value = next(group for group in found.groups() if group is not None)
            keys = self.open("string")
            if not keys:
                return
            content, names = self._of(_CONTENT_KEYS), self._of(_NAME_KEYS)
            said = bool(re.search(_SAYING.pattern + r"$", self.text[: found.start()], re.IGNORECASE))
            key = keys[0]
            if named and named.end() == found.start():
                key = names[0] if names else key
            elif content and (said or len(quotes) == 1):
                key = content[0]
            self.put(key, value, "the quoted words", *found.span())

    def _said(self) -> None:
        for key in self._of(_CONTENT_KEYS):
            found = _SAYING.search(self.text)
            if found and self.free(found.start(), len(self.text)):
                value = self.text[found.end() :].strip().strip(" ;,")
                if value:
                    self.put(key, value, "the words that follow", found.start(), len(self.text))
            return

    def _named(self) -> None:
        """`the note shopping`, `a note called shopping`, `my shopping note`."""
        nouns = set(words(self.tool.name.rpartition("__")[2]))
        for key in self._of(_NAME_KEYS):
            called = _CALLED.search(self.text)
            at = called.end() if called else self._behind_noun(nouns)
            value, end = self._phrase(at) if at is not None else ("", 0)
            if value and at is not None:
                self.put(key, value, "it is named so", at, end)
                continue
            before = self._before_noun(nouns)
            if before is not None:
                self.put(key, before.group(1), "it stands before the thing", *before.span(1))

    def _behind_noun(self, nouns: set[str]) -> int | None:
        for found in re.finditer(r"[^\W\d]+", self.text):
            if stem(found.group()) in nouns and found.start() > 0 and self._phrase(found.end())[0]:
                return found.end()
        return None

    def _before_noun(self, nouns: set[str]) -> re.Match[str] | None:
        for found in re.finditer(r"(?i:\b(?:the|my|a|our|this)\s+)([\w-]+)\s+([^\W\d]+)", self.text):
            plain_word = found.group(1).lower() not in STOP_WORDS
            if stem(found.group(2)) in nouns and plain_word and stem(found.group(1)) not in nouns:
                return found
        return None

    def _phrase(self, start: int) -> tuple[str, int]:
        """Return the unused words from `start`, up to punctuation or a word that begins something else."""
        end = start
        for found in re.finditer(r"\s*([\w'’-]+|\S)", self.text[start:]):
            word, at = found.group(1), start + found.end()
            if not word[0].isalnum() or word.lower() in _NO_NAMES:
                break
            if not self.free(end, at) or _SAYING.match(self.text, start + found.start(1)):
                break
            end = at
        return self.text[start:end].strip(_EDGE), end

    def _places(self) -> None:
        for key in self._of(_PLACE_KEYS):
            for found in _PLACE.finditer(self.text):
                value = found.group(1).strip(_EDGE).removeprefix("the ")
                if self.free(*found.span(1)) and value.lower() not in STOP_WORDS:
                    self.put(key, value, "the place", *found.span(1))
                    break

    def _lists(self) -> None:
        for key in self.open("array"):
            items = plain(self.properties[key].get("items") or {})
            if key in self.required and kind_of(items) == "string":
                parts = [part.strip(_EDGE) for part in re.split(r",|\band\b", self.rest())]
                if parts := [part for part in parts if part]:
                    self.put(key, parts, "the words that are left")

    def _rest(self) -> None:
        open_, rest = self.open("string"), self.rest()
        keys = [key for key in open_ if key in self.required and "enum" not in self.properties[key]]
        if len(keys) > 1:
            keys = [key for key in keys if not _CONTENT_KEYS.isdisjoint(_key_words(key))]
        if keys and rest:
            self.put(keys[0], rest, "the words that are left", 0, len(self.text))

    def rest(self) -> str:
        """Return the unused words, without stop words and words of the tool at both ends."""
        text = "".join(" " if used else one for one, used in zip(self.text, self.used, strict=True))
        parts = text.split()
        if parts and stem(parts[0].strip(_EDGE)) in _ASKING:
            parts.pop(0)
        while parts and self._is_filler(parts[0]):
            parts.pop(0)
        while parts and self._is_filler(parts[-1]):
            parts.pop()
        return " ".join(parts).strip(_EDGE)

    def _is_filler(self, word: str) -> bool:
        bare = word.strip(_EDGE).lower()
        return not bare or bare in STOP_WORDS or stem(bare) in self.chose

    def _derived_name(self) -> None:
        """Derive the name of a new thing from its text; the person sees it before it is sent."""
        content = next((k for k in self.filled.values if not _CONTENT_KEYS.isdisjoint(_key_words(k))), None)
        if not content or self.tool.read_only or is_destructive(self.tool.name):
            return
        text = str(self.filled.values[content])
        slug = "-".join(re.findall(r"[A-Za-z0-9]+", text)[:3]).lower()
        for key in self._of(_NAME_KEYS):
            if slug and key in self.required:
                self.put(key, slug, "no name was given, so it is made from the text")


def fill(
    text: str, tool: ToolSpec, given: Mapping[str, Any] | None = None, chose: Iterable[str] = ()
) -> FilledArguments:
    """Find a tool's arguments in `text`; `given` are known, `chose` are stems that chose the tool."""
    reader = _Reader(text, tool, chose)
    whole = _json_object(text)
    if whole is not None:
        reader.filled.values.update(whole)
        reader.filled.sources.append("the JSON object as it stands")
    else:
        reader.filled.values.update(given or {})
        for read in (reader.explicit, reader.enums, reader.booleans, reader.numbers, reader.texts):
            read()
    required = tool.parameters.get("required")
    names = [key for key in required if isinstance(key, str)] if isinstance(required, list) else []
    reader.filled.missing = [key for key in names if key not in reader.filled.values]
    return reader.filled


def tool_words(text: str) -> str:
    """Return the part of a text that can tell which tool is meant: no quotes, no told text, no names."""
    said = _SAYING.search(text)
    if said and said.start() > 0:
        text = text[: said.start()]
    bare = _JOINED.sub(" ", _URL.sub(" ", _QUOTED.sub(" ", text)))
    return bare if words(bare) else text


def _json_object(text: str) -> dict[str, Any] | None:
    start = text.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _key_words(key: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Za-z][a-z]*", key)} | {key.lower()}


def _is_time(key: str) -> bool:
    return not _TIME_KEYS.isdisjoint(_key_words(key))
