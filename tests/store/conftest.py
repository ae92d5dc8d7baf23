"""Every test of the store that asks for `store_url` runs on both databases."""

from collections.abc import Iterator

import pytest

from tests.databases import empty_database


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own, with all tables and nothing in them."""
    with empty_database(on_postgresql=request.param == "postgresql") as url:
        yield url
