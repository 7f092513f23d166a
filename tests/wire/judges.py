"""Providers at their strictest: what each refuses of a conversation, in the words of its own refusals.

Written from the providers' documents and from refusals that were reported in public.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Judge = Callable[[dict[str, Any]], str]
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def openai(body: dict[str, Any]) -> str:
    """OpenAI itself: any order of roles, but each call has its result right behind it."""
    return next(_openai(body["messages"]), "")


def _openai(messages: list[dict[str, Any]]) -> Iterator[str]:
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                yield "messages with role 'tool' must be a response to a preceding message"
            else:
                open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            yield f"An assistant message with 'tool_calls' must be followed by tool messages: {open_calls}"
        calls = message.get("tool_calls") or []
        open_calls = [call["id"] for call in calls]
        if message["role"] == "assistant" and not calls and not message.get("content"):
            yield f"Invalid value for 'content': expected a string, got null (messages[{at}])"
        for call in calls:
            if not _NAME.fullmatch(call["function"]["name"]):
                yield f"Invalid 'messages[{at}].tool_calls[0].function.name': string does not match pattern"
        if "reasoning_content" in message or "thinking_blocks" in message:
            yield f"messages[{at}]: property 'reasoning_content' is unsupported"
    if open_calls:
        yield f"An assistant message with 'tool_calls' must be followed by tool messages: {open_calls}"


FOLLOWS = {
    "": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"tool", "assistant"},
}


def template(body: dict[str, Any]) -> str:
    """A chat template of a local server: the roles take turns, and the first is the person's."""
    messages = body["messages"]
    return openai({"messages": [_without_reasoning(each) for each in messages]}) or _order(messages)


def _order(messages: list[dict[str, Any]]) -> str:
    before = ""
    for message in messages:
        if message["role"] not in FOLLOWS[before]:
            return (
                "After the optional system message, conversation roles must alternate "
                f"user/assistant/user/assistant: {message['role']} after {before}"
            )
        before = message["role"]
    return "" if before in ("user", "tool") else "The last message must be from user or tool"


def ollama(body: dict[str, Any]) -> str:
    """Ollama with such a template: calls have no ids, so their results must be as many."""
    left = 0
    for message in body["messages"]:
        if message["role"] == "tool":
            left -= 1
            continue
        if left:
            return "unexpected role: results and calls are not as many"
        calls = message.get("tool_calls") or []
        left = len(calls)
        if any(not isinstance(call["function"]["arguments"], dict) for call in calls):
            return "json: cannot unmarshal string into Go struct field"
    return "unexpected role: results are missing" if left else _order(body["messages"])


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "reasoning_content"}


def mistral(body: dict[str, Any]) -> str:
    """Mistral: as a template, and with ids of its own kind."""
    for message in body["messages"]:
        for ident in [call["id"] for call in message.get("tool_calls") or []]:
            if not re.fullmatch(r"[a-zA-Z0-9]{9}", ident):
                return f"Tool call id was {ident} but must be a-z, A-Z, 0-9, with a length of 9."
    return template(body)


def gemma(body: dict[str, Any]) -> str:
    """A template that has no place for a system prompt."""
    if body["messages"][0]["role"] == "system":
        return "System role not supported"
    return template({"messages": body["messages"]})


def deepseek(body: dict[str, Any]) -> str:
    """A provider that thinks, and wants its reasoning back behind every call."""
    for message in body["messages"]:
        if message.get("tool_calls") and not message.get("reasoning_content"):
            return "The `reasoning_content` in the thinking mode must be passed back to the API."
    return openai({"messages": [_without_reasoning(message) for message in body["messages"]]})


def anthropic(body: dict[str, Any]) -> str:
    """Anthropic: turns, results first and complete, no empty text, ids that are used once."""
    return next(_anthropic(body["messages"]), "")


def _anthropic(messages: list[dict[str, Any]]) -> Iterator[str]:
    expected: list[str] = []
    used: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[at % 2]:
            yield f'messages.{at}: roles must alternate between "user" and "assistant"'
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        if sorted(results) != sorted(expected):
            yield f"messages.{at}: `tool_use` ids were found without `tool_result` blocks: {expected}"
        if results and any(part["type"] != "tool_result" for part in parts[: len(results)]):
            yield f"messages.{at}: `tool_result` blocks must come first"
        expected = [part["id"] for part in parts if part["type"] == "tool_use"]
        for ident in expected:
            if ident in used or not re.fullmatch(r"[a-zA-Z0-9_-]+", ident):
                yield f"messages.{at}: `tool_use` ids must be unique and match a pattern: {ident}"
            used.add(ident)
        yield from (f"messages.{at}: {wrong}" for part in parts if (wrong := _part(part)))
    if messages[-1]["role"] != "user":
        yield "This model does not support assistant message prefill."
    if expected:
        yield f"`tool_use` ids were found without `tool_result` blocks: {expected}"


def _part(part: dict[str, Any]) -> str:
    """Return what is wrong with one block of Anthropic's content."""
    if part["type"] == "text" and not part["text"].strip():
        return "text content blocks must contain non-whitespace text"
    if part["type"] == "thinking" and part["signature"] != "U0lH":
        return "Invalid `signature` in `thinking` block"
    if part["type"] == "tool_use" and not _NAME.fullmatch(part["name"]):
        return "tool_use.name: String should match pattern"
    return ""


def gemini(body: dict[str, Any]) -> str:
    """Gemini: as many results as calls, right behind them, and no foreign signature."""
    return next(_gemini(body["contents"]), "")


def _gemini(contents: list[dict[str, Any]]) -> Iterator[str]:
    before = 0
    if contents[0]["role"] != "user":
        yield "Please ensure that function call turn comes immediately after a user turn"
    for content in contents:
        parts = content["parts"]
        calls = [part for part in parts if "functionCall" in part or "function_call" in part]
        results = [part for part in parts if "functionResponse" in part or "function_response" in part]
        if len(results) != before:
            yield (
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn."
            )
        if not parts:
            yield "Unable to submit request because it must include at least one parts field"
        for part in parts:
            if "text" in part and not part["text"]:
                yield "Unable to submit request because it has an empty text parameter"
            if part.get("thoughtSignature") not in (None, "U0lH"):
                yield "Thought signature is not valid"
        before = len(calls)
    if before or contents[-1]["role"] != "user":
        yield "Please ensure that single turn requests end with a user role"


WIRES: dict[str, tuple[str, str, Judge]] = {
    "openai": ("openai", "openai/gpt-4o", openai),
    "local": ("openai", "openai/some-model", template),
    "vllm": ("openai", "hosted_vllm/some-model", template),
    "mistral": ("openai", "mistral/mistral-large-latest", mistral),
    "deepseek": ("openai", "deepseek/deepseek-v4-flash", deepseek),
    "gemma": ("openai", "openai/gemma-2", gemma),
    "anthropic": ("anthropic", "anthropic/claude-sonnet-4-5", anthropic),
    "gemini": ("gemini", "gemini/gemini-2.5-flash", gemini),
    "ollama": ("ollama", "ollama_chat/llama3.1", ollama),
}
"""By name: the format on the wire, a model's name, what it refuses."""
