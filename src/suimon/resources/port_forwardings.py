"""Port forwardings: L4 ports of a floating IP, each set of which leads to a port of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Select, bindparam, select

from suimon.model.actor import Actor
from suimon.model.attributes import Shown, Target
from suimon.model.errors import BadRequest, Conflict, NotFound
from suimon.model.ranges import Range
from suimon.model.specs.port_forwardings import PORT_FORWARDING, show_range
from suimon.model.specs.ports import show_fixed_ips
from suimon.model.things import FloatingIp, Port, PortForwarding
from suimon.resources.floating_ips import FLOATING_IPS
from suimon.resources.floating_ways import already_associated, ipv4_of, routers_between
from suimon.resources.ids import new_id
from suimon.resources.persona import RULES, require
from suimon.resources.ports import PORTS
from suimon.store.tables import PORT_FORWARDINGS as TABLE
from suimon.store.tx import Tx

SPEC: Final = PORT_FORWARDING.governed_by(RULES)
_SIDES: Final = ("internal", "external")


def _overlapping(side: str, *same: str) -> Select[Any]:
    """The ports on this side of another forwarding that meets `first` to `last` there."""
    first, last = TABLE.c[f"{side}_first"], TABLE.c[f"{side}_last"]
    return (
        select(first, last)
        .where(*(TABLE.c[name] == bindparam(name) for name in same))
        .where(first <= bindparam("last"), last >= bindparam("first"), TABLE.c.id != bindparam("id"))
        .limit(1)
    )


_OVERLAPPING: Final = {
    "internal": _overlapping("internal", "internal_port_id", "protocol", "internal_ip_address"),
    "external": _overlapping("external", "floatingip_id", "protocol"),
}


def shown(one: PortForwarding) -> Shown:
    """With the ports as the API has them: alone and as a range."""
    extras: dict[str, object] = {}
    for side in _SIDES:
        ports = _ports(one, side)
        extras[f"{side}_port_range"] = ports
        extras[f"{side}_port"] = ports[0] if ports[0] == ports[1] else None
    return Shown(one, extras)


def list_forwardings(tx: Tx, actor: Actor, floatingip_id: str) -> list[Shown]:
    """All of a floating IP. Raises NotFound."""
    FLOATING_IPS.find(tx, actor, floatingip_id)
    found = tx.select(PortForwarding, {"floatingip_id": floatingip_id}, order=("created_at", "id"))
    return [shown(one) for one in found]


def get_forwarding(tx: Tx, actor: Actor, floatingip_id: str, id_: str) -> Shown:
    """Raises NotFound."""
    FLOATING_IPS.find(tx, actor, floatingip_id)
    return shown(_forwarding(tx, floatingip_id, id_))


def create_forwarding(tx: Tx, actor: Actor, floatingip_id: str, wanted: Mapping[str, Any]) -> Shown:
    """Raises NotFound, Forbidden, BadRequest for ports that meet others, Conflict when one floating IP would lead to a
    port in both ways.
    """
    floating_ip = FLOATING_IPS.find(tx, actor, floatingip_id)
    require(actor, "create_floatingip_port_forwarding", Target(floating_ip.project_id))
    one = PortForwarding(
        id=new_id(),
        project_id=floating_ip.project_id,
        created_at=tx.now,
        updated_at=tx.now,
        floatingip_id=floatingip_id,
        **_kept(wanted),
        **_given_ports(wanted),
    )
    router_id = _sound(tx, actor, floating_ip, one)
    tx.insert(one)
    tx.change(floating_ip, router_id=router_id)
    return shown(one)


def update_forwarding(tx: Tx, actor: Actor, floatingip_id: str, id_: str, wanted: Mapping[str, Any]) -> Shown:
    """Raises NotFound, Forbidden, BadRequest, Conflict."""
    floating_ip = FLOATING_IPS.find(tx, actor, floatingip_id)
    require(actor, "update_floatingip_port_forwarding", Target(floating_ip.project_id))
    one = _forwarding(tx, floatingip_id, id_)
    values = {**_kept(wanted), **_changed_ports(wanted)}
    if not values:
        return shown(one)
    if "internal_port_id" in values and "internal_ip_address" not in values:
        values["internal_ip_address"] = _first_address(PORTS.find(tx, actor, values["internal_port_id"]))
    _sound(tx, actor, floating_ip, msgspec.structs.replace(one, **values))
    changed = tx.change(one, **values)
    tx.change(floating_ip)
    return shown(changed)


def delete_forwarding(tx: Tx, actor: Actor, floatingip_id: str, id_: str, _expected: int | None = None) -> None:
    """The floating IP's last one frees it from its router. Raises NotFound, Forbidden."""
    floating_ip = FLOATING_IPS.find(tx, actor, floatingip_id)
    require(actor, "delete_floatingip_port_forwarding", Target(floating_ip.project_id))
    tx.delete(_forwarding(tx, floatingip_id, id_))
    more = tx.select(PortForwarding, {"floatingip_id": floatingip_id}, limit=1)
    tx.change(floating_ip, router_id=floating_ip.router_id if more else None)


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"Bad port_forwarding request: {reason}.", "BadRequest")


