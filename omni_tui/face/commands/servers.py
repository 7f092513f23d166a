"""Commands about servers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from omni_tui.face.commands.values import ask_for_value
from omni_tui.face.messages import SelectServer, ShowServerLog
from omni_tui.face.shell import Shell, request, say_reply
from omni_tui.protocol.commands import ReconnectServer, RefreshServer, RemoveServer
from omni_tui.protocol.server_settings import DisableServer, EnableServer


def known(shell: Shell, server: str, action: str) -> bool:
    """Return whether a server of that name exists; without a name ask for one, else show which do."""
    servers = shell.overview.servers
    if server in servers:
        return True
    if not server and servers:
        ask_for_value(shell, action)
        return False
    what = f"There is no server {server}." if server else "There is nothing to choose from."
    shell.say(f"{what} The servers: {', '.join(servers) or 'none so far'}.", level="warning")
    return False


def _in_config(shell: Shell, server: str) -> bool:
    """Return whether a server is in the person's own config: then changes are saved there."""
    found = shell.overview.servers.get(server)
    return found is not None and found.source == "user"


def add(shell: Shell, _argument: str) -> None:
    """Open the form for a new server."""
    from omni_tui.face.screens.server_form import ServerFormScreen

    def added(server: str | None) -> None:
        if server:
            shell.post_message(SelectServer(server))

    shell.show(ServerFormScreen(""), added)


def find(shell: Shell, words: str) -> None:
    """Search the public registry for a server to add."""
    from omni_tui.face.screens.registry_search import RegistrySearchScreen

    def added(server: str | None) -> None:
        if server:
            shell.post_message(SelectServer(server))

    if not isinstance(shell.screen, RegistrySearchScreen):
        shell.show(RegistrySearchScreen(words), added)


def add_bundle(shell: Shell, path: str) -> None:
    """Look at a bundle and add its server."""
    if path:
        shell.in_background(_open_bundle(shell, path), "manage")
    else:
        ask_for_value(shell, "add_bundle")


async def _open_bundle(shell: Shell, path: str) -> None:
    from omni_tui.face.screens.registry_server import RegistryServerScreen
    from omni_tui.protocol.public_registry import OpenBundle, RegistryServerRead

    def added(server: str | None) -> None:
        if server:
            shell.post_message(SelectServer(server))

    reply = await request(shell, OpenBundle(path=path))
    if isinstance(reply, RegistryServerRead):
        shell.show(RegistryServerScreen(reply.info), added)


def edit(shell: Shell, server: str) -> None:
    """Open the form with a server's settings."""
    from omni_tui.face.screens.server_form import ServerFormScreen

    if known(shell, server, "edit_server"):
        shell.show(ServerFormScreen(server))


def enable(shell: Shell, server: str) -> None:
    """Enable a server, in the person's config too if it is there."""
    if known(shell, server, "enable_server"):
        _switch(shell, EnableServer(server=server, save=_in_config(shell, server)))


def disable(shell: Shell, server: str) -> None:
    """Disable a server, in the person's config too if it is there."""
    if known(shell, server, "disable_server"):
        _switch(shell, DisableServer(server=server, save=_in_config(shell, server)))


def _switch(shell: Shell, command: EnableServer | DisableServer) -> None:
    """Show the reply too: the server's row does not tell whether the file was written."""
    shell.in_background(say_reply(shell, command), "manage")


def restart(shell: Shell, server: str) -> None:
    """End a server and start it again."""
    if known(shell, server, "restart_server"):
        shell.port.send(ReconnectServer(server=server))


def remove(shell: Shell, server: str) -> None:
    """Ask whether to remove a server, as it is now."""
    if known(shell, server, "remove_server"):
        own, digest = _in_config(shell, server), shell.overview.servers[server].digest

        def answered(yes: bool | None) -> None:
            if yes:
                shell.port.send(RemoveServer(server=server, digest=digest, save=own))

        end = "removed from your config file." if own else "gone until the next start."
        detail = f"Its connection ends, and it is {end}"
        shell.confirm(f"Remove the server {server}?", detail, "remove it", answered)


def refresh(shell: Shell, server: str) -> None:
    """List tools, prompts and resources again, of one server or of all."""
    if not server or known(shell, server, "refresh"):
        for name in [server] if server else list(shell.overview.servers):
            shell.port.send(RefreshServer(server=name))


def show_log(shell: Shell, server: str) -> None:
    """Show what a server wrote on stderr."""
    if known(shell, server, "log"):
        shell.post_message(ShowServerLog(server))


def show_wire_log(shell: Shell, server: str) -> None:
    """Show the messages to and from a server."""
    from omni_tui.face.screens.wire import WireLogScreen

    if known(shell, server, "wire"):
        shell.show(WireLogScreen(server))


def browse(kind: Literal["prompts", "resources"]) -> Callable[[Shell, str], None]:
    """Return the command that browses the prompts or the resources of all servers."""

    def show(shell: Shell, query: str) -> None:
        from omni_tui.face.prompts_resources.browser import PromptResourceBrowser

        shell.show(PromptResourceBrowser(kind, query))

    return show


def import_file(shell: Shell, path: str) -> None:
    """Import servers from another program's file."""
    from omni_tui.face.screens.welcome import WelcomeScreen

    shell.show(WelcomeScreen("import", path))


def welcome(shell: Shell, _argument: str) -> None:
    """Open the first page."""
    from omni_tui.face.screens.welcome import WelcomeScreen

    shell.show(WelcomeScreen())
