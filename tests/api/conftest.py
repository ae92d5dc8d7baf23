"""A cloud for a test, or for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One for a whole module, for tests that don't mind each other."""
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    yield made
    made.close()
