"""A fresh cloud for each test: `cloud(ports=…, mode=…)`."""

from collections.abc import Callable, Iterator

import pytest

from tests.response.cloud import Cloud


@pytest.fixture
def cloud() -> Iterator[Callable[..., Cloud]]:
    made: list[Cloud] = []

    def make(ports: int = 1, **options: str) -> Cloud:
        made.append(Cloud(ports, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
