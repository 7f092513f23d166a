"""Read the body of a provider's answer, byte by byte, and pass it on in the provider's own protocol.

Four protocols: OpenAI's chat chunks and all their copies, the events of Anthropic and Gemini, the lines of
Ollama. LiteLLM reads them as their inventors write them; variants are rewritten here first. Whole events
are passed on, so it does not matter where the network cuts. The reader records what really came: the finish
reason, whether the stream ended, the usage, and an error in place of an answer. Pure: bytes in, bytes out.

Providers number, name and identify the fragments of calls in many ways: an index only on the first
fragment, every call numbered 0, a new id on each fragment, the name in parts or repeated. `CallFragments`
has one set of rules for all. In doubt, fragments stay together: invalid JSON is reported, but two calls in
place of one would both run.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from omni_tui.models.base import ToolCall
from omni_tui.models.message_history import arguments_of, plain_arguments, read_json


@dataclass(slots=True)
class StreamedCall:
    """A call while its fragments come. `slot` is its unique number."""

    slot: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def arguments(self) -> str:
        """Return the text of the arguments, without repeated parts."""
        text = "".join(self.pieces)
        half = text[: len(text) // 2]
        if half + half == text and not _is_whole(text) and _is_whole(half):
            text = half
        if not _is_whole(text) and len(self.pieces) > 1:
            last = self.pieces[-1]
            again = "".join(self.pieces[:-1]) == last
            grows = all(b.startswith(a) for a, b in zip(self.pieces, self.pieces[1:], strict=False))
            # Some providers repeat all earlier fragments, at the end or with every fragment.
            if (again or grows) and _is_whole(last):
                text = last
        return plain_arguments(text)

    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object already."""
        return bool(self.pieces) and _is_whole("".join(self.pieces))


def _is_whole(text: str) -> bool:
    return bool(text.strip()) and arguments_of(ToolCall("", "", text)) is not None


def as_text(arguments: object) -> str:
    """Return arguments as JSON text."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


class CallFragments:
    """The calls of one answer. `names` are those of the request's tools."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(names)
        self._by_index: dict[int, StreamedCall] = {}
        self._by_id: dict[str, StreamedCall] = {}
        self.calls: list[StreamedCall] = []

    def add(self, index: int | None, ident: str, name: str, arguments: str) -> StreamedCall:
        """Add a fragment; return the call it belongs to."""
        call = self._found(index, ident, bool(name), bool(arguments))
        if call is None or self._is_next(call, ident, name, arguments):
            call = self._open(index)
        if index is not None:
            self._by_index[index] = call
        if ident:
            call.id = call.id or ident
            self._by_id[ident] = call
        call.name = self._name(call.name, name)
        if arguments:
            call.pieces.append(arguments)
        return call

    def _found(self, index: int | None, ident: str, named: bool, filled: bool) -> StreamedCall | None:
        if index is not None:
            known = self._by_index.get(index)
            return known if known is not None or named else self._by_id.get(ident)
        if ident and ident in self._by_id:
            return self._by_id[ident]
        if not self.calls or (ident and (named or not filled)):
            return None
        return self.calls[-1]

    def _open(self, index: int | None) -> StreamedCall:
        used = {call.slot for call in self.calls}
        is_free = index is not None and index >= 0 and index not in used
        call = StreamedCall(index if index is not None and is_free else max(used, default=-1) + 1)
        self.calls.append(call)
        return call

    def _is_next(self, call: StreamedCall, ident: str, name: str, arguments: str) -> bool:
        """Whether a fragment begins another call than the one it seems to belong to."""
        if not call.name:
            return False
        if not name:
            # One with only an id: the name comes later.
            fresh = bool(ident and call.id) and ident not in self._by_id
            return fresh and not arguments and call.is_whole()
        if ident and call.id:
            if ident == call.id:
                return False
            continues = bool(call.pieces) and not call.is_whole() and not arguments.lstrip().startswith("{")
            return not (name == call.name and continues)
        if call.name not in self._names and self._completes(call.name, name):
            return False
        if call.is_whole():
            # An empty object may come before the real arguments.
            empty = arguments_of(ToolCall("", "", "".join(call.pieces))) == {}
            return name != call.name or (bool(arguments) and not empty)
        if call.pieces:
            return name != call.name
        return name != call.name and not self._continues(call.name, name)

    def _continues(self, first: str, piece: str) -> bool:
        if piece in self._names and (first in self._names or not self._is_start(first + piece)):
            return not first or (piece.startswith(first) and first not in self._names)
        return self._is_start(first + piece) or not (first in self._names or piece in self._names)

    def _completes(self, first: str, piece: str) -> bool:
        """Whether `piece` makes an unknown name a tool's name, or the start of one."""
        grown = piece != first and piece.startswith(first)
        return self._is_start(first + piece) or (grown and self._is_start(piece))

    def _is_start(self, name: str) -> bool:
        return any(each.startswith(name) for each in self._names)

    def _name(self, first: str, piece: str) -> str:
        if not first or not piece:
            return first or piece
        if first not in self._names and self._is_start(first + piece):
            return first + piece
        if piece == first:
            return first
        if piece.startswith(first) and first not in self._names:
            return piece
        return first + piece if self._continues(first, piece) else first


