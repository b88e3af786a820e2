"""A fake provider for the examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.examples import mock_provider


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Return the URL of the fake provider."""
    with mock_provider() as url:
        yield url
