"""The store's promises: all or nothing, one revision each, in order, durable, one process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import Unavailable
from suimon.model.things import Network, Quota, Subnet
from suimon.store import Change, Store, StoreConfig, StoreError, Taken, Tx
from suimon.store.errors import Stale

T = TypeVar("T")
PATIENCE_S = 120


class Runner:
    def __init__(self, settings: StoreConfig) -> None:
        self.store = Store(settings)
        self.store.open()
        self.loop = asyncio.new_event_loop()

    def wait(self, awaitable: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, PATIENCE_S))

    def write(self, act: Callable[[Tx], T], actor: Actor = SYSTEM) -> T:
        return self.wait(self.store.write(act, actor))

    def read(self, act: Callable[[Tx], T]) -> T:
        return self.wait(self.store.read(act))

    def close(self) -> None:
        self.store.close()
        self.loop.close()


@pytest.fixture
def runner(store_url: str) -> Iterator[Runner]:
    made = Runner(StoreConfig(store_url))
    yield made
    made.close()


def network(tx: Tx, id_: str = "n", segment: int = 1) -> Network:
    made = Network(id=id_, project_id="p", segment=segment, created_at=tx.now, updated_at=tx.now)
    tx.insert(made)
    return made


def test_what_is_written_is_read_back(runner: Runner) -> None:
    made = runner.write(network)
    assert runner.read(lambda tx: tx.get(Network, "n")) == made
    assert runner.read(lambda tx: tx.get(Network, "m")) is None
    assert runner.read(lambda tx: tx.select(Network, {"physnet": None, "id": ["n", "x"], "external": False})) == [made]
    assert runner.read(lambda tx: tx.select(Network, {"created_at": made.created_at, "mtu": {1, 2}})) == []


def test_selecting_in_order(runner: Runner) -> None:
    runner.write(lambda tx: [network(tx, id_, n) for n, id_ in enumerate("bca")])
    assert [n.id for n in runner.read(lambda tx: tx.select(Network, order=("-id",), limit=2))] == ["c", "b"]
    assert [n.id for n in runner.read(lambda tx: tx.select(Network, order=("segment",)))] == ["b", "c", "a"]
    with pytest.raises(TypeError):
        runner.read(lambda tx: tx.select(Network, {"id": 1.5}))


def test_one_transaction_is_one_revision(runner: Runner) -> None:
    actor = Actor("u", "p", frozenset(), "req-1")
    runner.write(lambda tx: [network(tx, "a", 1), network(tx, "b", 2)], actor)
    runner.write(lambda tx: tx.touch("x", "1", "host:h"))
    assert runner.store.position()[2] == 2
    assert runner.wait(runner.store.changes_after(0)) == [
        Change(1, "network", "a", "", "req-1"),
        Change(1, "network", "a", "network:a", "req-1"),
        Change(1, "network", "b", "", "req-1"),
        Change(1, "network", "b", "network:b", "req-1"),
        Change(2, "x", "1", "host:h", ""),
    ]
    assert runner.read(lambda tx: tx.position()) == runner.store.position()


def test_a_transaction_that_touches_nothing_has_no_revision(runner: Runner) -> None:
    runner.write(lambda tx: tx.insert(Quota(project_id="p", resource="port")))
    assert runner.store.position()[2] == 0
    found = runner.read(lambda tx: tx.select(Quota, {"project_id": "p"}))
    runner.write(lambda tx: tx.delete(found[0]))
    assert runner.read(lambda tx: tx.select(Quota)) == []


def test_an_act_that_raises_leaves_nothing(runner: Runner) -> None:
    def act(tx: Tx) -> None:
        network(tx)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        runner.write(act)
    assert runner.read(lambda tx: tx.select(Network)) == []
    assert runner.store.position()[2] == 0
    runner.write(network)
    assert runner.store.position()[2] == 1


def test_constraints_are_conflicts(runner: Runner) -> None:
    runner.write(network)
    with pytest.raises(Taken) as caught:
        runner.write(lambda tx: network(tx, "m", 1))
    assert "networks" in caught.value.what
    with pytest.raises(Taken):
        runner.write(
            lambda tx: tx.insert(
                Subnet(id="s", project_id="p", network_id="no", cidr="10.0.0.0/8", created_at=tx.now, updated_at=tx.now)
            )
        )


def test_a_stale_change_is_tried_again_and_then_given_up(runner: Runner) -> None:
    made = runner.write(network)
    calls: list[int] = []

    def late(tx: Tx) -> None:
        calls.append(1)
        if len(calls) == 1:
            tx.update(Network(**{**_fields(made), "revision_number": 9}), made)
        tx.change(made, name="x")

    runner.write(late)
    assert len(calls) == 2
    with pytest.raises(Unavailable):
        runner.write(lambda tx: tx.change(made, name="y"))
    with pytest.raises(Stale):
        runner.read(lambda tx: (_ for _ in ()).throw(Stale()))


def _fields(thing: Network) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__struct_fields__}


def test_a_transaction_knows_what_it_did(runner: Runner) -> None:
    def act(tx: Tx) -> None:
        made = network(tx)
        assert tx.get(Network, "n") is made
        changed = tx.change(made, name="x")
        assert tx.get(Network, "n") is changed
        assert (changed.revision_number, changed.updated_at) == (1, tx.now)
        tx.delete(changed)
        assert tx.get(Network, "n") is None
        with pytest.raises(Stale):
            tx.delete(changed)

    runner.write(act)


def test_readers_can_not_write(runner: Runner) -> None:
    with pytest.raises(Exception, match=r"read-?only"):
        runner.read(network)


def test_a_reader_sees_one_state_while_others_write(runner: Runner) -> None:
    async def both() -> tuple[int, int]:
        seen, written = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def act(tx: Tx) -> tuple[int, int]:
            before = len(tx.select(Network))
            loop.call_soon_threadsafe(seen.set)
            asyncio.run_coroutine_threadsafe(written.wait(), loop).result(10)
            return before, len(tx.select(Network))

        reading = asyncio.create_task(runner.store.read(act))
        await seen.wait()
        await runner.store.write(network, SYSTEM)
        written.set()
        return await reading

    assert runner.wait(both()) == (0, 0)
    assert len(runner.read(lambda tx: tx.select(Network))) == 1


def test_many_writers_wait_for_one_another(runner: Runner) -> None:
    async def crowd() -> list[Network]:
        writes = [runner.store.write(lambda tx, n=n: network(tx, str(n), n), SYSTEM) for n in range(50)]
        return await asyncio.gather(*writes)

    assert len(runner.wait(crowd())) == 50
    log = runner.wait(runner.store.changes_after(0))
    assert log is not None
    assert sorted({change.revision for change in log}) == list(range(1, 51))


def test_too_many_waiting_are_refused(store_url: str) -> None:
    runner = Runner(StoreConfig(store_url, most_waiting=2))

    async def crowd() -> list[object]:
        writes = [runner.store.write(lambda tx, n=n: network(tx, str(n), n), SYSTEM) for n in range(3)]
        return await asyncio.gather(*writes, return_exceptions=True)

    results = runner.wait(crowd())
    assert [type(result) for result in results] == [Network, Network, Unavailable]
    runner.close()


def test_subscribers_hear_of_commits(runner: Runner) -> None:
    async def listen() -> list[bool]:
        heard = []
        with runner.store.subscribe() as changed:
            await runner.store.write(network, SYSTEM)
            await asyncio.wait_for(changed.wait(), 5)
            changed.clear()
            await runner.store.write(lambda tx: tx.get(Network, "n"), SYSTEM)
            heard.append(changed.is_set())
        await runner.store.write(lambda tx: network(tx, "m", 2), SYSTEM)
        return [*heard, changed.is_set()]

    assert runner.wait(listen()) == [False, False]


def test_who_asks_for_kinds_hears_of_no_others(store_url: str) -> None:
    async def listen() -> bool:
        with runner.store.subscribe({"port"}) as ports, runner.store.subscribe({"port", "network"}) as both:
            await runner.store.write(network, SYSTEM)
            await asyncio.wait_for(both.wait(), 5)
            return ports.is_set()

    with patch.object(Store, "_look", lambda *_: None):  # A bell doesn't say of what it tells.
        runner = Runner(StoreConfig(store_url))
        assert not runner.wait(listen())
        runner.close()


def test_the_log_reaches_back_only_so_far(store_url: str) -> None:
    runner = Runner(StoreConfig(store_url, keep_changes=6, shorten_every=5))
    for n in range(5):
        runner.write(lambda tx, n=n: network(tx, str(n), n))
    changes_after = {n: runner.wait(runner.store.changes_after(n)) for n in range(-1, 7)}
    reached = {n: [c.revision for c in found] if found is not None else None for n, found in changes_after.items()}
    assert reached == {-1: None, 0: None, 1: None, 2: [3, 3, 4, 4, 5, 5], 3: [4, 4, 5, 5], 4: [5, 5], 5: [], 6: None}
    runner.close()


def test_the_newest_revision_stays_however_large(store_url: str) -> None:
    runner = Runner(StoreConfig(store_url, keep_changes=1, shorten_every=1))
    runner.write(lambda tx: [tx.touch("x", str(n), "") for n in range(9)])
    assert len(runner.wait(runner.store.changes_after(0)) or []) == 9
    runner.write(lambda tx: tx.touch("x", "1", ""))
    assert runner.wait(runner.store.changes_after(1)) == [Change(2, "x", "1", "", "")]
    assert runner.wait(runner.store.changes_after(0)) is None
    runner.close()


def test_very_large_transactions(runner: Runner) -> None:
    def act(tx: Tx) -> None:
        tx.insert_many(
            [Network(id=str(n), project_id="p", segment=n, created_at=tx.now, updated_at=tx.now) for n in range(3000)]
        )

    runner.write(act)
    log = runner.wait(runner.store.changes_after(0))
    assert log is not None
    assert len(log) == 6000
    assert {change.revision for change in log} == {1}


def test_a_store_keeps_its_id_and_begins_epochs(store_url: str) -> None:
    runner = Runner(StoreConfig(store_url))
    runner.write(network)
    store, epoch, revision = runner.store.position()
    assert (len(store), epoch, revision) == (36, 1, 1)
    begun = runner.wait(runner.store.begin_epoch())
    assert begun > epoch
    assert runner.wait(runner.store.begin_epoch()) > begun
    begun = runner.store.position()[1]
    runner.close()
    again = Runner(StoreConfig(store_url))
    assert again.store.position() == (store, begun, 1)
    again.close()


def test_a_kill_loses_nothing_that_was_acknowledged(store_url: str) -> None:
    program = (
        "import os\n"
        "from tests.store.test_store import Runner, network\n"
        "from suimon.store import StoreConfig\n"
        f"runner = Runner(StoreConfig({store_url!r}))\n"
        "runner.write(network)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == -9
    runner = Runner(StoreConfig(store_url))
    assert runner.read(lambda tx: tx.get(Network, "n")) is not None
    runner.close()


def test_an_error_does_not_repeat_what_was_to_be_kept(runner: Runner) -> None:
    with pytest.raises(DBAPIError) as caught:
        runner.write(lambda tx: tx.rows(text("SELECT nothing FROM users WHERE name = :name"), {"name": "xyzzy"}))
    assert "xyzzy" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_no_database_in_memory(url: str) -> None:
    with pytest.raises(StoreError, match="SQLite file"):
        Store(StoreConfig(url))


@pytest.mark.parametrize("url", ["", "mysql://u:secret@h/d", "u:secret@h"])
def test_other_databases(url: str) -> None:
    with pytest.raises(StoreError, match=r"is named as sqlite:////path/to/file or postgresql://user@host") as caught:
        Store(StoreConfig(url))
    assert "secret" not in str(caught.value)


def test_statements_are_the_drivers(runner: Runner, store_url: str) -> None:
    heard: list[str] = []
    runner.store.trace(heard.append)
    runner.write(lambda tx: tx.run(text("SELECT 1"), {}))
    runner.store.trace(None)
    runner.write(network)
    if store_url.startswith("sqlite"):
        assert heard == ["BEGIN IMMEDIATE", "SELECT 1", "COMMIT"]
    else:
        assert heard == [
            "BEGIN ISOLATION LEVEL READ COMMITTED", "SELECT pg_advisory_xact_lock(23041)", "SELECT 1", "COMMIT"
        ]  # fmt: skip


def test_a_statement_says_the_same_each_time_it_is_executed(runner: Runner) -> None:
    """The first time SQLAlchemy executes it, later the driver itself (`store.prepared`)."""

    def act(tx: Tx) -> None:
        for number in range(6):
            network(tx, f"n{number}", number)
        for names in ([], ["n1"], ["n2", "n3"], [f"n{number}" for number in range(6)]) * 3:
            found = tx.select(Network, {"id": names, "admin_state_up": True}, order=("id",))
            assert [each.id for each in found] == names
            assert all(each.admin_state_up is True and each.external is False for each in found)
            assert not tx.select(Network, {"id": names, "admin_state_up": False})

    runner.write(act)


@pytest.mark.parametrize("times", [1, 3])
def test_what_a_constraint_refuses_is_taken_however_often_its_like_was_executed(runner: Runner, times: int) -> None:
    for number in range(times):
        runner.write(lambda tx, at=number: network(tx, f"n{at}", at))  # type: ignore[misc]
    with pytest.raises(Taken):
        runner.write(network_again := lambda tx: network(tx, "n0", 77))
    assert runner.read(lambda tx: len(tx.select(Network))) == times
    with pytest.raises(Taken):
        runner.write(network_again)
