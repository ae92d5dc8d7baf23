"""Several stores on one PostgreSQL: revisions in the order of commits, all hear of them, nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from suimon.distribution.links import Link
from suimon.model.actor import SYSTEM
from suimon.model.errors import Conflict, Unavailable
from suimon.model.things import Network
from suimon.store import Store, StoreConfig, StoreError, Tx
from suimon.store import postgresql as dialect
from suimon.store.dialect import database
from suimon.store.errors import Lost
from tests.databases import empty_database
from tests.distribution.world import make, make_host, make_port, put, running
from tests.postgresql import PrivateCluster, cluster, name_of
from tests.store.test_store import network

PATIENCE_S = 30
CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture
def url() -> Iterator[str]:
    with empty_database(on_postgresql=True) as made:
        yield made


@pytest.fixture
def bare_url() -> Iterator[str]:
    """Without tables."""
    made = cluster().url()
    yield made
    cluster().drop(made)


@asynccontextmanager
async def opened(url: str, count: int = 2, **config: Any) -> AsyncIterator[list[Store]]:
    """Stores as of different controllers."""
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(count):
            store = Store(StoreConfig(url, **config))
            store.open()
            stack.callback(store.close)
            stores.append(store)
        async with asyncio.timeout(PATIENCE_S):
            yield stores


def renamed(tx: Tx, id_: str) -> None:
    """What no host is told of."""
    found = tx.get(Network, id_)
    assert found
    tx.change(found, name=found.name + "+")


def test_only_what_a_controller_wrote_itself_is_known_to_concern_no_host(url: str) -> None:
    async def body() -> None:
        async with opened(url) as (one, two):
            net = await one.write(network, SYSTEM)
            await until_at(two, before := one.position()[2])
            await one.write(lambda tx: renamed(tx, net.id), SYSTEM)
            await until_at(two, before + 1)
            assert (one.quiet_until(before), two.quiet_until(before)) == (before + 1, before)

    asyncio.run(body())


def test_what_another_controller_committed_between_is_looked_at_before_it_is_heard_of(url: str) -> None:
    async def body() -> None:
        async with opened(url) as (one, deaf):
            net = await one.write(network, SYSTEM)
            await deaf.write(lambda tx: renamed(tx, net.id), SYSTEM)
            assert (deaf.position()[2], deaf.quiet_until(0)) == (2, 0)

    with patch.object(Store, "_look", lambda *_: None):
        asyncio.run(body())


def test_what_others_committed_is_heard_of_whatever_it_was(url: str) -> None:
    async def body() -> None:
        async with opened(url) as (one, deaf):
            net = await one.write(network, SYSTEM)
            with deaf.subscribe({"port"}) as changed:
                await deaf.write(lambda tx: renamed(tx, net.id), SYSTEM)
                await asyncio.wait_for(changed.wait(), 5)

    with patch.object(Store, "_look", lambda *_: None):
        asyncio.run(body())


async def until_at(store: Store, revision: int) -> None:
    with store.subscribe() as changed:
        while store.position()[2] < revision:
            await changed.wait()
            changed.clear()


def cut(url: str) -> None:
    """The server ends all connections with the database."""
    with cluster().connect() as connection:
        connection.execute(CUT, [name_of(url)])


def test_64_writers_of_4_controllers_leave_no_gap_and_no_reader_sees_one(url: str) -> None:
    writers, each = 64, 5
    seen: list[list[int]] = []

    async def write(store: Store, number: int) -> None:
        for n in range(each):
            await store.write(lambda tx, n=n: network(tx, f"{number}-{n}", number * each + n), SYSTEM)

    async def read(store: Store, until: int) -> None:
        revisions: list[int] = []
        while len(revisions) < until:
            log = await store.changes_after(0)
            revisions = sorted({change.revision for change in log or ()})
            seen.append(revisions)

    async def crowd() -> None:
        async with opened(url, 4, writers=16) as stores:
            reading = [asyncio.create_task(read(store, writers * each)) for store in stores[:2]]
            await asyncio.gather(*(write(stores[n % 4], n) for n in range(writers)))
            await asyncio.gather(*reading)
            for store in stores:
                await until_at(store, writers * each)

    asyncio.run(crowd())
    assert len(seen) > 10
    for revisions in seen:
        assert revisions == list(range(1, len(revisions) + 1))


def test_an_act_sees_what_the_last_one_left_whoever_did_it(url: str) -> None:
    """Counting before writing, as for a quota, is safe: of twenty that see room for ten, ten find it."""

    def one_of_ten(tx: Tx, id_: str) -> None:
        count = len(tx.select(Network))
        if count >= 10:
            raise Conflict("full")
        network(tx, id_, count)

    async def crowd() -> list[object]:
        async with opened(url) as stores:
            acts = [stores[n % 2].write(lambda tx, n=n: one_of_ten(tx, str(n)), SYSTEM) for n in range(20)]
            return await asyncio.gather(*acts, return_exceptions=True)

    results = asyncio.run(crowd())
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 10 + ["NoneType"] * 10


def test_a_commit_rings_at_the_other_controllers_and_so_does_an_epoch(url: str) -> None:
    async def both() -> None:
        async with opened(url, look_every_s=3600) as (here, there):
            with there.subscribe() as changed:
                await here.write(network, SYSTEM)
                await changed.wait()
                assert there.position() == here.position() == (here.position()[0], 1, 1)
                changed.clear()
                await here.begin_epoch()
                await changed.wait()
                assert there.position() == here.position()

    asyncio.run(both())


def test_two_that_see_the_same_loss_begin_one_epoch(url: str) -> None:
    async def both() -> None:
        async with opened(url, look_every_s=3600) as (here, there):
            first, second = await asyncio.gather(here.begin_epoch(), there.begin_epoch())
            assert first == second

    asyncio.run(both())


def test_a_commit_without_a_notification_is_found_in_the_end(url: str) -> None:
    async def both() -> None:
        async with opened(url, look_every_s=0.2) as (here, there):
            await here.write(lambda tx: tx.run(text("ALTER TABLE changes DISABLE TRIGGER ring"), {}), SYSTEM)
            await here.write(network, SYSTEM)
            await until_at(there, 1)

    asyncio.run(both())


def test_a_cut_line_costs_nothing_that_was_not_under_way(url: str) -> None:
    async def work() -> None:
        async with opened(url, look_every_s=3600) as (here, there):
            await here.write(network, SYSTEM)
            await there.read(lambda tx: tx.position())
            await until_at(there, 1)
            cut(url)
            assert await here.read(lambda tx: tx.get(Network, "n"), one_statement=True)
            await here.write(lambda tx: network(tx, "m", 2), SYSTEM)
            await until_at(there, 2)

    with structlog.testing.capture_logs() as logs:
        asyncio.run(work())
    assert {"bell_lost", "bell_found", "act_repeated"} <= {log["event"] for log in logs}


def test_a_server_that_was_killed_is_found_again_and_commits_are_heard_of() -> None:
    async def work(server: PrivateCluster) -> None:
        async with opened(server.url(), look_every_s=3600) as (here, there):
            for killed in range(2):
                await here.write(lambda tx, n=killed: network(tx, f"n{n}", 2 * n), SYSTEM)
                await until_at(there, 2 * killed + 1)
                server.kill()
                for store in (here, there):
                    with pytest.raises(Unavailable):
                        await store.write(lambda tx: network(tx, "never", 99), SYSTEM)
                server.start()
                await there.write(lambda tx, n=killed: network(tx, f"m{n}", 2 * n + 1), SYSTEM)
                await until_at(here, 2 * killed + 2)
            found = await here.read(lambda tx: {each.id for each in tx.select(Network)})
            assert found == {f"{name}{n}" for name in "nm" for n in range(2)}

    with PrivateCluster() as server:
        asyncio.run(work(server))


def test_who_can_not_connect_has_lost_the_database() -> None:
    """Psycopg gives such an error no state, and SQLAlchemy has no connection that it could invalidate."""
    refused = OperationalError("SELECT 1", None, psycopg.OperationalError("connection refused"))
    assert isinstance(dialect.caller_error(refused), Lost)
    ours = ProgrammingError("SELECT x", None, psycopg.ProgrammingError("no such x"))
    assert dialect.caller_error(ours) is ours


def test_an_act_whose_line_is_cut_is_done_once(url: str) -> None:
    calls: list[int] = []

    def act(tx: Tx) -> None:
        network(tx)
        calls.append(1)
        if len(calls) == 1:
            cut(url)
        network(tx, "m", 2)

    async def work() -> None:
        async with opened(url, 1) as (store,):
            await store.write(act, SYSTEM)
            assert len(await store.read(lambda tx: tx.select(Network))) == 2
            assert await store.read(lambda tx: tx.position()) == store.position()

    asyncio.run(work())
    assert len(calls) == 2


def test_a_line_cut_before_the_commit_is_not_repeated_but_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the server had the commit nobody can know: doing it again could do it twice."""
    status = dialect._status

    def cutting(connection: Any) -> str:
        cut(url)
        return status(connection)

    async def work() -> None:
        async with opened(url, 1) as (store,):
            with monkeypatch.context() as patch:
                patch.setattr(dialect, "_status", cutting)
                with pytest.raises(Unavailable, match="look whether the change is there"):
                    await store.write(network, SYSTEM)
            await store.write(network, SYSTEM)

    asyncio.run(work())


