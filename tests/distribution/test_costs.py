"""What it costs to tell hosts: statements, counted, whatever the size of the cloud."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from suimon.distribution.dispatch import Dispatcher
from suimon.model import things, view
from suimon.store.store import Store
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import Follower, make, make_host, put, settle, traced


def test_a_change_costs_the_same_statements_however_many_hosts_it_concerns(tmp_path: Path) -> None:
    async def costs(store: Store, dispatcher: Dispatcher, sub: things.Subnet, group: str, last: int) -> int:
        with traced(store) as statements:
            await put(store, on(sub, "h1", last, security_groups=(group,)))
            await settle(store, dispatcher)
        return len(statements) - statements.index("COMMIT") - 1

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (net, sub), group = make_network(1), make(things.SecurityGroup)
        await put(store, net, sub, group, *(make_host(f"x{n}", None) for n in range(200)))
        await put(store, *(on(sub, f"x{n}", security_groups=(group.id,)) for n in range(200)))
        await put(store, on(sub, "h1", 4, security_groups=(group.id,)))
        await settle(store, dispatcher)
        await connected(dispatcher, "h1")
        alone = await costs(store, dispatcher, sub, group.id, 5)
        others = [await connected(dispatcher, f"x{n}") for n in range(200)]
        together = await costs(store, dispatcher, sub, group.id, 6)
        for other in others:
            await other.drain()
        assert all(len(other.frames) == 2 for other in others)
        assert alone == together <= 9

    with_dispatcher(tmp_path, body)


def test_no_statement_passes_over_all_ports(tmp_path: Path) -> None:
    """A scan grows with the cloud: SQLite's planner says how it would go about each statement (EXPLAIN QUERY PLAN)."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h1", 2))
        follower = await connected(dispatcher, "h1")
        with traced(store) as statements:
            await put(store, on(sub, "h1", 3))
            await settle(store, dispatcher)
            await follower.connect(dispatcher)
            await Follower("h1").connect(dispatcher)
        reads = [each for each in statements if each.startswith(("SELECT", "WITH"))]
        assert len(reads) > 8
        assert not [each for each in reads if scans(next(tmp_path.glob("*.db")), each)]  # noqa: ASYNC240

    with_dispatcher(tmp_path, body)


def scans(path: Path, statement: str) -> bool:
    """Whether it passes over all ports, as SQLite's planner says."""
    with closing(sqlite3.connect(path)) as database:
        steps = database.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    return any(str(detail).startswith(("SCAN ports", "SCAN port_security_groups")) for *_, detail in steps)


def test_a_reconnect_with_nothing_changed_costs_five_statements(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, *(on(sub, "h1", last) for last in range(2, 102)))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        await put(store, make_network(2)[0])
        await settle(store, dispatcher)
        with traced(store) as statements:
            await follower.connect(dispatcher)
        await follower.drain()
        last = follower.frames[-1]
        assert isinstance(last, view.Delta)
        assert (last.objects, last.deleted, last.dropped) == ((), (), ())
        assert last.position.revision == store.position()[2]
        assert len(statements) <= 5, statements

    with_dispatcher(tmp_path, body)


def test_those_who_start_together_are_read_together(tmp_path: Path) -> None:
    async def costs(store: Store, dispatcher: Dispatcher, hosts: list[str]) -> int:
        followers = [Follower(host) for host in hosts]
        with traced(store) as statements:
            await asyncio.gather(*(follower.connect(dispatcher) for follower in followers))
        for follower in followers:
            await follower.drain()
            assert len(follower.frames) == 1
            assert len(follower.objects) == 1 + 1 + 1 + 64
        return len(statements)

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, *(make_host(f"x{n}", None) for n in range(64)))
        await put(store, net, sub, *(on(sub, f"x{n}", n + 2) for n in range(64)))
        await settle(store, dispatcher)
        alone = await costs(store, dispatcher, ["x0"])
        # The first two are read at once; the 62 others wait, and are read by sixteens.
        assert await costs(store, dispatcher, [f"x{n}" for n in range(64)]) <= 6 * alone

    with_dispatcher(tmp_path, body)
