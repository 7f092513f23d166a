"""One codec for every carrier: a command or an event is one JSON object on one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import msgspec

from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import AnyEvent

_T = TypeVar("_T")

MAX_FRAME = 256 * 1024
"""Longest frame in bytes, newline included. A longer one is a protocol error."""

_encoder = msgspec.json.Encoder()


# A decoder of so many types takes milliseconds to make: it is made when the first message comes.


@cache
def _commands() -> Callable[[bytes], AnyCommand]:
    return msgspec.json.Decoder(AnyCommand).decode


@cache
def _events() -> Callable[[bytes], AnyEvent]:
    return msgspec.json.Decoder(AnyEvent).decode


class ProtocolError(Exception):
    """A frame that is too long, is not JSON, or is no command or event that is known here."""


def encode(message: AnyCommand | AnyEvent) -> bytes:
    """Return the frame of a message, newline included.

    Raises `ProtocolError` if it would be longer than `MAX_FRAME`.
    """
    frame = _encoder.encode(message) + b"\n"
    if len(frame) > MAX_FRAME:
        raise ProtocolError(f"{type(message).__name__} takes {len(frame)} bytes; a frame holds {MAX_FRAME}")
    return frame


def encode_record(message: AnyEvent) -> bytes:
    """Return an event as JSON without the frame's length limit: for the journal."""
    return _encoder.encode(message)


def decode_command(frame: bytes) -> AnyCommand:
    """Read one command. Raises `ProtocolError`."""
    return _decode(_commands(), frame)


def decode_event(frame: bytes) -> AnyEvent:
    """Read one event. Raises `ProtocolError`."""
    return _decode(_events(), frame)


def _decode(decoder: Callable[[bytes], _T], frame: bytes) -> _T:
    try:
        return decoder(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not a message of this protocol: {error}") from error
