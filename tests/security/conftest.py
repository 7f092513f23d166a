"""What the tests of the terminal's bytes share."""

from __future__ import annotations

import pytest

from tests.security.tour import plainly


@pytest.fixture
def allowed(tmp_path_factory: pytest.TempPathFactory) -> frozenset[tuple[str, str]]:
    """What the app writes when everybody speaks plainly."""
    return plainly(str(tmp_path_factory.getbasetemp()))
