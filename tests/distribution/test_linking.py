"""What is told to who comes back, by what he holds; and what may happen to the log and the store meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from suimon.distribution.dispatch import Dispatcher
from suimon.model import view
from suimon.store.store import Store
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import FRAME, NOW, PATIENT, Follower, make_host, open_store, put, running, settle


class Pause:
    """Holds a reader that has read but has not used it yet."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.over = asyncio.Event()


class PausingStore:
    """A store whose next reads end only when their pause is over."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pauses: list[Pause] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, act: Any, **options: Any) -> Any:
        pause = self.pauses.pop(0) if self.pauses else None
        result = await self._store.read(act, **options)
        if pause:
            pause.reached.set()
            await pause.over.wait()
        return result


def test_a_position_of_another_store_epoch_or_future_gets_a_snapshot(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        id_, epoch, revision = store.position()
        for position in (("other", epoch, revision), (id_, epoch + 1, revision), (id_, epoch, revision + 1)):
            follower = Follower("h1")
            follower.position = view.Position(*position)
            await follower.connect(dispatcher)
            await follower.drain()
            assert [type(frame) for frame in follower.frames] == [view.Snapshot]

    with_dispatcher(tmp_path, body)


def test_an_older_database_begins_an_epoch_before_its_revisions_mean_other_things(tmp_path: Path) -> None:
    """Two lines from one backup: `early` and `late` hold the first one's, which the second soon outgrows."""

    async def run() -> None:
        early, late, fresh = Follower("h1"), Follower("h2"), Follower("h3")
        net, sub = make_network(1)
        async with open_store(tmp_path) as store:
            await put(store, make_host("h1", None), make_host("h2", None), make_host("h3", None), net, sub)
        backup = store_file(store)
        async with open_store(tmp_path, backup) as store, running(store) as dispatcher:
            await fresh.connect(dispatcher)
            await fresh.drain()
            for follower, last in ((early, 5), (late, 6)):
                await put(store, on(sub, follower.host, last))
                await settle(store, dispatcher)
                await follower.connect(dispatcher)
                await follower.drain()
        async with open_store(tmp_path, backup) as store, running(store) as dispatcher:
            before = store.position()
            await fresh.connect(dispatcher)
            assert store.position() == before
            with structlog.testing.capture_logs() as logs:
                await late.connect(dispatcher)
            assert [log["log_level"] for log in logs if log["event"] == "older_database"] == ["error"]
            assert store.position()[1] > before[1]
            assert fresh.link is not None and fresh.link.closed
            await put(store, *(on(sub, "h3", last) for last in (7, 8)))
            await put(store, *(on(sub, "h3", last) for last in (9, 10)))
            await settle(store, dispatcher)
            for follower in (early, late, fresh):
                await follower.connect(dispatcher)
                await follower.drain()
                assert isinstance(follower.frames[-1], view.Snapshot)
                whole = await store.read(lambda tx, host=follower.host: dispatcher._wholes(tx, frozenset({host}))[host])  # type: ignore[misc]
                held = dict(follower.objects)
                follower.take(FRAME.decode(whole.frame))
                assert follower.objects == held
        async with open_store(tmp_path, store_file(store)) as again:
            assert again.position()[:2] == store.position()[:2]

    asyncio.run(run())


def store_file(store: Store) -> Path:
    """For a copy, once the store is closed."""
    return Path(store._database.name)


def test_a_copy_put_back_twice_never_begins_the_same_epoch(tmp_path: Path) -> None:
    async def run() -> None:
        begun = []
        async with open_store(tmp_path) as store:
            await put(store, make_host("h1", None))
        for hours in (0, 1):
            async with open_store(tmp_path, store_file(store)) as copy:
                copy._clock = lambda hours=hours: NOW + timedelta(hours=hours)  # type: ignore[misc]
                begun.append(await copy.begin_epoch())
        assert begun[0] < begun[1]

    asyncio.run(run())


