"""What leans on a port, and what becomes of it when the port or one of its addresses goes."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Final

import msgspec
from sqlalchemy import BindParameter, bindparam, exists, literal, or_, select, union_all

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.things import FloatingIp, LocalIpAssociation, NdpProxy, Port, PortForwarding
from suimon.resources import virtual_addresses
from suimon.store.tables import (
    FLOATING_IPS,
    LOCAL_IP_ASSOCIATIONS,
    LOCAL_IPS,
    NDP_PROXIES,
    NETWORKS,
    PORT_FORWARDINGS,
    VIRTUAL_ADDRESSES,
)
from suimon.store.tx import Tx

_PORT: Final[BindParameter[str]] = bindparam("port_id")
_USES: Final = union_all(
    select(literal("network"), NETWORKS.c.project_id).where(NETWORKS.c.id == bindparam("network_id")),
    select(literal("local_ip"), literal("")).where(exists().where(LOCAL_IPS.c.local_port_id == _PORT)),
    select(literal("association"), literal("")).where(exists().where(LOCAL_IP_ASSOCIATIONS.c.fixed_port_id == _PORT)),
    select(literal("floating_ip"), literal("")).where(exists().where(FLOATING_IPS.c.port_id == _PORT)),
    select(literal("virtual"), literal("")).where(
        exists().where(or_(VIRTUAL_ADDRESSES.c.port_id == _PORT, VIRTUAL_ADDRESSES.c.holder_id == _PORT))
    ),
    select(literal("address"), PORT_FORWARDINGS.c.internal_ip_address).where(
        PORT_FORWARDINGS.c.internal_port_id == _PORT
    ),
    select(literal("address"), NDP_PROXIES.c.ip_address).where(NDP_PROXIES.c.port_id == _PORT),
)


class Uses(msgspec.Struct, frozen=True):
    """What leans on a port: of which kinds it is, and the addresses that something is forwarded to, or proxied."""

    network_owner: str
    """The project of the port's network."""
    kinds: Set[str]
    ips: Set[str]


def uses_of(tx: Tx, port: Port) -> Uses:
    """All of it, in one statement."""
    found: dict[str, set[str]] = {}
    for kind, text in tx.rows(_USES, {"port_id": port.id, "network_id": port.network_id}):
        found.setdefault(kind, set()).add(text)
    (owner,) = found["network"]
    return Uses(owner, found.keys(), found.get("address", set()))


def let_go(tx: Tx, actor: Actor, port: Port, uses: Uses) -> None:
    """The port is about to be deleted. Raises Conflict while a local IP is its address, or when it has a floating IP
    that the actor may not take from it.
    """
    if "local_ip" in uses.kinds:
        raise Conflict(
            f"Port {port.id} cannot be deleted directly via the port API: still referenced by Local IPs.",
            "ServicePortInUse",
        )
    if "virtual" in uses.kinds:
        virtual_addresses.free(tx, port)
    if "floating_ip" in uses.kinds:
        _detach(tx, actor, port)
    if "association" in uses.kinds:
        tx.delete_many(tx.select(LocalIpAssociation, {"fixed_port_id": port.id}))
    if uses.ips:
        lose_addresses(tx, port, uses.ips)


def lose_addresses(tx: Tx, port: Port, ips: Collection[str]) -> None:
    """These addresses are about to be taken from the port: nothing is forwarded to them, or proxied, any more."""
    tx.delete_many(tx.select(NdpProxy, {"port_id": port.id, "ip_address": ips}))
    forwardings = tx.select(PortForwarding, {"internal_port_id": port.id, "internal_ip_address": ips})
    tx.delete_many(forwardings)
    for id_ in sorted({one.floatingip_id for one in forwardings}):
        floating_ip, more = tx.get(FloatingIp, id_), tx.select(PortForwarding, {"floatingip_id": id_}, limit=1)
        assert floating_ip is not None
        tx.change(floating_ip, router_id=floating_ip.router_id if more else None)


def _detach(tx: Tx, actor: Actor, port: Port) -> None:
    floating_ips = tx.select(FloatingIp, {"port_id": port.id})
    if not actor.admin and any(floating_ip.project_id != actor.project_id for floating_ip in floating_ips):
        raise Conflict(
            f"Unable to complete the operation on port {port.id} because the port still has an associated floating IP.",
            "FipAssociated",
        )
    for floating_ip in floating_ips:
        tx.change(floating_ip, port_id=None, fixed_ip_address=None, router_id=None, holder_id=None, status="DOWN")
