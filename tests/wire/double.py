"""A double of model providers: one script, over the formats of OpenAI, Anthropic, Gemini and Ollama.

Written from the providers' own descriptions of their formats. Faults happen at the socket: a cut is a
reset connection, a truncation an orderly end without a reason to stop, a stall is silence.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.litellm import LiteLLMModel
from tests.connections import closing
from tests.wire.litellm_fixtures import DONE, KEY, chunk, event, typed

Fault = Literal["", "cut", "truncate", "stall"]
NAMES = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama_chat/llama3.1",
}


@dataclass(frozen=True)
class Say:
    """An answer: thought, text, calls (name and the text of the arguments), then perhaps a fault."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    thought: str = ""
    fault: Fault = ""
    length: bool = False


@dataclass(frozen=True)
class Fail:
    """An HTTP error."""

    status: int
    message: str = "it did not work"
    retry_after: str = ""


Turn = Say | Fail
_numbers = itertools.count(1)
"""Ids of calls are never used twice, as with real providers."""


@dataclass(frozen=True)
class Sent:
    """One message as a provider got it. `results` are the texts of results, in order."""

    role: str
    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    results: tuple[str, ...] = ()
    thought: bool = False


# --- what is answered -------------------------------------------------------------------------


def _openai(say: Say) -> list[bytes]:
    pieces = [chunk({"role": "assistant", "content": ""})]
    if say.thought:
        pieces.append(chunk({"reasoning_content": say.thought}))
    pieces += [chunk({"content": part}) for part in _parts(say.text)]
    for index, (name, arguments) in enumerate(say.calls):
        head = {"name": name, "arguments": ""}
        first = {"index": index, "id": f"call_{next(_numbers)}", "type": "function", "function": head}
        pieces.append(chunk({"tool_calls": [first]}))
        pieces += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
            for part in _parts(arguments)
        ]
    if say.fault:
        return pieces
    finish = "length" if say.length else "tool_calls" if say.calls else "stop"
    usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
    last = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": usage,
    }
    return [*pieces, chunk({}, finish), event(last), DONE]


def _anthropic(say: Say) -> list[bytes]:
    usage = {"input_tokens": 20, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "x"}
    pieces = [typed("message_start", message={**message, "stop_reason": None, "usage": usage})]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if say.thought:
        signed = {"type": "signature_delta", "signature": "U0lH"}
        blocks.append(
            (
                {"type": "thinking", "thinking": ""},
                [{"type": "thinking_delta", "thinking": say.thought}, signed],
            )
        )
    if say.text:
        deltas = [{"type": "text_delta", "text": part} for part in _parts(say.text)]
        blocks.append(({"type": "text", "text": ""}, deltas))
    for name, arguments in say.calls:
        start = {"type": "tool_use", "id": f"toolu_{next(_numbers)}", "name": name, "input": {}}
        blocks.append((start, [{"type": "input_json_delta", "partial_json": p} for p in _parts(arguments)]))
    for index, (start, deltas) in enumerate(blocks):
        pieces.append(typed("content_block_start", index=index, content_block=start))
        pieces += [typed("content_block_delta", index=index, delta=delta) for delta in deltas]
        if not (say.fault and index == len(blocks) - 1):
            pieces.append(typed("content_block_stop", index=index))
    if say.fault:
        return pieces
    reason = "max_tokens" if say.length else "tool_use" if say.calls else "end_turn"
    end = typed("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 7})
    return [*pieces, end, typed("message_stop")]


def _gemini(say: Say) -> list[bytes]:
    def piece(parts: list[dict[str, Any]], finish: str = "") -> bytes:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        more: dict[str, Any] = {}
        if finish:
            candidate["finishReason"] = finish
            more["usageMetadata"] = {
                "promptTokenCount": 20, "candidatesTokenCount": 7, "totalTokenCount": 27,
            }  # fmt: skip
        return event({"candidates": [candidate], **more})

    pieces = [piece([{"text": say.thought, "thought": True}])] if say.thought else []
    pieces += [piece([{"text": part}]) for part in _parts(say.text)]
    pieces += [
        piece([{"functionCall": {"name": name, "args": json.loads(arguments)}}])
        for name, arguments in say.calls
    ]
    return pieces if say.fault else [*pieces, piece([{"text": ""}], "MAX_TOKENS" if say.length else "STOP")]


def _ollama(say: Say) -> list[bytes]:
    def line(message: dict[str, Any], **more: Any) -> bytes:
        whole = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False}
        return (
            json.dumps(
                {**whole, "message": {"role": "assistant", "content": "", **message}, **more}
            ).encode()
            + b"\n"
        )

    pieces = [line({"thinking": say.thought})] if say.thought else []
    pieces += [line({"content": part}) for part in _parts(say.text)]
    for name, arguments in say.calls:
        pieces.append(
            line({"tool_calls": [{"function": {"name": name, "arguments": json.loads(arguments)}}]})
        )
    if say.fault:
        return pieces
    counts = {"prompt_eval_count": 20, "eval_count": 7, "total_duration": 1, "eval_duration": 1}
    return [*pieces, line({}, done=True, done_reason="length" if say.length else "stop", **counts)]


def _parts(text: str) -> list[str]:
    return [text[at : at + 9] for at in range(0, len(text), 9)]


