"""Looks last, and come many at once: each is answered, and none is in the way of other questions."""

import asyncio

import pytest

from suimon.agent.inquiries import Config, Inquiries
from suimon.model.counts import Activity
from suimon.model.questions import CountDrops, Look
from tests.agent.parts import Parts
from tests.patience import patient

MOST = Config.__struct_defaults__[-1]


class Desk:
    def __init__(self):
        self.told = asyncio.Queue()

    async def answer(self, traced):
        self.told.put_nowait(traced)

    async def ids(self, count):
        return [(await self.told.get()).id for _ in range(count)]


class Slow:
    """Looks that last until `over`."""

    def __init__(self):
        self.over = asyncio.Event()

    async def look(self, asked, counters):
        await self.over.wait()
        return Activity(1.0, 0, 0, 0, 0)


@pytest.mark.parametrize("running_before", [False, True])
def test_as_many_looks_as_are_let_are_answered_though_they_come_at_once(tmp_path, running_before):
    async def scenario():
        desk, looks = Desk(), Slow()
        asks = Inquiries(Config(tmp_path), Parts(tmp_path).world, desk, None, looks)
        running = asyncio.create_task(asks.run(None, None)) if running_before else None
        for number in range(MOST + 3):
            asks.ask(Look(str(number), "p1"))
        running = running or asyncio.create_task(asks.run(None, None))
        await asyncio.sleep(0)
        asks.ask(Look("late", "p1"))
        asks.ask(CountDrops("other", "nowhere"))
        assert await desk.ids(1) == ["other"], "looks keep no other question waiting"
        looks.over.set()
        assert await desk.ids(MOST) == [str(number) for number in range(MOST)]
        asks.ask(Look("again", "p1"))
        assert await desk.ids(1) == ["again"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert desk.told.empty()

    asyncio.run(asyncio.wait_for(scenario(), patient(20)))


def test_looks_that_a_session_left_behind_take_no_room_in_the_next(tmp_path):
    async def scenario():
        desk, looks = Desk(), Slow()
        asks = Inquiries(Config(tmp_path), Parts(tmp_path).world, desk, None, looks)
        for _ in range(2):
            running = asyncio.create_task(asks.run(None, None))
            await asyncio.sleep(0)
            for number in range(MOST):
                asks.ask(Look(str(number), "p1"))
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        running = asyncio.create_task(asks.run(None, None))
        looks.over.set()
        asks.ask(Look("new", "p1"))
        while "new" not in await desk.ids(1):
            pass
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), patient(20)))
