"""The watch stream: what is passed on, where it goes on after a break, and a controller that says "later"."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from suimon.agent.controller import ControllerError, Unreachable
from suimon.agent.follower import Config, Connected, Follower
from suimon.model.view import Delta, Ping, Position, Retry, Snapshot


def at(revision):
    return Position("s", 1, revision)


class Streams:
    """A controller that plays one list of frames per watch; an exception among them breaks the stream."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.asked = []

    async def watch(self, watch):
        self.asked.append((watch.position, time.monotonic()))
        if not self.scripts:
            await asyncio.Event().wait()
        for frame in self.scripts.pop(0):
            if isinstance(frame, Exception):
                raise frame
            yield frame


async def follow(streams, count, config=None):
    """The first `count` news, each taken in before the next: the reader's position moves with them."""
    news, position, taken = asyncio.Queue(4), [None], []
    follower = Follower(config or Config(0.001, 0.002), streams, lambda: position[0], news)
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(10):
            for _ in range(count):
                each = await news.get()
                await asyncio.sleep(0.01)  # Slower than the pause between streams.
                if isinstance(each, Snapshot | Delta):
                    position[0] = each.position
                taken.append(each)
                news.task_done()
            while streams.scripts or len(streams.asked) < 2:  # noqa: ASYNC110  (the fake has no event)
                await asyncio.sleep(0.001)
    finally:
        task.cancel()
    return taken


@pytest.mark.parametrize("end", [[], [ControllerError("gone")]], ids=["ended", "broken"])
def test_a_stream_that_ends_is_taken_up_where_the_view_is(end):
    streams = Streams([Snapshot(at(1), ()), Delta(at(2)), Delta(at(3)), Ping(3), Delta(at(4)), *end])
    taken = asyncio.run(follow(streams, 6))
    assert taken == [Connected(), Snapshot(at(1), ()), Delta(at(2)), Delta(at(3)), Ping(3), Delta(at(4))]
    assert [position for position, _ in streams.asked] == [None, at(4)]


def test_a_controller_that_cannot_be_reached_is_asked_again():
    streams = Streams([ControllerError("refused")], [ControllerError("refused")], [Ping(0)])
    assert asyncio.run(follow(streams, 2)) == [Connected(), Ping(0)]


def test_where_nobody_listens_it_is_asked_again_soon():
    hours = Config(first_pause_s=3600, last_pause_s=3600, unreachable_s=0.01)
    streams = Streams([Unreachable("refused")], [Unreachable("refused")], [Ping(0)])
    assert asyncio.run(follow(streams, 2, hours)) == [Connected(), Ping(0)]


def test_who_is_away_is_told_once_for_each_reason():
    gone = [[Unreachable("refused")]] * 3
    streams = Streams(*gone, [ControllerError("502")], [Ping(0), ControllerError("502")], [ControllerError("502")])
    with capture_logs() as lines:
        asyncio.run(follow(streams, 2))
    assert [line["reason"] for line in lines if line["event"] == "watch_broken"] == ["refused", "502", "502"]


def test_retry_is_obeyed():
    streams = Streams([Retry(0.2)], [Ping(0)])
    asyncio.run(follow(streams, 2))
    (_, first), (_, second), *_ = streams.asked
    assert second - first >= 0.2


def test_a_stream_that_breaks_as_soon_as_it_speaks_is_no_success():
    async def scene():
        streams = Streams(*([Ping(1), ControllerError("gone")] for _ in range(6)))
        news = asyncio.Queue(4)
        task = asyncio.create_task(Follower(Config(0.02, 10), streams, lambda: None, news).run())
        async with asyncio.timeout(10):
            for _ in range(8):
                await news.get()
                news.task_done()
        task.cancel()
        return [asked_at for _, asked_at in streams.asked]

    begun = asyncio.run(scene())
    assert begun[3] - begun[2] >= 0.04  # Half of what the first pause has doubled to, twice.
