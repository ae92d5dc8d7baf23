"""Whom a finding is about, looked up: the ports that a restriction of it would bind, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

import msgspec
from sqlalchemy import bindparam, func, not_, select

from suimon.model.findings import Subject
from suimon.model.rulebook import Place
from suimon.model.things import (
    FloatingIp,
    Network,
    Port,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Subport,
    Thing,
    Trunk,
)
from suimon.model.touches import ROUTER_PORTS
from suimon.resources.restrictions import is_handed_out
from suimon.store.columns import address_digits
from suimon.store.tables import IP_ALLOCATIONS, PORT_SECURITY_GROUPS, PORTS
from suimon.store.tx import Tx

_COUNT: Final = select(func.count()).where(not_(PORTS.c.infrastructure))
_MEMBERS: Final = select(PORT_SECURITY_GROUPS.c.port_id).where(PORT_SECURITY_GROUPS.c.group_id == bindparam("group"))
_HAVING: Final = select(IP_ALLOCATIONS.c.port_id).where(IP_ALLOCATIONS.c.ip == bindparam("ip"))


def count_ports(tx: Tx) -> int:
    """The guests' ports."""
    return int(tx.rows(_COUNT, {})[0][0])


def place_of(tx: Tx, subject: Subject) -> Place:
    """What there is of it now; nothing if it is gone, or a host, which can't be restricted."""
    match subject.kind:
        case "port":
            port = tx.get(Port, subject.id)
            place = _place(tx, subject, [port, *_subports(tx, port)] if port else [])
            # One limit is for all of the trunk.
            return msgspec.structs.replace(place, project_id=port.project_id, trunks=frozenset()) if port else place
        case "network" | "project":
            # A restriction of many binds guests: the ports of their routers are left alone.
            ports = tx.select(Port, {f"{subject.kind}_id": subject.id})
            return _place(tx, subject, [port for port in ports if not port.infrastructure])
        case "address":
            return _address(tx, subject)
        case "security_group" | "security_group_rule":
            rule = tx.get(SecurityGroupRule, subject.id)
            group = tx.get(SecurityGroup, rule.security_group_id if rule else subject.id)
            return _thing(
                tx, subject, group, [row[0] for row in tx.rows(_MEMBERS, {"group": group.id if group else ""})]
            )
        case "floating_ip":
            floating = tx.get(FloatingIp, subject.id)
            return _thing(tx, subject, floating, [floating.port_id] if floating and floating.port_id else [])
        case "router":
            return _thing(tx, subject, tx.get(Router, subject.id), _behind(tx, subject.id))
    return Place(target=subject)


def _subports(tx: Tx, parent: Port) -> list[Port]:
    """What restricts a trunk's parent restricts them, too."""
    trunks = tx.select(Trunk, {"port_id": parent.id})
    ids = [each.port_id for trunk in trunks for each in tx.select(Subport, {"trunk_id": trunk.id})]
    return tx.select(Port, {"id": ids}) if ids else []


def _behind(tx: Tx, router_id: str) -> list[str]:
    """The ports on the networks of tenants that a router joins."""
    legs = tx.select(Port, {"device_id": router_id, "device_owner": ROUTER_PORTS})
    known = tx.select(Network, {"id": {leg.network_id for leg in legs}, "external": False}) if legs else []
    return [port.id for port in tx.select(Port, {"network_id": [one.id for one in known]})] if known else []


def _thing(tx: Tx, subject: Subject, thing: Thing | None, port_ids: Sequence[str]) -> Place:
    """Something that has guests' ports, or none."""
    if thing is None:
        return Place(target=subject)
    ports = [port for port in tx.select(Port, {"id": port_ids}) if not port.infrastructure] if port_ids else []
    place = _place(tx, subject, ports)
    projects = place.projects | {thing.project_id}
    return msgspec.structs.replace(place, there=True, project_id=thing.project_id, projects=projects)


def _address(tx: Tx, subject: Subject) -> Place:
    try:
        address = str(ip_address(subject.id))
    except ValueError:
        return Place(target=subject)
    ids = {row[0] for row in tx.rows(_HAVING, {"ip": address_digits(address)})}
    floating = tx.select(FloatingIp, {"floating_ip_address": address})
    ids |= {holder for one in floating if (holder := one.holder_id or one.port_id)}
    ids -= {one.floating_port_id for one in floating}
    ports = tx.select(Port, {"id": ids}) if ids else []
    # As a restriction does: a tenant's router may have the address of his guest on another network.
    guests = [port for port in ports if not port.infrastructure]
    place = _place(tx, Subject("address", address), guests or ports)
    outside = not ids and not floating
    return Place(target=place.target, ours=False, addresses=frozenset({address})) if outside else place


def _place(tx: Tx, target: Subject, ports: Sequence[Port]) -> Place:
    projects = frozenset(port.project_id for port in ports)
    networks = frozenset(port.network_id for port in ports)
    known = tx.select(Network, {"id": networks}) if networks else []
    trunks = tx.select(Trunk, {"port_id": [port.id for port in ports]}) if ports else []
    return Place(
        target=target,
        project_id=next(iter(projects)) if len(projects) == 1 else None,
        ports=len(ports),
        projects=projects,
        port_ids=frozenset(port.id for port in ports),
        tags=frozenset(tag for port in ports for tag in port.tags),
        on={network.id: frozenset(network.tags) for network in known},
        addresses=_handed_out(tx, ports),
        bound={port.id: port.binding_host for port in ports if port.binding_host},
        trunks=frozenset(trunk.port_id for trunk in trunks),
        infrastructure=any(port.infrastructure for port in ports),
    )


def _handed_out(tx: Tx, ports: Sequence[Port]) -> frozenset[str]:
    """The addresses of these ports that operators give to others, those of floating IPs among them."""
    held = {fixed.ip: fixed.subnet_id for port in ports for fixed in port.fixed_ips}
    known = {subnet.id: is_handed_out(tx, subnet) for subnet in tx.select(Subnet, {"id": set(held.values())})}
    ids = {port.id for port in ports}
    floating = [one for way in ("port_id", "holder_id") for one in tx.select(FloatingIp, {way: ids})] if ids else []
    given = {ip for ip, subnet_id in held.items() if known[subnet_id]}
    return frozenset(given | {one.floating_ip_address for one in floating})
