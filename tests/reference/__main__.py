"""Write the reference pages of the guide from the code: `python -m tests.reference`."""

from __future__ import annotations

import sys

from tests.reference.pages import FOLDER, PAGES


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"{(FOLDER / name).relative_to(FOLDER.parents[2])}\n")


if __name__ == "__main__":
    main()