def _error(name: str, fail: Fail) -> bytes:
    message = fail.message
    bodies: dict[str, dict[str, Any]] = {
        "openai": {"error": {"message": message, "type": "error", "code": None}},
        "anthropic": {"type": "error", "error": {"type": "error", "message": message}},
        "gemini": {"error": {"code": fail.status, "message": message, "status": "ERROR"}},
        "ollama": {"error": message},
    }
    return json.dumps(bodies[name]).encode()


# --- what was sent ----------------------------------------------------------------------------


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if part.get("type", "text") == "text")


def _sent_openai(body: dict[str, Any]) -> list[Sent]:
    out = []
    for message in body["messages"]:
        text = _texts(message.get("content"))
        calls = tuple(
            (call["function"]["name"], _arguments(call["function"]["arguments"]))
            for call in message.get("tool_calls") or []
        )
        results = (text,) if message["role"] == "tool" else ()
        out.append(Sent(message["role"], "" if results else text, calls, results))
    return out


def _arguments(value: Any) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    assert isinstance(found, dict)
    return found


def _sent_anthropic(body: dict[str, Any]) -> list[Sent]:
    out = [Sent("system", _texts(body.get("system")))] if body.get("system") else []
    for message in body["messages"]:
        parts = message["content"]
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        calls = tuple((part["name"], part["input"]) for part in parts if part["type"] == "tool_use")
        results = tuple(_texts(part.get("content")) for part in parts if part["type"] == "tool_result")
        thought = any(part["type"] == "thinking" for part in parts)
        out.append(Sent(message["role"], _texts(parts), calls, results, thought))
    return out


def _sent_gemini(body: dict[str, Any]) -> list[Sent]:
    system = body.get("system_instruction") or body.get("systemInstruction")
    out = [Sent("system", _texts(system["parts"]))] if system else []
    for content in body["contents"]:
        calls: list[tuple[str, dict[str, Any]]] = []
        results: list[str] = []
        for part in content["parts"]:
            made = part.get("function_call") or part.get("functionCall")
            answered = part.get("function_response") or part.get("functionResponse")
            if made:
                calls.append((made["name"], made.get("args") or {}))
            if answered:
                results.append("\n".join(map(str, answered["response"].values())))
        role = "assistant" if content["role"] == "model" else "user"
        out.append(Sent(role, _texts(content["parts"]), tuple(calls), tuple(results)))
    return out


_Reader = Callable[[dict[str, Any]], list[Sent]]
_READ: dict[str, _Reader] = {
    "openai": _sent_openai,
    "anthropic": _sent_anthropic,
    "gemini": _sent_gemini,
    "ollama": _sent_openai,
}
_SPEAK: dict[str, Callable[[Say], list[bytes]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "ollama": _ollama,
}


# --- the server -------------------------------------------------------------------------------


@dataclass
class Double:
    """A listening double. `bodies` are the requests for an answer; `left` the turns nobody asked for.

    `judge` returns the words with which a request is refused, "" for one that is taken.
    """

    format: str
    left: list[Turn]
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    judge: Callable[[dict[str, Any]], str] | None = None

    def model(self, named: str = "", *, images: bool | None = None, **settings: Any) -> LiteLLMModel:
        """Return the real model over this double, by another name that speaks the same format."""
        base = f"http://127.0.0.1:{self.port}" + ("/v1" if self.format == "openai" else "")
        spec = ModelSpec(named or NAMES[self.format], api_base=base, key=KEY, images=images)
        return LiteLLMModel(spec, environ={}, **settings)

    def sent(self, number: int = -1) -> list[Sent]:
        """Return the messages of a request."""
        return _READ[self.format](self.bodies[number])

    def tools(self, number: int = -1) -> list[str]:
        """Return the names of the tools of a request."""
        found: list[str] = []
        for tool in self.bodies[number].get("tools") or []:
            declared = tool.get("function_declarations") or [tool.get("function", tool)]
            found += [each["name"] for each in declared]
        return found

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line for line in head.splitlines() if line.lower().startswith("content-length")]
        body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b"{}"
        asked = head.splitlines()[0]
        if asked.startswith("GET ") or "/api/show" in asked:  # about the model, not of it
            await self._plain(writer, 404, b"{}")
            return
        self.heads.append(head)
        self.bodies.append(json.loads(body))
        words = self.judge(self.bodies[-1]) if self.judge is not None else ""
        turn = Fail(400, words) if words else self.left.pop(0)
        if isinstance(turn, Fail):
            more = f"retry-after: {turn.retry_after}\r\n" if turn.retry_after else ""
            await self._plain(writer, turn.status, _error(self.format, turn), more)
        else:
            await self._stream(reader, writer, turn)

    async def _plain(self, writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}"
        writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, say: Say) -> None:
        kind = "application/x-ndjson" if self.format == "ollama" else "text/event-stream"
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
            "connection: close\r\n\r\n".encode()
        )
        for piece in _SPEAK[self.format](say):
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if say.fault == "stall":
            await reader.read()
            self.gone.set()
        elif say.fault == "cut":
            writer.transport.abort()
            return
        writer.write(b"0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def double(
    name: str, turns: Sequence[Turn], judge: Callable[[dict[str, Any]], str] | None = None
) -> AsyncIterator[Double]:
    """Serve a script in one format. At the end every turn must have been asked for."""
    serving = Double(name, list(turns), judge=judge)
    listening = await asyncio.start_server(closing(serving.handle), "127.0.0.1", 0)
    serving.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield serving
    assert serving.left == []
