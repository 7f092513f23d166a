"""Adds the token to requests to one server.

A valid token is added without a lock. Without one, or after a 401 or 403, the account gets another and
the request is sent again once, since the server did not process it. A `tools/call` is not sent again:
it ends as refused, and the gate decides about a further attempt and journals it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable

import httpx2

from omni_tui.security.urls import is_loopback
from omni_tui.servers.auth.account import Account
from omni_tui.servers.auth.oauth_clients import Challenge
from omni_tui.servers.auth.urls import SignInError, UrlOrigin
from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.tap import current_call

_CALL = "tools/call"
_MOST_SENT = 20


class BearerAuth(httpx2.Auth):
    """The `httpx2.Auth` of one connection.

    `sent` are the last tokens that the server has seen. `on_needed` is called when the person has to
    sign in first, `on_resent` when a request is sent a second time.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._origin = UrlOrigin.of(account.spec.url)
        # No secret crosses a network unencrypted.
        self._lost = self._origin.scheme != "https" and not is_loopback(self._origin.host)
        self._failed: SignInError | None = None
        self._unproven = ""
        self.sent: tuple[str, ...] = ()
        self.on_needed: Callable[[], None] = lambda: None
        self.on_resent: Callable[[], None] = lambda: None

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send a request with the token, to the server's own origin only."""
        if self._lost or UrlOrigin.of(str(request.url)) != self._origin:
            yield request
            return
        token = await self._token()
        self._failed = None
        self._stamp(request, token)
        response = yield request
        if (challenge := Challenge.of(response)) is None:
            self._unproven = ""
            return
        if token and token == self._unproven:
            self._refused_again(challenge)
            return
        another = await self._account.token_after_refusal(challenge, token)
        if not another:
            self._give_up(challenge)
            return
        self._unproven = another
        if _is_call(request):
            if (call := current_call()) is not None:
                call.renewed = True
            return
        await response.aread()
        self.on_resent()
        self._stamp(request, another)
        response = yield request
        if (challenge := Challenge.of(response)) is not None:
            self._refused_again(challenge)
        else:
            self._unproven = ""

    def _stamp(self, request: httpx2.Request, token: str) -> None:
        if not token:
            request.headers.pop("Authorization", None)
            return
        request.headers["Authorization"] = f"Bearer {token}"
        if token not in self.sent:
            self.sent = (*self.sent[-_MOST_SENT:], token)

    async def _token(self) -> str:
        try:
            return await self._account.token()
        except SignInError as failure:
            self._account.failure = self._failed = failure
            # Nothing was sent; the connection counts as down and is tried again later.
            raise httpx2.ConnectError(failure.what) from None

    def _refused_again(self, challenge: Challenge) -> None:
        if self._account.uses_client_credentials:
            rights = "the rights" if challenge.step_up else "the token"
            self._account.failure = SignInError(f"the server refuses {rights} that it was given for")
        else:
            self._account.require(challenge)
        self._give_up(challenge)

    def _give_up(self, challenge: Challenge) -> None:
        if not challenge.step_up:
            self._lost = True
            self.on_needed()

    def connection_failure(self) -> ConnectionFailure | None:
        """Return why the connection ended, None if the sign-in is not the reason."""
        return self.refusal_failure() if self._lost or self._failed is not None else None

    def refusal_failure(self) -> ConnectionFailure | None:
        """Return why no token is accepted, None if one is."""
        failure = self._account.failure
        if failure is None:
            return None
        waits = self._account.need is not None
        return ConnectionFailure(failure.what, failure.todo, lasting=not failure.passing, sign_in=waits)


def _is_call(request: httpx2.Request) -> bool:
    """Return whether the bytes of a request are a call; what cannot be read counts as one."""
    if request.method != "POST":
        return False
    try:
        content = request.content
        if _CALL.encode() not in content:
            # JSON could escape the characters, but our encoder does not.
            return False
        message = json.loads(content)
    except (httpx2.RequestNotRead, ValueError, RecursionError):
        return True
    return not isinstance(message, dict) or message.get("method") == _CALL
