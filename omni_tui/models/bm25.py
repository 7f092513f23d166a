"""BM25 over tools: which of many fit some words best. An inverted index; the same input, the same order.

Words are stemmed as `rank` does it. A tool's document is its name, title, description and the names of
its parameters, the shorter fields weighing more (as in BM25F). Robertson and Zaragoza, 2009.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from omni_tui.models.base import ToolSpec
from omni_tui.models.ranker import words

_K1 = 1.2
_B = 0.75
_NAME, _TITLE, _DESCRIPTION, _PARAMETER = 3.0, 2.0, 1.0, 1.0
_READ = 2_000
"""Characters of a description that are read."""

Document = dict[str, float]


class _Built(NamedTuple):
    """One state of an index, put in place as a whole."""

    tools: tuple[ToolSpec, ...]
    documents: dict[int, tuple[ToolSpec, Document]]
    postings: dict[str, list[tuple[int, float]]]
    lengths: list[float]
    mean: float


class BM25Index:
    """An index over a list of tools. Documents of tools that are the same objects are taken over."""

    def __init__(self) -> None:
        self._built = _Built((), {}, {}, [], 1.0)

    def update(self, tools: tuple[ToolSpec, ...]) -> None:
        """Index these tools; nothing is done if they are the same as before. May run in a thread."""
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
        """Return how many of these tools would have to be read."""
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
                norm = _K1 * (1 - _B + _B * lengths[at] / mean)
                scores[at] += wanted * rarity * weight * (_K1 + 1) / (weight + norm)
        order = sorted(scores, key=lambda at: (-scores[at], tools[at].name, at))
        return [(tools[at], scores[at]) for at in order[:limit]]


def query_of(text: str, weight: float = 1.0) -> dict[str, float]:
    """Return the words of a text as a query; each counts once."""
    return dict.fromkeys(words(text), weight)


def _document(tool: ToolSpec) -> Document:
    document: Document = {}
    properties = tool.parameters.get("properties")
    names = " ".join(map(str, properties)) if isinstance(properties, dict) else ""
    for text, weight in (
        (tool.name, _NAME),
        (tool.title, _TITLE),
        (tool.description[:_READ], _DESCRIPTION),
        (names[:_READ], _PARAMETER),
    ):
        for word, times in Counter(words(text)).items():
            document[word] = document.get(word, 0.0) + weight * times
    return document