LONGEST_PIECE = 32 * 1024 * 1024
"""The largest event, or answer that is not streamed, in bytes."""
_QUOTED = 2_000
_MOST_TEXT = 64 * 1024
_FOREIGN = ("eventstream", "octet-stream", "protobuf")
_SSE_LINE = re.compile(rb"(data|event|id|retry)\s*:|:")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BROKEN_REASONS = frozenset(
    {"error", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL"}
    | {"UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS"}
)
_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402,
    "permission_error": 403, "not_found_error": 404, "request_too_large": 413,
    "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
    "rate_limit_exceeded": 429, "insufficient_quota": 402, "server_error": 500, "overloaded": 529,
    "context_length_exceeded": 400, "exceed_context_size_error": 400, "invalid_api_key": 401,
    "unavailable": 503, "resource_exhausted": 429, "internal": 500, "invalid_argument": 400,
}  # fmt: skip

ProviderProtocol = Literal["", "openai", "anthropic", "gemini", "ollama"]
Object = dict[str, Any]


class StreamProblem(NamedTuple):
    """What a server sent instead of an answer or its rest.

    `error`: an error, with the HTTP status it names; `page`: a web page or other text; `broken`: unreadable
    data; `large`: one event of too many bytes; `empty`: nothing.
    """

    kind: Literal["error", "page", "broken", "large", "empty"]
    words: str = ""
    status: int | None = None


