"""The way from an address outside to a fixed IP inside: which address of a port, and by which router.

Floating IPs and port forwardings take it. Any number of ways costs the same few statements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.things import FloatingIp, Port, PortForwarding, Router
from suimon.model.touches import ROUTER_INTERFACE
from suimon.model.view import FixedIp
from suimon.resources import virtual_addresses
from suimon.resources.ports import PORTS
from suimon.resources.routers import ROUTERS
from suimon.store.tables import IP_ALLOCATIONS, KEPT, SUBNETS
from suimon.store.tables import PORTS as PORT_TABLE
from suimon.store.tables import ROUTERS as ROUTER_TABLE
from suimon.store.tx import Tx

_PORTS: Final = select(*PORT_TABLE.columns).where(PORT_TABLE.c.id.in_(bindparam("ids", expanding=True)))
_SEEN_PORTS: Final = _PORTS.where(PORTS.visible)
_ROUTERS: Final = (
    select(
        IP_ALLOCATIONS.c.subnet_id,
        SUBNETS.c.gateway_ip,
        PORT_TABLE.c.fixed_ips,
        ROUTER_TABLE.c.gateway_network_id,
        ROUTER_TABLE.c.id,
    )
    .join(SUBNETS, SUBNETS.c.id == IP_ALLOCATIONS.c.subnet_id)
    .join(PORT_TABLE, PORT_TABLE.c.id == IP_ALLOCATIONS.c.port_id)
    .join(ROUTER_TABLE, ROUTER_TABLE.c.id == PORT_TABLE.c.device_id)
    .where(
        IP_ALLOCATIONS.c.subnet_id.in_(bindparam("subnets", expanding=True)),
        PORT_TABLE.c.device_owner == ROUTER_INTERFACE,
        ROUTER_TABLE.c.gateway_network_id.in_(bindparam("networks", expanding=True)),
    )
    .order_by(ROUTER_TABLE.c.created_at, ROUTER_TABLE.c.id)
)
_FIXED_IPS: Final = msgspec.json.Decoder(tuple[FixedIp, ...])
_DHCP: Final = "network:dhcp"


class Wish(msgspec.Struct, frozen=True):
    """A floating IP is to stand for this port; what isn't said of the way is chosen."""

    floating_ip: FloatingIp
    port_id: str
    fixed_ip: str | None = None
    router_id: str | None = None


def ways(tx: Tx, actor: Actor, wishes: Sequence[Wish]) -> dict[str, dict[str, Any]]:
    """Floating IP's id → what it says of its way. Raises NotFound, BadRequest, Conflict.

    A floating IP works when its port does: both are in the flows of the port's host.
    """
    if not wishes:
        return {}
    ports = _ports(tx, actor, {wish.port_id for wish in wishes})
    ends = [_end(actor, wish, _found(ports, wish.port_id)) for wish in wishes]
    between = routers_between(
        tx, {end.subnet_id for end in ends}, {wish.floating_ip.floating_network_id for wish in wishes}
    )
    holders = virtual_addresses.holders(tx, (port.id for port in ports.values() if not port.binding_host))
    asked_for = _asked_for(tx, actor, {wish.router_id for wish in wishes if wish.router_id})
    led: dict[str, dict[str, Any]] = {}
    for wish, end in zip(wishes, ends, strict=True):
        network_id = wish.floating_ip.floating_network_id
        if wish.router_id:
            _require_gateway(asked_for[wish.router_id], network_id)
        elif (end.subnet_id, network_id) not in between:
            raise NotFound(
                f"External network {network_id} is not reachable from subnet {end.subnet_id}.  Therefore, cannot "
                f"associate Port {wish.port_id} with a Floating IP.",
                "ExternalGatewayForFloatingIPNotFound",
            )
        holder = holders.get((wish.port_id, end.ip))
        led[wish.floating_ip.id] = {
            "port_id": wish.port_id,
            "fixed_ip_address": end.ip,
            "router_id": wish.router_id or between[end.subnet_id, network_id],
            "holder_id": holder.id if holder else None,
            "status": (holder or ports[wish.port_id]).status,
        }
    _require_alone(tx, wishes, led)
    _require_not_forwarded_to(tx, led)
    return led


def routers_between(tx: Tx, subnets: Collection[str], networks: Collection[str]) -> dict[tuple[str, str], str]:
    """(subnet, external network) → the id of a router on both: the one that is the subnet's gateway, or the oldest."""
    found: dict[tuple[str, str], str] = {}
    gateways: set[tuple[str, str]] = set()
    for row in tx.rows(_ROUTERS, {"subnets": list(subnets), "networks": list(networks)}):
        subnet_id, gateway_ip, fixed_ips, network_id, router_id = row
        way = (subnet_id, network_id)
        is_gateway = any(fixed.ip == gateway_ip for fixed in _FIXED_IPS.decode(fixed_ips))
        if way not in found or (is_gateway and way not in gateways):
            found[way] = router_id
        if is_gateway:
            gateways.add(way)
    return found


