"""A fresh world for each test, with its policies' engines."""

from collections.abc import Iterator

import pytest

from tests.enforcement.policed import Policed
from tests.enforcement.test_enforcement import Recorded


@pytest.fixture
def policed() -> Iterator[Policed]:
    made = Policed()
    yield made
    made.close()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.close()
