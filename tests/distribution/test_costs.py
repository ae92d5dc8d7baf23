"""What it costs to tell hosts: statements, counted, whatever the size of the cloud."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from suimon.distribution.dispatch import Dispatcher
from suimon.model import things, view
from suimon.model.gateways import candidates, ranked
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import Follower, make, make_host, put, put_port, settle, traced, write


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
        others = [await connected(dispatcher, "x0")]
        of_one = await costs(store, dispatcher, sub, group.id, 5)
        others += [await connected(dispatcher, f"x{n}") for n in range(1, 200)]
        together = await costs(store, dispatcher, sub, group.id, 6)
        for other in others:
            await other.drain()
        assert all(len(other.frames) == 2 for other in others[1:])
        assert of_one == together <= 8

    with_dispatcher(tmp_path, body)


def test_a_status_costs_no_look_into_the_log(tmp_path: Path) -> None:
    """Nobody is told of it; what is told comes after it as before, whoever else was written meanwhile."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        port, other, new = (on(sub, "h1", last) for last in (2, 3, 4))
        await put(store, net, sub, port, other)
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        with traced(store) as statements:
            await write(store, lambda tx: tx.change(port, status="ACTIVE"))
            await settle(store, dispatcher)
        assert statements[-1] == "COMMIT"
        await asyncio.gather(
            write(store, lambda tx: tx.change(other, status="ACTIVE")),
            put(store, new),
        )
        await settle(store, dispatcher)
        await follower.drain()
        (frame,) = follower.frames[1:]
        assert {view.key(thing)[1] for thing in frame.objects} == {new.id}

    with_dispatcher(tmp_path, body)


def test_what_was_read_for_one_port_is_the_drivers_alone_for_the_next(tmp_path: Path) -> None:
    """Nothing that SQLAlchemy would work out anew (`store.prepared`)."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        (net, sub), group = make_network(1), make(things.SecurityGroup)
        await put(store, net, sub, group, on(sub, "h1", 2, security_groups=(group.id,)))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        for last in (3, 4):
            await put(store, on(sub, "h1", last, security_groups=(group.id,)))
            await settle(store, dispatcher)
        with patch.object(Connection, "execute", autospec=True, side_effect=Connection.execute) as asked:
            await put(store, on(sub, "h1", 5, security_groups=(group.id,)))
            await settle(store, dispatcher)
        assert not [text for call in asked.call_args_list if (text := str(call.args[1])).startswith(("SELECT", "WITH"))]
        await follower.drain()
        assert len(follower.frames) == 4

    with_dispatcher(tmp_path, body)


def test_who_has_left_costs_one_more_change(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h1", 2))
        await settle(store, dispatcher)
        await connected(dispatcher, "h1")
        dispatcher.close("h1")
        costs = []
        for last in range(3, 6):
            with traced(store) as statements:
                await put(store, on(sub, "h1", last))
                await settle(store, dispatcher)
            costs.append(len(statements))
        assert costs[0] > costs[1] == costs[2]

    with_dispatcher(tmp_path, body)


def test_who_is_up_is_asked_only_where_somebody_could_wait(tmp_path: Path) -> None:
    """A port's own host is told at once after it missed one."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "h1", 2), on(sub, "h2", 3))
        await settle(store, dispatcher)
        asked = []
        for host in ("h1", "h2"):
            await connected(dispatcher, host)
            dispatcher.miss("h1", ["any"])
            with traced(store) as statements:
                await put(store, on(sub, "h1", 4 + len(asked)))
                await settle(store, dispatcher)
            asked.append(sum("ports.status !=" in each for each in statements))
        assert asked == [0, 1]

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


def test_a_router_and_a_guest_that_leaves_its_gateway_host_cost_the_same_in_any_cloud(tmp_path: Path) -> None:
    """The rows of each statement meanwhile, with as many gateway hosts as routers that others lead; and who is told."""
    found = []
    for size in (8, 60):
        (folder := tmp_path / str(size)).mkdir()
        with_dispatcher(folder, partial(_among_gateway_hosts, size, found))
    few, many = found
    assert few == many


async def _among_gateway_hosts(size: int, found: list[list[list[int]]], store: Store, dispatcher: Dispatcher) -> None:
    hosts = [make_host(f"g{number}", f"192.0.2.{number}", "public") for number in range(size)]
    order = candidates((host.name, host.tunnel_ip) for host in hosts)
    leaders = {each.host for each in ranked("new", order)}
    others = (id_ for id_ in map("r{}".format, count()) if not leaders & {each.host for each in ranked(id_, order)})
    outside, above = make_network(1, network_type="flat", physnet="public", external=True)
    nets, subs = zip(*(make_network(2 + number) for number in range(size)), strict=True)
    guest = on(subs[0], min(leaders), 9)
    await put(store, *hosts, outside, above, *nets, *subs, guest)
    followers = {host.name: await connected(dispatcher, host.name) for host in hosts}
    for sub in subs[1:]:
        await put(store, *_router(next(others), sub, above))
    await settle(store, dispatcher)
    found.append([])
    acts = (
        lambda tx: [tx.insert(thing) for thing in _router("new", subs[0], above)],
        lambda tx: put_port(tx, guest, None),
    )
    for act in acts:
        for follower in followers.values():
            await follower.drain()
            follower.frames.clear()
        with _rows() as rows:
            await write(store, act)
            await settle(store, dispatcher)
        for follower in followers.values():
            await follower.drain()
        assert {name for name, follower in followers.items() if follower.frames} == leaders
        found[-1].append(rows)


def _router(id_: str, inside: things.Subnet, outside: things.Subnet) -> list[msgspec.Struct]:
    """With a leg and a way out."""
    ways = ((inside, ROUTER_INTERFACE), (outside, ROUTER_GATEWAY))
    legs = [on(subnet, "", 7, device_id=id_, device_owner=owner) for subnet, owner in ways]
    router = replace(make(things.Router), id=id_, gateway_network_id=outside.network_id, gateway_port_id=legs[1].id)
    return [router, *legs]


@contextmanager
def _rows() -> Iterator[list[int]]:
    """How many rows each statement meanwhile gave."""
    counted: list[int] = []
    read = Tx.rows

    def rows(tx: Tx, statement: Any, values: Any) -> Any:
        found = read(tx, statement, values)
        counted.append(len(found))
        return found

    with patch.object(Tx, "rows", rows):
        yield counted


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
