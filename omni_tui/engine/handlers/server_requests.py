"""Commands about the questions of servers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.engine.pending_server_requests import PendingServerRequest, PendingServerRequests
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.server_requests import AnswerServerRequest, EditServerRequest, OpenServerRequestPage
from omni_tui.security.text import exact_json, safe
from omni_tui.servers.auth.browser import open_page
from omni_tui.servers.server_request_types import ServerRequestAnswer
from omni_tui.tools import BadArguments, BadSchema, parse_arguments

MAX_ANSWER = 64 * 1024
"""Longest answer to a form, in characters of its JSON."""


class ServerRequestHandlers(Handlers):
    """Answering, editing, opening a page."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {
            AnswerServerRequest: self._answer,
            EditServerRequest: self._edit,
            OpenServerRequestPage: self._open,
        }

    @property
    def _asks(self) -> PendingServerRequests:
        return self._session.asks

    async def _answer(self, command: AnswerServerRequest) -> AnyEvent:
        asks = self._asks
        one = asks.waiting(command.ask, command.digest)
        if command.action != "accept":
            await asks.turn_down(command.ask, command.digest, ServerRequestAnswer(command.action))
        elif one.ask.kind == "sampling":
            await asks.go_on(command.ask, command.digest)
        elif one.ask.kind == "url":
            opened = await self._agree(one, command)
            return CommandDone(text=safe(opened))
        else:
            content = await self._content(one, command.content_json)
            await asks.accept(command.ask, command.digest, ServerRequestAnswer("accept", content=content))
        return CommandDone()

    async def _agree(self, one: PendingServerRequest, command: AnswerServerRequest) -> str:
        """Agree to a page, which is opened where that is possible; else the person does it."""
        if one.judgement.refused:
            raise UserError(one.judgement.refused)
        url = str(one.ask.body.get("url", ""))
        await self._asks.accept(command.ask, command.digest, ServerRequestAnswer("accept"))
        problem = await asyncio.to_thread(open_page, url)
        return problem or "opened in your browser"

    async def _content(self, one: PendingServerRequest, text: str) -> dict[str, Any]:
        """Return the values of a form, if they fit it and hold no secret of ours. Raises `UserError`."""
        if one.judgement.refused:
            raise UserError(one.judgement.refused)
        if len(text) > MAX_ANSWER:
            raise UserError(f"an answer may have at most {MAX_ANSWER // 1024} KiB")
        try:
            value = parse_arguments(text)
        except BadArguments as error:
            raise UserError(str(error)) from None
        schema = one.ask.body
        key = "ask/" + hashlib.sha256(exact_json(schema).encode()).hexdigest()
        try:
            wrong = await self._context.schemas.check(key, schema, value, size=len(text))
        except BadSchema as error:
            raise UserError(f"the server's form cannot be checked: {error}; decline it") from None
        if wrong:
            listed = "; ".join(f"{each.where or 'the answer'}: {each.what}" for each in wrong[:5])
            raise UserError(f"the values do not fit what the server asks for: {listed}")
        for field, words in _strings(value):
            if self._context.redactor.redact(words) != words:
                raise UserError(f"{field} holds what looks like a secret of yours; nothing was sent")
        return dict(value)

    async def _edit(self, command: EditServerRequest) -> AnyEvent:
        self._asks.waiting(command.ask, command.digest)
        try:
            body = json.loads(command.content_json)
        except (ValueError, RecursionError) as error:
            raise UserError(f"it is no JSON: {error}") from None
        if not isinstance(body, dict):
            raise UserError("it must be a JSON object")
        await self._asks.edit(command.ask, command.digest, body)
        return CommandDone()

    async def _open(self, command: OpenServerRequestPage) -> AnyEvent:
        one = self._asks.waiting(command.ask, command.digest)
        if one.ask.kind != "url" or one.judgement.refused:
            raise UserError(one.judgement.refused or "it asks for no page to be visited")
        if problem := await asyncio.to_thread(open_page, str(one.ask.body.get("url", ""))):
            raise UserError(problem)
        return CommandDone(text=safe("opened in your browser; the question waits still"))


def _strings(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, one in value.items():
        for each in one if isinstance(one, list) else [one]:
            if isinstance(each, str):
                yield name, each