@dataclass(slots=True)
class TokenCounts:
    """Tokens as the provider counted them; None is unknown."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None


class AnswerReader:
    """Reads the body of one answer. `names` are those of the request's tools."""

    def __init__(self, content_type: str = "", names: Collection[str] = ()) -> None:
        self.wire: ProviderProtocol = ""
        self.finish = ""
        self.problem: StreamProblem | None = None
        self.counts = TokenCounts()
        self.began = False
        self._seen = False
        self.done = False
        self.doubted = False
        self._names = frozenset(names)
        self._held = bytearray()
        self._scanned = 0
        self._gathered = 0
        self._mode: Literal["", "sse", "lines", "body", "text", "foreign"] = ""
        if any(kind in content_type.lower() for kind in _FOREIGN):
            self._mode = "foreign"
        self._after_return = False
        self._event = ""
        self._named = ""
        self._data: list[bytes] = []
        self._words = ""
        self._protocol: _OpenAI | _Anthropic | _Gemini | _Ollama | None = None

    @property
    def known(self) -> bool:
        """Whether the protocol is one of the four, so that `finished` is reliable."""
        return bool(self.wire)

    @property
    def finished(self) -> bool:
        """Whether the answer ended by itself: a finish reason, or the protocol's last event."""
        return self.done or bool(self.finish)

    @property
    def surely_finished(self) -> bool:
        """Whether it ended by itself without doubt: nothing followed its finish reason."""
        return self.done or (bool(self.finish) and not self.doubted)

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return those to pass on to LiteLLM."""
        if self._mode == "foreign":
            return data
        if self.problem is not None:
            return b""
        self._held += data
        if not self._mode:
            self._decide(ended=False)
        if self._mode == "text" and len(self._held) > _MOST_TEXT:
            self.problem = StreamProblem("page", _quoted(self._held))
        elif len(self._held) + self._gathered > LONGEST_PIECE:
            self.problem = StreamProblem("large")
        return b"" if self.problem is not None else b"".join(self._read())

    def end(self) -> bytes:
        """Take the orderly end of the connection; return the last bytes to pass on."""
        if self._mode == "foreign" or self.problem is not None:
            return b""
        if not self._mode:
            self._decide(ended=True)
        return b"".join([*self._read(), *self._rest()])

    # --- framing --------------------------------------------------------------------------------

    def _decide(self, *, ended: bool) -> None:
        """Detect the format by the first bytes; servers send other types than they declare."""
        start = bytes(self._held[:64]).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            if len(self._held) >= 64:
                self._held.clear()
            return
        if start[:1] in b"{[":
            self._mode = "lines" if start[:1] == b"{" else "body"
        elif _SSE_LINE.match(start):
            self._mode = "sse"
        elif start[:1] == b"<" or ended or len(start) > 16 or _LINE_END.search(start):
            self._mode = "text"
        if self._mode:
            del self._held[: self._held.index(start[:1])]

    def _read(self) -> Iterator[bytes]:
        if self._mode == "sse":
            for line in self._lines():
                if self.problem is None:
                    yield from self._sse_line(line)
        elif self._mode == "lines":
            yield from self._json_lines()

    def _lines(self) -> list[bytes]:
        """Take the complete lines. Nothing is scanned twice."""
        held = self._held
        if self._after_return and held:
            self._after_return = False
            if held.startswith(b"\n"):
                del held[:1]
        spans = [end.span() for end in _LINE_END.finditer(held, self._scanned)]
        starts = [0, *(after for _, after in spans)]
        lines = [bytes(held[at:end]) for at, (end, _) in zip(starts, spans, strict=False)]
        # A carriage return at the end may be half of a line ending.
        self._after_return = starts[-1] == len(held) and held.endswith(b"\r")
        del held[: starts[-1]]
        self._scanned = len(held)
        return lines

    def _sse_line(self, line: bytes) -> Iterator[bytes]:
        if not line.strip():
            yield from self._dispatch()
            return
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        key = key.strip()
        if key == b"data":
            self._data.append(value)
            self._gathered += len(value)
        elif key == b"event":
            self._event = value.decode(errors="replace").strip()
        elif key not in (b"", b"id", b"retry"):
            self._words = self._words or _quoted(line)

    def _dispatch(self) -> Iterator[bytes]:
        data, self._data, self._gathered = self._data, [], 0
        event, self._event = self._event, ""
        if not data:
            return
        self._named = event
        whole = b"\n".join(data).strip()
        apart = len(data) > 1 and read_json(whole) is None and all(_is_event(each) for each in data)
        for each in data if apart else [whole]:
            yield from self._one(each.strip(), event)

    def _one(self, data: bytes, event: str = "") -> Iterator[bytes]:
        if self.problem is not None:
            return
        if data == b"[DONE]":
            self.done = True
            yield from self._closing()
            yield b"data: [DONE]\n\n" if self.wire in ("", "openai") else b""
            return
        value = read_json(data)
        if isinstance(value, list):
            for each in value:
                yield from self._object(each)
        elif isinstance(value, dict):
            yield from self._object(value)
        elif data[:1] in b"{[" and data:
            self.problem = StreamProblem("broken", _quoted(data))
        elif data:
            self._words = self._words or _quoted(data)
        if event == "error" and self.problem is None and not isinstance(value, dict):
            self.problem = StreamProblem("error", _quoted(data))

    def _json_lines(self) -> Iterator[bytes]:
        """Take the lines of JSON; if the first is not JSON, everything is one body."""
        while self._mode == "lines":
            end = self._held.find(b"\n", self._scanned)
            if end < 0:
                self._scanned = len(self._held)
                return
            line = bytes(self._held[:end]).strip()
            if line and line != b"[DONE]" and read_json(line) is None and not self._seen:
                self._mode = "body"
                return
            del self._held[: end + 1]
            self._scanned = 0
            if line and self.problem is None:
                yield from self._one(line)

    def _rest(self) -> Iterator[bytes]:
        """Take the rest at the end, without the end of its line, event or body."""
        held = bytes(self._held).strip()
        self._held.clear()
        if self._mode == "sse":
            if held:
                yield from self._sse_line(held)
            # Without its empty line an event may be incomplete; complete JSON is not.
            if self._data and not all(_is_event(each) for each in self._data):
                self._data = []
            yield from self._dispatch()
        elif self._mode == "text":
            self.problem = StreamProblem("page", _quoted(held))
        elif self._mode and held and (self._protocol is None or read_json(held) is not None):
            yield from self._body(held)
        if self.problem is None:
            yield from self._closing()
        if self.problem is None and self._protocol is None and not self.finished:
            if self._words:
                self.problem = StreamProblem("page", self._words)
            elif not self._seen:
                self.problem = StreamProblem("empty")

    def _body(self, body: bytes) -> Iterator[bytes]:
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        if read_json(body) is not None:
            yield from self._one(body)
        elif len(lines) > 1 and all(_is_event(line) for line in lines):
            for line in lines:
                yield from self._one(line)
        else:
            self.problem = StreamProblem("broken", _quoted(body))

    # --- objects --------------------------------------------------------------------------------

    def _object(self, value: Any) -> Iterator[bytes]:
        if not isinstance(value, dict) or self.problem is not None:
            return
        if (problem := error_in(value)) is not None:
            self.problem = problem
            return
        self._seen = True
        if self._protocol is None:
            self._recognise(value)
        if self._protocol is None:
            yield self._written(value)
            return
        for each in self._protocol.read(value):
            yield self._written(each)
        if self.finish in _BROKEN_REASONS:
            self.problem = StreamProblem("error", f"it stopped with {self.finish}", None)

    def _recognise(self, value: Object) -> None:
        if isinstance(value.get("choices"), list) or str(value.get("object")).startswith("chat.completion"):
            self.wire, self._protocol = "openai", _OpenAI(self, self._names)
        elif "candidates" in value or "promptFeedback" in value or "usageMetadata" in value:
            self.wire, self._protocol = "gemini", _Gemini(self)
        elif isinstance(value.get("done"), bool) and ("message" in value or "model" in value):
            self.wire, self._protocol = "ollama", _Ollama(self)
        elif value.get("type") in ("message_start", "message", "content_block_start"):
            self.wire, self._protocol = "anthropic", _Anthropic(self)

    def _closing(self) -> Iterator[bytes]:
        if self._protocol is not None:
            for each in self._protocol.end():
                yield self._written(each)

    def _written(self, value: Object) -> bytes:
        text = json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
        if self.wire == "ollama" or (not self.wire and self._mode == "lines"):
            return text + b"\n"
        name = value.get("type") if self.wire == "anthropic" else "" if self.wire else self._named
        named = f"event: {name}\n".encode() if name and isinstance(name, str) else b""
        return named + b"data: " + text + b"\n\n"


def _quoted(data: bytes | bytearray) -> str:
    return data.decode(errors="replace")[:_QUOTED]


def _is_event(data: bytes) -> bool:
    return data.strip() == b"[DONE]" or isinstance(read_json(data), dict | list)


# --- errors that come as an answer --------------------------------------------------------------


def error_in(value: Object) -> StreamProblem | None:
    """Return the error in an object, None if there is none."""
    found = value.get("error")
    if not found and isinstance(choices := value.get("choices"), list):
        found = next(
            (each["error"] for each in choices if isinstance(each, dict) and each.get("error")), None
        )
    if not found and (value.get("object") == "error" or value.get("type") == "error"):
        found = value
    if not found and not ({"choices", "candidates", "message", "type", "done"} & value.keys()):
        found = value if value.get("detail") or value.get("errors") else None
    if not found and isinstance(value.get("message"), str) and not value.get("choices"):
        found = value
    if not found:
        return None
    return StreamProblem("error", _words_of(found), _status_of(found) or _status_of(value))


def _words_of(found: Any) -> str:
    if isinstance(found, str):
        return found[:_QUOTED]
    if isinstance(found, dict):
        for key in ("message", "msg", "detail", "details", "error", "errors", "reason", "code", "type"):
            if value := found.get(key):
                return _words_of(value)
    if isinstance(found, list) and found:
        return _words_of(found[0])
    return json.dumps(found, ensure_ascii=False)[:_QUOTED] if not isinstance(found, int) else str(found)


def _status_of(found: Any) -> int | None:
    if not isinstance(found, dict):
        return None
    for key in ("status_code", "status", "code", "http_code"):
        value = found.get(key)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    for key in ("code", "type", "status"):
        word = str(found.get(key, "")).lower()
        if word in _STATUS:
            return _STATUS[word]
    return None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


# --- OpenAI's chat -------------------------------------------------------------------------------


class _Protocol:
    """Rewrites the objects of one protocol."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader

    def end(self) -> Iterator[Object]:
        return iter(())


