"""The sign-ins of all servers: started, finished, cancelled, signed out, and shown.

Nothing is opened, fetched or registered until the person starts a sign-in. This module does not load
the SDK; modules that do are imported in a thread when the first server needs them.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import msgspec

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.signin import SignInChanged, SignInPhase
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.auth import browser
from omni_tui.servers.auth.browser import CallbackServer, Redirect, RedirectMismatch, read_redirect
from omni_tui.servers.auth.sign_in_records import SignInStore
from omni_tui.servers.auth.urls import SignInError, authorize_problem, same_issuer
from omni_tui.servers.listener import ServerListener, notify

if TYPE_CHECKING:
    from mcp.shared.auth import AuthorizationCodeResult

    from omni_tui.servers.auth.account import Account
    from omni_tui.servers.auth.bearer_auth import BearerAuth
    from omni_tui.servers.auth.oauth_clients import BrowserSignIn

_log = logging.getLogger(__name__)

DEADLINE = 300.0
"""Seconds that the person has for the browser."""


class SignInRefused(Exception):
    """A command about a sign-in that is not possible; the text says why."""


@dataclass(eq=False)
class _SignInAttempt:
    callback: CallbackServer
    answer: asyncio.Future[Redirect]
    task: asyncio.Task[None] | None = None
    state: str = ""
    url: str = ""
    scopes: str = ""
    until: float | None = None


@dataclass(eq=False)
class _ServerSignIn:
    account: Account
    attempt: _SignInAttempt | None = None
    reason: str = ""
    reported: SignInChanged | None = None


class SignIns:
    """All sign-ins. The listener gets `SignInChanged`, `on_signed_in` the name of a server that signed in.

    Without a `store`, tokens last until the app ends. `loading` is held while the SDK is imported.
    """

    def __init__(
        self,
        store: SignInStore | None,
        listener: ServerListener,
        on_signed_in: Callable[[str], None],
        loading: asyncio.Lock,
    ) -> None:
        self._store = store
        self._listener = listener
        self._on_signed_in = on_signed_in
        self._loading = loading
        self._clock = time.time
        self._deadline = DEADLINE
        self._servers: dict[str, _ServerSignIn] = {}

    async def bearer_auth(self, spec: ServerSpec) -> BearerAuth | None:
        """Return the auth of a new connection's requests, None for a server without OAuth."""
        if spec.oauth is None:
            return None
        account = (await self._server_sign_in(spec)).account
        from omni_tui.servers.auth.bearer_auth import BearerAuth

        return BearerAuth(account)

    async def begin(self, spec: ServerSpec) -> None:
        """Start a sign-in; return when it is under way. Raises `SignInRefused`."""
        if spec.oauth is None:
            raise SignInRefused(f'{spec.name} does not sign in by OAuth; set auth = "oauth" for it')
        if spec.problem or not spec.allowed:
            raise SignInRefused(spec.problem or f"{spec.name} is not allowed yet")
        server = await self._server_sign_in(spec)
        if server.account.uses_client_credentials:
            raise SignInRefused(f"{spec.name} signs in by itself; reconnect it to sign in again")
        await self._end(server)
        await server.account.begin()
        answer: asyncio.Future[Redirect] = asyncio.get_running_loop().create_future()
        attempt = _SignInAttempt(CallbackServer(lambda target: self._take(attempt, target)), answer)
        await self._listen(attempt, server.account)
        server.attempt, server.reason = attempt, ""
        attempt.task = asyncio.create_task(
            self._run(spec.name, server, attempt), name=f"sign-in to {spec.name}"
        )
        self._report(spec.name)

    def finish(self, name: str, url: str) -> None:
        """Take the address at which the browser ended. Raises `SignInRefused`."""
        attempt = self._waiting(name)
        try:
            self._take(attempt, url[:16_384])
        except RedirectMismatch as refused:
            raise SignInRefused(str(refused)) from None

    async def cancel(self, name: str) -> None:
        """Cancel a sign-in. Raises `SignInRefused` if none is under way."""
        server = self._servers.get(name)
        if server is None or server.attempt is None:
            raise SignInRefused(f"no sign-in to {name} is under way")
        await self._end(server)
        server.reason = "cancelled"
        self._report(name)

    async def open_page(self, name: str, shown: str) -> None:
        """Open the sign-in page in a browser on this machine, if its address is the one that was shown.

        Raises `SignInRefused`.
        """
        url = self._waiting(name).url
        if url != shown:
            raise SignInRefused(f"the address to sign in to {name} is another one now; look at it again")
        if problem := await asyncio.to_thread(browser.open_page, url):
            raise SignInRefused(problem)

    async def sign_out(self, spec: ServerSpec) -> str:
        """Forget tokens and registration and revoke the tokens if possible; return what was done."""
        if spec.oauth is None:
            raise SignInRefused(f"{spec.name} does not sign in by OAuth")
        server = await self._server_sign_in(spec)
        await self._end(server)
        try:
            former = await server.account.forget()
        except OSError as error:
            why = error.strerror or error
            raise SignInRefused(f"it could not be removed from the disk: {why}") from None
        server.reason = ""
        self._report(spec.name)
        if not former.access_token and not former.refresh_token:
            return f"{spec.name} was not signed in"
        from omni_tui.servers.auth.oauth_clients import revoke_tokens

        end = "its server was not told: it does not support that or did not answer"
        if await revoke_tokens(spec, former):
            end = "its server was told"
        return f"signed out of {spec.name}; {end}"

    async def remove(self, name: str) -> None:
        """Forget a removed server; its stored sign-in stays."""
        server = self._servers.pop(name, None)
        if server is not None:
            await self._end(server)

    async def close(self) -> None:
        """Cancel every sign-in that is under way."""
        for server in self._servers.values():
            await self._end(server)

    def snapshot(self) -> list[SignInChanged]:
        """Return the state of each sign-in."""
        return [self._describe(name) for name in self._servers]

    # --- one sign-in ----------------------------------------------------------------------------

    async def _server_sign_in(self, spec: ServerSpec) -> _ServerSignIn:
        async with self._loading:
            await asyncio.to_thread(importlib.import_module, "omni_tui.servers.auth.bearer_auth")
        from omni_tui.servers.auth.account import Account

        server = self._servers.get(spec.name)
        if server is None or (server.account.spec.url, server.account.spec.oauth) != (spec.url, spec.oauth):
            if server is not None:
                await self._end(server)
            account = Account(spec, self._store, self._clock, lambda: self._report(spec.name))
            server = self._servers[spec.name] = _ServerSignIn(account)
        return server

    async def _listen(self, attempt: _SignInAttempt, account: Account) -> None:
        fixed = account.oauth.callback_port
        try:
            try:
                await attempt.callback.open(fixed or account.record.port)
            except OSError:
                if fixed:
                    raise
                await attempt.callback.open(0)  # the app registers again with the new port
        except OSError as error:
            what = f"nothing can listen on port {fixed} of 127.0.0.1"
            raise SignInRefused(f"{what}: {error.strerror or error}") from None

    async def _run(self, name: str, server: _ServerSignIn, attempt: _SignInAttempt) -> None:
        try:
            await server.account.sign_in_with_browser(
                attempt.callback.port,
                partial(self._show, name, attempt),
                partial(self._answered, attempt),
            )
            server.reason = ""
        except SignInError as failure:
            server.reason = failure.what + (f". {failure.todo}" if failure.todo else "")
        except Exception as error:  # its text may hold secrets
            _log.error("the sign-in to %s broke: %s", name, type(error).__name__)
            server.reason = f"the sign-in broke ({type(error).__name__})"
        finally:
            attempt.callback.close()
        server.attempt = None
        self._report(name)
        if not server.reason:
            self._on_signed_in(name)

    def _show(self, name: str, attempt: _SignInAttempt, url: str, provider: BrowserSignIn) -> None:
        """Show the address if it may be opened."""
        if problem := authorize_problem(url):
            raise SignInError(f"{problem}; it is not shown, and nothing was opened")
        metadata = provider.context.oauth_metadata
        if metadata is not None:
            if "S256" not in (metadata.code_challenge_methods_supported or ()):
                raise SignInError("the authorisation server does not support PKCE with S256")
            if provider.bound and not same_issuer(str(metadata.issuer), provider.issuer):
                raise SignInError(f"the authorisation server is {metadata.issuer}, not {provider.issuer}")
        asked = parse_qs(urlsplit(url).query)
        attempt.state = asked.get("state", [""])[0]
        attempt.scopes = asked.get("scope", [""])[0]
        attempt.url = url
        attempt.until = time.time() + self._deadline
        self._report(name)

    async def _answered(self, attempt: _SignInAttempt) -> AuthorizationCodeResult:
        from mcp.shared.auth import AuthorizationCodeResult

        try:
            async with asyncio.timeout(self._deadline):
                redirect = await attempt.answer
        except TimeoutError:
            raise SignInError(f"no sign-in within {self._deadline / 60:g} minutes") from None
        if redirect.error:
            code = redirect.error if redirect.error.replace("_", "").isalnum() else "refused"
            raise SignInError(f"the sign-in was refused: {code[:40]}")
        return AuthorizationCodeResult(code=redirect.code, state=redirect.state, iss=redirect.iss)

    def _take(self, attempt: _SignInAttempt, url: str) -> None:
        redirect = read_redirect(url, attempt.state)
        if attempt.answer.done():
            raise RedirectMismatch("this sign-in has its answer already")
        attempt.answer.set_result(redirect)

    def _waiting(self, name: str) -> _SignInAttempt:
        server = self._servers.get(name)
        if server is None or server.attempt is None or not server.attempt.url:
            raise SignInRefused(f"no sign-in to {name} waits for a browser; begin one first")
        return server.attempt

    async def _end(self, server: _ServerSignIn) -> None:
        attempt, server.attempt = server.attempt, None
        if attempt is None or attempt.task is None:
            return
        attempt.task.cancel()
        await asyncio.gather(attempt.task, return_exceptions=True)
        attempt.callback.close()

    # --- what is shown --------------------------------------------------------------------------

    def _describe(self, name: str) -> SignInChanged:
        server = self._servers[name]
        account, attempt = server.account, server.attempt
        shown = SignInChanged(
            server=name,
            phase=_phase(account, attempt),
            scopes=safe_line(account.scopes(), limit=500),
            more=account.need is not None and account.need.step_up,
            reason=safe(server.reason, limit=600),
        )
        if attempt is None or not attempt.url:
            return shown
        return msgspec.structs.replace(
            shown,
            scopes=safe_line(attempt.scopes, limit=500),
            url=safe(attempt.url, limit=len(attempt.url) + 1),
            host=safe_line(urlsplit(attempt.url).netloc),
            redirect=safe_line(attempt.callback.uri),
            until=attempt.until,
            browser=browser.browser_available(),
        )

    def _report(self, name: str) -> None:
        server = self._servers.get(name)
        if server is None:
            return
        now = self._describe(name)
        if now != server.reported:
            server.reported = now
            notify(self._listener.server_changed, msgspec.structs.replace(now, ts=time.time()))


def _phase(account: Account, attempt: _SignInAttempt | None) -> SignInPhase:
    if attempt is not None:
        return "waiting" if attempt.url else "starting"
    if account.need is not None:
        return "needed"
    return "signed_in" if account.signed_in else "none"
