"""Routers in a row: a host is told of those that extra routes lead to, at a cost that stays small."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import msgspec

from suimon.distribution.dispatch import Dispatcher
from suimon.distribution.routes import MOST_HOPS
from suimon.model import things, view
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.resources.router_legs import set_status
from suimon.store.store import Store
from suimon.store.tables import IP_ALLOCATIONS
from suimon.store.tx import Tx
from tests.distribution.test_costs import scans
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import Follower, make, make_host, put, settle, traced, write

Net = tuple[things.Network, things.Subnet]


async def put_leg(store: Store, router: things.Router, subnet: things.Subnet, last: int) -> things.Port:
    leg = on(subnet, last=last, device_owner=ROUTER_INTERFACE, device_id=router.id)
    row = {"subnet_id": subnet.id, "ip": f"{int(IPv4Address(leg.fixed_ips[0].ip)):08x}", "port_id": leg.id}

    def act(tx: Tx) -> None:
        tx.insert(leg)
        tx.insert_rows(IP_ALLOCATIONS, [row])

    await write(store, act)
    return leg


async def put_row(store: Store, length: int) -> tuple[list[Net], list[things.Router]]:
    """Network 0, router 0, network 1, router 1 …: each router has the next one as next hop of a route."""
    nets = [make_network(number) for number in range(length + 1)]
    routers = [
        make(things.Router, routes=(view.Route("192.0.2.0/24", nets[number + 1][1].cidr.replace("0/24", "2")),))
        for number in range(length)
    ]
    await put(store, *(thing for net in nets for thing in net), *routers)
    for number, router in enumerate(routers):
        await put_leg(store, router, nets[number][1], 2)
        await put_leg(store, router, nets[number + 1][1], 3)
    return nets, routers


def held(follower: Follower, kind: str) -> set[str]:
    assert follower.position is not None
    return {scope.partition(":")[2] for scope in follower.position.scopes if scope.startswith(f"{kind}:")}


def test_a_host_holds_the_routers_behind_its_own_and_what_they_join(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, routers = await put_row(store, 3)
        beside, outside = make(things.Router), make_network(9, external=True, network_type="vlan", physnet="public")
        await put(store, beside, *outside, make_host("g1", "192.0.2.9", "public"))
        await put_leg(store, beside, nets[1][1], 9)
        await put(store, on(outside[1], last=8, device_owner=ROUTER_GATEWAY, device_id=routers[2].id))
        far = on(nets[3][1], "h2")
        await put(store, far)
        follower = await connected(dispatcher, "h1")
        await put(store, on(nets[0][1], "h1"))
        await settle(store, dispatcher)
        await follower.drain()
        assert held(follower, "router") == {router.id for router in routers}
        assert held(follower, "peers") == {network.id for network, _ in nets}
        assert held(follower, "network") == {network.id for network, _ in nets} | {outside[0].id}
        assert held(follower, "physnet") == {"public"}
        assert ("peer", far.id) in follower.objects
        without = msgspec.structs.replace(routers[0], routes=())
        await write(store, lambda tx: tx.update(routers[0], without))
        await settle(store, dispatcher)
        await follower.drain()
        assert held(follower, "router") == {routers[0].id}
        assert ("peer", far.id) not in follower.objects

    with_dispatcher(tmp_path, body)


def test_of_a_router_beside_its_own_a_host_is_told_the_leg_while_it_is_up(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, beside, near = [make_network(number) for number in range(3)], make(things.Router), make(things.Router)
        await put(store, *(thing for net in nets for thing in net), near, beside)
        for router, (_, subnet) in ((near, nets[0]), (near, nets[1]), (beside, nets[2])):
            await put_leg(store, router, subnet, 2)
        await put(store, on(nets[0][1], "h1"), on(nets[2][1], "h2"))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        leg = await put_leg(store, beside, nets[1][1], 9)
        told = view.Leg(leg.id, beside.id, leg.network_id, leg.mac_address, ("10.0.1.9",))
        for up in (True, False, True):
            await write(store, partial(set_status, router=msgspec.structs.replace(beside, admin_state_up=up)))
            await settle(store, dispatcher)
            await follower.drain()
            assert (follower.objects.get(("leg", leg.id)) == told) == up
        assert held(follower, "router") == {near.id}
        assert held(follower, "network") == {network.id for network, _ in nets[:2]}
        await write(store, lambda tx: tx.delete(tx.get(things.Port, leg.id)))
        await settle(store, dispatcher)
        await follower.drain()
        assert ("leg", leg.id) not in follower.objects

    with_dispatcher(tmp_path, body)


def test_a_leg_that_comes_to_be_a_next_hop_is_told_and_one_that_goes_taken_away(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, routers = await put_row(store, 1)
        await put(store, on(nets[0][1], "h1"))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        late = make(things.Router)
        await put(store, late)
        leg = await put_leg(store, late, nets[1][1], 2)
        await settle(store, dispatcher)
        await follower.drain()
        assert held(follower, "router") == {routers[0].id, late.id}
        await write(store, lambda tx: tx.delete(leg))
        await settle(store, dispatcher)
        await follower.drain()
        assert held(follower, "router") == {routers[0].id}

    with_dispatcher(tmp_path, body)


def test_a_gateway_host_holds_what_is_behind_the_routers_that_it_leads_out(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, routers = await put_row(store, 2)
        outside = make_network(9, external=True, network_type="vlan", physnet="public")
        await put(store, *outside, make_host("g1", "192.0.2.9", "public"))
        await put(store, on(outside[1], last=8, device_owner=ROUTER_GATEWAY, device_id=routers[0].id))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "g1")
        assert held(follower, "router") == {router.id for router in routers}
        assert held(follower, "peers") == {network.id for network, _ in nets}

    with_dispatcher(tmp_path, body)


def test_a_row_or_a_ring_of_routers_ends(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, routers = await put_row(store, MOST_HOPS + 3)
        await put(store, on(nets[0][1], "h1"))
        await settle(store, dispatcher)
        follower = await connected(dispatcher, "h1")
        assert held(follower, "router") == {router.id for router in routers[: MOST_HOPS + 1]}
        back = msgspec.structs.replace(routers[1], routes=(view.Route("192.0.2.0/24", "10.0.1.3"),))
        await write(store, lambda tx: tx.update(routers[1], back))
        await settle(store, dispatcher)
        await follower.drain()
        assert held(follower, "router") == {routers[0].id, routers[1].id}

    with_dispatcher(tmp_path, body)


def test_what_is_behind_costs_the_same_statements_in_a_larger_cloud(tmp_path: Path) -> None:
    async def body(store: Store, dispatcher: Dispatcher) -> None:
        nets, routers = await put_row(store, 3)
        await put(store, on(nets[0][1], "h1"))
        await settle(store, dispatcher)
        await connected(dispatcher, "h1")
        costs, router = [], routers[0]
        for size in (2, 60):
            for number in range(size):
                other, (network, subnet) = make(things.Router), make_network(20 + size + number)
                await put(store, network, subnet, other, on(subnet, f"x{number}"))
                await put_leg(store, other, subnet, 2)
                await put_leg(store, other, nets[1][1], 20 + size + number)
            await settle(store, dispatcher)
            counted = []
            for again in range(3):
                with traced(store) as statements:
                    await put(store, on(nets[0][1], "h1", 10 + size + again))
                    await settle(store, dispatcher)
                    came = len(statements)
                    before, router = router, msgspec.structs.replace(router, admin_state_up=not router.admin_state_up)
                    await write(store, partial(Tx.update, before=before, after=router))
                    await settle(store, dispatcher)
                counted.append((came, len(statements)))
                reads = [each for each in statements if each.startswith(("SELECT", "WITH"))]
                assert not [each for each in reads if scans(next(tmp_path.glob("*.db")), each)]  # noqa: ASYNC240
            # A bell that rings late makes the dispatcher look once more, at nothing.
            costs.append(tuple(map(min, zip(*counted, strict=True))))
        assert costs[0] == costs[1]
        assert costs[0][0] <= 22

    with_dispatcher(tmp_path, body)
