"""The sign-ins of all servers: begun, finished, given up, ended; and what there is to show of them.

Nothing is opened, fetched or registered for a sign-in until the person asks for it. This module does
not load the SDK; what does is imported in a thread when the first server needs it.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
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
"""Seconds that a person has for the browser."""


class SignInRefused(Exception):
    """A command about a sign-in that cannot be carried out; the text says why."""


@dataclass(eq=False)
class _Attempt:
    """A sign-in under way."""

    callback: CallbackServer
    answer: asyncio.Future[Redirect]
    task: asyncio.Task[None] | None = None
    state: str = ""
    url: str = ""
    scopes: str = ""
    until: float | None = None


@dataclass(eq=False)
class _Seat:
    """What is known of one server's sign-in."""

    account: Account
    attempt: _Attempt | None = None
    reason: str = ""
    told: SignInChanged | None = None


class SignIns:
    """All sign-ins. The listener gets `SignInChanged`, `on_signed_in` the name of a server that signed in.

    Without a `store`, tokens are kept until the app ends. `loading` is held while the SDK is imported.
    """

    def __init__(
        self,
        store: SignInStore | None,
        listener: ServerListener,
        on_signed_in: Callable[[str], None],
        *,
        loading: asyncio.Lock | None = None,
        clock: Callable[[], float] = time.time,
        deadline: float = DEADLINE,
    ) -> None:
        self._store = store
        self._listener = listener
        self._on_signed_in = on_signed_in
        self._loading = loading or asyncio.Lock()
        self._clock = clock
        self._deadline = deadline
        self._seats: dict[str, _Seat] = {}

    async def bearer_auth(self, spec: ServerSpec) -> BearerAuth | None:
        """Return what puts tokens on the requests of a new connection, None for a server without OAuth."""
        if spec.oauth is None:
            return None
        account = (await self._seat(spec)).account
        from omni_tui.servers.auth.bearer_auth import BearerAuth

        return BearerAuth(account)

    async def begin(self, spec: ServerSpec) -> None:
        """Begin to sign in; returns when that is under way. Raises `SignInRefused`."""
        if spec.oauth is None:
            raise SignInRefused(f'{spec.name} does not sign in by OAuth; set auth = "oauth" for it')
        if spec.problem or not spec.allowed:
            raise SignInRefused(spec.problem or f"{spec.name} is not allowed yet")
        seat = await self._seat(spec)
        if seat.account.uses_client_credentials:
            raise SignInRefused(f"{spec.name} signs in by itself; reconnect it to have that done again")
        await self._end(seat)
        await seat.account.begin()
        answer: asyncio.Future[Redirect] = asyncio.get_running_loop().create_future()
        attempt = _Attempt(CallbackServer(lambda target: self._take(attempt, target)), answer)
        await self._listen(attempt, seat.account)
        seat.attempt, seat.reason = attempt, ""
        attempt.task = asyncio.create_task(
            self._run(spec.name, seat, attempt), name=f"sign-in to {spec.name}"
        )
        self._tell(spec.name)

    def finish(self, name: str, url: str) -> None:
        """Take the address that the browser was sent back to. Raises `SignInRefused`."""
        attempt = self._waiting(name)
        try:
            self._take(attempt, url[:16_384])
        except RedirectMismatch as refused:
            raise SignInRefused(str(refused)) from None

    async def cancel(self, name: str) -> None:
        """Give a sign-in up. Raises `SignInRefused` if none is under way."""
        seat = self._seats.get(name)
        if seat is None or seat.attempt is None:
            raise SignInRefused(f"no sign-in to {name} is under way")
        await self._end(seat)
        seat.reason = "given up"
        self._tell(name)

    async def open_page(self, name: str) -> None:
        """Open the address in a browser on this machine. Raises `SignInRefused`."""
        url = self._waiting(name).url
        if problem := await asyncio.to_thread(browser.open_page, url):
            raise SignInRefused(problem)

    async def sign_out(self, spec: ServerSpec) -> str:
        """Forget tokens and registration, have the tokens revoked if that can be; return what was done."""
        if spec.oauth is None:
            raise SignInRefused(f"{spec.name} does not sign in by OAuth")
        seat = await self._seat(spec)
        await self._end(seat)
        try:
            former = await seat.account.forget()
        except OSError as error:
            raise SignInRefused(
                f"it could not be removed from the disk: {error.strerror or error}"
            ) from None
        seat.reason = ""
        self._tell(spec.name)
        if not former.access_token and not former.refresh_token:
            return f"{spec.name} was not signed in"
        from omni_tui.servers.auth.oauth_clients import revoke_tokens

        told = await revoke_tokens(spec, former)
        end = (
            "its server was told"
            if told
            else "its server was not told, as it offers no way or did not answer"
        )
        return f"signed out of {spec.name}; {end}"

    async def remove(self, name: str) -> None:
        """Forget a server that is gone, until it comes back; what is stored stays."""
        seat = self._seats.pop(name, None)
        if seat is not None:
            await self._end(seat)

    async def close(self) -> None:
        """End every sign-in that is under way."""
        for seat in self._seats.values():
            await self._end(seat)

    def snapshot(self) -> list[SignInChanged]:
        """Return how far each sign-in is."""
        return [self._describe(name) for name in self._seats]

    # --- one sign-in ----------------------------------------------------------------------------

    async def _seat(self, spec: ServerSpec) -> _Seat:
        async with self._loading:
            await asyncio.to_thread(importlib.import_module, "omni_tui.servers.auth.bearer_auth")
        from omni_tui.servers.auth.account import Account

        seat = self._seats.get(spec.name)
        if seat is None or (seat.account.spec.url, seat.account.spec.oauth) != (spec.url, spec.oauth):
            if seat is not None:
                await self._end(seat)
            account = Account(spec, self._store, self._clock, lambda: self._tell(spec.name))
            seat = self._seats[spec.name] = _Seat(account)
        return seat

    async def _listen(self, attempt: _Attempt, account: Account) -> None:
        fixed = account.oauth.callback_port
        try:
            try:
                await attempt.callback.open(fixed or account.record.port)
            except OSError:
                if fixed:
                    raise
                await attempt.callback.open(0)  # the app registers again, with the new port
        except OSError as error:
            raise SignInRefused(
                f"nothing can listen on port {fixed} of 127.0.0.1: {error.strerror or error}"
            ) from None

    async def _run(self, name: str, seat: _Seat, attempt: _Attempt) -> None:
        try:
            await seat.account.sign_in_with_browser(
                attempt.callback.port,
                lambda url, provider: self._show(name, attempt, url, provider),
                lambda: asyncio.ensure_future(self._answered(attempt)),
            )
            seat.reason = ""
        except SignInError as failure:
            seat.reason = failure.what + (f". {failure.todo}" if failure.todo else "")
        except Exception as error:  # its text may hold what is secret
            _log.error("the sign-in to %s broke: %s", name, type(error).__name__)
            seat.reason = f"the sign-in broke ({type(error).__name__})"
        finally:
            attempt.callback.close()
        seat.attempt = None
        self._tell(name)
        if not seat.reason:
            self._on_signed_in(name)

    def _show(self, name: str, attempt: _Attempt, url: str, provider: BrowserSignIn) -> None:
        """Show the address, if it is one that may be opened."""
        if problem := authorize_problem(url):
            raise SignInError(f"{problem}; it is not shown, and nothing was opened")
        metadata = provider.context.oauth_metadata
        if metadata is not None:
            if "S256" not in (metadata.code_challenge_methods_supported or ()):
                raise SignInError(
                    "the authorisation server does not protect sign-ins of this kind (PKCE, S256)"
                )
            if provider.bound and not same_issuer(str(metadata.issuer), provider.issuer):
                raise SignInError(f"the authorisation server is {metadata.issuer}, not {provider.issuer}")
        asked = parse_qs(urlsplit(url).query)
        attempt.state = asked.get("state", [""])[0]
        attempt.scopes = asked.get("scope", [""])[0]
        attempt.url = url
        attempt.until = time.time() + self._deadline
        self._tell(name)

    async def _answered(self, attempt: _Attempt) -> AuthorizationCodeResult:
        from mcp.shared.auth import AuthorizationCodeResult

        try:
            async with asyncio.timeout(self._deadline):
                redirect = await attempt.answer
        except TimeoutError:
            raise SignInError(f"nobody signed in within {self._deadline / 60:g} minutes") from None
        if redirect.error:
            code = redirect.error if redirect.error.replace("_", "").isalnum() else "refused"
            raise SignInError(f"the sign-in was refused: {code[:40]}")
        return AuthorizationCodeResult(code=redirect.code, state=redirect.state, iss=redirect.iss)

    def _take(self, attempt: _Attempt, url: str) -> None:
        redirect = read_redirect(url, attempt.state)
        if attempt.answer.done():
            raise RedirectMismatch("this sign-in has its answer already")
        attempt.answer.set_result(redirect)

    def _waiting(self, name: str) -> _Attempt:
        seat = self._seats.get(name)
        if seat is None or seat.attempt is None or not seat.attempt.url:
            raise SignInRefused(f"no sign-in to {name} waits for a browser; begin one first")
        return seat.attempt

    async def _end(self, seat: _Seat) -> None:
        attempt, seat.attempt = seat.attempt, None
        if attempt is None or attempt.task is None:
            return
        attempt.task.cancel()
        await asyncio.gather(attempt.task, return_exceptions=True)
        attempt.callback.close()

    # --- what there is to show ------------------------------------------------------------------

    def _describe(self, name: str) -> SignInChanged:
        seat = self._seats[name]
        account, attempt = seat.account, seat.attempt
        said = SignInChanged(
            server=name,
            phase=_phase(account, attempt),
            scopes=safe_line(account.scopes(), limit=500),
            more=account.need is not None and account.need.step_up,
            reason=safe(seat.reason, limit=600),
        )
        if attempt is None or not attempt.url:
            return said
        return msgspec.structs.replace(
            said,
            scopes=safe_line(attempt.scopes, limit=500),
            url=safe(attempt.url, limit=len(attempt.url) + 1),
            host=safe_line(urlsplit(attempt.url).netloc),
            redirect=safe_line(attempt.callback.uri),
            until=attempt.until,
            browser=browser.browser_available(),
        )

    def _tell(self, name: str) -> None:
        seat = self._seats.get(name)
        if seat is None:
            return
        now = self._describe(name)
        if now != seat.told:
            seat.told = now
            notify(self._listener.server_changed, msgspec.structs.replace(now, ts=time.time()))


def _phase(account: Account, attempt: _Attempt | None) -> SignInPhase:
    if attempt is not None:
        return "waiting" if attempt.url else "starting"
    if account.need is not None:
        return "needed"
    return "signed_in" if account.signed_in else "none"
