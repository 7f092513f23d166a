"""An authorisation server and the MCP server it protects, both real, on loopback; every part can be bent.

The authorisation server is written here on purpose, not taken from the SDK: what it holds the client to
(PKCE, redirect addresses, client authentication, audiences, rotation) is read from the RFCs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import anyio
import httpx2
import jwt
import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

AS = "/.well-known/oauth-authorization-server"
PRM = "/.well-known/oauth-protected-resource/mcp"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Token:
    """An access token and what it is good for."""

    client: str
    scopes: set[str]
    resource: str
    ends: float | None


@dataclass
class Client:
    """A registered client. `public_key` is PEM, for assertions."""

    secret: str = ""
    redirects: list[str] = field(default_factory=list)
    public_key: str = ""


@dataclass
class Code:
    """An authorisation code: single use, bound to client, redirect address and PKCE challenge."""

    client: str
    redirect: str
    challenge: str
    scopes: set[str]
    resource: str


class Authority:
    """Knobs and records of both servers; `seen` has (method, path) of every request, in order.

    `needed` are the rights that tools want, `barred` the tools for which no token is good enough.
    As an identity provider it knows `people` by their tokens and clients of others as `known_as`
    (client here, authorisation server); `trusted` is the identity provider that this one believes.
    `issued` is laid over the answer of an exchange, `told` over every token answer. `forms_only`: token
    answers are forms unless JSON is asked for ("asked") or always ("always"). `no_scopes`: a
    registration that names a scope is refused with this answer. `names`: how it names itself in its
    metadata and in answers to the browser. `revoked` are the tokens that it was told of.
    """

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.url = f"{self.base}/mcp"
        self.clients: dict[str, Client] = {}
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.seen: list[tuple[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.authorized: list[dict[str, str]] = []
        self.sent: list[tuple[str, str, int]] = []  # method of MCP, token, status
        self.lifetime: int | None = 3600
        self.registration = True
        self.documents: list[str] = []
        self.consent = True
        self.refresh_status = 0
        self.never: set[str] = set()
        self.needed: dict[str, str] = {}
        self.barred: set[str] = set()
        self.metadata: dict[str, Any] = {}
        self.resource: dict[str, Any] = {}
        self.pointer: str | None = None
        self.bent: dict[str, Callable[[], Response]] = {}
        self.aliases: dict[str, str] = {}
        self.metadata_path = AS
        self.people: dict[str, str] = {}
        self.known_as: dict[tuple[str, str], str] = {}
        self.trusted: Authority | None = None
        self.key = secrets.token_hex(32)
        self.issued: dict[str, Any] = {}
        self.told: dict[str, Any] = {}
        self.token_status = 200
        self.forms_only = ""
        self.no_scopes: tuple[int, dict[str, str]] | None = None
        self.names = self.base
        self.revoked: list[tuple[str, str]] = []
        self.used: set[str] = set()
        self.inside = 0
        self.most = 0

    def count(self, path: str) -> int:
        """Return how many requests came for a path."""
        return sum(1 for _, each in self.seen if each == path)

    def revoke_all(self) -> None:
        """Make every access token worthless."""
        self.tokens.clear()

    def called(self) -> list[tuple[str, str, int]]:
        """Return the tool calls: method, token, status."""
        return [each for each in self.sent if each[0] == "tools/call"]

    # --- the authorisation server ---------------------------------------------------------------

    def app(self) -> Starlette:
        """Return the authorisation server."""
        routes = [
            Route(PRM, self._resource),
            Route("/.well-known/oauth-protected-resource", self._resource),
            Route(AS, self._metadata),
            Route("/register", self._register, methods=["POST"]),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", self._revoke, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _resource(self, request: Request) -> Response:
        known = {"resource": self.url, "authorization_servers": [self.base], "scopes_supported": ["read"]}
        return JSONResponse({**known, **self.resource})

    async def _metadata(self, request: Request) -> Response:
        known = {
            "issuer": self.names,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "revocation_endpoint": f"{self.base}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": bool(self.documents),
        }
        if self.registration:
            known["registration_endpoint"] = f"{self.base}/register"
        return JSONResponse({k: v for k, v in {**known, **self.metadata}.items() if v is not None})

    async def _register(self, request: Request) -> Response:
        if not self.registration:
            return JSONResponse({"error": "access_denied"}, 403)
        asked = await request.json()
        if self.no_scopes is not None and "scope" in asked:
            return JSONResponse(self.no_scopes[1], self.no_scopes[0])
        name, secret = f"client-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        self.clients[name] = Client(secret, list(asked["redirect_uris"]))
        answer = {**asked, "client_id": name, "client_secret": secret}
        return JSONResponse({**answer, "token_endpoint_auth_method": "client_secret_basic"}, 201)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.authorized.append(asked)
        name, redirect = asked["client_id"], asked["redirect_uri"]
        client = self.clients.get(name)
        if client is None and name not in self.documents:
            return JSONResponse({"error": "unauthorized_client"}, 400)
        if client is not None and redirect not in client.redirects:
            return JSONResponse({"error": "invalid_redirect_uri"}, 400)
        if asked["code_challenge_method"] != "S256" or asked.get("resource") != self.url:
            return JSONResponse({"error": "invalid_request"}, 400)
        back = {"state": asked["state"], "iss": self.names}
        if not self.consent:
            return RedirectResponse(f"{redirect}?{urlencode({**back, 'error': 'access_denied'})}", 302)
        code = secrets.token_urlsafe(16)
        scopes = set(asked.get("scope", "").split())
        self.codes[code] = Code(name, redirect, asked["code_challenge"], scopes, self.url)
        return RedirectResponse(f"{redirect}?{urlencode({**back, 'code': code})}", 302)

    async def _token(self, request: Request) -> Response:
        answer = await self._answer(request)
        unasked = "application/json" not in request.headers.get("accept", "")
        if self.forms_only == "always" or (self.forms_only and unasked):
            return Response(urlencode(json.loads(bytes(answer.body))), media_type="text/plain")
        return answer

    async def _answer(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        self.forms.append(form)
        client = self._client(request, form)
        if client is None:
            return JSONResponse({"error": "invalid_client"}, 401)
        grant = form.get("grant_type")
        if grant == "authorization_code":
            return self._redeem(client, form)
        if grant == "refresh_token":
            return self._rotate(client, form)
        if grant == "client_credentials" and client in self.clients:
            scopes = set(form.get("scope", "").split())
            return self._issue(Token(client, scopes, form.get("resource", ""), None), refresh=False)
        if grant == EXCHANGE:
            return self._vouch(client, form)
        if grant == BEARER and self.trusted is not None:
            return self._believe(client, form, self.trusted)
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _vouch(self, client: str, form: dict[str, str]) -> Response:
        """Exchange a person's token for an assertion (RFC 8693, and the draft on ID-JAGs)."""
        person = self.people.get(form.get("subject_token", ""))
        there = self.known_as.get((client, form.get("audience", "")))
        if form.get("requested_token_type") != ID_JAG or person is None or there is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        said = {"iss": self.base, "sub": person, "aud": form["audience"], "resource": form["resource"]}
        said |= {"client_id": there, "jti": secrets.token_hex(8), "scope": form.get("scope", "")}
        said |= {"iat": int(time.time()), "exp": int(time.time()) + 300}  # type: ignore[dict-item]
        token = jwt.encode(said, self.key, "HS256", {"typ": "oauth-id-jag+jwt"})
        answer = {"access_token": token, "issued_token_type": ID_JAG, "token_type": "N_A"}
        return JSONResponse({**answer, **self.issued})

    def _believe(self, client: str, form: dict[str, str], provider: Authority) -> Response:
        """Take an assertion once, if it is for this server, this resource and this client (RFC 7523)."""
        try:
            said = jwt.decode(form["assertion"], provider.key, ["HS256"], audience=self.base)
        except (jwt.PyJWTError, KeyError):
            return JSONResponse({"error": "invalid_grant"}, 400)
        fits = (said["iss"], said["resource"], said["client_id"]) == (provider.base, self.url, client)
        if not fits or said["jti"] in self.used:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.used.add(said["jti"])
        return self._issue(Token(client, set(said["scope"].split()), self.url, None), refresh=False)

    def _client(self, request: Request, form: dict[str, str]) -> str | None:
        """Authenticate the client by whichever way it is registered for."""
        if form.get("client_assertion_type") == ASSERTION:
            return self._asserted(form["client_assertion"])
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            client = self.clients.get(unquote(name))
            return unquote(name) if client is not None and client.secret == unquote(secret) else None
        name = form.get("client_id", "")
        client = self.clients.get(name)
        return name if name in self.documents or (client is not None and not client.secret) else None

    def _asserted(self, assertion: str) -> str | None:
        for name, client in self.clients.items():
            with contextlib.suppress(jwt.PyJWTError, ValueError):
                if client.public_key:
                    options: Any = {"require": ["exp", "iat", "jti", "sub"]}
                    said = jwt.decode(
                        assertion,
                        client.public_key,
                        ["RS256", "ES256"],
                        options,
                        audience=self.base,
                        issuer=name,
                    )
                    return name if said["sub"] == name else None
        return None

    def _redeem(self, client: str, form: dict[str, str]) -> Response:
        code = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        fits = code is not None and (code.client, code.redirect, code.challenge) == (
            client,
            form.get("redirect_uri"),
            challenge,
        )
        if code is None or not fits or form.get("resource") != self.url:
            return JSONResponse({"error": "invalid_grant", "error_description": form.get("code")}, 400)
        return self._issue(Token(client, code.scopes, code.resource, None))

    def _rotate(self, client: str, form: dict[str, str]) -> Response:
        if self.refresh_status:
            return JSONResponse({"error": "temporarily_unavailable"}, self.refresh_status)
        former = self.refresh.pop(form.get("refresh_token", ""), None)
        if former is None or former.client != client:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._issue(Token(client, former.scopes, former.resource, None))

    def _issue(self, token: Token, *, refresh: bool = True) -> Response:
        access, again = f"at-{secrets.token_urlsafe(16)}", f"rt-{secrets.token_urlsafe(16)}"
        token.scopes -= self.never
        self.tokens[access] = token
        answer: dict[str, Any] = {"access_token": access, "token_type": "bearer"}
        answer["scope"] = " ".join(sorted(token.scopes))
        if self.lifetime is not None:
            token.ends = time.time() + self.lifetime
            answer["expires_in"] = self.lifetime
        if refresh:
            self.refresh[again] = token
            answer["refresh_token"] = again
        return JSONResponse({**answer, **self.told}, self.token_status)

    async def _revoke(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if self._client(request, form) is None:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.revoked.append((form["token"], form.get("token_type_hint", "")))
        self.refresh.pop(form["token"], None)
        self.tokens.pop(form["token"], None)
        return Response(status_code=200)

    # --- what protects the MCP server -----------------------------------------------------------

    def refusal(self, header: str, tool: str) -> Response | None:
        """Return how a request with this Authorization header is refused, None if it is not."""
        token = self.tokens.get(header.removeprefix("Bearer "))
        pointer = f"{self.base}{PRM}" if self.pointer is None else self.pointer
        where = f', resource_metadata="{pointer}"' if pointer else ""
        if (
            token is None
            or tool in self.barred
            or token.resource != self.url
            or (token.ends is not None and token.ends < time.time())
        ):
            said = f'Bearer error="invalid_token"{where}'
            return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": said})
        needed = self.needed.get(tool)
        if needed and needed not in token.scopes:
            said = f'Bearer error="insufficient_scope", scope="{needed}"{where}'
            return JSONResponse({"error": "insufficient_scope"}, 403, {"WWW-Authenticate": said})
        return None


def _mcp(authority: Authority) -> MCPServer:
    server = MCPServer("protected")
    together = anyio.Event()

    @server.tool()
    def whoami(word: str) -> str:
        """Give the word back."""
        return word

    @server.tool()
    async def meet(people: int) -> str:
        """Return once that many calls of this are inside at the same time."""
        authority.inside += 1
        authority.most = max(authority.most, authority.inside)
        if authority.most >= people:
            together.set()
        await together.wait()
        authority.inside -= 1
        return "met"

    @server.tool()
    async def nap(seconds: float) -> str:
        """Return after that long."""
        await anyio.sleep(seconds)
        return "rested"

    return server


class _Front:
    """The one ASGI application: who asks for /mcp is looked at, the rest goes to the other server."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._mcp = _mcp(authority).streamable_http_app()
        self._as = authority.app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._mcp(scope, receive, send)
            return
        authority, path = self._authority, scope["path"]
        authority.seen.append((scope["method"], path))
        if path in authority.bent:
            await authority.bent[path]()(scope, receive, send)
            return
        if path != "/mcp":
            if path in authority.aliases:
                scope = {**scope, "path": authority.aliases[path]}
            await self._as(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        header = Request(scope).headers.get("authorization", "")
        message = json.loads(body) if body else {}
        refused = authority.refusal(header, message.get("params", {}).get("name", ""))
        authority.sent.append((message.get("method", ""), header, refused.status_code if refused else 200))
        if refused is not None:
            await refused(scope, receive, send)
            return
        given = False

        async def again() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._mcp(scope, again, send)


class _Server(uvicorn.Server):
    """Says when it listens; leaves the signals of the test's process alone, as it is no main thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.contextmanager
def serving() -> Iterator[Authority]:
    """Run both servers in a thread until the block is left."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        authority = Authority(listener.getsockname()[1])
        config = uvicorn.Config(
            _Front(authority), log_level="critical", ws="none", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="authority", daemon=True)
        thread.start()
        assert server.ready.wait(20)
        try:
            yield authority
        finally:
            server.should_exit = True
            thread.join(10)


async def browse(url: str, *, deliver: bool = True) -> str:
    """Do what a browser does with an authorisation URL; returns where it was sent to."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        assert answer.status_code == 302, answer.text
        location = answer.headers["location"]
        if deliver:
            page = await client.get(location)
            assert page.status_code == 200, page.text
        return str(location)
