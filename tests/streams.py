"""Answers as servers stream them, on the four protocols that are spoken here, and what each of them means.

Written after the providers' documents (chat completions of OpenAI, messages of Anthropic,
`streamGenerateContent` of Gemini, `/api/chat` of Ollama) and after public reports of servers that copy
them their own way. Nothing here knows LiteLLM or our reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from omni_tui.models.base import ToolSpec

Wire = Literal["openai", "anthropic", "gemini", "ollama"]
Object = dict[str, Any]

TOOLS = (
    ToolSpec(
        "demo__add",
        "Add two numbers",
        {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    ),
    ToolSpec(
        "demo__echo",
        "Echo a message",
        {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
    ),
    ToolSpec("demo__now", "The time", {"type": "object", "properties": {}}),
    ToolSpec(
        "demo__clean",
        "Clean a folder, all of them if none is named",
        {"type": "object", "properties": {"folder": {"type": "string"}}},
    ),
)


@dataclass(frozen=True)
class Stream:
    """One recorded answer, as events of its protocol or as bytes, and what it means.

    `ends`: "whole", "unfinished" (it says itself that it was cut short in a call), or "error".
    `early`: it names its reason to stop before its end, so that a text cut off there looks whole.
    """

    name: str
    wire: Wire
    events: tuple[Object | str, ...] = ()
    body: bytes = b""
    text: str = ""
    thought: str = ""
    calls: tuple[tuple[str, Object], ...] = ()
    ends: Literal["whole", "unfinished", "error"] = "whole"
    early: bool = False
    content_type: str = ""

    def bytes(self, line_end: str = "\n") -> bytes:
        """Return what the server sends."""
        return self.body or encoded(self.wire, self.events, line_end)

    @property
    def kind(self) -> str:
        """Return the content type that the server names."""
        if self.content_type:
            return self.content_type
        return "application/x-ndjson" if self.wire == "ollama" else "text/event-stream"


def encoded(wire: Wire, events: tuple[Object | str, ...], line_end: str = "\n") -> bytes:
    """Write events as their protocol does; a text is written as it is."""
    out = []
    for event in events:
        if isinstance(event, str):
            out.append(event)
        elif wire == "ollama":
            out.append(json.dumps(event, ensure_ascii=False) + "\n")
        elif wire == "anthropic":
            out.append(f"event: {event.get('type')}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n")
        else:
            out.append(f"data: {json.dumps(event, ensure_ascii=False)}\n\n")
    return "".join(out).replace("\n", line_end).encode()


# --- OpenAI's chat ------------------------------------------------------------------------------

DONE = "data: [DONE]\n\n"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ADD = ("demo__add", {"a": 1, "b": 2})
ECHO = ("demo__echo", {"message": "hi"})
NOW: tuple[str, Object] = ("demo__now", {})


def chunk(delta: Object | None = None, finish: str | None = None, **more: Any) -> Object:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    whole = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    return {**whole, "choices": [choice], **more}


def piece(arguments: Any = None, *, name: str | None = None, **more: Any) -> Object:
    """Return a fragment of a call: its function, and what else is given."""
    function = {} if name is None else {"name": name}
    if arguments is not None:
        function["arguments"] = arguments
    return {**more, "function": function}


def fragments(*pieces: Object) -> Object:
    """Return a chunk with fragments of calls."""
    return chunk({"tool_calls": list(pieces)})


def ended(finish: str | None = "stop") -> tuple[Object | str, ...]:
    """Return the orderly end of a stream: a reason, the usage, and the mark."""
    return (chunk({}, finish), {**chunk(), "choices": [], "usage": USAGE}, DONE)


def _calls(name: str, *pieces: Object, calls: tuple[tuple[str, Object], ...], **more: Any) -> Stream:
    return Stream(name, "openai", (*pieces, *ended("tool_calls")), calls=calls, **more)


def _whole(message: Object, finish: str, indent: int | None = None) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]}
    return json.dumps({**body, "usage": USAGE}, indent=indent).encode()


_TWO = '{"a": 1, "b": 2}'
_SPLIT = ('{"a": 1,', ' "b": 2}')

OPENAI = (
    Stream(
        "text",
        "openai",
        (
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo."}),
            *ended(),
        ),
        text="Hello.",
    ),
    Stream(
        "letters of many bytes",
        "openai",
        (chunk({"content": "héllo \U0001f600 "}), chunk({"content": "می\u200cخواهم"}), *ended()),
        text="héllo \U0001f600 می\u200cخواهم",
    ),
    Stream(
        "separators within strings",
        "openai",
        (chunk({"content": "a\u2028b\u2029c\x85d\r\ne"}), *ended()),
        text="a\u2028b\u2029c\x85d\r\ne",
    ),
    _calls(
        "one call in pieces",
        fragments(piece("", name="demo__add", index=0, id="a", type="function")),
        *(fragments(piece(each, index=0)) for each in _SPLIT),
        calls=(ADD,),
    ),
    _calls(
        "two calls side by side",
        fragments(piece("", name="demo__add", index=0, id="a", type="function")),
        fragments(piece("", name="demo__echo", index=1, id="b", type="function")),
        fragments(piece(_SPLIT[0], index=0)),
        fragments(piece('{"message": "h', index=1), piece(_SPLIT[1], index=0)),
        fragments(piece('i"}', index=1)),
        calls=(ADD, ECHO),
    ),
    _calls(
        "a continuation without an index",
        fragments(piece("", name="demo__add", index=0, id="a", type="function")),
        *(fragments(piece(each)) for each in _SPLIT),
        calls=(ADD,),
    ),
    _calls(
        "continuations without an index follow their openings",
        fragments(piece("", name="demo__add", index=0, id="a", type="function")),
        fragments(piece(_TWO)),
        fragments(piece("", name="demo__echo", index=1, id="b", type="function")),
        fragments(piece('{"message": "hi"}')),
        calls=(ADD, ECHO),
    ),
    _calls(
        "a continuation belongs to the call opened last",
        fragments(piece("", name="demo__now", index=0, id="a", type="function")),
        fragments(piece("", name="demo__clean", index=1, id="b", type="function")),
        fragments(piece('{"folder": "tmp"}')),
        calls=(NOW, ("demo__clean", {"folder": "tmp"})),
    ),
    _calls(
        "a continuation names its call by id",
        fragments(piece("", name="demo__clean", id="a", type="function")),
        fragments(piece("", name="demo__now", id="b", type="function")),
        fragments(piece('{"folder": "tmp"}', id="a")),
        calls=(("demo__clean", {"folder": "tmp"}), NOW),
    ),
    _calls(
        "no index anywhere",
        fragments(piece("", name="demo__add", id="a", type="function")),
        fragments(piece(_TWO)),
        fragments(piece("", name="demo__echo", id="b", type="function")),
        fragments(piece('{"message": "hi"}')),
        calls=(ADD, ECHO),
    ),
    _calls(
        "two whole calls of one tool without an index in one chunk",
        fragments(
            piece(_TWO, name="demo__add", id="a", type="function"),
            piece('{"a": 3, "b": 4}', name="demo__add", id="b", type="function"),
        ),
        calls=(ADD, ("demo__add", {"a": 3, "b": 4})),
    ),
    _calls(
        "every call numbered 0",
        fragments(piece(_TWO, name="demo__add", index=0, id="a", type="function")),
        fragments(piece('{"message": "hi"}', name="demo__echo", index=0, id="b", type="function")),
        calls=(ADD, ECHO),
    ),
    _calls(
        "every call numbered 0 and without an id",
        fragments(piece("{}", name="demo__now", index=0)),
        fragments(piece(_TWO, name="demo__add", index=0)),
        calls=(NOW, ADD),
    ),
    _calls(
        "a new id on every fragment",
        fragments(piece("", name="demo__add", index=0, id="t0", type="function")),
        *(fragments(piece(each, index=0, id=f"t{n}")) for n, each in enumerate(_SPLIT, 1)),
        calls=(ADD,),
    ),
    _calls(
        "id and name on every fragment",
        *(fragments(piece(each, name="demo__add", index=0, id="a")) for each in ("", *_SPLIT, "")),
        calls=(ADD,),
    ),
    _calls(
        "the name on every fragment and no id",
        *(fragments(piece(each, name="demo__add", index=0)) for each in (*_SPLIT, "")),
        calls=(ADD,),
    ),
    _calls(
        "the name in pieces",
        fragments(piece("", name="demo__", index=0, id="a", type="function")),
        fragments(piece("", name="ad", index=0, id="a")),
        fragments(piece(_TWO, name="d", index=0)),
        calls=(ADD,),
    ),
    _calls(
        "the name in pieces that grow",
        fragments(piece("", name="demo", index=0, id="a", type="function")),
        fragments(piece("", name="demo__ad", index=0, id="a")),
        fragments(piece(_TWO, name="demo__add", index=0)),
        calls=(ADD,),
    ),
    _calls(
        "the name after the id",
        fragments(piece("", name="", index=0, id="a", type="function")),
        fragments(piece(_TWO, name="demo__add", index=0)),
        calls=(ADD,),
    ),
    _calls(
        "an opening and its continuation in one chunk",
        fragments(piece("", name="demo__add", index=0, id="a", type="function"), piece(_SPLIT[0], index=0)),
        fragments(piece(_SPLIT[1], index=0)),
        calls=(ADD,),
    ),
    _calls(
        "an index that is text and a function that is null first",
        {**fragments({"index": "0", "id": "a", "type": "function", "function": None})},
        fragments(piece(_TWO, name="demo__add", index="0")),
        calls=(ADD,),
    ),
    Stream(
        "null for no arguments, and stop",
        "openai",
        (fragments(piece("null", name="demo__now", index=0, id="a")), *ended()),
        calls=(NOW,),
    ),
    _calls(
        "braces before the arguments",
        fragments(piece("{}", name="demo__add", index=0, id="a")),
        fragments(piece(_TWO, index=0)),
        calls=(ADD,),
    ),
    _calls(
        "braces before the arguments, and the name on both",
        fragments(piece("{}", name="demo__clean", index=0)),
        fragments(piece('{"folder": "tmp"}', name="demo__clean", index=0)),
        calls=(("demo__clean", {"folder": "tmp"}),),
    ),
    _calls(
        "arguments encoded twice",
        fragments(piece(json.dumps(_TWO), name="demo__add", index=0, id="a")),
        calls=(ADD,),
    ),
    _calls(
        "arguments that are an object",
        fragments(piece({"a": 1, "b": 2}, name="demo__add", index=0, id="a")),
        calls=(ADD,),
    ),
    _calls(
        "all arguments once more at the end",
        fragments(piece("", name="demo__add", index=0, id="a")),
        *(fragments(piece(each, index=0)) for each in (*_SPLIT, _TWO)),
        calls=(ADD,),
    ),
    _calls(
        "the function call of old",
        chunk({"function_call": {"name": "demo__add", "arguments": _SPLIT[0]}}),
        chunk({"function_call": {"arguments": _SPLIT[1]}}),
        calls=(ADD,),
    ),
    Stream(
        "a refusal",
        "openai",
        (
            chunk({"role": "assistant", "content": None, "refusal": ""}),
            chunk({"refusal": "I cannot "}),
            chunk({"refusal": "help."}),
            *ended(),
        ),
        text="I cannot help.",
    ),
    Stream(
        "content as a list of parts",
        "openai",
        (
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "plan"}]}]}),
            chunk({"content": [{"type": "text", "text": "Answer "}, {"type": "text", "text": "3"}]}),
            *ended(),
        ),
        text="Answer 3",
        thought="plan",
    ),
    Stream(
        "thinking in tags, then a call",
        "openai",
        (
            chunk({"content": "<th"}),
            chunk({"content": "ink>\nplan</thi"}),
            chunk({"content": "nk>\n\n"}),
            fragments(piece(_TWO, name="demo__add", index=0, id="a")),
            *ended("tool_calls"),
        ),
        thought="\nplan",
        calls=(ADD,),
    ),
    Stream(
        "thinking with a closing tag only",
        "openai",
        (chunk({"content": "I plan.\n</th"}), chunk({"content": "ink>\n\nAnswer 3."}), *ended()),
        text="Answer 3.",
        thought="I plan.",
    ),
    Stream(
        "tags in code",
        "openai",
        (chunk({"content": "Close it with `</think>`:\n```\n<think>\n</think>\n```"}), *ended()),
        text="Close it with `</think>`:\n```\n<think>\n</think>\n```",
    ),
    Stream(
        "reasoning beside the content",
        "openai",
        (
            chunk({"reasoning_content": "let me "}),
            chunk({"reasoning": "see"}),
            chunk({"content": "ok"}),
            *ended(),
        ),
        text="ok",
        thought="let me see",
    ),
    Stream(
        "comments and other events in between",
        "openai",
        (
            ": OPENROUTER PROCESSING\n\n",
            "retry: 3000\nid: 7\n\n",
            chunk({"content": "hel"}),
            ": keep-alive\n\nevent: ping\ndata: {}\n\ndata:\n\n",
            chunk({"content": "lo"}),
            *ended(),
        ),
        text="hello",
    ),
    Stream("no mark at the end", "openai", (chunk({"content": "hello"}), chunk({}, "stop")), text="hello"),
    Stream("a mark and no reason", "openai", (chunk({"content": "hello"}), DONE), text="hello"),
    Stream(
        "a call, a mark and no reason",
        "openai",
        (fragments(piece(_TWO, name="demo__add", index=0, id="a")), DONE),
        calls=(ADD,),
    ),
    Stream(
        "a reason on every chunk",
        "openai",
        (
            chunk({"tool_calls": [piece("{}", name="demo__now", index=0, id="a")]}, "stop"),
            chunk({"tool_calls": [piece(_TWO, name="demo__add", index=1, id="b")]}, "stop"),
            DONE,
        ),
        calls=(NOW, ADD),
    ),
    Stream(
        "a reason on every chunk of a text",
        "openai",
        (chunk({"content": "hel"}, "stop"), chunk({"content": "lo"}, "stop"), DONE),
        text="hello",
        early=True,
    ),
    Stream(
        "null where objects are",
        "openai",
        (
            {**chunk(), "choices": [{"index": 0, "delta": None, "finish_reason": None}]},
            {**chunk(), "choices": None, "usage": None},
            chunk({"content": "hello", "tool_calls": None, "function_call": None}),
            chunk({}, "stop"),
        ),
        text="hello",
    ),
    Stream(
        "data lines without empty lines between them",
        "openai",
        (
            *tuple(
                f"data: {json.dumps(each)}\n"
                for each in (chunk({"content": "hel"}), chunk({"content": "lo"}))
            ),
            f"data: {json.dumps(chunk({}, 'stop'))}\n",
            "data: [DONE]\n",
        ),
        text="hello",
    ),
    Stream(
        "lines of JSON without the frame of events",
        "openai",
        tuple(
            json.dumps(each) + "\n"
            for each in (chunk({"content": "hel"}), chunk({"content": "lo"}), chunk({}, "stop"))
        ),
        text="hello",
        content_type="application/json",
    ),
    Stream(
        "an answer that is not streamed",
        "openai",
        body=_whole({"content": "whole answer"}, "stop"),
        text="whole answer",
        content_type="application/json",
    ),
    Stream(
        "calls that are not streamed, over many lines",
        "openai",
        body=_whole(
            {
                "content": None,
                "tool_calls": [
                    piece(_TWO, name="demo__add", id="a", type="function"),
                    piece('{"message": "hi"}', name="demo__echo", id="b", type="function"),
                ],
            },
            "tool_calls",
            indent=2,
        ),
        calls=(ADD, ECHO),
        content_type="application/json",
    ),
    Stream(
        "the limit within a call",
        "openai",
        (fragments(piece('{"message": "hel', name="demo__echo", index=0, id="a")), *ended("length")),
        ends="unfinished",
    ),
    Stream(
        "the limit right behind a call",
        "openai",
        (fragments(piece('{"message": "hel"}', name="demo__echo", index=0, id="a")), *ended("length")),
        ends="unfinished",
    ),
    Stream(
        "the filter within a call",
        "openai",
        (fragments(piece(_TWO, name="demo__add", index=0, id="a")), *ended("content_filter")),
        ends="unfinished",
    ),
    Stream(
        "an error with a good status",
        "openai",
        body=b'{"error": {"message": "no", "code": 500}}',
        ends="error",
        content_type="application/json",
    ),
    Stream(
        "an error after text",
        "openai",
        (chunk({"content": "Part"}), {"error": {"message": "overloaded", "code": 502}}, DONE),
        ends="error",
    ),
    Stream(
        "an error in a choice after a call",
        "openai",
        (fragments(piece(_TWO, name="demo__add", index=0, id="a")), chunk({}, "error")),
        ends="error",
    ),
    Stream(
        "a page",
        "openai",
        body=b"<!doctype html>\n<html><title>Log in</title></html>",
        ends="error",
        content_type="text/html",
    ),
    Stream("words", "openai", body=b"upstream connect error", ends="error", content_type="text/plain"),
    Stream("nothing", "openai", body=b"\n", ends="error"),
)


# --- Anthropic ----------------------------------------------------------------------------------


def begun(**usage: int) -> Object:
    """Return the first event of a message."""
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "x"}
    counts = {"input_tokens": 25, "output_tokens": 1, **usage}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "usage": counts}}


def opens(index: int, **block: Any) -> Object:
    """Return the opening of a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def more(index: int, kind: str, **delta: Any) -> Object:
    """Return more of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **delta}}


def stops(index: int) -> Object:
    """Return the end of a block."""
    return {"type": "content_block_stop", "index": index}


def over(reason: str) -> tuple[Object, Object]:
    """Return the end of a message."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return (
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    )


