"""The ports by which a router is on networks, and what their subnets forbid it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import msgspec
from sqlalchemy import bindparam, select, update

from suimon.model.errors import BadRequest
from suimon.model.specs.networks import show_routes
from suimon.model.things import Port, Router, Subnet
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE, ROUTER_PORTS
from suimon.model.view import Route
from suimon.store.columns import time_text
from suimon.store.tables import KEPT
from suimon.store.tables import PORTS as PORT_TABLE
from suimon.store.tables import SUBNETS as SUBNET_TABLE
from suimon.store.tx import Tx

_LEGS: Final = (
    select(*PORT_TABLE.columns, *(column.label(f"subnet_{column.name}") for column in SUBNET_TABLE.columns))
    .select_from(PORT_TABLE.outerjoin(SUBNET_TABLE, SUBNET_TABLE.c.network_id == PORT_TABLE.c.network_id))
    .where(PORT_TABLE.c.device_id == bindparam("router_id"), PORT_TABLE.c.device_owner.in_(ROUTER_PORTS))
    .order_by(PORT_TABLE.c.created_at, PORT_TABLE.c.id)
)
_SET_STATUS: Final = (
    update(PORT_TABLE)
    .where(PORT_TABLE.c.device_id == bindparam("router_id"), PORT_TABLE.c.device_owner.in_(ROUTER_PORTS))
    .values(
        status=bindparam("new_status"),
        updated_at=bindparam("now"),
        revision_number=PORT_TABLE.c.revision_number + 1,
    )
)


class Leg(msgspec.Struct, frozen=True):
    """A port of a router, and all subnets of its network."""

    port: Port
    subnets: list[Subnet]

    @property
    def gateway(self) -> bool:
        return self.port.device_owner == ROUTER_GATEWAY

    @property
    def joined(self) -> list[Subnet]:
        """The subnets that it has addresses on."""
        ids = {fixed.subnet_id for fixed in self.port.fixed_ips}
        return [subnet for subnet in self.subnets if subnet.id in ids]


def legs(tx: Tx, router_id: str) -> list[Leg]:
    """The oldest first."""
    port_codec, subnet_codec = KEPT[Port].codec, KEPT[Subnet].codec
    width = len(port_codec.fields)
    found: dict[str, Leg] = {}
    for row in tx.rows(_LEGS, {"router_id": router_id}):
        leg = found.get(row[0])
        if leg is None:
            found[row[0]] = leg = Leg(port_codec.decode(row[:width]), [])
            tx.know(leg.port)
        if row[width] is not None:
            subnet = subnet_codec.decode(row[width:])
            tx.know(subnet)
            leg.subnets.append(subnet)
    return list(found.values())


def interfaces(tx: Tx, router_id: str) -> list[Port]:
    """The router's ports on the networks that it joins."""
    return tx.select(Port, {"device_id": router_id, "device_owner": ROUTER_INTERFACE}, order=("created_at", "id"))


def status(router: Router) -> str:
    """Of its ports. They are bound to no host: each that needs the router has it in its flows, and acknowledges them
    with its own ports. So there is nothing to wait for, and they are up when the router is.
    """
    return "ACTIVE" if router.admin_state_up else "DOWN"


def set_status(tx: Tx, router: Router) -> None:
    """The router went up or down, and its ports with it."""
    values = {"router_id": router.id, "new_status": status(router), "now": time_text(tx.now)}
    for leg in tx.select(Port, {"device_id": router.id, "device_owner": ROUTER_PORTS}):
        tx.touch("port", leg.id, "")
        if leg.device_owner == ROUTER_INTERFACE:
            tx.touch("leg", leg.id, f"peers:{leg.network_id}")
    tx.run(_SET_STATUS, values)


def require_apart(others: Sequence[Leg], subnets: Sequence[Subnet]) -> None:
    """A router can't tell overlapping subnets apart. Raises BadRequest when one of `subnets` meets one of the legs'."""
    ids = {subnet.id for subnet in subnets}
    for leg in others:
        for fixed in leg.port.fixed_ips:
            if fixed.subnet_id in ids:
                raise bad_router(f"Router already has a port on subnet {fixed.subnet_id}")
    for leg in others:
        for other in leg.subnets if leg.gateway else leg.joined:
            for subnet in subnets:
                if other.ip_version == subnet.ip_version and ip_network(other.cidr).overlaps(ip_network(subnet.cidr)):
                    raise bad_router(
                        f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}"
                    )


def require_reachable(routes: Sequence[Route], own: Sequence[Leg]) -> None:
    """Raises BadRequest for a next hop that is on none of the router's subnets, is the router itself, or is of another
    IP version than what it leads to.
    """
    cidrs = [ip_network(subnet.cidr) for leg in own for subnet in leg.joined]
    addresses = {fixed.ip for leg in own for fixed in leg.port.fixed_ips}
    for route in routes:
        if ip_address(route.nexthop).version != ip_network(route.destination).version:
            raise _invalid_routes(routes, "the nexthop and the destination are of different IP versions")
        if not any(ip_address(route.nexthop) in cidr for cidr in cidrs):
            raise _invalid_routes(routes, "the nexthop is not connected with router")
        if route.nexthop in addresses:
            raise _invalid_routes(routes, "the nexthop is used by router")


def bad_router(reason: str) -> BadRequest:
    """Neutron's words for a request that makes no sense for a router."""
    return BadRequest(f"Bad router request: {reason}.", "BadRequest")


def _invalid_routes(routes: Sequence[Route], reason: str) -> BadRequest:
    return BadRequest(f"Invalid format for routes: {show_routes(routes)}, {reason}", "InvalidRoutes")
