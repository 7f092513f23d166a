"""Commands about signing in to servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omni_tui.config.spec import ServerSpec
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.signin import CancelSignIn, FinishSignIn, OpenSignInPage, SignIn, SignOut
from omni_tui.security.text import safe
from omni_tui.servers.auth import SignInRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class SignInHandlers(Handlers):
    """Beginning, finishing, giving up, ending."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        handlers: dict[type, Callable[[Any], Awaitable[str]]] = {
            SignIn: self._begin,
            FinishSignIn: self._finish,
            CancelSignIn: self._cancel,
            OpenSignInPage: self._open,
            SignOut: self._sign_out,
        }
        return {kind: self._answering(handler) for kind, handler in handlers.items()}

    def _answering(self, handler: Callable[[Any], Awaitable[str]]) -> Callable[[Any], Awaitable[AnyEvent]]:
        async def answer(command: Any) -> AnyEvent:
            self._context.connection(command.server)
            try:
                return CommandDone(text=safe(await handler(command)))
            except SignInRefused as error:
                raise UserError(str(error)) from None

        return answer

    def _spec(self, name: str) -> ServerSpec:
        return self._context.registry.get(name).spec

    async def _begin(self, command: SignIn) -> str:
        if self._client.headless:
            raise SignInRefused("nobody is there to sign in; do it in the app, then run this again")
        await self._context.registry.sign_ins.begin(self._spec(command.server))
        return ""

    async def _finish(self, command: FinishSignIn) -> str:
        self._context.registry.sign_ins.finish(command.server, command.url)
        return ""

    async def _cancel(self, command: CancelSignIn) -> str:
        await self._context.registry.sign_ins.cancel(command.server)
        return "the sign-in was given up"

    async def _open(self, command: OpenSignInPage) -> str:
        await self._context.registry.sign_ins.open_page(command.server)
        return "opened in your browser"

    async def _sign_out(self, command: SignOut) -> str:
        return await self._context.registry.sign_out(command.server)