def used(index: int, name: str, ident: str, **more_of: Any) -> Object:
    """Return the opening of a call."""
    return opens(index, **{"type": "tool_use", "id": ident, "name": name, "input": {}, **more_of})


_THINKS = (
    opens(0, type="thinking", thinking="", signature=""),
    more(0, "thinking", thinking="Hm, "),
    more(0, "thinking", thinking="so."),
    more(0, "signature", signature="U0lH"),
    stops(0),
)
_SAYS = (opens(1, type="text", text=""), more(1, "text", text="I "), more(1, "text", text="add."), stops(1))

ANTHROPIC = (
    Stream(
        "text",
        "anthropic",
        (
            begun(),
            {"type": "ping"},
            opens(0, type="text", text=""),
            more(0, "text", text="Hel"),
            more(0, "text", text="lo."),
            stops(0),
            *over("end_turn"),
        ),
        text="Hello.",
    ),
    Stream(
        "thinking, text and a call",
        "anthropic",
        (
            begun(),
            *_THINKS,
            *_SAYS,
            used(2, "demo__add", "toolu_1"),
            more(2, "input_json", partial_json=""),
            *tuple(more(2, "input_json", partial_json=each) for each in _SPLIT),
            stops(2),
            *over("tool_use"),
        ),
        text="I add.",
        thought="Hm, so.",
        calls=(ADD,),
    ),
    Stream(
        "two calls one behind the other",
        "anthropic",
        (
            begun(),
            used(0, "demo__add", "toolu_1"),
            more(0, "input_json", partial_json=_TWO),
            stops(0),
            used(1, "demo__echo", "toolu_2"),
            more(1, "input_json", partial_json='{"message": "hi"}'),
            stops(1),
            *over("tool_use"),
        ),
        calls=(ADD, ECHO),
    ),
    Stream(
        "two calls side by side",
        "anthropic",
        (
            begun(),
            used(0, "demo__echo", "toolu_1"),
            used(1, "demo__add", "toolu_2"),
            more(1, "input_json", partial_json=_SPLIT[0]),
            more(0, "input_json", partial_json='{"message": "hi"}'),
            more(1, "input_json", partial_json=_SPLIT[1]),
            stops(1),
            stops(0),
            *over("tool_use"),
        ),
        calls=(ECHO, ADD),
    ),
    Stream(
        "a call without arguments",
        "anthropic",
        (
            begun(),
            used(0, "demo__now", "toolu_1"),
            more(0, "input_json", partial_json=""),
            stops(0),
            *over("tool_use"),
        ),
        calls=(NOW,),
    ),
    Stream(
        "a call whose arguments come with its opening",
        "anthropic",
        (begun(), used(0, "demo__add", "toolu_1", input={"a": 1, "b": 2}), stops(0), *over("tool_use")),
        calls=(ADD,),
    ),
    Stream(
        "blocks that are not closed",
        "anthropic",
        (
            begun(),
            opens(0, type="text", text=""),
            more(0, "text", text="I add."),
            used(1, "demo__add", "toolu_1"),
            more(1, "input_json", partial_json=_TWO),
            *over("tool_use"),
        ),
        text="I add.",
        calls=(ADD,),
    ),
    Stream(
        "blocks without an index",
        "anthropic",
        tuple(
            {key: value for key, value in event.items() if key != "index"}
            for event in (
                begun(),
                used(0, "demo__add", "toolu_1"),
                more(0, "input_json", partial_json=_TWO),
                stops(0),
                used(1, "demo__echo", "toolu_2"),
                more(1, "input_json", partial_json='{"message": "hi"}'),
                stops(1),
                *over("tool_use"),
            )
        ),
        calls=(ADD, ECHO),
    ),
    Stream(
        "text without an opening",
        "anthropic",
        (begun(), more(0, "text", text="Hello."), *over("end_turn")),
        text="Hello.",
    ),
    Stream(
        "an answer that is not streamed",
        "anthropic",
        body=json.dumps(
            {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "x",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "U0lH"},
                    {"type": "text", "text": "I add."},
                    {"type": "tool_use", "id": "toolu_1", "name": "demo__add", "input": {"a": 1, "b": 2}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 25, "output_tokens": 15},
            }
        ).encode(),
        text="I add.",
        thought="Hm",
        calls=(ADD,),
        content_type="application/json",
    ),
    Stream(
        "the limit within a call",
        "anthropic",
        (
            begun(),
            used(0, "demo__echo", "toolu_1"),
            more(0, "input_json", partial_json='{"message": "hel'),
            stops(0),
            *over("max_tokens"),
        ),
        ends="unfinished",
    ),
    Stream(
        "a full window within a call",
        "anthropic",
        (begun(), used(0, "demo__now", "toolu_1"), stops(0), *over("model_context_window_exceeded")),
        ends="unfinished",
    ),
    Stream(
        "a refusal within a call",
        "anthropic",
        (begun(), used(0, "demo__now", "toolu_1"), stops(0), *over("refusal")),
        ends="unfinished",
    ),
    Stream(
        "an error first",
        "anthropic",
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},),
        ends="error",
    ),
    Stream(
        "an error after a call",
        "anthropic",
        (
            begun(),
            used(0, "demo__now", "toolu_1"),
            stops(0),
            {"type": "error", "error": {"type": "api_error", "message": "Internal"}},
        ),
        ends="error",
    ),
)