class _OpenAI(_Protocol):
    """Chunks of a chat completion, or a whole completion."""

    def __init__(self, reader: AnswerReader, names: Collection[str]) -> None:
        super().__init__(reader)
        self._fragments = CallFragments(names)
        self._finish: Object | None = None

    def read(self, value: Object) -> Iterator[Object]:
        usage = self._usage(value.get("usage"))
        base = {key: value[key] for key in value if key not in ("choices", "usage", "object")}
        base["object"] = "chat.completion.chunk"
        for key, default in (("id", "none"), ("created", 0), ("model", "none")):
            if base.get(key) is None:
                base[key] = default
        choice = _first(value.get("choices"))
        if choice is None:
            if usage is not None:
                yield from self.end()
                yield {**base, "choices": [], "usage": usage}
            return
        delta = self._delta(choice)
        reason = choice.get("finish_reason") or ""
        if self._reader.finish and not _SAID.isdisjoint(delta):
            # Some write a reason on every chunk: then it does not mean the end.
            self._reader.doubted, self._finish, self._reader.finish = True, None, ""
        chunk = {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield chunk if usage is None else {**chunk, "usage": usage}
        if isinstance(reason, str) and reason:
            if "tool_calls" in delta and "message" not in choice:
                # More calls may follow in such a chunk; only the end mark excludes that.
                self._reader.doubted = True
            self._finish = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
            self._reader.finish = reason

    def end(self) -> Iterator[Object]:
        finish, self._finish = self._finish, None
        if finish is not None:
            yield finish

    def _usage(self, usage: Any) -> Object | None:
        if not isinstance(usage, dict):
            return None
        told = TokenCounts(_number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens")))
        if told.input is None and told.output is None:
            return None
        details = usage.get("prompt_tokens_details")
        told.cached = _number(details.get("cached_tokens")) if isinstance(details, dict) else None
        self._reader.counts = told
        kept = {key: each for key, each in usage.items() if each is not None}
        sent, got = told.input or 0, told.output or 0
        return {**kept, "prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}

    def _delta(self, choice: Object) -> Object:
        found = choice.get("delta")
        if not isinstance(found, dict) or not found:
            found = None if self._reader.began else choice.get("message")
        delta: Object = found if isinstance(found, dict) else {}
        if not delta and isinstance(choice.get("text"), str):
            delta = {"content": choice["text"]}
        out = {key: value for key, value in delta.items() if value is not None and key not in _REWRITTEN}
        text, thought = parts_of(delta.get("content"))
        refusal = delta.get("refusal")
        text += refusal if isinstance(refusal, str) else ""
        for key in ("reasoning_content", "reasoning", "thinking"):
            if not thought and isinstance(delta.get(key), str | list):
                thought = "".join(parts_of(delta[key]))
        if text:
            out["content"] = text
        if thought:
            out["reasoning_content"] = thought
        if calls := self._calls(delta):
            out["tool_calls"] = calls
        if text or thought or calls:
            self._reader.began = True
        return out

    def _calls(self, delta: Object) -> list[Object]:
        fragments = delta.get("tool_calls")
        fragments = [fragments] if isinstance(fragments, dict) else fragments
        fragments = list(fragments) if isinstance(fragments, list) else []
        if isinstance(delta.get("function_call"), dict):
            fragments.append({"function": delta["function_call"]})
        return [self._call(each) for each in fragments if isinstance(each, dict)]

    def _call(self, fragment: Object) -> Object:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else fragment
        index, ident, name = fragment.get("index"), fragment.get("id"), function.get("name")
        if isinstance(index, str) and index.isdigit():
            index = int(index)
        index = index if isinstance(index, int) and not isinstance(index, bool) else None
        ident = ident if isinstance(ident, str) else ""
        name = name if isinstance(name, str) else ""
        arguments = as_text(function.get("arguments"))
        call = self._fragments.add(index, ident, name, arguments)
        out: Object = {"index": call.slot, "type": "function", "function": {"arguments": arguments}}
        # LiteLLM and `AnswerAssembler` read the id and the name from the fragments by the same rules.
        if ident:
            out["id"] = call.id
        if name:
            out["function"]["name"] = name
        return {**{key: fragment[key] for key in _KEPT if key in fragment}, **out}


_REWRITTEN = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "thinking", "tool_calls", "function_call"}
)
_SAID = frozenset({"content", "reasoning_content", "tool_calls"})
_KEPT = ("extra_content", "provider_specific_fields", "thought_signature")


def _first(choices: Any) -> Object | None:
    found = [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
    return next((each for each in found if each.get("index") in (0, None)), found[0] if found else None)


def parts_of(content: Any) -> tuple[str, str]:
    """Return the text and the thinking of content, which may be a list of parts."""
    if isinstance(content, str):
        return content, ""
    parts = [content] if isinstance(content, dict) else content if isinstance(content, list) else []
    text = thought = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict):
            kind = str(part.get("type", "text"))
            if "think" in kind or "reason" in kind:
                inner = next(
                    (part[key] for key in ("thinking", "reasoning", "summary", "text") if key in part), ""
                )
                thought += "".join(parts_of(inner))
            else:
                text += "".join(
                    parts_of(next((part[key] for key in ("text", "refusal", "content") if key in part), ""))
                )
    return text, thought


# --- Anthropic -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Block:
    index: int
    start: Object
    fed: bool = False
    stopped: bool = False
    waiting: list[Object] = field(default_factory=list)


class _Anthropic(_Protocol):
    """Events of a message. Parallel blocks are passed on one after the other, as LiteLLM needs them."""

    def __init__(self, reader: AnswerReader) -> None:
        super().__init__(reader)
        self._blocks: list[_Block] = []
        self._opened = -1

    def read(self, value: Object) -> Iterator[Object]:
        kind = value.get("type")
        if kind == "message":
            yield from self._whole(value)
        elif kind == "message_start":
            message = value.get("message")
            self._usage(message.get("usage") if isinstance(message, dict) else None)
            yield value
        elif kind == "content_block_start":
            yield from self._start(value)
        elif kind in ("content_block_delta", "content_block_stop"):
            yield from self._more(value)
        elif kind == "message_delta":
            yield from self.end()
            yield from self._last(value)
        elif kind == "message_stop":
            yield from self.end()
            self._reader.done = True
            yield value
        elif kind != "ping":
            yield value

    def end(self) -> Iterator[Object]:
        while self._blocks:
            self._blocks[0].stopped = True
            yield from self._flushed(self._blocks[0])

    def _start(self, value: Object) -> Iterator[Object]:
        start = value.get("content_block")
        start = dict(start) if isinstance(start, dict) else {"type": "text", "text": ""}
        index = value.get("index")
        self._opened = index if isinstance(index, int) else self._opened + 1
        head = self._blocks[0] if self._blocks else None
        if head is not None and head.start.get("type") != "tool_use":
            head.stopped = True
            yield from self._flushed(head)
        block = _Block(self._opened, start)
        self._reader.began = self._reader.began or start.get("type") == "tool_use"
        shown = {**start, "input": {}} if start.get("type") == "tool_use" else start
        event = {"type": "content_block_start", "index": block.index, "content_block": shown}
        self._blocks.append(block)
        if len(self._blocks) == 1:
            yield event
        else:
            block.waiting.append(event)

    def _more(self, value: Object) -> Iterator[Object]:
        index = value.get("index")
        index = index if isinstance(index, int) else self._opened
        block = next((each for each in self._blocks if each.index == index), None)
        delta = value.get("delta")
        if block is None:
            kind = str(delta.get("type", "")).removesuffix("_delta") if isinstance(delta, dict) else ""
            if kind not in ("text", "thinking"):
                return
            yield from self._start({"index": index, "content_block": {"type": kind, kind: ""}})
            block = self._blocks[-1]
        if value["type"] == "content_block_stop":
            block.stopped = True
        elif isinstance(delta, dict):
            self._reader.began = True
            if isinstance(delta.get("partial_json"), dict):
                delta = {**delta, "partial_json": as_text(delta["partial_json"])}
            block.fed = block.fed or bool(delta.get("partial_json"))
            block.waiting.append({"type": "content_block_delta", "index": index, "delta": delta})
        if block is self._blocks[0]:
            yield from self._flushed(block)

    def _flushed(self, block: _Block) -> Iterator[Object]:
        waiting, block.waiting = block.waiting, []
        yield from waiting
        if not block.stopped:
            return
        given = block.start.get("input")
        if block.start.get("type") == "tool_use" and given and not block.fed:
            delta = {"type": "input_json_delta", "partial_json": as_text(given)}
            yield {"type": "content_block_delta", "index": block.index, "delta": delta}
        yield {"type": "content_block_stop", "index": block.index}
        self._blocks.pop(0)
        if self._blocks:
            yield from self._flushed(self._blocks[0])

    def _last(self, value: Object) -> Iterator[Object]:
        usage, delta = value.get("usage"), value.get("delta")
        self._usage(usage)
        delta = delta if isinstance(delta, dict) else {}
        if isinstance(reason := delta.get("stop_reason"), str) and reason:
            self._reader.finish = reason
        yield {**value, "delta": delta, "usage": usage if isinstance(usage, dict) else {"output_tokens": 0}}

    def _usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        told, cached = self._reader.counts, _number(usage.get("cache_read_input_tokens"))
        sent = _number(usage.get("input_tokens"))
        written = _number(usage.get("cache_creation_input_tokens"))
        if sent or cached or written:
            told.input = (sent or 0) + (cached or 0) + (written or 0)
        told.cached = cached or told.cached
        told.output = _number(usage.get("output_tokens")) or told.output

    def _whole(self, value: Object) -> Iterator[Object]:
        usage = value.get("usage")
        usage = usage if isinstance(usage, dict) else {"input_tokens": 0, "output_tokens": 0}
        message = {**value, "content": [], "stop_reason": None, "usage": usage}
        yield from self.read({"type": "message_start", "message": message})
        content = value.get("content")
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for index, block in enumerate(content if isinstance(content, list) else []):
            if not isinstance(block, dict):
                continue
            kind = block.get("type")
            in_parts = kind in ("text", "thinking")
            start = {"type": kind, kind: ""} if in_parts else block
            yield from self.read({"type": "content_block_start", "index": index, "content_block": start})
            for key in ("text", "thinking", "signature") if in_parts else ():
                if isinstance(block.get(key), str):
                    delta = {"type": f"{key}_delta", key: block[key]}
                    yield from self.read({"type": "content_block_delta", "index": index, "delta": delta})
            yield from self.read({"type": "content_block_stop", "index": index})
        reason = {"stop_reason": value.get("stop_reason"), "stop_sequence": None}
        yield from self.read({"type": "message_delta", "delta": reason, "usage": usage})
        yield from self.read({"type": "message_stop"})


# --- Gemini and Ollama ---------------------------------------------------------------------------


class _Gemini(_Protocol):
    """Parts of generated content. There is no last event: the finish reason is the end."""

    _called = False

    def read(self, value: Object) -> Iterator[Object]:
        usage = value.get("usageMetadata")
        if isinstance(usage, dict):
            thoughts = _number(usage.get("thoughtsTokenCount")) or 0
            output = (_number(usage.get("candidatesTokenCount")) or 0) + thoughts
            cached = _number(usage.get("cachedContentTokenCount"))
            self._reader.counts = TokenCounts(
                _number(usage.get("promptTokenCount")), output or None, cached
            )
        feedback = value.get("promptFeedback")
        if isinstance(feedback, dict) and (reason := feedback.get("blockReason")):
            words = feedback.get("blockReasonMessage") or f"the request was blocked ({reason})"
            self._reader.problem = StreamProblem("error", str(words), 400)
            return
        candidate = _first(value.get("candidates"))
        if candidate is not None:
            content = candidate.get("content")
            content = content if isinstance(content, dict) else {}
            if isinstance(parts := content.get("parts"), list):
                content["parts"] = [self._part(part) for part in parts if isinstance(part, dict)]
                self._called = self._called or any("functionCall" in part for part in content["parts"])
                if any(part.get("text") or part.get("functionCall") for part in content["parts"]):
                    self._reader.began = True
                    self._reader.finish = ""
            if isinstance(reason := candidate.get("finishReason"), str) and reason:
                self._reader.finish = "tool_calls" if self._called and reason == "STOP" else reason
        yield value

    @staticmethod
    def _part(part: Object) -> Object:
        call = part.get("functionCall", part.get("function_call"))
        if not isinstance(call, dict):
            return part
        arguments = call.get("args")
        if isinstance(arguments, str):
            parsed = read_json(arguments)
            arguments = parsed if isinstance(parsed, dict) else arguments or {}
        arguments = {} if arguments is None else arguments
        rest = {key: each for key, each in part.items() if key != "function_call"}
        return {**rest, "functionCall": {**call, "args": arguments}}


class _Ollama(_Protocol):
    """Lines of a chat. The last one has `done`."""

    _calls = 0

    def read(self, value: Object) -> Iterator[Object]:
        message = value.get("message")
        if isinstance(value.get("response"), str) and not isinstance(message, dict):
            message = {"content": value["response"]}
        message = {"role": "assistant", "content": "", **(message if isinstance(message, dict) else {})}
        text, thought = parts_of(message.get("content"))
        message["content"] = text
        if thought and not message.get("thinking"):
            message["thinking"] = thought
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls:
            message["tool_calls"] = [self._call(each) for each in calls if isinstance(each, dict)]
        else:
            message.pop("tool_calls", None)
        if text or message.get("thinking") or message.get("tool_calls"):
            self._reader.began = True
        done = value.get("done") is True
        base = {"model": "none", "created_at": "", **value, "done": done}
        pieces = _without_whole_tags(text)
        for piece in pieces[:-1]:
            yield self._line({**base, "done": False}, {"role": "assistant", "content": piece})
        message["content"] = pieces[-1]
        if done:
            counts = TokenCounts(_number(value.get("prompt_eval_count")), _number(value.get("eval_count")))
            self._reader.counts, self._reader.done = counts, True
            reason = str(value.get("done_reason") or "stop")
            # Calls come whole here, and the reason does not mention them.
            self._reader.finish = "tool_calls" if self._calls and reason == "stop" else reason
        yield self._line(base, message)

    @staticmethod
    def _line(base: Object, message: Object) -> Object:
        """Return a line of a chat, or of a plain completion, which has its text elsewhere."""
        if "response" in base:
            return {**base, "response": message["content"]}
        return {**base, "message": message}

    def _call(self, call: Object) -> Object:
        function = call.get("function")
        function = dict(function) if isinstance(function, dict) else {"name": call.get("name")}
        arguments = function.get("arguments", function.get("parameters"))
        if isinstance(arguments, str):
            arguments = read_json(arguments) if arguments.strip() else {}
            arguments = function["arguments"] if not isinstance(arguments, dict) else arguments
        function["arguments"] = {} if arguments is None else arguments
        self._calls += 1
        return {**call, "function": function, "index": self._calls - 1}


_TAG = re.compile(r"</?think>")


def _without_whole_tags(text: str) -> list[str]:
    """Cut a text within its thinking tags: LiteLLM drops whole ones."""
    cuts = [match.start() + 3 for match in _TAG.finditer(text)]
    ends = [0, *cuts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(ends)]