def _ports(one: PortForwarding, side: str) -> Range:
    return getattr(one, f"{side}_first"), getattr(one, f"{side}_last")


def _forwarding(tx: Tx, floatingip_id: str, id_: str) -> PortForwarding:
    found = tx.select(PortForwarding, {"floatingip_id": floatingip_id, "id": id_})
    if not found:
        raise NotFound(f"Port Forwarding {id_} could not be found.", "PortForwardingNotFound")
    return found[0]


def _kept(wanted: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("protocol", "internal_port_id", "internal_ip_address", "description")
    return {name: wanted[name] for name in kept if name in wanted}


def _changed_ports(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """First and last of each side that is given, as a range or as one."""
    values: dict[str, Any] = {}
    for side in _SIDES:
        single, ports = wanted.get(f"{side}_port"), wanted.get(f"{side}_port_range")
        if ports or single:
            values[f"{side}_first"], values[f"{side}_last"] = ports or (single, single)
    return values


def _given_ports(wanted: Mapping[str, Any]) -> dict[str, Any]:
    values = _changed_ports(wanted)
    for side in _SIDES:
        if f"{side}_first" not in values:
            raise _bad(f"Either {side}_port or {side}_port_range must be specified")
    return values


def _first_address(port: Port) -> str:
    found = ipv4_of(port)
    if not found:
        raise _bad(f"Requested internal port {port.id} must allocate an IPv4 address at least")
    return found[0].ip


def _sound(tx: Tx, actor: Actor, floating_ip: FloatingIp, one: PortForwarding) -> str:
    """The id of the router on the way. Raises NotFound, BadRequest, Conflict."""
    _require_paired(one)
    for side in _SIDES:
        _require_apart(tx, one, side)
    bound = tx.select(FloatingIp, {"port_id": one.internal_port_id}, limit=1)
    if bound:
        raise Conflict(
            f"Cannot create port forwarding to floating IP {bound[0].floating_ip_address} ({bound[0].id}) with port "
            f"{one.internal_port_id} using fixed IP {one.internal_ip_address}, as that port already has a binding "
            "floating IP.",
            "PortHasBindingFloatingIP",
        )
    if floating_ip.port_id:
        raise already_associated(floating_ip, one.internal_port_id, one.internal_ip_address)
    return _router(tx, PORTS.find(tx, actor, one.internal_port_id), floating_ip, one)


def _require_paired(one: PortForwarding) -> None:
    inside, outside = one.internal_last - one.internal_first, one.external_last - one.external_first
    if inside not in (0, outside):
        raise _bad(
            "Invalid ranges of internal and/or external ports. The relation between internal and external ports must "
            "be N-N or 1-N"
        )


def _require_apart(tx: Tx, one: PortForwarding, side: str) -> None:
    """Raises BadRequest when another forwarding has one of its ports."""
    ports = _ports(one, side)
    values = {name: getattr(one, name) for name in ("floatingip_id", "internal_port_id", "protocol", "id")}
    values |= {"internal_ip_address": one.internal_ip_address, "first": ports[0], "last": ports[1]}
    met = tx.rows(_OVERLAPPING[side], values)
    if met:
        raise _bad(
            f"There is a port collision with the {side}_port_range. The following ranges collide: "
            f"{show_range((met[0][0], met[0][1]))} and {show_range(ports)}"
        )


def _router(tx: Tx, port: Port, floating_ip: FloatingIp, one: PortForwarding) -> str:
    _first_address(port)
    subnets = [fixed.subnet_id for fixed in ipv4_of(port) if fixed.ip == one.internal_ip_address]
    if not subnets:
        raise _bad(
            f"Requested internal IP address {one.internal_ip_address} is not suitable for internal neutron port "
            f"{port.id}, as its fixed_ips are {show_fixed_ips(ipv4_of(port))}"
        )
    network_id = floating_ip.floating_network_id
    router_id = routers_between(tx, subnets, [network_id]).get((subnets[0], network_id))
    if router_id is None:
        raise _bad(
            f"External network {network_id} is not reachable from subnet {subnets[0]}. Cannot set Port forwarding for "
            f"port {port.id} with Floating IP {floating_ip.id}"
        )
    if floating_ip.router_id not in (None, router_id):
        raise _bad(
            f"The Floating IP {floating_ip.id} had been set on router {floating_ip.router_id}, the internal Neutron "
            f"port {port.id} can not reach it"
        )
    return router_id
