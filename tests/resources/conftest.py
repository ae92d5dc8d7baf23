"""A fresh world for each test."""

from collections.abc import Iterator

import pytest

from tests.resources.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()
