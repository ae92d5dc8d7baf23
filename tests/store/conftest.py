"""Every test of the store that asks for `store_url` runs on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresql import cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    url = cluster().url()
    yield url
    cluster().drop(url)
