"""Search tools by words with BM25 (Robertson and Zaragoza, 2009). Deterministic, without dependencies.

`Ranker`, with a few synonyms, is for the offline rules and the tiny model; `BM25Index`, an inverted index
for many tools, chooses the tools of a request. In both a tool's name weighs more than its description.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from omni_tui.models.base import ToolSpec

_K1 = 1.2
_B = 0.4
_NAME, _DESCRIPTION, _ARGUMENT, _SERVER = 3.0, 1.5, 1.0, 0.75
_SYNONYM = 0.7
_READ = 2_000
"""The most characters of a description that are read."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


STOP_WORDS = word_set(
    "a an and the about of to in on at by for from with me my you your i we us our it its is are be "
    "do does did can could would will please this that these those what which who how there here now "
    "then some any all as or if so just make let lets want need like give tell using use via into out "
    "up one tool server call run"
)
_GROUPS = (
    "show read get open view display see fetch look print cat say",
    "list names overview which enumerate ls",
    "write save create store put keep jot",
    "delete remove erase drop forget rm",
    "add sum plus total addition",
    "subtract minus difference",
    "multiply times product",
    "wait sleep pause slow slowly count delay",
    "fail error break crash broken failure",
    "weather forecast temperature umbrella rain sunny climate",
    "echo repeat say",
    "search find query lookup grep",
    "picture image photo drawing",
    "time clock hour date",
    "folder directory dir",
    "file document",
    "send mail message post",
    "move rename mv",
    "copy duplicate cp",
    "update change edit modify set",
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def _synonyms() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in _GROUPS:
        words = [stem(word) for word in group.split()]
        for word in words:
            found.setdefault(word, set()).update(other for other in words if other != word)
    return {word: frozenset(others) for word, others in found.items()}


def stem(word: str) -> str:
    """Return a crude stem, without plurals and the most common English endings."""
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    for ending in ("ing", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            base = word[: -len(ending)]
            if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz":
                base = base[:-1]
            return base[:-1] if len(base) > 4 and base.endswith("e") else base
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


_SYNONYMS = _synonyms()


def words(text: str) -> list[str]:
    """Split text, snake_case and camelCase into stems, in order, without stop words and digits."""
    return [
        stem(word) for word in _WORD.findall(text) if word.lower() not in STOP_WORDS and not word.isdigit()
    ]


class ToolMatch(NamedTuple):
    """How well a tool matches: the stems of the query that it has, and those in its name."""

    tool: ToolSpec
    score: float
    matched: tuple[str, ...]
    in_name: tuple[str, ...]


class _Entry(NamedTuple):
    tool: ToolSpec
    weights: dict[str, float]
    name: frozenset[str]
    length: float


class Ranker:
    """An index of tools. Make it once per list of tools."""

    def __init__(self, tools: Iterable[ToolSpec]) -> None:
        self._entries = [_entry(tool) for tool in tools]
        self._seen = Counter(word for entry in self._entries for word in entry.weights)
        lengths = [entry.length for entry in self._entries]
        self._mean = sum(lengths) / len(lengths) if lengths else 1.0

    def search(self, query: str, limit: int | None = None) -> list[ToolMatch]:
        """Return the tools that share a word with the query, best first; ties in list order."""
        asked = list(dict.fromkeys(words(query)))
        hits = [hit for entry in self._entries if (hit := self._score(entry, asked)).score > 0]
        hits.sort(key=lambda hit: -hit.score)
        return hits[:limit]

    def _score(self, entry: _Entry, asked: Sequence[str]) -> ToolMatch:
        score = 0.0
        matched: list[str] = []
        in_name: list[str] = []
        for word in asked:
            others = _SYNONYMS.get(word, frozenset())
            # The word or a synonym, whichever is better.
            scores = [self._term(entry, other) * _SYNONYM for other in others]
            best = max([self._term(entry, word), *scores])
            if best > 0:
                score += best
                matched.append(word)
                if word in entry.name or not others.isdisjoint(entry.name):
                    in_name.append(word)
        return ToolMatch(entry.tool, score, tuple(matched), tuple(in_name))

    def _term(self, entry: _Entry, word: str) -> float:
        weight = entry.weights.get(word, 0.0)
        if not weight:
            return 0.0
        # A minimum rarity: with few tools, a word that half of them share still counts.
        total, seen = len(self._entries), self._seen[word]
        rarity = max(math.log(1 + (total - seen + 0.5) / (seen + 0.5)), 0.3)
        return rarity * weight * (_K1 + 1) / (weight + _K1 * (1 - _B + _B * entry.length / self._mean))


def _entry(tool: ToolSpec) -> _Entry:
    server, _, name = tool.name.rpartition("__")
    texts = [(name, _NAME), (tool.description[:_READ], _DESCRIPTION), (server, _SERVER)]
    properties = tool.parameters.get("properties")
    if isinstance(properties, dict):
        for key, schema in properties.items():
            described = schema.get("description", "") if isinstance(schema, dict) else ""
            text = f"{key} {described if isinstance(described, str) else ''}"
            texts.append((text[:500], _ARGUMENT))
    weights = _weights(texts, most=2)
    return _Entry(tool, weights, frozenset(words(name)), sum(weights.values()) or 1.0)


def _weights(texts: Iterable[tuple[str, float]], most: int) -> dict[str, float]:
    """Return the weight of each word: of each text its weight for every time, `most` times at most."""
    weights: defaultdict[str, float] = defaultdict(float)
    for text, weight in texts:
        for word, times in Counter(words(text)).items():
            weights[word] += weight * min(times, most)
    return dict(weights)


_INDEX_B = 0.75
_INDEX_NAME, _INDEX_TITLE, _INDEX_DESCRIPTION, _INDEX_PARAMETER = 3.0, 2.0, 1.0, 1.0

Document = dict[str, float]


class _Built(NamedTuple):
    """One state of an index, replaced as a whole."""

    tools: tuple[ToolSpec, ...]
    documents: dict[int, tuple[ToolSpec, Document]]
    postings: dict[str, list[tuple[int, float]]]
    lengths: list[float]
    mean: float


class BM25Index:
    """An index of a list of tools. Tools that are the same objects are not read again."""

    def __init__(self) -> None:
        self._built = _Built((), {}, {}, [], 1.0)

    def update(self, tools: tuple[ToolSpec, ...]) -> None:
        """Index these tools, unless they are the same as before. May run in a thread."""
        known = self._built.documents
        if tools is self._built.tools:
            return
        documents: dict[int, tuple[ToolSpec, Document]] = {}
        postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        lengths: list[float] = []
        for at, tool in enumerate(tools):
            had = known.get(id(tool))
            document = had[1] if had is not None and had[0] is tool else _document(tool)
            documents[id(tool)] = (tool, document)
            lengths.append(sum(document.values()))
            for word, weight in document.items():
                postings[word].append((at, weight))
        mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
        self._built = _Built(tools, documents, dict(postings), lengths, mean)

    def fresh(self, tools: Sequence[ToolSpec]) -> int:
        """Return how many of these tools are not indexed yet."""
        known = self._built.documents
        return sum(id(tool) not in known for tool in tools)

    def search(self, query: Mapping[str, float], limit: int | None = None) -> list[tuple[ToolSpec, float]]:
        """Return tools that share a word with the query (stem → its weight) and their scores, best first.

        Ties go by name.
        """
        tools, _, postings, lengths, mean = self._built
        scores: defaultdict[int, float] = defaultdict(float)
        for word, wanted in query.items():
            found = postings.get(word, ())
            rarity = math.log(1 + (len(tools) - len(found) + 0.5) / (len(found) + 0.5))
            for at, weight in found:
                norm = _K1 * (1 - _INDEX_B + _INDEX_B * lengths[at] / mean)
                scores[at] += wanted * rarity * weight * (_K1 + 1) / (weight + norm)
        order = sorted(scores, key=lambda at: (-scores[at], tools[at].name, at))
        return [(tools[at], scores[at]) for at in order[:limit]]


def query_of(text: str, weight: float = 1.0) -> dict[str, float]:
    """Return the words of a text as a query, each once."""
    return dict.fromkeys(words(text), weight)


def _document(tool: ToolSpec) -> Document:
    properties = tool.parameters.get("properties")
    names = " ".join(map(str, properties)) if isinstance(properties, dict) else ""
    texts = (
        (tool.name, _INDEX_NAME),
        (tool.title, _INDEX_TITLE),
        (tool.description[:_READ], _INDEX_DESCRIPTION),
        (names[:_READ], _INDEX_PARAMETER),
    )
    return _weights(texts, most=_READ)
