"""The protocol between face and engine: typed commands, typed events, one codec."""

from omni_tui.protocol.codec import (
    MAX_FRAME,
    ProtocolError,
    decode_command,
    decode_event,
    encode,
    encode_record,
)
from omni_tui.protocol.commands import AnyCommand, Command, Mode
from omni_tui.protocol.errors import UserError
from omni_tui.protocol.events import AnyEvent, CommandReply, Event, Journalled
from omni_tui.protocol.launch_options import LaunchOptions
from omni_tui.protocol.link import Link, LinkClosed
from omni_tui.protocol.text import JsonText, SafeText

__all__ = [
    "MAX_FRAME",
    "AnyCommand",
    "AnyEvent",
    "Command",
    "CommandReply",
    "Event",
    "Journalled",
    "JsonText",
    "LaunchOptions",
    "Link",
    "LinkClosed",
    "Mode",
    "ProtocolError",
    "SafeText",
    "UserError",
    "decode_command",
    "decode_event",
    "encode",
    "encode_record",
]
