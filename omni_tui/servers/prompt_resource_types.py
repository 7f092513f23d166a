"""Prompts, resources and templates as servers list them, their content, and the error of requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArgumentDefinition:
    """One argument of a prompt."""

    name: str
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class PromptDefinition:
    """A listed prompt; the name is exact, the rest cut to size."""

    name: str
    title: str = ""
    description: str = ""
    arguments: tuple[ArgumentDefinition, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceDefinition:
    """A listed resource; the address is exact, the rest cut to size. `size` is in bytes."""

    uri: str
    name: str
    title: str = ""
    description: str = ""
    mime: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class TemplateDefinition:
    """A listed resource template (RFC 6570) and its variables."""

    uri_template: str
    name: str
    title: str = ""
    description: str = ""
    mime: str = ""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptsAndResources:
    """The prompts and resources of a server, and whether it supports subscriptions and completions."""

    prompts: tuple[PromptDefinition, ...] = ()
    resources: tuple[ResourceDefinition, ...] = ()
    templates: tuple[TemplateDefinition, ...] = ()
    subscribable: bool = False
    completes: bool = False


@dataclass(frozen=True, slots=True)
class ResourceContent:
    """One part of a read resource: `text`, or `blob` (decoded) if it is not text. `size` is in bytes."""

    uri: str
    mime: str = ""
    text: str = ""
    blob: bytes | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """A prompt's messages: role and text of each; what is not text is described."""

    description: str
    messages: tuple[tuple[str, str], ...]


class PromptResourceError(Exception):
    """A failed request about prompts or resources. The text is not safe to show as it is."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo
