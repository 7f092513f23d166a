"""A scroll bar that repaints only where it looks different.

Textual's repaints whenever its view changes or the screen is laid out. In a list that grows while somebody
reads, that was more than a third of all lines painted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from rich.console import RenderableType
from textual.geometry import Region
from textual.scrollbar import ScrollBar
from textual.widget import Widget

if TYPE_CHECKING:
    _Mixed = Widget
else:  # styles are inherited from the first base that is a widget, which is to be the view
    _Mixed = object


class CalmScrollBar(ScrollBar):
    """Repaints where its thumb is or was, and all of it when its colours or size change."""

    _painted: tuple[object, tuple[int, int]] | None = None

    def _looks(self) -> tuple[object, tuple[int, int]]:
        view = cast("Widget", self.parent)
        styles = view.styles
        if self.grabbed:
            colours = styles.scrollbar_color_active, styles.scrollbar_background_active
        elif self.mouse_over:
            colours = styles.scrollbar_color_hover, styles.scrollbar_background_hover
        else:
            colours = styles.scrollbar_color, styles.scrollbar_background
        return (self.size, colours, view.background_colors), self._thumb()

    def _thumb(self) -> tuple[int, int]:
        """Return the start and the length of the thumb in eighths of a cell."""
        size = self.size.height if self.vertical else self.size.width
        whole, window = self.window_virtual_size, self.window_size
        if not size or not whole or window >= whole:
            return 0, 0
        thumb = max(1.0, window * size / whole)
        return int((size - thumb) * self.position / (whole - window) * 8), int(-(-thumb * 8 // 1))

    def render(self) -> RenderableType:
        """Return the bar, and remember its look."""
        self._painted = self._looks()
        return super().render()

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Repaint, unless nothing would change."""
        if layout or recompose or not repaint or not self.is_attached or self._painted is None:
            return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        (colours, thumb), (painted, before) = self._looks(), self._painted
        if colours != painted or (thumb != before and not (self.vertical and thumb[1] and before[1])):
            super().refresh()
        elif thumb != before:
            first = min(thumb[0], before[0]) // 8
            last = max(sum(thumb), sum(before)) // 8
            super().refresh(Region(0, first, self.size.width, last + 1 - first))
        return self


class CalmScrolling(_Mixed):
    """Gives a scrolling view a `CalmScrollBar`. Goes before the view among the bases of a class."""

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """The bar, made at first use."""
        if self._vertical_scrollbar is None:
            bar = CalmScrollBar(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            bar.display = False
            self._vertical_scrollbar = bar
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar
