"""What servers offer besides tools: prompts, resources, resource templates, and what is done with them.

Names and addresses without "safe" in their type are exact: they are sent back to the server and
never drawn. Each has a `label` beside it that may be.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply, Event
from omni_tui.protocol.text import JsonText, SafeText

MAX_ATTACHMENTS = 8
"""Resources that may go with one message."""

# --- values -----------------------------------------------------------------------------------


class PromptArgument(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a prompt; all are texts."""

    name: str
    label: SafeText
    description: SafeText = SafeText("")
    required: bool = False


class PromptSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as its server listed it."""

    server: str
    name: str
    label: SafeText
    title: SafeText = SafeText("")
    description: SafeText = SafeText("")
    arguments: tuple[PromptArgument, ...] = ()


class ResourceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A resource as its server listed it. `size` is in bytes, None if the server does not say."""

    server: str
    uri: str
    label: SafeText
    address: SafeText
    title: SafeText = SafeText("")
    description: SafeText = SafeText("")
    mime: SafeText = SafeText("")
    size: int | None = None


class TemplateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A resource template (RFC 6570) as its server listed it, with the variables to fill in."""

    server: str
    uri_template: str
    label: SafeText
    address: SafeText
    title: SafeText = SafeText("")
    description: SafeText = SafeText("")
    mime: SafeText = SafeText("")
    variables: tuple[str, ...] = ()


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that is to be read when the message is sent."""

    server: str
    uri: str


class AttachedResource(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that was read for a message. `size` is its whole content in characters (or bytes)."""

    server: SafeText
    label: SafeText
    address: SafeText
    size: int = 0
    truncated: bool = False


class ReadPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a resource that was read. `size` is in bytes."""

    index: int
    kind: Literal["text", "blob"]
    address: SafeText = SafeText("")
    mime: SafeText = SafeText("")
    size: int = 0


# --- events -----------------------------------------------------------------------------------


class PromptsAndResourcesListed(Event, frozen=True, tag="offers_listed"):
    """One page of a server's offers. A new `generation` replaces the former lists once `last` is seen."""

    public: ClassVar[bool] = False

    server: str
    generation: int
    last: bool
    prompts: tuple[PromptSummary, ...] = ()
    resources: tuple[ResourceSummary, ...] = ()
    templates: tuple[TemplateSummary, ...] = ()
    subscribable: bool = False
    completes: bool = False


class SubscriptionsChanged(Event, frozen=True):
    """The resources of a server whose changes are followed; the whole list, by address."""

    public: ClassVar[bool] = False

    server: str
    uris: tuple[str, ...]


class ResourceUpdated(Event, frozen=True):
    """A resource that is followed has changed at its server."""

    public: ClassVar[bool] = False

    server: str
    uri: str
    label: SafeText


# --- commands ---------------------------------------------------------------------------------


class GetPrompt(Command, frozen=True):
    """Ask for a prompt's text with these arguments (an object of strings); answered by `PromptText`."""

    server: str
    name: str
    arguments_json: JsonText = JsonText("{}")


class OpenResource(Command, frozen=True):
    """Read a resource, or with `template` the one that its variables name; answered by `ResourceOpened`.

    What was read is kept by the engine for a while, whole, under the `id` of the answer.
    """

    server: str
    uri: str
    template: bool = False
    variables_json: JsonText = JsonText("{}")


class ReadResourcePart(Command, frozen=True):
    """Ask for a `TextPage` of one part of an opened resource (offset and limit in characters)."""

    id: str
    part: int = 0
    offset: int = 0
    limit: int = 60_000


class SaveResourcePart(Command, frozen=True):
    """Write one part of an opened resource, as it came, to a file; answered by `FileSaved`."""

    id: str
    path: str
    part: int = 0
    overwrite: bool = False


class SubscribeResource(Command, frozen=True, tag="follow_resource"):
    """Be told when a resource changes, or (`on` false) no more."""

    server: str
    uri: str
    on: bool = True


class CompleteArgument(Command, frozen=True):
    """Ask a server how an argument may go on; answered by `Completions`.

    `ref` is a prompt's name or a template; `others_json` what has been filled in so far.
    """

    server: str
    kind: Literal["prompt", "template"]
    ref: str
    argument: str
    value: str
    others_json: JsonText = JsonText("{}")


# --- replies ----------------------------------------------------------------------------------


class PromptText(CommandReply, frozen=True):
    """A prompt's messages as one text, the server's words. `size` counts characters of the whole."""

    server: str
    name: str
    text: SafeText
    description: SafeText = SafeText("")
    messages: int = 1
    size: int = 0
    truncated: bool = False


class ResourceOpened(CommandReply, frozen=True):
    """A resource was read. Its parts are fetched with `ReadResourcePart`."""

    id: str
    server: str
    uri: str
    address: SafeText
    parts: tuple[ReadPart, ...]


class Completions(CommandReply, frozen=True):
    """Values that an argument may have, as the server suggests them; `more` counts those not here."""

    values: tuple[SafeText, ...]
    more: int = 0
