"""Routers in a row: where extra routes lead, from next hop to next hop.

The host of a sender does all the routing, through every router on the way. So besides the routers on the networks of
its ports it holds those that are a next hop of theirs, and the next hops of these. Of others on a network of theirs it
is told the leg alone (`view.Leg`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.model import view
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.store.columns import address_digits
from suimon.store.tables import IP_ALLOCATIONS, NETWORKS, PORTS, ROUTERS, SUBNETS
from suimon.store.tx import Tx

MOST_HOPS: Final = 8
"""Routers behind a router: a host knows of none that is further away."""
_ROUTES: Final = msgspec.json.Decoder(tuple[view.Route, ...])


def behind(tx: Tx, routed: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """By host, the scopes of the routers that are behind these of it, by id.

    None for no routers; else two statements a hop and one, whatever the size of the cloud.
    """
    next_hops: dict[str, set[str]] = {}
    frontier = {router_id for each in routed.values() for router_id in each}
    for _ in range(MOST_HOPS):
        if not frontier:
            break
        next_hops |= _next_hops(tx, frontier)
        frontier = {other for router_id in frontier for other in next_hops[router_id]} - next_hops.keys()
    found = _scopes(tx, {other for others in next_hops.values() for other in others})
    return {
        host: {scope for other in _reached(router_ids, next_hops) for scope in found[other]}
        for host, router_ids in routed.items()
    }


def _next_hops(tx: Tx, router_ids: Collection[str]) -> dict[str, set[str]]:
    """By router, those with a leg at one of its extra routes' next hops."""
    found: dict[str, set[str]] = {router_id: set() for router_id in router_ids}
    routes = {
        str(router_id): {address_digits(route.nexthop) for route in _ROUTES.decode(text)}
        for router_id, text in tx.rows(_WITH_ROUTES, {"routers": sorted(router_ids)})
    }
    wanted = {"routers": sorted(routes), "ips": sorted({ip for ips in routes.values() for ip in ips})}
    for router_id, ip, other in tx.rows(_LEGS_AT, wanted) if routes else ():
        if ip in routes[router_id]:
            found[router_id].add(other)
    return found


def _reached(router_ids: Collection[str], next_hops: Mapping[str, Collection[str]]) -> set[str]:
    reached: set[str] = set()
    frontier = set(router_ids)
    for _ in range(MOST_HOPS):
        frontier = {other for router_id in frontier for other in next_hops.get(router_id, ())} - reached
        reached |= frontier
    return reached


def _scopes(tx: Tx, router_ids: Collection[str]) -> dict[str, set[str]]:
    """By router, what a host holds that packets may come to it on."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = tx.rows(_LEGS, {"routers": sorted(router_ids)}) if router_ids else ()
    for router_id, owner, network_id, physnet in rows:
        found[router_id] |= {f"router:{router_id}", f"network:{network_id}"}
        if owner == ROUTER_INTERFACE:
            found[router_id].add(f"peers:{network_id}")
        elif physnet is not None:
            found[router_id].add(f"physnet:{physnet}")
    return found


_MINE: Final = PORTS.alias("ports_of_mine")
_THERE: Final = PORTS.alias("ports_there")
_ROUTERS: Final[Any] = bindparam("routers", expanding=True)
_WITH_ROUTES: Final = select(ROUTERS.c.id, ROUTERS.c.routes).where(ROUTERS.c.id.in_(_ROUTERS), ROUTERS.c.routes != "[]")
_LEGS_AT: Final = (
    select(_MINE.c.device_id, IP_ALLOCATIONS.c.ip, _THERE.c.device_id)
    .join(SUBNETS, SUBNETS.c.network_id == _MINE.c.network_id)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.subnet_id == SUBNETS.c.id)
    .join(_THERE, _THERE.c.id == IP_ALLOCATIONS.c.port_id)
    .where(
        _MINE.c.device_id.in_(_ROUTERS),
        _MINE.c.device_owner == ROUTER_INTERFACE,
        IP_ALLOCATIONS.c.ip.in_(bindparam("ips", expanding=True)),
        _THERE.c.device_owner == ROUTER_INTERFACE,
    )
)
"""By router, address and the router that has it, on the networks that the first has a leg on."""
_LEGS: Final = (
    select(PORTS.c.device_id, PORTS.c.device_owner, PORTS.c.network_id, NETWORKS.c.physnet)
    .join(NETWORKS, NETWORKS.c.id == PORTS.c.network_id)
    .where(PORTS.c.device_id.in_(_ROUTERS), PORTS.c.device_owner.in_((ROUTER_INTERFACE, ROUTER_GATEWAY)))
)
