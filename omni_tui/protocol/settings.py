"""The settings of the config file: listed for a screen, and changed one at a time."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import JsonText, SafeText

SettingKind = Literal["text", "number", "whole", "switch", "choice", "json"]


class ReadSettings(Command, frozen=True):
    """Ask for `SettingsRead`."""


class WriteSetting(Command, frozen=True):
    """Write one setting to the person's config file; an empty `value_json` takes it out.

    It is checked first; a mistake changes nothing. What can count at once does.
    """

    name: str
    value_json: JsonText = JsonText("")


class SettingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `value_json` is what counts now, `file_json` what the person's file says ("" nothing).

    `layer` and `where` tell where the value comes from. `live`: whether a change counts at once. `waits`:
    the file has another value, which counts from the next start. `choices` are those of a choice; a value
    may be null if `optional`. `limits` says in words what a number may be.
    """

    name: str
    kind: SettingKind
    description: SafeText
    value_json: JsonText
    default_json: JsonText
    file_json: JsonText = JsonText("")
    layer: str = "default"
    where: SafeText = SafeText("")
    live: bool = False
    waits: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()
    limits: SafeText = SafeText("")


class SettingsRead(CommandReply, frozen=True):
    """Every setting, in the order of the file's sections. `file` is the person's config file.

    `fixed` says why nothing can be changed, "" if it can.
    """

    settings: tuple[SettingInfo, ...]
    file: SafeText
    fixed: SafeText = SafeText("")
