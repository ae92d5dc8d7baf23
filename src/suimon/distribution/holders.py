"""Who has an address: a port, by itself or behind a floating IP, or a router; or nobody, though it is somebody's."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.model import things
from suimon.model.touches import FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE, UNPLUGGED
from suimon.pipeline.simulate.sender import Wanted
from suimon.store.columns import address_digits
from suimon.store.tables import IP_ALLOCATIONS, NETWORKS, SUBNETS
from suimon.store.tx import Tx

_HOLDERS: Final = select(IP_ALLOCATIONS.c.port_id).where(
    IP_ALLOCATIONS.c.subnet_id.in_(bindparam("subnets", expanding=True)),
    IP_ALLOCATIONS.c.ip.in_(bindparam("ips", expanding=True)),
)
_EXTERNAL: Final = (
    select(SUBNETS.c.id, SUBNETS.c.cidr, SUBNETS.c.network_id)
    .join(NETWORKS, NETWORKS.c.id == SUBNETS.c.network_id)
    .where(NETWORKS.c.external)
)


class Holder(msgspec.Struct, frozen=True):
    """Of what is sent to the address, `port` gets it, or else the router does whose gateway has it, or the leg that is
    the port `leg_id`. Without any nobody answers for it, because of the resource `kind`, `id`. `project_id` is whose
    the address is.
    """

    port: things.Port | None = None
    router_id: str = ""
    project_id: str = ""
    kind: str = ""
    id: str = ""
    words: str = ""
    leg_id: str = ""


def holders(tx: Tx, subnets: Iterable[str], addresses: Iterable[str]) -> list[things.Port]:
    """The ports that have these addresses on these subnets."""
    values = {"subnets": sorted(subnets), "ips": sorted(map(address_digits, addresses))}
    ids = {str(row[0]) for row in tx.rows(_HOLDERS, values)} if all(values.values()) else set()
    return tx.select(things.Port, {"id": ids}) if ids else []


def holder(tx: Tx, subnets: Iterable[str], address: str, wanted: Wanted) -> Holder | None:
    """Of an address on one of these subnets; None when it is nobody's."""
    found = holders(tx, subnets, [address])
    if not found:
        return None
    port = found[0]
    if port.device_owner == FLOATING_IP:
        return _behind(tx, tx.select(things.FloatingIp, {"floating_port_id": port.id})[0], wanted)
    if port.device_owner == ROUTER_GATEWAY:
        router = tx.get(things.Router, port.device_id)
        return Holder(router_id=port.device_id, project_id=(router.project_id if router else None) or "")
    if port.device_owner == ROUTER_INTERFACE:
        words = f"{address} is a router's leg: from outside, nobody answers for it"
        return Holder(leg_id=port.id, project_id=port.project_id or "", kind="port", id=port.id, words=words)
    if port.device_owner in UNPLUGGED:
        return None
    return Holder(_claimant(tx, port, address) or port, project_id=port.project_id or "")


def outside_holder(tx: Tx, address: str, wanted: Wanted) -> Holder | None:
    """Of an address on an external network; None when it is on none."""
    there = [row for row in map(tuple, tx.rows(_EXTERNAL, {})) if _within(address, row[1])]
    if not there:
        return None
    nobody = Holder(kind="network", id=there[0][2], words=f"nobody on the external network has {address}")
    return holder(tx, [row[0] for row in there], address, wanted) or nobody


def _behind(tx: Tx, floating: things.FloatingIp, wanted: Wanted) -> Holder:
    """A port, or that one to which the L4 port is forwarded."""
    project_id, router_id = floating.project_id or "", floating.router_id or ""
    port_id = floating.holder_id or floating.port_id
    for one in tx.select(things.PortForwarding, {"floatingip_id": floating.id}):
        if one.protocol == wanted.protocol and one.external_first <= wanted.l4_port <= one.external_last:
            port_id = one.internal_port_id
    port = tx.get(things.Port, port_id) if port_id else None
    words = "the floating IP is associated with no port: nobody answers for it"
    return Holder(port, router_id, project_id, "floating_ip", floating.id, words)


def _claimant(tx: Tx, port: things.Port, address: str) -> things.Port | None:
    """The port whose guest said last that it has this address of an unbound port (docs/decisions/0041)."""
    if port.binding_host:
        return None
    virtual = tx.select(things.VirtualAddress, {"port_id": port.id, "ip": str(ip_address(address))})
    return tx.get(things.Port, virtual[0].holder_id) if virtual else None


def _within(address: str, cidr: str) -> bool:
    return (":" in address) == (":" in cidr) and ip_address(address) in ip_network(cidr)