# --- Gemini -------------------------------------------------------------------------------------


def part(*parts: Object, finish: str = "") -> Object:
    """Return a piece of generated content."""
    candidate: Object = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 4, "totalTokenCount": 9}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "x"}


def made(name: str, arguments: Any, **more_of: Any) -> Object:
    """Return a call."""
    return {"functionCall": {"name": name, "args": arguments}, **more_of}


_SIGNED = made("demo__add", {"a": 1, "b": 2}, thoughtSignature="R0VNU0lH")

GEMINI = (
    Stream(
        "text",
        "gemini",
        (part({"text": "Hel"}), part({"text": "lo."}), part({"text": ""}, finish="STOP")),
        text="Hello.",
    ),
    Stream(
        "thinking and a signed call",
        "gemini",
        (part({"text": "Hm", "thought": True}), part(_SIGNED), part({"text": ""}, finish="STOP")),
        thought="Hm",
        calls=(ADD,),
    ),
    Stream(
        "two calls in one piece",
        "gemini",
        (part(_SIGNED, made("demo__echo", {"message": "hi"}), finish="STOP"),),
        calls=(ADD, ECHO),
    ),
    Stream(
        "two calls in two pieces",
        "gemini",
        (part(_SIGNED), part(made("demo__echo", {"message": "hi"})), part({"text": ""}, finish="STOP")),
        calls=(ADD, ECHO),
    ),
    Stream(
        "arguments that are text, and none",
        "gemini",
        (part(made("demo__add", _TWO)), part({"functionCall": {"name": "demo__now"}}, finish="STOP")),
        calls=(ADD, NOW),
    ),
    Stream(
        "an array in place of events",
        "gemini",
        body=json.dumps([part({"text": "Hel"}), part({"text": "lo."}, finish="STOP")], indent=1).encode(),
        text="Hello.",
        content_type="application/json",
    ),
    Stream(
        "the limit behind a call",
        "gemini",
        (part(_SIGNED, finish="MAX_TOKENS"),),
        ends="unfinished",
    ),
    Stream("the filter behind a call", "gemini", (part(_SIGNED, finish="SAFETY"),), ends="unfinished"),
    Stream(
        "a call that it could not write",
        "gemini",
        ({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}]},),
        ends="error",
    ),
    Stream(
        "a request that was blocked",
        "gemini",
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},),
        ends="error",
    ),
    Stream(
        "an error in an array",
        "gemini",
        body=json.dumps([{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}]).encode(),
        ends="error",
        content_type="application/json",
    ),
)


