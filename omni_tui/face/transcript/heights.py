"""Heights of many blocks, one under the other: where each begins, and which one a row falls into.

A Fenwick tree, so that appending a block, changing one height, finding a block's first row and
finding the block of a row all take steps in the order of log(n), whatever the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable


class Heights:
    """A list of heights in rows (0 is allowed) with fast prefix sums."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights: list[int] = list(heights)
        self._tree: list[int] = [0, *self._heights]
        for i in range(1, len(self._tree)):
            parent = i + (i & -i)
            if parent < len(self._tree):
                self._tree[parent] += self._tree[i]
        self.total = sum(self._heights)

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    def append(self, height: int) -> None:
        """Add a block at the end."""
        self._heights.append(height)
        i = len(self._heights)
        value, low = height, i - (i & -i)
        child = i - 1
        while child > low:
            value += self._tree[child]
            child -= child & -child
        self._tree.append(value)
        self.total += height

    def set(self, index: int, height: int) -> int:
        """Change one height; return by how much."""
        delta = height - self._heights[index]
        if delta:
            self._heights[index] = height
            self.total += delta
            i = index + 1
            while i < len(self._tree):
                self._tree[i] += delta
                i += i & -i
        return delta

    def start(self, index: int) -> int:
        """Return the first row of a block: the sum of the heights before it."""
        total = 0
        while index > 0:
            total += self._tree[index]
            index -= index & -index
        return total

    def find(self, row: int) -> tuple[int, int]:
        """Return the block a row falls into and the row inside it.

        Rows before the first block count as its first, rows after the last as its last. An empty
        list gives (0, 0).
        """
        if not self._heights:
            return 0, 0
        row = max(0, min(row, self.total - 1))
        position, step = 0, 1 << len(self._heights).bit_length()
        rest = row
        while step:
            following = position + step
            if following < len(self._tree) and self._tree[following] <= rest:
                position = following
                rest -= self._tree[following]
            step >>= 1
        if position >= len(self._heights):  # every height is 0
            return len(self._heights) - 1, 0
        return position, max(rest, 0)