def test_a_host_that_lies_about_the_future_begins_one_epoch_at_most(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        liar, epochs = Follower("h1"), set()
        for ahead in (1, 2**62, 10**30):
            id_, epoch, revision = store.position()
            for position in ((id_, epoch, revision + ahead), (id_, epoch + ahead, 0)):
                liar.position = view.Position(*position)
                await liar.connect(dispatcher)
                await liar.drain()
                assert isinstance(liar.frames[-1], view.Snapshot)
                epochs.add(store.position()[1])
        assert len(epochs) == 1

    with_dispatcher(tmp_path, body)


def test_who_else_was_ahead_when_an_epoch_began_is_refused_nothing(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        id_, epoch, revision = store.position()
        ahead = view.Position(id_, epoch, revision + 1)
        with structlog.testing.capture_logs() as logs:
            await asyncio.gather(*(dispatcher.notice(host, ahead) for host in ("h1", "h2")))
        assert [log["event"] for log in logs] == ["epoch_begun", "older_database"]

    with_dispatcher(tmp_path, body)


def test_when_another_controller_begins_an_epoch_all_come_back_for_a_snapshot(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        follower = await connected(dispatcher, "h1")
        await store.begin_epoch()
        await put(store, make_network(1)[0])
        await settle(store, dispatcher)
        assert follower.closed
        await follower.connect(dispatcher)
        await follower.drain()
        assert [type(frame) for frame in follower.frames] == [view.Snapshot] * 2

    with_dispatcher(tmp_path, body)


def test_what_the_log_no_longer_has_is_told_by_a_snapshot(tmp_path: Path) -> None:
    """To who comes back with an old position, and to all when it is the dispatcher that is behind."""

    async def run() -> None:
        async with open_store(tmp_path, keep_changes=1, shorten_every=1) as real:
            store = PausingStore(real)
            async with running(store) as dispatcher, asyncio.timeout(10):  # type: ignore[arg-type]
                net, sub = make_network(1)
                await put(real, make_host("h1", None), net, sub)
                await settle(real, dispatcher)
                follower = await connected(dispatcher, "h1")
                store.pauses = [batch := Pause()]
                await put(real, on(sub, "h1", 5))
                await batch.reached.wait()
                for last in (6, 7):
                    await put(real, on(sub, "h1", last))
                batch.over.set()
                await settle(real, dispatcher)
                assert follower.closed
                late = follower.copy()
                for each in (follower, late):
                    await each.connect(dispatcher)
                    await each.drain()
                    assert isinstance(each.frames[-1], view.Snapshot)
                    assert sum(kind == "port" for kind, _ in each.objects) == 3
                    for last in (8, 9) if each is follower else ():
                        await put(real, on(sub, "h2", last))

    asyncio.run(run())


def test_a_host_that_falls_far_behind_while_it_is_linked_asks_again(tmp_path: Path) -> None:
    async def run() -> None:
        config = replace(PATIENT, furthest_behind=3)
        async with open_store(tmp_path) as real:
            store = PausingStore(real)
            async with running(store, config) as dispatcher, asyncio.timeout(10):  # type: ignore[arg-type]
                await put(real, make_host("h1", None))
                await settle(real, dispatcher)
                store.pauses = [linking := Pause()]
                connecting = asyncio.create_task(dispatcher.link(make_host("h1", None), None))
                await linking.reached.wait()
                for number in range(4):
                    await put(real, make_network(number)[0])
                await settle(real, dispatcher)
                linking.over.set()
                assert isinstance(await connecting, float)

    asyncio.run(run())


def test_a_host_that_is_no_more_when_its_view_is_read_asks_again(tmp_path: Path) -> None:
    async def body(_store: Store, dispatcher: Dispatcher) -> None:
        assert isinstance(await dispatcher.link(make_host("gone", None), None), float)
        assert dispatcher.linked() == []

    with_dispatcher(tmp_path, body)


def test_who_is_being_linked_while_an_epoch_begins_asks_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_store(tmp_path) as real:
            store = PausingStore(real)
            async with running(store) as dispatcher, asyncio.timeout(10):  # type: ignore[arg-type]
                await put(real, make_host("h1", None), make_host("h2", None))
                await settle(real, dispatcher)
                linking = Pause()
                store.pauses = [linking]
                connecting = asyncio.create_task(dispatcher.link(make_host("h1", None), None))
                await linking.reached.wait()
                id_, epoch, revision = real.position()
                await dispatcher.link(make_host("h2", None), view.Position(id_, epoch, revision + 1))
                linking.over.set()
                assert isinstance(await connecting, float)

    asyncio.run(run())


def test_a_host_that_is_far_behind_gets_a_snapshot(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        follower = await connected(dispatcher, "h1")
        for number in range(4):
            await put(store, make_network(number)[0])
        await follower.connect(dispatcher)
        await follower.drain()
        assert isinstance(follower.frames[-1], view.Snapshot)

    with_dispatcher(tmp_path, body, replace(PATIENT, furthest_behind=3))


def test_nothing_is_missed_between_the_first_read_and_going_live(tmp_path: Path) -> None:
    """Once with the log's next batch told before the host is linked, once with that batch read but not told yet."""

    async def run(batch_waits: bool) -> None:
        async with open_store(tmp_path) as real:
            store = PausingStore(real)
            async with running(store) as dispatcher, asyncio.timeout(10):  # type: ignore[arg-type]
                net, sub = make_network(1)
                await put(real, make_host("h1", "192.0.2.1"), net, sub, on(sub, "h1"))
                await settle(real, dispatcher)
                follower, linking, batch = Follower("h1"), Pause(), Pause()
                store.pauses = [linking, batch] if batch_waits else [linking]
                connecting = asyncio.create_task(follower.connect(dispatcher))
                await linking.reached.wait()
                await put(real, on(sub, "h1", 6))
                if batch_waits:
                    await batch.reached.wait()
                else:
                    await settle(real, dispatcher)
                linking.over.set()
                await asyncio.wait([connecting], timeout=0.05)
                batch.over.set()
                await connecting
                await settle(real, dispatcher)
                await follower.drain()
                assert sum(kind == "port" for kind, _ in follower.objects) == 2
                revisions = [frame.position.revision for frame in follower.frames if not isinstance(frame, view.Ping)]  # type: ignore[union-attr]
                assert revisions == sorted(revisions)

    asyncio.run(run(batch_waits=False))
    asyncio.run(run(batch_waits=True))
