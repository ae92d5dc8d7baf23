"""A lease is one owner's, until it gives it back, dies, or can't say in time that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import delete, update

from suimon.model.actor import SYSTEM
from suimon.model.errors import Unavailable
from suimon.store import Store, StoreConfig
from suimon.store.leases import Lease, LeaseConfig
from suimon.store.tables import LEASES

QUICK = LeaseConfig(lifetime_s=0.6, renew_s=0.1, retry_s=0.05)
PATIENCE_S = 20


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = Store(StoreConfig(url))
    store.open()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield store
    finally:
        store.close()


def test_one_at_a_time_and_renewed_for_longer_than_it_lasts(store_url: str) -> None:
    inside: list[int] = []
    most: list[int] = []

    async def work(lease: Lease) -> None:
        async with lease.held() as lost:
            inside.append(1)
            most.append(len(inside))
            await asyncio.sleep(2 * QUICK.lifetime_s)
            assert not lost.is_set()
            inside.pop()

    async def both() -> None:
        async with opened(store_url) as store:
            await asyncio.gather(*(work(Lease(QUICK, store, "x")) for _ in range(2)))

    asyncio.run(both())
    assert most == [1, 1]


def test_two_names_are_two_leases(store_url: str) -> None:
    async def both() -> None:
        async with opened(store_url) as store, Lease(QUICK, store, "x").held(), Lease(QUICK, store, "y").held():
            pass

    asyncio.run(both())


def test_what_a_dead_owner_had_is_taken_over_when_its_time_is_over(store_url: str) -> None:
    async def work() -> float:
        async with opened(store_url) as store:
            dead = Lease(QUICK, store, "x")
            assert await dead._take()
            began = asyncio.get_running_loop().time()
            async with Lease(QUICK, store, "x").held():
                return asyncio.get_running_loop().time() - began

    assert asyncio.run(work()) > QUICK.lifetime_s / 2


def test_a_clock_that_jumps_takes_it_from_nobody_who_lives(store_url: str) -> None:
    async def work() -> None:
        async with opened(store_url) as store, Lease(QUICK, store, "x").held() as lost:
            rival = Lease(QUICK, store, "x")
            for jumped_ms in (-3_600_000, 3_600_000):  # As forward as backward is the other way round.
                for _ in range(8):
                    moved = update(LEASES).values(expires_at_ms=LEASES.c.expires_at_ms + jumped_ms)
                    await store.write(lambda tx, moved=moved: tx.run(moved, {}), SYSTEM)
                    assert await rival._take() == 0.0
                    await asyncio.sleep(QUICK.renew_s)
            assert not lost.is_set()

    asyncio.run(work())


def test_a_clock_that_jumps_back_keeps_it_for_no_dead_owner(store_url: str) -> None:
    async def work() -> None:
        async with opened(store_url) as store:
            assert await Lease(QUICK, store, "x")._take()
            moved = update(LEASES).values(expires_at_ms=LEASES.c.expires_at_ms + 3_600_000)
            await store.write(lambda tx: tx.run(moved, {}), SYSTEM)
            async with Lease(QUICK, store, "x").held():
                pass

    asyncio.run(work())


def test_work_is_stopped_when_the_lease_is_anothers_and_goes_on_when_it_is_ours_again(store_url: str) -> None:
    starts: list[str] = []
    ended: list[str] = []

    async def endless() -> None:
        starts.append("")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("")

    async def until(marks: list[str], count: int) -> None:
        while len(marks) < count:  # noqa: ASYNC110 (within the patience of `opened`)
            await asyncio.sleep(0.02)

    async def work() -> None:
        async with opened(store_url) as store:
            running = asyncio.create_task(Lease(QUICK, store, "x").run(endless))
            await until(starts, 1)
            await store.write(lambda tx: tx.run(update(LEASES).values(owner="another"), {}), SYSTEM)
            await until(ended, 1)
            assert len(starts) == 1
            await store.write(lambda tx: tx.run(delete(LEASES), {}), SYSTEM)
            await until(starts, 2)
            running.cancel()
            await asyncio.wait((running,))
            async with Lease(QUICK, store, "x").held():
                pass

    asyncio.run(work())
    assert len(ended) == 2


def test_an_owner_that_can_not_reach_the_database_stops_in_time(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("away")

    async def work() -> float:
        async with opened(store_url) as store, Lease(QUICK, store, "x").held() as lost:
            began = asyncio.get_running_loop().time()
            monkeypatch.setattr(store, "write", away)
            await lost.wait()
            return asyncio.get_running_loop().time() - began

    assert QUICK.renew_s < asyncio.run(work()) < QUICK.lifetime_s + QUICK.renew_s


def test_what_the_work_raises_is_raised(store_url: str) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def work() -> None:
        async with opened(store_url) as store:
            await Lease(QUICK, store, "x").run(fails)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(work())
