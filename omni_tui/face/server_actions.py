"""What a person does about servers at run time: edit, switch, restart, look at the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.input_order import OrderedInputApp
from omni_tui.face.messages import SelectServer
from omni_tui.protocol.commands import ReconnectServer
from omni_tui.protocol.server_settings import DisableServer, EnableServer

if TYPE_CHECKING:
    from omni_tui.face.overview import Overview
    from omni_tui.face.port import Port

actions.add(
    Action("edit_server", "", "app", "Change a server's settings", "", "edit", "SERVER"),
    Action("enable_server", "", "app", "Switch a server on, in your config too", "", "enable", "SERVER"),
    Action("disable_server", "", "app", "Switch a server off, in your config too", "", "disable", "SERVER"),
    Action("restart_server", "", "app", "End a server and start it again", "", "restart", "SERVER"),
    Action("wire", "", "app", "Look at what goes over a server's wire", "", "wire", "SERVER"),
    Action("server_edit", "e", "servers", "Change this server's settings", "edit", palette=False),
    Action(
        "server_switch", "x", "servers", "Switch this server off or on, in your config too", palette=False
    ),
    Action("server_restart", "R", "servers", "End this server and start it again", palette=False),
    Action("server_wire", "w", "servers", "Look at what goes over this server's wire", palette=False),
)


class ServerActions(OrderedInputApp):
    """The `action_*` methods about one server by name."""

    port: Port
    overview: Overview

    def _known(self, server: str, command: str) -> bool:
        """Whether there is that server; says so if not."""
        if server in self.overview.servers:
            return True
        self._no_server(server, command)
        return False

    def _no_server(self, server: str, command: str) -> None:
        raise NotImplementedError

    def _in_config(self, server: str) -> bool:
        return self.overview.servers[server].source == "user"

    def action_add_server(self) -> None:
        """Open the form for a new server."""
        from omni_tui.face.screens.server_form import ServerFormScreen

        def added(server: str | None) -> None:
            if server:
                self.post_message(SelectServer(server))

        self.push_screen(ServerFormScreen(""), added)

    def action_edit_server(self, server: str = "") -> None:
        """Open the form with a server's settings."""
        from omni_tui.face.screens.server_form import ServerFormScreen

        if self._known(server, "edit"):
            self.push_screen(ServerFormScreen(server))

    def action_enable_server(self, server: str = "") -> None:
        """Switch a server on; one of the person's config also there."""
        if self._known(server, "enable"):
            self._send(EnableServer(server=server, save=self._in_config(server)))

    def action_disable_server(self, server: str = "") -> None:
        """Switch a server off; one of the person's config also there."""
        if self._known(server, "disable"):
            self._send(DisableServer(server=server, save=self._in_config(server)))

    def action_restart_server(self, server: str = "") -> None:
        """End a server and start it again."""
        if self._known(server, "restart"):
            self.port.send(ReconnectServer(server=server))

    def action_wire(self, server: str = "") -> None:
        """Open the wire log of a server."""
        from omni_tui.face.screens.wire import WireLogScreen

        if self._known(server, "wire"):
            self.push_screen(WireLogScreen(server))

    def _send(self, command: EnableServer | DisableServer) -> None:
        """Ask, and say what came of it: the row alone does not tell whether the file was written."""
        self.run_worker(self._told(command), group="manage", exit_on_error=False)

    async def _told(self, command: EnableServer | DisableServer) -> None:
        from omni_tui.face.results.errors import REQUEST_ERRORS, error_text

        try:
            reply = await self.port.ask(command)
        except REQUEST_ERRORS as error:
            self._tell(error_text(error), "error")
        else:
            self._tell(cast("str", getattr(reply, "text", "")), "information")

    def _tell(self, words: str, level: str) -> None:
        raise NotImplementedError