# --- Ollama -------------------------------------------------------------------------------------


def line(done: str = "", **message: Any) -> Object:
    """Return a line of a chat, the last one with a reason."""
    whole: Object = {"model": "x", "created_at": "2026-01-01T00:00:00Z", "done": False}
    whole["message"] = {"role": "assistant", "content": "", **message}
    if done:
        whole |= {"done": True, "done_reason": done, "prompt_eval_count": 12, "eval_count": 4}
    return whole


def calling(name: str, arguments: Any) -> Object:
    """Return a call."""
    return {"function": {"name": name, "arguments": arguments}}


OLLAMA = (
    Stream("text", "ollama", (line(content="Hel"), line(content="lo."), line("stop")), text="Hello."),
    Stream(
        "thinking",
        "ollama",
        (line(thinking="pl"), line(thinking="an"), line(content="Answer"), line("stop")),
        text="Answer",
        thought="plan",
    ),
    Stream(
        "thinking in tags",
        "ollama",
        (
            line(content="<think>"),
            line(content="plan"),
            line(content="</think>Ans"),
            line(content="wer"),
            line("stop"),
        ),
        text="Answer",
        thought="plan",
    ),
    Stream(
        "thinking with a closing tag only",
        "ollama",
        (line(content="plan"), line(content="</think>"), line(content="Answer"), line("stop")),
        text="Answer",
        thought="plan",
    ),
    Stream(
        "two calls in two lines",
        "ollama",
        (
            line(tool_calls=[calling("demo__add", {"a": 1, "b": 2})]),
            line(tool_calls=[calling("demo__echo", {"message": "hi"})]),
            line("stop"),
        ),
        calls=(ADD, ECHO),
    ),
    Stream(
        "two calls without arguments in one line",
        "ollama",
        (line(tool_calls=[calling("demo__now", {}), calling("demo__clean", {})]), line("stop")),
        calls=(NOW, ("demo__clean", {})),
    ),
    Stream(
        "arguments that are text, and null",
        "ollama",
        (line(tool_calls=[calling("demo__add", _TWO), calling("demo__now", None)]), line("stop")),
        calls=(ADD, NOW),
    ),
    Stream(
        "an answer that is not streamed",
        "ollama",
        body=json.dumps(line("stop", content="Hello."), indent=1).encode(),
        text="Hello.",
        content_type="application/json",
    ),
    Stream(
        "the limit behind a call",
        "ollama",
        (line(tool_calls=[calling("demo__now", {})]), line("length")),
        ends="unfinished",
    ),
    Stream("an error", "ollama", ({"error": "model requires more system memory"},), ends="error"),
    Stream(
        "an error after a call",
        "ollama",
        (line(tool_calls=[calling("demo__now", {})]), {"error": "an error was encountered"}),
        ends="error",
    ),
)

