"""Prompts, resources and templates as clients get them: as safe text, in pages that fit a frame."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import msgspec

from omni_tui.protocol.prompts_and_resources import (
    PromptArgument,
    PromptsAndResourcesListed,
    PromptSummary,
    ResourceSummary,
    TemplateSummary,
)
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe, safe_line
from omni_tui.servers.prompt_resource_types import (
    PromptDefinition,
    PromptsAndResources,
    ResourceDefinition,
    TemplateDefinition,
)

PAGE_BYTES = 120_000
"""How much of a frame (see `protocol.codec.MAX_FRAME`) the entries of one page may fill."""
LABEL, ADDRESS = 128, 500

Summary = PromptSummary | ResourceSummary | TemplateSummary


class PromptResourceCache:
    """The prompts, resources and templates of every server, as last listed."""

    def __init__(self) -> None:
        self._offers: dict[str, PromptsAndResources] = {}
        self._generation = count(1)

    def update(self, server: str, offers: PromptsAndResources) -> list[PromptsAndResourcesListed]:
        """Store a new listing; return the pages to send, none if nothing has changed."""
        if self._offers.get(server, PromptsAndResources()) == offers:
            return []
        self._offers[server] = offers
        return list(self.pages(server))

    def remove(self, server: str) -> list[PromptsAndResourcesListed]:
        """Forget a server; return the page that says so."""
        known = self._offers.pop(server, None)
        if known is None:
            return []
        return [PromptsAndResourcesListed(server=server, generation=next(self._generation), last=True)]

    def servers(self) -> list[str]:
        """Return the names of the servers that have any."""
        return list(self._offers)

    def resource(self, server: str, uri: str) -> ResourceDefinition | None:
        """Return a listed resource."""
        listed = self._offers.get(server, PromptsAndResources()).resources
        return next((one for one in listed if one.uri == uri), None)

    def pages(self, server: str) -> Iterator[PromptsAndResourcesListed]:
        """Yield all pages of a server."""
        offers = self._offers.get(server, PromptsAndResources())
        generation = next(self._generation)
        page: list[Summary] = []
        size = 0
        for entry in _summaries(server, offers):
            weight = len(msgspec.json.encode(entry))
            if page and size + weight > PAGE_BYTES:
                yield _page(server, generation, page, offers, last=False)
                page, size = [], 0
            page.append(entry)
            size += weight
        yield _page(server, generation, page, offers, last=True)


def _page(
    server: str, generation: int, page: list[Summary], offers: PromptsAndResources, *, last: bool
) -> PromptsAndResourcesListed:
    return PromptsAndResourcesListed(
        server=server,
        generation=generation,
        last=last,
        prompts=tuple(one for one in page if isinstance(one, PromptSummary)),
        resources=tuple(one for one in page if isinstance(one, ResourceSummary)),
        templates=tuple(one for one in page if isinstance(one, TemplateSummary)),
        subscribable=offers.subscribable,
        completes=offers.completes,
    )


def _summaries(server: str, offers: PromptsAndResources) -> Iterator[Summary]:
    for prompt in offers.prompts:
        yield _prompt(server, prompt)
    for resource in offers.resources:
        yield _resource(server, resource)
    for template in offers.templates:
        yield _template(server, template)


def _prompt(server: str, prompt: PromptDefinition) -> PromptSummary:
    return PromptSummary(
        server=server,
        name=prompt.name,
        label=identifier(prompt.name, limit=LABEL),
        title=safe_line(prompt.title, limit=LABEL),
        description=safe(prompt.description, limit=1500),
        arguments=tuple(
            PromptArgument(
                name=one.name,
                label=identifier(one.name, limit=LABEL),
                description=safe_line(one.description, limit=300, joined=True),
                required=one.required,
            )
            for one in prompt.arguments
        ),
    )


def _resource(server: str, resource: ResourceDefinition) -> ResourceSummary:
    return ResourceSummary(
        server=server,
        uri=resource.uri,
        label=safe_line(resource.name or resource.uri, limit=LABEL),
        address=safe_line(resource.uri, limit=ADDRESS),
        title=safe_line(resource.title, limit=LABEL),
        description=safe(resource.description, limit=1500),
        mime=safe_line(resource.mime, limit=100),
        size=resource.size,
    )


def _template(server: str, template: TemplateDefinition) -> TemplateSummary:
    return TemplateSummary(
        server=server,
        uri_template=template.uri_template,
        label=safe_line(template.name or template.uri_template, limit=LABEL),
        address=safe_line(template.uri_template, limit=ADDRESS),
        title=safe_line(template.title, limit=LABEL),
        description=safe(template.description, limit=1500),
        mime=safe_line(template.mime, limit=100),
        variables=template.variables,
    )
