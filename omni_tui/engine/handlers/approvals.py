"""Commands that decide on what waits: calls, plans and server requests."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.handlers.tools import find_tool
from omni_tui.engine.pending_server_requests import PendingServerRequest
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.commands import DecideCall, EditCall
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plan import DecidePlan, EditPlan
from omni_tui.protocol.server_requests import AnswerServerRequest, EditServerRequest, OpenServerRequestPage
from omni_tui.security.schema_checker import BadSchema
from omni_tui.security.text import exact_json, safe
from omni_tui.servers.auth.browser import open_page
from omni_tui.servers.server_request_types import ServerRequestAnswer
from omni_tui.tools.call_arguments import BadArguments, canonical, parse_arguments

MAX_ANSWER = 64 * 1024
"""Longest answer to a form, in characters of its JSON."""


class ApprovalHandlers(Handlers):
    """Approves, rejects, edits and answers. Every command names the digest of what was shown."""

    # --- calls ----------------------------------------------------------------------------------

    async def _decide_call(self, command: DecideCall) -> AnyEvent:
        session = self._session
        self._check_person()
        if command.verdict == "defer":
            await session.gate.defer(command.call, command.digest)
            return CommandDone()
        orphan = session.calls.restored(command.call)
        await session.gate.decide(
            command.call,
            command.digest,
            approve=command.verdict == "approve",
            feedback=command.feedback,
            batch=max(0, command.batch),
        )
        if command.stop and command.verdict == "reject":
            await session.runner.stop()
        elif orphan and not session.runner.running and session.runner.unfinished:
            await session.runner.continue_turn()
        return CommandDone()

    async def _edit_call(self, command: EditCall) -> AnyEvent:
        self._check_person()
        session = self._session
        row = session.gate.row(command.call)
        if row is None:
            raise UserError("this call does not wait for a decision any more")
        tool = find_tool(self._context, row.server, row.tool)
        try:
            value = parse_arguments(command.arguments_json)
            unchecked = await session.calls.proposals.check(tool, value, len(command.arguments_json))
        except BadArguments as error:
            raise UserError(str(error)) from None
        await session.gate.edit(command.call, command.digest, canonical(value), unchecked)
        return CommandDone()

    # --- plans ----------------------------------------------------------------------------------

    async def _decide_plan(self, command: DecidePlan) -> AnyEvent:
        self._check_person()
        session = self._session
        await session.plans.decide(
            command.plan,
            command.digest,
            approve=command.verdict == "approve",
            feedback=command.feedback,
        )
        runner = session.runner
        if not runner.running and runner.unfinished:
            # It waited since before a restart: the decision continues its turn.
            await runner.continue_turn()
        return CommandDone()

    async def _edit_plan(self, command: EditPlan) -> AnyEvent:
        self._check_person()
        await self._session.plans.edit(command.plan, command.digest, command.plan_json)
        return CommandDone()

    # --- server requests ------------------------------------------------------------------------

    async def _answer_request(self, command: AnswerServerRequest) -> AnyEvent:
        self._check_person()
        requests = self._session.server_requests
        one = requests.waiting(command.ask, command.digest)
        if command.action != "accept":
            await requests.answer(command.ask, command.digest, ServerRequestAnswer(command.action))
        elif one.request.kind == "sampling":
            await requests.proceed(command.ask, command.digest)
        elif one.request.kind == "url":
            await requests.answer(command.ask, command.digest, ServerRequestAnswer("accept"))
            problem = await asyncio.to_thread(open_page, str(one.request.body.get("url", "")))
            return CommandDone(text=safe(problem or "opened in your browser"))
        else:
            content = await self._content(one, command.content_json)
            await requests.answer(
                command.ask, command.digest, ServerRequestAnswer("accept", content=content)
            )
        return CommandDone()

    async def _content(self, one: PendingServerRequest, text: str) -> dict[str, Any]:
        """Return the values of a form if they fit it and contain no secret. Raises `UserError`."""
        if one.refused:
            raise UserError(one.refused)
        if len(text) > MAX_ANSWER:
            raise UserError(f"an answer may have at most {MAX_ANSWER // 1024} KiB")
        try:
            value = parse_arguments(text)
        except BadArguments as error:
            raise UserError(str(error)) from None
        schema = one.request.body
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

    async def _edit_request(self, command: EditServerRequest) -> AnyEvent:
        self._check_person()
        self._session.server_requests.waiting(command.ask, command.digest)
        try:
            body = json.loads(command.content_json)
        except (ValueError, RecursionError) as error:
            raise UserError(f"this is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise UserError("it must be a JSON object")
        await self._session.server_requests.edit(command.ask, command.digest, body)
        return CommandDone()

    async def _open_page(self, command: OpenServerRequestPage) -> AnyEvent:
        self._check_person()
        one = self._session.server_requests.waiting(command.ask, command.digest)
        if one.request.kind != "url" or one.refused:
            raise UserError(one.refused or "it does not ask to visit a page")
        if problem := await asyncio.to_thread(open_page, str(one.request.body.get("url", ""))):
            raise UserError(problem)
        return CommandDone(text=safe("opened in your browser; the request still waits"))


def _strings(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, one in value.items():
        for each in one if isinstance(one, list) else [one]:
            if isinstance(each, str):
                yield name, each