def test_a_controller_that_hangs_holds_the_others_up_for_a_bounded_time(url: str) -> None:
    def hang(tx: Tx) -> None:
        tx.run(text("SET LOCAL idle_in_transaction_session_timeout = 300"), {})
        tx.rows(text("SELECT 1"), {})
        assert not hanging.wait(2)

    hanging = threading.Event()

    async def both() -> None:
        async with opened(url, 1, busy_timeout_s=0.1) as (here,), opened(url, 1, busy_timeout_s=5) as (there,):
            stuck = asyncio.create_task(there.write(hang, SYSTEM))
            await asyncio.sleep(0.1)
            with pytest.raises(Unavailable, match="busy for too long"):
                await here.write(network, SYSTEM)
            await there.write(lambda tx: network(tx, "m", 2), SYSTEM)
            hanging.set()
            with pytest.raises(AssertionError):
                await stuck

    asyncio.run(both())


def test_what_postgresql_can_not_keep_is_the_callers_fault(url: str) -> None:
    async def work() -> None:
        async with opened(url, 1) as (store,):
            for bad in ({"name": "a\0b"}, {"mtu": 1 << 70}):
                with pytest.raises(Exception, match="A value is too large for the database"):
                    await store.write(lambda tx, bad=bad: tx.change(network(tx), **bad), SYSTEM)
            assert await store.read(lambda tx: tx.select(Network)) == []

    asyncio.run(work())


