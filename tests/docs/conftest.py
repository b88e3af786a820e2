"""One fake provider for all examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.examples import mock_provider


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """Return the URL of the fake provider."""
    with mock_provider() as url:
        yield url
