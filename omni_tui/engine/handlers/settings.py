"""Commands about the settings of the config file."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError

from omni_tui.config.config_file import ConfigEditError, set_settings
from omni_tui.config.layers import read_layer
from omni_tui.config.load import LoadedConfig
from omni_tui.config.origins import origin_of
from omni_tui.config.problems import explain
from omni_tui.config.schema import Setting
from omni_tui.config.schema import settings as every_setting
from omni_tui.config.sections import Config
from omni_tui.engine.config_in_force import change_notice
from omni_tui.engine.handlers.base import Handlers
from omni_tui.protocol import AnyEvent, JsonText, UserError
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.settings import ReadSettings, SettingInfo, SettingKind, SettingsRead, WriteSetting
from omni_tui.security.text import exact_json, safe, safe_line


class SettingsHandlers(Handlers):
    """Lists the settings and changes them in the person's config file."""

    async def _read(self, command: ReadSettings) -> AnyEvent:
        loaded = self._context.loaded
        written = await self._in_pool(_written, loaded.paths.config_file)
        infos = tuple(
            _info(each, loaded, written, self._context.config.pending) for each in every_setting()
        )
        return SettingsRead(
            settings=infos,
            file=safe_line(str(loaded.paths.config_file), limit=400),
            fixed=safe_line(self._fixed()),
        )

    def _fixed(self) -> str:
        return "the demo leaves your config file alone" if self._context.options.demo else ""

    async def _write(self, command: WriteSetting) -> AnyEvent:
        self._check_person()
        if why := self._fixed():
            raise UserError(why)
        setting = next((each for each in every_setting() if each.name == command.name), None)
        if setting is None:
            raise UserError(f"there is no setting {command.name}")
        path = (setting.section, *setting.key.split("."))
        value = _parsed(command.value_json) if command.value_json else None
        if value is not None and (mistake := _mistake(path, value)):
            raise UserError(mistake)
        file = self._context.loaded.paths.config_file
        async with self._context.unsaved.lock:
            try:
                await self._in_pool(set_settings, file, {path: value})
            except ConfigEditError as error:
                raise UserError(str(error)) from None
        change = await self._context.config.reload(self._context, self._engine.servers)
        if change.mistake is not None and (notice := change_notice(change, self._context.loaded)):
            raise UserError(f"written to {file}, but {notice.what}: {notice.why}")
        return CommandDone(text=safe(self._told(setting, value, file)))

    def _told(self, setting: Setting, value: Any, file: Path) -> str:
        words = f"{setting.name} " + (
            "is at its default again" if value is None else f"is written to {file}"
        )
        layer, where = origin_of(self._context.loaded, (setting.section, setting.key.partition(".")[0]))
        if layer not in ("user", "default"):
            return f"{words}; in this run {where} goes before it"
        return words + (
            "; it counts now" if setting.applies == "live" else "; it counts from the next start"
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("the value is not JSON: text needs quotes, a list square brackets") from None


def _mistake(path: tuple[str, ...], value: Any) -> str:
    """Return what is wrong with a value, in the words of `config check`; "" if nothing."""
    document: Any = value
    for key in reversed(path):
        document = {key: document}
    try:
        Config.model_validate(document)
    except ValidationError as error:
        found = explain(error, Path("settings"), "")
        return " · ".join(filter(None, (found[0][1].what, found[0][1].todo))) if found else "it is wrong"
    return ""


def _written(file: Path) -> Mapping[str, Any]:
    return read_layer(file, required=False).values


def _info(
    setting: Setting, loaded: LoadedConfig, written: Mapping[str, Any], pending: tuple[str, ...]
) -> SettingInfo:
    path = (setting.section, *setting.key.split("."))
    value: Any = loaded.config
    for key in path:
        value = getattr(value, key)
    in_file: Any = written
    for key in path:
        in_file = in_file.get(key) if isinstance(in_file, Mapping) else None
    kind, choices, optional = _shape(setting.field.annotation)
    default = setting.field.get_default(call_default_factory=True)
    top = f"{path[0]}.{path[1]}"
    layer, where = origin_of(loaded, path[:2])
    # A table inside a section comes from one place as a whole; a key that it lacks is at its default.
    if len(path) > 2 and in_file is None and layer == "user":
        layer, where = "default", ""
    return SettingInfo(
        name=setting.name,
        kind=kind,
        description=safe_line(setting.description, limit=300),
        value_json=_json(value),
        default_json=_json(default),
        file_json=_json(in_file) if in_file is not None else JsonText(""),
        layer=layer,
        where=safe_line(where, limit=300),
        live=setting.applies == "live",
        waits=top in pending and in_file is not None and in_file != _plain(value),
        optional=optional,
        choices=choices,
        limits=safe_line(", ".join(_limits(setting))),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _json(value: Any) -> JsonText:
    return exact_json(_plain(value))


def _shape(annotation: Any) -> tuple[SettingKind, tuple[str, ...], bool]:
    """Return the kind of a field, its choices, and whether it may be null."""
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [each for each in get_args(annotation) if each is not type(None)]
        optional = len(parts) < len(get_args(annotation))
        annotation = parts[0] if len(parts) == 1 else str
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return "choice", tuple(map(str, get_args(annotation))), optional
    kinds: dict[Any, SettingKind] = {str: "text", float: "number", int: "whole", bool: "switch"}
    return kinds.get(annotation, "json"), (), optional


def _limits(setting: Setting) -> Iterator[str]:
    for each in setting.field.metadata:
        if isinstance(each, annotated_types.Ge):
            yield f"at least {each.ge}"
        elif isinstance(each, annotated_types.Gt):
            yield f"more than {each.gt}"
        elif isinstance(each, annotated_types.Le):
            yield f"at most {each.le}"
