"""The person in front of the conformance suite: gives a server its account, and signs in when asked."""

from __future__ import annotations

import sys
from typing import Any

import httpx2

from omni_tui.config.spec import OAuthSpec
from omni_tui.protocol.events import ServerChanged
from omni_tui.protocol.signin import SignInChanged
from omni_tui.servers.auth import SignInRefused
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from tests.engine.faults.harness import Harness
from tests.wire.schema_values import default_values

METADATA_URL = "https://conformance-test.local/client-metadata.json"
"""The address that the suite expects of a client which is known by its metadata."""

PATIENCE = 3
"""How often one signs in to a server before giving it up."""

_SETTLED = ("idle", "active", "degraded", "failed", "needs_sign_in")


def account(scenario: str, context: dict[str, Any], issuer: str = "") -> OAuthSpec:
    """Return what the person's configuration says of signing in, by what the suite has handed out.

    `issuer` is the server's authorisation server, for a company's people, who are told it.
    """
    known = str(context.get("client_id", ""))
    secret = str(context.get("client_secret", ""))
    key = str(context.get("private_key_pem", ""))
    if "idp_id_token" in context:
        return OAuthSpec(
            grant="cross_app",
            client_id=known,
            client_secret=secret,
            issuer=issuer,
            idp_issuer=str(context["idp_issuer"]),
            idp_client_id=str(context["idp_client_id"]),
            idp_token=str(context["idp_id_token"]),
        )
    if scenario.startswith("auth/client-credentials") or key:
        return OAuthSpec(grant="client_credentials", client_id=known, client_secret=secret, private_key=key)
    if known:
        return OAuthSpec(client_id=known, client_secret=secret)
    return OAuthSpec(client_metadata_url=METADATA_URL if scenario == "auth/basic-cimd" else "")


async def told_issuer(server: str) -> str:
    """Be the administrator who tells people which authorisation server a server belongs to."""
    where = httpx2.URL(server).join("/.well-known/oauth-protected-resource")
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        for url in (f"{where}{httpx2.URL(server).path}", str(where)):
            answer = await client.get(url)
            if answer.status_code == 200:
                return str(answer.json()["authorization_servers"][0])
    return ""


async def visit(url: str) -> str:
    """Be the browser: ask for the page once, and return where it sends one back to ("" for nowhere)."""
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=10) as client:
        answer = await client.get(url)
    return str(answer.headers.get("location", ""))


async def answer(ask: ServerRequest) -> ServerRequestAnswer:
    """Answer what a server asks as somebody would who takes every form as it is filled in already."""
    if ask.kind == "form":
        return ServerRequestAnswer("accept", content=default_values(ask.body))
    return ServerRequestAnswer("decline")


class Person:
    """Somebody with a browser who signs in to one server, a few times at most."""

    def __init__(self, servers: Harness, name: str) -> None:
        self._servers = servers
        self._name = name
        self._left = PATIENCE

    async def settled(self) -> ServerChanged:
        """Return the server's state once it is connected, or cannot be, sign-ins included."""
        while True:
            state = await self._servers.reach(self._name, *_SETTLED)
            if state.state != "needs_sign_in" or not await self._sign_in():
                return self._servers.last(self._name)

    async def signed_in_for_more(self) -> bool:
        """Sign in again if the server now asks for more than it was given; return whether that was done."""
        told = self._told()
        if told is None or told.phase != "needed" or not await self._sign_in():
            return False
        return (await self.settled()).state in ("idle", "active", "degraded")

    async def _sign_in(self) -> bool:
        """Sign in; return whether that worked."""
        if self._left == 0:
            return False
        self._left -= 1
        registry = self._servers.registry
        try:
            await registry.sign_ins.begin(registry.get(self._name).spec)
            if (waiting := await self._until_not("starting")) is not None and waiting.phase == "waiting":
                registry.sign_ins.finish(self._name, await visit(waiting.url))
        except SignInRefused as refused:
            sys.stdout.write(f"no sign-in: {refused}\n")
            return False
        done = await self._until_not("starting", "waiting")
        if done is None or done.phase != "signed_in":
            sys.stdout.write(f"no sign-in: {done and done.reason}\n")
            return False
        await self._servers.until(lambda: self._servers.last(self._name).state != "needs_sign_in")
        return True

    async def _until_not(self, *phases: str) -> SignInChanged | None:
        await self._servers.until(lambda: (told := self._told()) is not None and told.phase not in phases)
        return self._told()

    def _told(self) -> SignInChanged | None:
        about = [event for event in self._servers.events if isinstance(event, SignInChanged)]
        return about[-1] if about else None