def test_what_is_in_the_way_of_opening_is_said_in_a_sentence(bare_url: str) -> None:
    url = bare_url

    def said(url: str) -> str:
        with pytest.raises(StoreError) as caught:
            Store(StoreConfig(url)).open()
        assert "\n" not in str(caught.value)
        assert "xyzzy" not in str(caught.value)
        return str(caught.value)

    assert "does not exist" in said(url.replace(f"/{name_of(url)}?", "/nowhere?").replace("suimon@", "suimon:xyzzy@"))
    with cluster().connect(name_of(url)) as connection:
        connection.execute("CREATE TABLE theirs (a int)")
        assert "holds something else" in said(url)
        connection.execute("DROP TABLE theirs")
        store = Store(StoreConfig(url))
        store.open()
        store.close()
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "newer Suimon (schema 9999" in said(url)


def test_a_restore_and_controllers_keep_out_of_each_others_way(url: str) -> None:
    alone = database(url, 5)
    alone.claim(alone=True)
    with pytest.raises(StoreError, match="a restore that is under way"):
        Store(StoreConfig(url)).open()
    alone.release()
    store = Store(StoreConfig(url))
    store.open()
    with pytest.raises(StoreError, match="controllers that run with it"):
        alone.claim(alone=True)
    store.close()
    alone.claim(alone=True)
    alone.release()


def test_hosts_of_one_controller_hear_of_what_another_commits(url: str) -> None:
    async def both() -> None:
        async with opened(url, look_every_s=3600) as (here, there), running(there) as dispatcher:
            host = make_host("hv1", "192.0.2.1")
            await put(here, host)
            await until_at(there, here.position()[2])
            link = await dispatcher.link(host, None)
            assert isinstance(link, Link)
            port = make_port("n", "hv1", name="late")
            await put(here, make(Network, id="n", segment=9), port)
            told = b""
            while b'"late"' not in told:
                told += await link.receive(PATIENCE_S) or b""
            await here.begin_epoch()
            while not link.closed:  # noqa: ASYNC110 (within the patience of `opened`)
                await asyncio.sleep(0.01)
            again = await dispatcher.link(host, None)
            assert isinstance(again, Link)
            assert f'"epoch":{here.position()[1]}'.encode() in (await again.receive(PATIENCE_S) or b"")

    asyncio.run(both())
