"""The codec of all links: a command or an event is one JSON object on one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import msgspec

from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import AnyEvent

_T = TypeVar("_T")

MAX_FRAME = 256 * 1024
"""The longest frame in bytes, with its newline. A longer one is a protocol error."""

_encoder = msgspec.json.Encoder()


# A decoder of so many types takes milliseconds to make: it is made for the first message.


@cache
def _commands() -> Callable[[bytes], AnyCommand]:
    return msgspec.json.Decoder(AnyCommand).decode


@cache
def _events() -> Callable[[bytes], AnyEvent]:
    return msgspec.json.Decoder(AnyEvent).decode


class ProtocolError(Exception):
    """A frame is too long, not JSON, or not a known command or event."""


def encode(message: AnyCommand | AnyEvent) -> bytes:
    """Return the frame of a message, with its newline. Raises `ProtocolError` if it is too long."""
    frame = _encoder.encode(message) + b"\n"
    if len(frame) > MAX_FRAME:
        raise ProtocolError(f"{type(message).__name__} takes {len(frame)} bytes; a frame holds {MAX_FRAME}")
    return frame


def encode_record(message: AnyEvent) -> bytes:
    """Return an event as JSON for the journal, without the length limit of a frame."""
    return _encoder.encode(message)


def decode_command(frame: bytes) -> AnyCommand:
    """Decode one command. Raises `ProtocolError`."""
    return _decode(_commands(), frame)


def decode_event(frame: bytes) -> AnyEvent:
    """Decode one event. Raises `ProtocolError`."""
    return _decode(_events(), frame)


def _decode(decoder: Callable[[bytes], _T], frame: bytes) -> _T:
    try:
        return decoder(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message of this protocol: {error}") from error
