"""A fresh cloud for each test: `cloud(ports=…, mode=…)`; and `resting`, for what looks again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.patience import patient
from tests.response.cloud import Cloud


class Rested(Exception):
    """As often as a test wanted."""


class Resting:
    """Who would rest for `pause_s` does so in no time."""

    pause_s = 86_399.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def times(self, count: int, work: Awaitable[None], meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Until it has rested so often; it ends with that. It is an error when it goes on without."""
        sleep, rested = asyncio.sleep, 0

        async def rest(seconds: float) -> None:
            nonlocal rested
            if seconds != self.pause_s:
                await sleep(seconds)
                return
            await meanwhile()
            rested += 1
            if rested == count:
                raise Rested

        self._monkeypatch.setattr(asyncio, "sleep", rest)
        with pytest.raises(Rested):
            async with asyncio.timeout(patient(20)):
                await work


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> Resting:
    return Resting(monkeypatch)


@pytest.fixture
def cloud() -> Iterator[Callable[..., Cloud]]:
    made: list[Cloud] = []

    def make(ports: int = 1, **options: str) -> Cloud:
        made.append(Cloud(ports, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
