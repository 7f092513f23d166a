"""Every widget and screen of the face, found in its code, and which of them show only words of our own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from textual.widget import Widget

import omni_tui.face

OWN_WORDS = {
    "CalmScrollBar": "it has no words",
    "EditBanner": "it says when a message was sent and which keys there are",
    "FeedbackInput": "it shows what the person types",
    "FilterInput": "it shows what the person types",
    "FooterBar": "it shows keys",
    "HelpScreen": "it shows keys",
    "MoreRow": "it counts fields",
    "PaneTitle": "it has the name of a pane and a number",
    "RunButton": "it says run",
    "TabLine": "it has names of views and sizes",
    "WelcomeScreen": "it has choices, and fields for what the person types",
    "_Placeholder": "it has the name of a pane until the first frame",
}
"""Widgets that show nothing that another program said, each with the reason."""


def widgets() -> set[str]:
    """Return the names of all classes of widgets that the face defines, screens included."""
    return {kind.__name__ for kind in _subclasses(Widget) if not inspect.isabstract(kind)}


def names_of(widget: Widget) -> set[str]:
    """Return the names of the face's own classes that a widget is of."""
    return {kind.__name__ for kind in type(widget).__mro__ if _is_ours(kind)}


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(f"{omni_tui.face.__name__}.")


def _subclasses(kind: type[Widget]) -> Iterator[type[Widget]]:
    for module in pkgutil.walk_packages(omni_tui.face.__path__, f"{omni_tui.face.__name__}."):
        importlib.import_module(module.name)
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if _is_ours(one):
            yield one
