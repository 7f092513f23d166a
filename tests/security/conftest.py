"""What the tests of the terminal's bytes share."""

from __future__ import annotations

import pytest

from tests.lengths import LONG
from tests.security.fuzz import OURS
from tests.security.tour import plainly


@pytest.fixture
def allowed(tmp_path_factory: pytest.TempPathFactory) -> frozenset[tuple[str, str]]:
    """What the app writes when everybody speaks plainly: in a short run what is known of it."""
    if not LONG:
        return frozenset(OURS)
    return plainly(str(tmp_path_factory.getbasetemp()))
