"""What the apps of one process of the tests need not do again for each, and what nobody looks at.

Half of what a test of the face costs is Textual's: it reads the same styles for each app, finds out for
each widget which of them hold, and composes pictures that go to no terminal. A test that looks at a picture
gets it drawn then, as always. A long run (`OMNI_TUI_LONG=1`) paints everything, as for a terminal.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any

from rich.console import RenderableType
from textual._compositor import Compositor
from textual.app import App
from textual.cache import FIFOCache
from textual.css.model import RuleSet
from textual.css.styles import RulesMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from omni_tui.face.widgets.scrollbar import CalmScrollBar
from tests.lengths import LONG

_parse = Stylesheet._parse_rules
_apply = Stylesheet.apply
_render_update = Compositor.render_update
_parsed: dict[Hashable, list[RuleSet]] = {}
_matched: dict[tuple[RuleSet, ...], dict[Hashable, _Match | None]] = {}
_strip_caches = {
    "_divide_cache": 4,
    "_crop_cache": 16,
    "_style_cache": 16,
    "_filter_cache": 4,
    "_line_length_cache": 4,
    "_crop_extend_cache": 4,
    "_offsets_cache": 4,
}


class _Match:
    """The rules that hold for a node in its place, and what Textual notes of them."""

    def __init__(self, node: DOMNode, rules: RulesMap) -> None:
        self.rules = rules
        self.has_hover_style = node._has_hover_style
        self.has_odd_or_even = node._has_odd_or_even


def share() -> None:
    """Share styles between all apps of this process; paint only what is looked at, in a short run."""
    Stylesheet._parse_rules = _parse_once  # type: ignore[assignment, method-assign]
    RuleSet.__hash__ = object.__hash__  # type: ignore[method-assign]  # the same, without a call in Python
    Stylesheet.apply = _apply_known  # type: ignore[assignment, method-assign]
    if not LONG:
        Strip.__init__ = _begin_strip  # type: ignore[assignment, method-assign]
        Strip.__getattr__ = _strip_cache  # type: ignore[attr-defined]
        Compositor.render_update = _render_unseen  # type: ignore[assignment, method-assign]


# --- styles ---------------------------------------------------------------------------------------


def _parse_once(sheet: Stylesheet, css: str, *more: Any, **named: Any) -> list[RuleSet]:
    """Give the rules of a text that another app has parsed before."""
    variables, named_so = sheet._variables, sheet.__dict__.get("_named_so")
    if named_so is None or named_so[0] is not variables:
        named_so = sheet.__dict__["_named_so"] = (variables, frozenset(variables.items()))
    known = (named_so[1], css, more, *sorted(named.items()))
    if known not in _parsed:
        _parsed[known] = _parse(sheet, css, *more, **named)
    return _parsed[known]


def _apply_known(
    sheet: Stylesheet, node: DOMNode, *, animate: bool = False, cache: dict[Any, RulesMap] | None = None
) -> None:
    """Give a node the rules that a node like it had in a place like this, in this app or another."""
    rules, matched = sheet.rules, sheet.__dict__.get("_matched")
    if matched is None or matched[0] is not rules:
        matched = sheet.__dict__["_matched"] = (rules, _matched.setdefault(tuple(rules), {}))
    known = matched[1]
    place = tuple(map(_what_rules_ask, node.css_path_nodes))
    match = known.get(place)
    if match is not None:
        node._has_hover_style = match.has_hover_style
        node._has_focus_within = node._has_order_style = False
        node._has_odd_or_even = match.has_odd_or_even
        sheet.replace_rules(node, match.rules, animate=animate)
        sheet._process_component_classes(node)
    elif place in known:  # its brothers, its children or the focus in it decide as well
        _apply(sheet, node, animate=animate, cache=cache)
    else:
        found: dict[Any, RulesMap] = {}
        _apply(sheet, node, animate=animate, cache=found)
        known[place] = _Match(node, next(iter(found.values()))) if found else None


def _what_rules_ask(node: DOMNode) -> Hashable:
    """Return everything about a node that a selector can ask for and that the node itself decides."""
    if isinstance(node, Widget):
        state: Hashable = (node.mouse_hover, node.has_focus, node.is_disabled, node.allow_focus())
    elif isinstance(node, App):
        state = node.pseudo_classes
    else:
        state = ()
    return (type(node), node._id, node.classes, state)


# --- pictures -------------------------------------------------------------------------------------


def _begin_strip(strip: Strip, segments: Any, cell_length: int | None = None) -> None:
    """Make a strip without its seven caches: few are ever asked."""
    strip._segments = list(segments)
    strip._cell_length = cell_length
    strip._render_cache = None
    strip._link_ids = None
    strip._cell_count = None


def _strip_cache(strip: Strip, name: str) -> FIFOCache[Any, Any]:
    """Make a cache of a strip when it is asked for the first time."""
    if name not in _strip_caches:
        raise AttributeError(name)
    made: FIFOCache[Any, Any] = FIFOCache(_strip_caches[name])
    setattr(strip, name, made)
    return made


@cache
def _sees_itself_painted(kind: type[Widget]) -> bool:
    """Return whether a class of ours does something when it is painted."""
    own = next(each for each in kind.__mro__ if "render_lines" in each.__dict__)
    return own.__module__.startswith(("omni_tui.", "tests.")) or issubclass(kind, CalmScrollBar)


def _render_unseen(
    compositor: Compositor,
    full: bool = False,
    screen_stack: list[Screen[Any]] | None = None,
    simplify: bool = False,
) -> RenderableType | None:
    """Paint the widgets that do something when they are painted; compose no picture for no terminal."""
    if full or simplify:
        return _render_update(compositor, full, screen_stack, simplify)
    dirty = compositor._dirty_regions.copy()
    compositor._dirty_regions.clear()
    if not dirty:
        return None
    crop = Region.from_union(dirty).intersection(compositor.size.region)
    for widget, (region, clip) in compositor.visible_widgets.items():
        if _sees_itself_painted(type(widget)) and crop.overlaps(clip):
            seen = region.intersection(clip)
            if seen:
                widget.render_lines(seen.translate(-region.offset))
    return None
