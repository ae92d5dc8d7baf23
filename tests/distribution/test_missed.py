"""What a host misses gets to its stream, whichever controller it says it to, and costs the others next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

import pytest

from suimon.distribution.missed import Missed
from suimon.model.view import Position, Report
from suimon.store.store import LONGEST_MESSAGE
from tests.distribution.test_inquiry import H1, controllers, linked

NOWHERE = Position("", 0, 0)


class Others:
    """Controllers that share the database."""

    def __init__(self) -> None:
        self.shared = True
        self.told: list[str] = []

    async def tell(self, message: str) -> None:
        assert len(message.encode()) <= LONGEST_MESSAGE
        self.told.append(message)

    def listening(self, heard: Callable[[str], None]) -> AbstractContextManager[None]:
        return nullcontext()


def test_a_report_to_another_controller_lets_go_what_waits() -> None:
    async def scenario() -> None:
        async with controllers(2, 5.0) as ((here, _), (there, _)):
            to_host = await linked(there)
            to_host.send(b"waits", wake=False)
            await here.report(H1, Report(NOWHERE, missing=("p1",)))
            assert await to_host.receive(5.0) == b"waits"
            assert to_host.missing == {"p1"}

    asyncio.run(scenario())


@pytest.mark.parametrize("here", [False, True])
def test_only_what_is_new_is_told_and_not_again_and_again(here: bool) -> None:
    async def scenario() -> None:
        others, now_s, heard = Others(), [0.0], list[Collection[str]]()

        def miss(_: str, port_ids: Collection[str]) -> bool:
            heard.append(port_ids)
            return here

        missed = Missed(miss, others, lambda: now_s[0])
        for at_s, told in ((0.0, 1), (0.4, 1), (0.6, 2), (0.7, 2), (9.0, 3)):
            now_s[0] = at_s
            for number in range(100):
                await missed.said("h1", [f"{at_s} {number}", "\u2029" * 36, "x" * 1000])
            assert len(others.told) == (0 if here else told), at_s
        now_s[0] = 20.0
        await missed.said("h1", ["\u0001" * 30 + f"{number}" for number in range(1000)])
        await missed.said("h2", ["p1"])
        assert len(others.told) == (0 if here else 5) and len(heard) == 502

    asyncio.run(scenario())
