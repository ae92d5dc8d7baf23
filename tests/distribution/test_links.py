"""A stream to a host ends when its reader is too slow or another one replaces it, and nothing of it is kept then."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from suimon.distribution.links import Gathering, Link, Links
from tests.distribution.world import make_host
from tests.patience import patient

SOON_S = 0.01


def link(name: str = "h1", backlog_bytes: int = 100) -> Link:
    return Link(make_host(name, None), backlog_bytes)


def test_frames_come_once_and_then_there_is_nothing() -> None:
    async def body() -> None:
        one = link()
        with pytest.raises(TimeoutError):
            await one.receive(SOON_S)
        one.send(b"a")
        one.send(b"b")
        assert await one.receive(patient(5)) == b"ab"
        with pytest.raises(TimeoutError):
            await one.receive(SOON_S)

    asyncio.run(body())


def test_who_is_too_slow_loses_what_waits_and_gets_nothing_any_more() -> None:
    async def body() -> None:
        one = link(backlog_bytes=10)
        one.send(b"larger than a backlog")
        assert await one.receive(patient(5)) == b"larger than a backlog"
        one.send(b"as much as")
        one.send(b"one more")
        assert one.closed
        one.send(b"later")
        assert await one.receive(patient(5)) is None
        assert not one._frames

    asyncio.run(body())


def test_what_waits_for_company_wakes_nobody() -> None:
    async def body() -> None:
        one = link()
        one.send(b"a", wake=False)
        reading = asyncio.create_task(one.receive(3600.0))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not reading.done()
        one.wake()
        async with asyncio.timeout(patient(5)):
            assert await reading == b"a"
        one.wake()
        with pytest.raises(TimeoutError):
            await one.receive(SOON_S)

    asyncio.run(body())


def gathered(body: Callable[[Gathering, Link], Awaitable[None]]) -> None:
    """With a pause that has begun and doesn't end by itself."""

    async def run() -> None:
        gathering, one = Gathering(3600.0), link()
        gathering.put([one], ["first"])
        await body(gathering, one)

    asyncio.run(run())


async def woken(one: Link) -> bool:
    reading = asyncio.create_task(one.receive(3600.0))
    for _ in range(3):
        await asyncio.sleep(0)
    done = reading.done()
    reading.cancel()
    return done


def test_the_first_after_a_pause_goes_at_once_and_others_when_they_are_heard_of() -> None:
    async def body(gathering: Gathering, one: Link) -> None:
        one.send(b"a", wake=False)
        gathering.put([one], ["p"])
        assert not await woken(one)
        gathering.hear(["q", "first"])
        assert not await woken(one)
        gathering.hear(["q", "p"])
        assert await woken(one)
        one.send(b"b", wake=False)
        gathering.hear(["p"])
        assert not await woken(one), "nobody waits for that port any more"

    gathered(body)


def test_without_anybody_who_waits_a_pause_ends_for_good() -> None:
    async def body() -> None:
        gathering, one = Gathering(0.0), link()
        gathering.put([one], ["p"])
        for _ in range(9):
            await asyncio.sleep(0)
        one.send(b"a", wake=False)
        gathering.put([one], ["p"])
        assert await woken(one)

    asyncio.run(body())


def test_a_host_is_one_reader_and_leaves_nothing_behind() -> None:
    links, old, new = Links(), link(), link()
    for one in (old, new):
        one.hold(frozenset({"network:n"}))
        links.add(one)
    assert old.closed and not new.closed and links.open_hosts() == ["h1"]
    assert set(links.holders("network:n")) == {new}
    links.remove(old)
    assert links.get("h1") is new
    links.rescope(new, frozenset({"network:m"}))
    assert links.holders("network:n") == () and set(links.holders("network:m")) == {new}
    links.remove(new)
    assert links.get("h1") is None and links.holders("network:m") == ()
