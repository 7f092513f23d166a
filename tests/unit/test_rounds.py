"""The frames of one call: rounds with answers, a refused token between them, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCRequest, JSONRPCResponse

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.base import CallError, Dispatch, DispatchRefused, TokenRenewed
from omni_tui.servers.dispatched_call import CallContext, DispatchedCall
from omni_tui.servers.server_request_responder import ServerRequestResponder
from omni_tui.servers.tap import Tap, current_call
from omni_tui.servers.timeouts import RequestTimeouts

DISPATCH = Dispatch("c1", 1, "s", "t", b"{}")
ASKS = {"resultType": "input_required", "requestState": "s-1"}
DONE = {"resultType": "complete", "content": [{"type": "text", "text": "ok"}]}
REFUSED = "token refused"


class Server:
    """Plays the SDK's session and the server behind it: one scripted answer a frame, through the tap."""

    def __init__(self, tap: Tap, *answers: Any) -> None:
        self.session = self
        self.frames: list[dict[str, Any]] = []
        self._tap = tap
        self._answers = list(answers)

    async def send_request(self, request: Any, kind: Any, progress_callback: Any = None) -> Any:
        params = request.model_dump(by_alias=True, mode="json", exclude_none=True)["params"]
        number = len(self.frames) + 1
        frame = JSONRPCRequest(jsonrpc="2.0", id=number, method="tools/call", params=params)
        self._tap.check(SessionMessage(frame))
        self.frames.append(params)
        answer = self._answers.pop(0)
        if answer == REFUSED:
            opening = current_call()
            assert opening is not None
            opening.status, opening.renewed = 401, True
            error = ErrorData(code=-32600, message="no")
            self._tap.receive(SessionMessage(JSONRPCError(jsonrpc="2.0", id=number, error=error)))
            raise MCPError.from_error_data(error)
        self._tap.receive(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=number, result=answer)))


async def run(*answers: Any) -> tuple[Server, list[int], Any]:
    """Carry a call through these answers; return the server, the rounds written down, and the result."""
    rounds: list[int] = []

    class Listener:
        answers_requests = False

        async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
            assert len(server.frames) >= number  # before the next frame, after the one that asked
            rounds.append(number)

    listener = cast(Any, Listener())
    tap = Tap("s", lambda _dispatch: True)
    server = Server(tap, *answers)
    transport: Any = type("Transport", (), {"failure": lambda _self: None, "web": True})()
    waits = RequestTimeouts()
    answering = ServerRequestResponder("s", listener, waits, call=tap.sole_open_call, roots=None)
    line = CallContext(
        ServerSpec(name="s", url="https://x.example"), tap, transport, None, answering, waits, listener,
        lambda: False, lambda: None, modern=True,
    )  # fmt: skip
    result: Any
    try:
        result = await DispatchedCall(line, cast(Any, server), replace(DISPATCH), 5.0, None).run()
    except CallError as error:
        result = error
    return server, rounds, result


async def test_a_round_is_written_down_before_its_frame_and_carries_the_state() -> None:
    server, rounds, result = await run(ASKS, DONE)
    assert result.content[0]["text"] == "ok"
    assert rounds == [1]
    assert [frame.get("requestState") for frame in server.frames] == [None, "s-1"]


async def test_the_first_frame_of_a_refused_token_is_the_gates_to_repeat() -> None:
    server, rounds, result = await run(REFUSED)
    assert isinstance(result, TokenRenewed)
    assert (len(server.frames), rounds) == (1, [])


async def test_a_later_frame_is_repeated_once_with_its_answers_and_written_down_again() -> None:
    server, rounds, result = await run(ASKS, REFUSED, DONE)
    assert result.content[0]["text"] == "ok"
    assert rounds == [1, 1]
    assert [frame.get("requestState") for frame in server.frames] == [None, "s-1", "s-1"]


async def test_a_token_that_is_refused_twice_ends_the_call() -> None:
    server, _rounds, result = await run(ASKS, REFUSED, REFUSED)
    assert type(result) is CallError
    assert len(server.frames) == 3


async def test_nothing_is_repeated_that_was_not_refused_for_its_token() -> None:
    tap = Tap("s", lambda _dispatch: True)
    with tap.open(replace(DISPATCH)) as opening:
        for refuse in (tap.repeat, tap.again):
            with pytest.raises(DispatchRefused):
                refuse(opening)
        opening.answer = dict(DONE)
        with pytest.raises(DispatchRefused):
            tap.again(opening)
        opening.answer = dict(ASKS)
        tap.again(opening)
        with pytest.raises(DispatchRefused):
            tap.repeat(opening)