def ipv4_of(port: Port) -> list[FixedIp]:
    """Its IPv4 addresses."""
    return [fixed for fixed in port.fixed_ips if ip_address(fixed.ip).version == 4]


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"Bad floatingip request: {reason}.", "BadRequest")


def _ports(tx: Tx, actor: Actor, ids: Collection[str]) -> dict[str, Port]:
    codec = KEPT[Port].codec
    rows = tx.rows(_PORTS if actor.admin else _SEEN_PORTS, {"ids": list(ids), "viewer": actor.project_id})
    return {row[0]: codec.decode(row) for row in rows}


def _found(ports: Mapping[str, Port], id_: str) -> Port:
    if id_ not in ports:
        raise PORTS.missing(id_)
    return ports[id_]


def _end(actor: Actor, wish: Wish, port: Port) -> FixedIp:
    """The address that is meant. Raises BadRequest."""
    if port.project_id != wish.floating_ip.project_id and not actor.admin:
        raise _bad(
            f"Cannot process floating IP association with Port {port.id}, since that port is owned by a different "
            "project"
        )
    if port.device_owner == _DHCP:
        raise _bad(f"Port {port.id} is unable to be assigned a floating IP")
    if wish.fixed_ip is not None:
        if ip_address(wish.fixed_ip).version != 4:
            raise _bad(
                f"Cannot process floating IP association with {wish.fixed_ip}, since that is not an IPv4 address"
            )
        for fixed in port.fixed_ips:
            if fixed.ip == wish.fixed_ip:
                return fixed
        raise _bad(f"Port {port.id} does not have fixed ip {wish.fixed_ip}")
    found = ipv4_of(port)
    if not found:
        raise _bad(f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(found) > 1:
        raise _bad(
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a "
            "floating IP"
        )
    return found[0]


def _asked_for(tx: Tx, actor: Actor, ids: Collection[str]) -> dict[str, Router]:
    """Routers that the caller chose himself. Raises NotFound."""
    routers = {router.id: router for router in tx.select(Router, {"id": ids})} if ids else {}
    for id_ in ids:
        if id_ not in routers or (routers[id_].project_id != actor.project_id and not actor.admin):
            raise ROUTERS.missing(id_)
    return routers


def _require_gateway(router: Router, network_id: str) -> None:
    if router.gateway_network_id != network_id:
        raise Conflict(f"Router {router.id} has no external gateway on network {network_id}.", "Conflict")


def _require_alone(tx: Tx, wishes: Sequence[Wish], led: Mapping[str, Mapping[str, Any]]) -> None:
    """A fixed IP has one floating IP of each external network. Raises Conflict."""
    ports = {wish.port_id for wish in wishes}
    taken = {
        (other.port_id, other.fixed_ip_address, other.floating_network_id)
        for other in tx.select(FloatingIp, {"port_id": ports})
        if other.id not in led
    }
    for wish in wishes:
        floating_ip, way = wish.floating_ip, led[wish.floating_ip.id]
        meant = (wish.port_id, way["fixed_ip_address"], floating_ip.floating_network_id)
        if meant in taken:
            raise already_associated(floating_ip, wish.port_id, way["fixed_ip_address"])
        taken.add(meant)


def already_associated(floating_ip: FloatingIp, port_id: str, ip: str) -> Conflict:
    """Neutron's words for a way that is taken."""
    return Conflict(
        f"Cannot associate floating IP {floating_ip.floating_ip_address} ({floating_ip.id}) with port {port_id} using "
        f"fixed IP {ip}, as that fixed IP already has a floating IP on external network "
        f"{floating_ip.floating_network_id}.",
        "FloatingIPPortAlreadyAssociated",
    )


def _require_not_forwarded_to(tx: Tx, led: Mapping[str, Mapping[str, Any]]) -> None:
    """A port with forwardings gets no floating IP of a distributed router, as in Neutron. Raises BadRequest."""
    ports = {way["port_id"] for way in led.values()}
    forwarded = {one.internal_port_id for one in tx.select(PortForwarding, {"internal_port_id": ports})}
    by_router = {way["router_id"]: way["port_id"] for way in led.values() if way["port_id"] in forwarded}
    distributed = tx.select(Router, {"id": set(by_router), "distributed": True}, limit=1) if by_router else []
    if distributed:
        raise BadRequest(
            f"Cannot associate floating IP to port {by_router[distributed[0].id]} because it already has a Port "
            "Forwarding binding.",
            "PortHasPortForwarding",
        )
