"""What is shown of a server's question, and of the answer to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from omni_tui.approvals.cards import CARD_LIMIT
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.server_requests import ServerRequestKind, ServerRequestOpened
from omni_tui.security.text import count_hidden, safe, safe_json, safe_line
from omni_tui.servers.auth.browser import browser_available
from omni_tui.servers.server_request_types import ServerRequestAnswer

if TYPE_CHECKING:
    from omni_tui.engine.pending_server_requests import PendingServerRequest
    from omni_tui.engine.sampling import Sampler

_LABELS: dict[ServerRequestKind, str] = {
    "form": "asks you for input",
    "url": "asks you to visit a page",
    "sampling": "asks for an answer of the model",
}
_ANSWER = 2_000
_MESSAGE = 8_000


def server_request_event(
    one: PendingServerRequest, sampler: Sampler, exact: JsonText, target: str, transport: str
) -> ServerRequestOpened:
    """Return the event that puts a question before the person."""
    ask, judgement = one.ask, one.judgement
    sampling = ask.kind == "sampling"
    whole = _content(one)
    complete = len(exact) <= CARD_LIMIT
    refused = judgement.refused or ("" if complete else "it is too long to be shown whole")
    why = [*judgement.why, *([f"the model could not answer: {one.trouble}"] if one.trouble else [])]
    if not ask.waits:
        why.append("it refused a call until this is done; nothing waits meanwhile")
    label = "would get this answer" if one.stage == "review" else _LABELS[ask.kind]
    return ServerRequestOpened(
        ask=one.id,
        server=ask.server,
        kind=ask.kind,
        stage=one.stage,
        label=SafeText(label),
        message=safe(ask.message, limit=_MESSAGE, joined=False),
        digest=one.digest,
        content=safe(whole, limit=CARD_LIMIT, joined=False),
        content_json=exact if complete else JsonText(exact[:CARD_LIMIT]),
        size=len(exact),
        complete=complete,
        differs=count_hidden(whole.replace("\n", "").replace("\t", ""), joined=False) > 0,
        why=tuple(safe(words, limit=500, joined=False) for words in why),
        refused=safe(refused, limit=500),
        host=safe_line(judgement.host, limit=300),
        browser=ask.kind == "url" and browser_available(),
        target=safe(target, limit=2_000, joined=False),
        transport=transport,
        model=safe_line(sampler.name) if sampling else SafeText(""),
        budget=safe_line(sampler.budget) if sampling else SafeText(""),
        call=ask.call,
        edited=one.edited,
    )


def _content(one: PendingServerRequest) -> str:
    body = one.body
    if one.stage == "review":
        return str(body.get("text", ""))
    if one.ask.kind == "url":
        return str(body.get("url", ""))
    if one.ask.kind == "form":
        return "\n".join(_field(name, field, body) for name, field in _fields(body).items())
    return _request(body)


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _field(name: str, field: Any, schema: dict[str, Any]) -> str:
    if not isinstance(field, dict):
        return f"{name}: {json.dumps(field)[:200]}"
    required = schema.get("required")
    must = " (required)" if isinstance(required, list) and name in required else ""
    about = field.get("description") or field.get("title") or ""
    return f"{name}: {field.get('type', 'choice')}{must}" + (f" · {str(about)[:500]}" if about else "")


def _request(body: dict[str, Any]) -> str:
    parts = []
    if system := body.get("systemPrompt"):
        parts.append(f"system: {system}")
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            parts.append(f"{message.get('role')}: {_said(message.get('content'))}")
    limits = {key: body[key] for key in ("maxTokens", "temperature", "stopSequences") if key in body}
    return "\n\n".join([*parts, safe_json(limits, limit=2_000, joined=False)])


def _said(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(
        str(block["text"])
        if isinstance(block, dict) and block.get("type") == "text" and "text" in block
        else f"[{block.get('type', 'something else') if isinstance(block, dict) else 'something else'}]"
        for block in blocks
    )


def answer_text(reply: ServerRequestAnswer) -> SafeText:
    """Return what a server was told, bounded."""
    if reply.action != "accept":
        return SafeText("")
    if reply.content is not None:
        return safe_json(reply.content, limit=_ANSWER)
    return safe(reply.text, limit=_ANSWER)
