"""Plugins as an installer leaves them: a module and the folder with its metadata, in a folder of a test."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path

HEAD = """
from omni_tui.plugins.api import (
    PluginInfo, PluginMemory, PluginModel, PluginTheme, PluginToolServer, PluginTransport, hookimpl,
)

PLUGIN = PluginInfo(api=1, summary="Made for a test", permissions=frozenset({permissions}))
"""
THEME = """
@hookimpl
def omni_themes():
    return [PluginTheme(name="{name}", toml='primary = "#7aa2f7"')]
"""
DICE = '''
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

def make():
    server = MCPServer("dice")

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    def roll(sides: int) -> int:
        """Roll a die."""
        return sides

    return server

@hookimpl
def omni_tool_servers():
    return [PluginToolServer(name="dice", make=make)]
'''
ECHO = """
from omni_tui.models.base import Message, Reply, TextPart
from omni_tui.protocol.events import Usage

class Echo:
    label = ""
    name = "echo"

    def __init__(self, settings):
        self.settings = settings

    def context_window(self):
        return 4_000

    def count(self, request):
        return 7

    async def stream(self, request):
        {before}
        yield TextPart("you said ")
        said = request.messages[-1].text
        yield TextPart(said)
        yield Reply(Message("assistant", "you said " + said), "stop", Usage(input=1, output=2, cost=0.0))

@hookimpl
def omni_models():
    return [PluginModel(name="echo", label="repeats what you say", make=Echo)]
"""

MEMORY = """
import os, pathlib

class Store:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def put(self, session, data):
        {put}
        (self.folder / session).write_bytes(data)

    def get(self, session):
        try:
            return (self.folder / session).read_bytes()
        except FileNotFoundError:
            raise KeyError(session)

    def sessions(self):
        return os.listdir(self.folder)

@hookimpl
def omni_memory():
    return [PluginMemory(name="copies", open=Store)]
"""

_numbers = itertools.count(1)


class PluginFolder:
    """A folder to put on the module search path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        source: str,
        *,
        head: str = HEAD,
        permissions: tuple[str, ...] = (),
        version: str = "1.0",
        package: str = "",
        module: str = "",
    ) -> Path:
        """Install a plugin; return its module's file. No two have the same module."""
        module = module or f"made_plugin_{next(_numbers)}"
        file = self.folder / f"{module}.py"
        file.write_text(head.replace("{permissions}", repr(list(permissions))) + textwrap.dedent(source))
        package = package or name.replace("-", "_")
        for former in self.folder.glob(f"{package}-*.dist-info"):
            (former / "entry_points.txt").unlink()
            former.rmdir()
        self.metadata(package, f"[omni_tui.plugins]\n{name} = {module}\n", version)
        return file

    def metadata(self, package: str, entry_points: str | bytes, version: str = "1.0") -> None:
        """Write the entry points of a package."""
        place = self.folder / f"{package}-{version}.dist-info"
        place.mkdir()
        data = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (place / "entry_points.txt").write_bytes(data)
