"""Interfaces of routers: ports that a router takes on the networks it joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

from sqlalchemy import bindparam, literal, select, union_all

from suimon.model.actor import Actor
from suimon.model.attributes import Target
from suimon.model.checks import Unfit, having, schema_of, takes, uuid
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.specs.ports import WantedIp
from suimon.model.things import Network, Port, Router, Subnet
from suimon.model.touches import ROUTER_INTERFACE
from suimon.resources import router_legs, security_groups, sharing
from suimon.resources.ids import new_mac
from suimon.resources.persona import require
from suimon.resources.ports import PORTS, make_ports, move_port, place_for, remove_port
from suimon.resources.router_legs import Leg, bad_router, legs, require_apart
from suimon.resources.routers import ROUTERS
from suimon.resources.subnets import SUBNETS
from suimon.store.tables import FLOATING_IPS, IP_ALLOCATIONS, NDP_PROXIES, PORT_FORWARDINGS
from suimon.store.tx import Tx

_INTERFACE: Final = having({"subnet_id": schema_of(uuid), "port_id": schema_of(uuid)})
_FLOATING: Final = "RouterInterfaceInUseByFloatingIP"
_NDP: Final = "RouterInterfaceInUseByNDPProxy"
_ON_SUBNETS: Final = IP_ALLOCATIONS.c.subnet_id.in_(bindparam("subnets", expanding=True))
_USES: Final = union_all(
    select(literal(_NDP), NDP_PROXIES.c.ip_address, IP_ALLOCATIONS.c.subnet_id)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.port_id == NDP_PROXIES.c.port_id)
    .where(NDP_PROXIES.c.router_id == bindparam("router_id"), _ON_SUBNETS),
    select(literal(_FLOATING), FLOATING_IPS.c.fixed_ip_address, IP_ALLOCATIONS.c.subnet_id)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.port_id == FLOATING_IPS.c.port_id)
    .where(FLOATING_IPS.c.router_id == bindparam("router_id"), _ON_SUBNETS),
    select(literal(_FLOATING), PORT_FORWARDINGS.c.internal_ip_address, IP_ALLOCATIONS.c.subnet_id)
    .join(FLOATING_IPS, FLOATING_IPS.c.id == PORT_FORWARDINGS.c.floatingip_id)
    .join(IP_ALLOCATIONS, IP_ALLOCATIONS.c.port_id == PORT_FORWARDINGS.c.internal_port_id)
    .where(FLOATING_IPS.c.router_id == bindparam("router_id"), _ON_SUBNETS),
)
"""(error, address, subnet) of what goes through a router to ports that have some address on these subnets."""


@takes(_INTERFACE)
def add_router_interface(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """By `subnet_id` (a port with the subnet's gateway address) or by `port_id` (a port that nobody uses yet).

    A further IPv6 subnet of a network goes to the port that the router has there. Raises NotFound, Forbidden,
    BadRequest for overlapping subnets, Conflict when the address or port is in use.
    """
    router = ROUTERS.find(tx, actor, id_)
    require(actor, "add_router_interface", Target(router.project_id))
    subnet_id, port_id = _asked(body)
    if subnet_id and port_id:
        raise bad_router("Cannot specify both subnet-id and port-id")
    if port_id:
        port, subnets = _adopt(tx, actor, router, port_id)
    else:
        port, subnets = _make(tx, actor, router, subnet_id or "")
    tx.change(router)
    return _answer(router, port, subnets[-1].id, subnets)


@takes(_INTERFACE)
def remove_router_interface(tx: Tx, actor: Actor, id_: str, body: object) -> dict[str, object]:
    """By `subnet_id`, `port_id` or both. Raises NotFound, Forbidden, BadRequest, Conflict while it is needed."""
    router = ROUTERS.find(tx, actor, id_)
    require(actor, "remove_router_interface", Target(router.project_id))
    subnet_id, port_id = _asked(body)
    leg = _interface(tx, actor, router, subnet_id, port_id)
    gone = leg.joined if port_id else [subnet for subnet in leg.joined if subnet.id == subnet_id]
    _require_unused(tx, router, gone)
    kept = [fixed for fixed in leg.port.fixed_ips if all(fixed.subnet_id != subnet.id for subnet in gone)]
    if kept:
        move_port(tx, leg.port, tuple(WantedIp(fixed.subnet_id, fixed.ip) for fixed in kept))
    else:
        remove_port(tx, leg.port)
    tx.change(router)
    return _answer(router, leg.port, gone[0].id, gone)


def _asked(body: object) -> tuple[str | None, str | None]:
    """The subnet's and the port's id. Raises BadRequest."""
    given: Mapping[str, Any] = body if isinstance(body, dict) else {}
    if "subnet_id" not in given and "port_id" not in given:
        raise bad_router("Either subnet_id or port_id must be specified")
    for name in ("port_id", "subnet_id"):
        try:
            if name in given:
                uuid(given[name])
        except Unfit as unfit:
            raise bad_router(str(unfit)) from None
    return given.get("subnet_id"), given.get("port_id")


def _answer(router: Router, port: Port, subnet_id: str, subnets: Sequence[Subnet]) -> dict[str, object]:
    return {
        "id": router.id,
        "project_id": port.project_id,
        "port_id": port.id,
        "network_id": port.network_id,
        "subnet_id": subnet_id,
        "subnet_ids": [subnet.id for subnet in subnets],
    }


def _make(tx: Tx, actor: Actor, router: Router, subnet_id: str) -> tuple[Port, list[Subnet]]:
    subnet = SUBNETS.find(tx, actor, subnet_id)
    if subnet.gateway_ip is None:
        raise bad_router("Subnet for router interface must have a gateway IP")
    _require_trusted(tx, actor, subnet)
    _require_routable(subnet)
    others = legs(tx, router.id)
    require_apart(others, [subnet])
    wish = WantedIp(subnet.id, subnet.gateway_ip)
    if subnet.ip_version == 6 and (leg := _ipv6_leg(others, subnet.network_id)):
        held = tuple(WantedIp(fixed.subnet_id, fixed.ip) for fixed in leg.port.fixed_ips)
        return move_port(tx, leg.port, (*held, wish)), [subnet]
    wanted = {
        "project_id": router.project_id,
        "network_id": subnet.network_id,
        "mac_address": new_mac(tx.settings.mac_prefix),
        "fixed_ips": (wish,),
        "device_id": router.id,
        "device_owner": ROUTER_INTERFACE,
        "port_security": False,
        "status": router_legs.status(router),
    }
    return make_ports(tx, place_for(tx, subnet.network_id), [wanted])[0], [subnet]


def _adopt(tx: Tx, actor: Actor, router: Router, port_id: str) -> tuple[Port, list[Subnet]]:
    port = PORTS.find(tx, actor, port_id)
    require(actor, "update_port", Target(port.project_id))
    network = tx.get(Network, port.network_id)
    assert network is not None
    if network.external:
        # Outside, a router has its gateway: by an interface a tenant would send there from any addresses it likes.
        require(actor, "update_port:device_owner:network", Target(port.project_id, network.project_id))
    if port.device_id or port.binding_host:
        raise Conflict(
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
            "PortInUse",
        )
    if not port.fixed_ips:
        raise bad_router("Router port must have at least one fixed IP")
    subnets = _subnets_of(tx, port)
    for subnet in subnets:
        _require_routable(subnet)
    others = legs(tx, router.id)
    other = _ipv6_leg(others, port.network_id)
    if other and any(subnet.ip_version == 6 for subnet in subnets):
        raise bad_router(
            f"Router already contains IPv6 port {other.port.id} belonging to network id {port.network_id}. Only one "
            "IPv6 port from the same network subnet can be connected to a router"
        )
    require_apart(others, subnets)
    if sum(subnet.ip_version == 4 for subnet in subnets) > 1:
        raise bad_router("Cannot have multiple IPv4 subnets on router port")
    _require_in_pools(actor, port, subnets)
    security_groups.leave(tx, port)
    taken = {"device_id": router.id, "device_owner": ROUTER_INTERFACE, "infrastructure": True}
    taken |= {"status": router_legs.status(router), "port_security": False}
    return tx.change(port, **taken, security_groups=(), allowed_address_pairs=()), subnets


def _subnets_of(tx: Tx, port: Port) -> list[Subnet]:
    """In the order of the port's addresses."""
    found = {subnet.id: subnet for subnet in tx.select(Subnet, {"id": {fixed.subnet_id for fixed in port.fixed_ips}})}
    return list({fixed.subnet_id: found[fixed.subnet_id] for fixed in port.fixed_ips}.values())


def _ipv6_leg(others: Sequence[Leg], network_id: str) -> Leg | None:
    """The interface that has IPv6 addresses on this network."""
    for leg in others:
        here = not leg.gateway and leg.port.network_id == network_id
        if here and any(":" in fixed.ip for fixed in leg.port.fixed_ips):
            return leg
    return None


def _require_trusted(tx: Tx, actor: Actor, subnet: Subnet) -> None:
    """Who takes the gateway's address takes everybody's traffic: that all may use the network isn't enough for it."""
    if actor.admin or subnet.project_id == actor.project_id:
        return
    if actor.project_id not in sharing.shared_with(tx, subnet.network_id):
        raise bad_router(
            f"Cannot add interface to router because subnet {subnet.id} is not owned by project making the request"
        )


def _require_routable(subnet: Subnet) -> None:
    if subnet.ip_version == 6 and subnet.ipv6_ra_mode is None and subnet.ipv6_address_mode is not None:
        raise bad_router(
            f"IPv6 subnet {subnet.id} configured to receive RAs from an external router cannot be added to Neutron "
            "Router"
        )


def _require_in_pools(actor: Actor, port: Port, subnets: Sequence[Subnet]) -> None:
    """Other addresses of somebody else's subnet, its gateway's above all, are not for tenants' routers."""
    if actor.admin:
        return
    by_id = {subnet.id: subnet for subnet in subnets}
    for fixed in port.fixed_ips:
        subnet = by_id[fixed.subnet_id]
        pooled = any(
            ip_address(pool.start) <= ip_address(fixed.ip) <= ip_address(pool.end)  # type: ignore[operator]
            for pool in subnet.allocation_pools
        )
        if not pooled and subnet.project_id != actor.project_id:
            raise bad_router(
                f"Cannot add interface to router because specified port {port.id} has an IP address out of the "
                f"allocation pool of subnet {subnet.id}, which is not owned by the project making the request"
            )


def _interface(tx: Tx, actor: Actor, router: Router, subnet_id: str | None, port_id: str | None) -> Leg:
    joined = [leg for leg in legs(tx, router.id) if not leg.gateway]
    if port_id:
        found = [leg for leg in joined if leg.port.id == port_id]
        if not found:
            raise NotFound(
                f"Router {router.id} does not have an interface with id {port_id}", "RouterInterfaceNotFound"
            )
        if subnet_id and all(subnet.id != subnet_id for subnet in found[0].joined):
            raise BadRequest(
                f"Subnet on port {port_id} does not match the requested subnet {subnet_id}.", "SubnetMismatchForPort"
            )
        return found[0]
    for leg in joined:
        if any(subnet.id == subnet_id for subnet in leg.joined):
            return leg
    subnet = SUBNETS.find(tx, actor, subnet_id or "")
    raise NotFound(f"Router {router.id} has no interface on subnet {subnet.id}", "RouterInterfaceNotFoundForSubnet")


def _require_unused(tx: Tx, router: Router, subnets: Sequence[Subnet]) -> None:
    cidrs = {subnet.id: ip_network(subnet.cidr) for subnet in subnets}
    for kind, address, subnet_id in tx.rows(_USES, {"router_id": router.id, "subnets": list(cidrs)}):
        if address and ip_address(address) in cidrs[subnet_id]:
            raise _in_use(kind, router, subnet_id)
    for subnet_id, cidr in cidrs.items():
        if any(ip_address(route.nexthop) in cidr for route in router.routes):
            raise _in_use("RouterInterfaceInUseByRoute", router, subnet_id)


def _in_use(kind: str, router: Router, subnet_id: str) -> Conflict:
    if kind == _NDP:
        return Conflict(
            f"Unable to remove subnet {subnet_id} from router {router.id}, There are one or more ndp proxies still in "
            "use on the subnet.",
            kind,
        )
    by = "floating IPs" if kind == _FLOATING else "routes"
    return Conflict(
        f"Router interface for subnet {subnet_id} on router {router.id} cannot be deleted, as it is required by one or "
        f"more {by}.",
        kind,
    )
