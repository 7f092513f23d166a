"""Commands about prompts and resources: get, read, save, subscribe, complete."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from omni_tui.engine.clients import Client
from omni_tui.engine.context import EngineContext
from omni_tui.engine.core import Engine
from omni_tui.engine.files import write_new_file
from omni_tui.engine.handlers.base import Handlers, text_page
from omni_tui.models.attachments import MOST, QuotedResource, image_from
from omni_tui.models.base import Image
from omni_tui.protocol import AnyEvent, SafeText, UserError
from omni_tui.protocol import prompts_and_resources as o
from omni_tui.protocol.events import CommandDone, FileSaved
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import count_hidden, safe, safe_line
from omni_tui.servers import PromptMessages, PromptResourceError, ResourceContent
from omni_tui.servers.uri_template import BadTemplate, expand

if TYPE_CHECKING:
    from omni_tui.servers.prompt_resource_client import PromptResourceClient
    from omni_tui.servers.subscriptions import ResourceSubscriptions

PROMPT_SHOWN = 40_000
"""Characters of a prompt's text that a client gets; a longer one is cut, and says so."""
TIMEOUT = 20.0
COMPLETE_TIMEOUT = 4.0
KEPT_BYTES = 64 * 1024 * 1024
_VALUE = 500


@dataclass(slots=True)
class _OpenedResource:
    """A resource that was read, with the safe text of the parts that were shown."""

    parts: tuple[ResourceContent, ...]
    texts: dict[int, SafeText] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class PromptResourceHandlers(Handlers):
    """Gets prompts, reads and subscribes to resources, completes arguments."""

    def __init__(self, engine: Engine, client: Client) -> None:
        super().__init__(engine, client)
        self._opened: OrderedDict[str, _OpenedResource] = OrderedDict()

    async def _prompt(self, command: o.GetPrompt) -> AnyEvent:
        client, _ = client_and_subscriptions(self._context, command.server)
        arguments = _strings(command.arguments_json)
        with errors_of(command.server):
            reply = await client.get_prompt(command.name, arguments, TIMEOUT)
        text = prompt_text(reply)
        shown = safe(text, limit=PROMPT_SHOWN)
        self._context.prompt_texts.note_prompt(command.server, shown, arguments.values())
        return o.PromptText(
            server=command.server,
            name=command.name,
            text=shown,
            description=safe_line(reply.description, limit=300, joined=True),
            messages=len(reply.messages),
            size=len(text),
            truncated=len(text) > PROMPT_SHOWN,
        )

    async def _open(self, command: o.OpenResource) -> AnyEvent:
        client, _ = client_and_subscriptions(self._context, command.server)
        with errors_of(command.server):
            uri = command.uri
            if command.template:
                uri = _expand(uri, _strings(command.variables_json))
            parts = await client.read(uri, TIMEOUT)
        ident = "r-" + uuid.uuid4().hex[:12]
        self._keep(ident, parts)
        return o.ResourceOpened(
            id=ident,
            server=command.server,
            uri=uri,
            address=safe_line(uri, limit=500),
            parts=tuple(
                o.ReadPart(
                    index=index,
                    kind="text" if part.blob is None else "blob",
                    address=safe_line(part.uri, limit=300),
                    mime=safe_line(part.mime, limit=100),
                    size=part.size,
                )
                for index, part in enumerate(parts)
            ),
        )

    def _keep(self, ident: str, parts: tuple[ResourceContent, ...]) -> None:
        self._opened[ident] = _OpenedResource(parts)
        while len(self._opened) > 1 and sum(one.size for one in self._opened.values()) > KEPT_BYTES:
            self._opened.popitem(last=False)

    def _part(self, ident: str, part: int) -> tuple[_OpenedResource, ResourceContent]:
        opened = self._opened.get(ident)
        if opened is None:
            raise UserError("this resource is no longer kept; read it again")
        if not 0 <= part < len(opened.parts):
            raise UserError("the resource has no such part")
        self._opened.move_to_end(ident)
        return opened, opened.parts[part]

    async def content(self, ident: str, part: int) -> tuple[bytes, str]:
        """Return the bytes of one part of a resource that was read, and the media type its server gives."""
        _, found = self._part(ident, part)
        return _bytes(found), found.mime

    async def _page(self, command: o.ReadResourcePart) -> AnyEvent:
        opened, part = self._part(command.id, command.part)
        if command.part not in opened.texts:
            opened.texts[command.part] = await self._in_pool(_shown, part)
        text = opened.texts[command.part]
        return text_page(
            command.id, command.part, command.offset, command.limit, text, "resource", part.mime
        )

    async def _save(self, command: o.SaveResourcePart) -> AnyEvent:
        data, mime = await self.content(command.id, command.part)
        path, size = await self._in_pool(
            write_new_file, command.path, data, mime, stem="resource", overwrite=command.overwrite
        )
        return FileSaved(path=path, size=size)

    async def _subscribe(self, command: o.SubscribeResource) -> AnyEvent:
        _, subscriptions = client_and_subscriptions(self._context, command.server)
        try:
            with errors_of(command.server):
                await subscriptions.change(command.uri, command.on, TIMEOUT)
        finally:
            self._context.clients.tell(subscriptions_event(self._context, command.server))
        return CommandDone()

    async def _complete(self, command: o.CompleteArgument) -> AnyEvent:
        import mcp_types as types

        client, _ = client_and_subscriptions(self._context, command.server)
        ref: types.PromptReference | types.ResourceTemplateReference
        if command.kind == "prompt":
            ref = types.PromptReference(name=command.ref)
        else:
            ref = types.ResourceTemplateReference(uri=command.ref)
        others = _strings(command.others_json)
        others.pop(command.argument, None)
        with errors_of(command.server):
            values, more = await client.complete(
                ref, command.argument, command.value, others, COMPLETE_TIMEOUT
            )
        # A value that cannot be shown exactly cannot be chosen by its looks.
        kept = [
            one
            for one in values
            if one and len(one) <= _VALUE and not count_hidden(one) and "\n" not in one
        ]
        shown = tuple(safe_line(one, limit=_VALUE, joined=True) for one in kept)
        return o.Completions(values=shown, more=more + len(values) - len(kept))