STREAMS = (*OPENAI, *ANTHROPIC, *GEMINI, *OLLAMA)


# --- other ways of sending the same -------------------------------------------------------------


def halves(stream: Stream) -> Iterator[Stream]:
    """Yield a stream with one of its texts in two events instead of one, for every place in every text."""
    for at, event in enumerate(stream.events):
        if isinstance(event, str):
            continue
        for first, second in _halved(stream.wire, event):
            events = (*stream.events[:at], first, second, *stream.events[at + 1 :])
            yield Stream(**{**_fields(stream), "events": events})


def _fields(stream: Stream) -> dict[str, Any]:
    return {name: getattr(stream, name) for name in stream.__dataclass_fields__}


def _halved(wire: Wire, event: Object) -> Iterator[tuple[Object, Object]]:
    path = _text_in(wire, event)
    if path is None:
        return
    text = _get(event, path)
    for cut in range(1, len(text)):
        first, second = json.loads(json.dumps(event)), json.loads(json.dumps(event))
        _set(first, path, text[:cut])
        _set(second, path, text[cut:])
        if wire == "openai":
            first["choices"][0]["finish_reason"] = None
            for call in second["choices"][0]["delta"].get("tool_calls") or []:
                for key in ("id", "type") if "index" in call else ("type",):
                    call.pop(key, None)
                call["function"].pop("name", None)
        yield first, second


Path = tuple[str | int, ...]


def _text_in(wire: Wire, event: Object) -> Path | None:
    """Return where the text of an event stands that may be cut."""
    paths: dict[Wire, list[Path]] = {
        "openai": [
            ("choices", 0, "delta", "content"),
            ("choices", 0, "delta", "refusal"),
            ("choices", 0, "delta", "reasoning_content"),
            ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
        ],
        "anthropic": [("delta", "text"), ("delta", "thinking"), ("delta", "partial_json")],
        "gemini": [("candidates", 0, "content", "parts", 0, "text")],
        "ollama": [("message", "content"), ("message", "thinking")],
    }
    if wire == "openai" and len(_get(event, ("choices", 0, "delta", "tool_calls")) or []) > 1:
        return None
    if wire == "gemini" and _get(event, ("candidates", 0, "finishReason")):
        return None
    for path in paths[wire]:
        value = _get(event, path)
        if isinstance(value, str) and len(value) > 1:
            return path
    return None


def _get(value: Any, path: Path) -> Any:
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _set(value: Any, path: Path, text: str) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = text