def client_and_subscriptions(
    context: EngineContext, server: str
) -> tuple[PromptResourceClient, ResourceSubscriptions]:
    """Return a server's prompts and resources. Raises `UserError` if it is unknown or not connected."""
    connection = context.connection(server)
    with errors_of(server):
        return connection.prompts_and_resources()


@contextlib.contextmanager
def errors_of(server: str) -> Iterator[None]:
    """Turn the error of a failed request into one for the person."""
    try:
        yield
    except PromptResourceError as error:
        todo = f" · {error.todo}" if error.todo else ""
        raise UserError(f"{server}: {error.what}{todo}") from None


def subscriptions_event(context: EngineContext, server: str) -> o.SubscriptionsChanged:
    """Return the event with the subscribed resources of a server."""
    return o.SubscriptionsChanged(server=server, uris=context.registry.get(server).subscribed)


def prompt_text(reply: PromptMessages) -> str:
    """Return a prompt's messages as one text, with their roles unless all are the user's."""
    messages = reply.messages
    if all(role == "user" for role, _ in messages):
        return "\n\n".join(text for _, text in messages)
    return "\n\n".join(f"{role}: {text}" for role, text in messages)


# --- attachments --------------------------------------------------------------------------------


async def read_attachments(
    context: EngineContext, wanted: Sequence[o.Attachment], limit: int
) -> tuple[list[QuotedResource], tuple[o.AttachedResource, ...]]:
    """Read the resources that go with a message: for the model, and for the transcript.

    Each is read once, all at the same time. Raises `UserError` naming the first that cannot be read.
    """
    addresses = list(dict.fromkeys((one.server, one.uri) for one in wanted))
    if len(addresses) > o.MAX_ATTACHMENTS:
        raise UserError(f"at most {o.MAX_ATTACHMENTS} resources can go with one message")
    read = await asyncio.gather(*(_quoted(context, *one) for one in addresses))
    shown = tuple(
        o.AttachedResource(
            server=safe_line(one.server, limit=80),
            label=identifier(one.name),
            address=safe_line(one.uri, limit=500),
            size=len(one.text),
            truncated=len(one.text) > limit,
        )
        for one in read
    )
    return list(read), shown


async def _quoted(context: EngineContext, server: str, uri: str) -> QuotedResource:
    client, _ = client_and_subscriptions(context, server)
    with errors_of(server):
        parts = await client.read(uri, TIMEOUT)
    listed = context.prompts_and_resources.resource(server, uri)
    images: list[Image] = []
    texts: list[str] = []
    for part in parts:
        image = image_from(part.mime, part.blob) if part.blob is not None else None
        if image is not None and len(images) < MOST:
            images.append(image)
            texts.append(f"[{image.mime}, {part.size} bytes: a picture]")
        elif part.blob is not None:
            texts.append(f"[{part.mime or 'binary'}, {part.size} bytes: not text, left out]")
        else:
            texts.append(part.text)
    name = listed.name if listed is not None else uri
    return QuotedResource(server, name, uri, "\n\n".join(texts), images=tuple(images))


# --- values -------------------------------------------------------------------------------------


def _strings(text: str) -> dict[str, str]:
    try:
        value = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        raise UserError("the arguments must be an object of texts") from None
    return value


def _expand(template: str, variables: dict[str, str]) -> str:
    try:
        return expand(template, variables)
    except BadTemplate as error:
        raise PromptResourceError(f"the template cannot be used: {error}") from None


def _shown(part: ResourceContent) -> SafeText:
    if part.blob is not None:
        what = f"{part.mime or 'binary data'}, {len(part.blob):,} bytes."
        return safe(f"{what} It is not text; save it to look at it.")
    text = part.text
    if part.mime.endswith("json") and len(text) < 1_000_000:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = part.text
    return safe(text, limit=2 * len(text) + 64_000)


def _bytes(part: ResourceContent) -> bytes:
    return part.blob if part.blob is not None else part.text.encode("utf-8", "surrogatepass")
