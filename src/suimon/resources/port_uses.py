"""What leans on a port, and what becomes of it when the port or one of its addresses goes."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Final

import msgspec
from sqlalchemy import BindParameter, bindparam, delete, exists, literal, select, union_all, update

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.things import FloatingIp, Port
from suimon.store.columns import time_text
from suimon.store.tables import (
    FLOATING_IPS,
    LOCAL_IP_ASSOCIATIONS,
    LOCAL_IPS,
    NDP_PROXIES,
    NETWORKS,
    PORT_FORWARDINGS,
)
from suimon.store.tx import Tx

_PORT: Final[BindParameter[str]] = bindparam("port_id")
_USES: Final = union_all(
    select(literal("network"), NETWORKS.c.project_id).where(NETWORKS.c.id == bindparam("network_id")),
    select(literal("local_ip"), literal("")).where(exists().where(LOCAL_IPS.c.local_port_id == _PORT)),
    select(literal("association"), literal("")).where(exists().where(LOCAL_IP_ASSOCIATIONS.c.fixed_port_id == _PORT)),
    select(literal("floating_ip"), literal("")).where(exists().where(FLOATING_IPS.c.port_id == _PORT)),
    select(literal("address"), PORT_FORWARDINGS.c.internal_ip_address).where(
        PORT_FORWARDINGS.c.internal_port_id == _PORT
    ),
    select(literal("address"), NDP_PROXIES.c.ip_address).where(NDP_PROXIES.c.port_id == _PORT),
)
_IPS: Final[BindParameter[str]] = bindparam("ips", expanding=True)
_FORWARDING: Final = select(PORT_FORWARDINGS.c.floatingip_id).where(
    PORT_FORWARDINGS.c.internal_port_id == _PORT, PORT_FORWARDINGS.c.internal_ip_address.in_(_IPS)
)
_UNFORWARD: Final = delete(PORT_FORWARDINGS).where(
    PORT_FORWARDINGS.c.internal_port_id == _PORT, PORT_FORWARDINGS.c.internal_ip_address.in_(_IPS)
)
_UNPROXY: Final = delete(NDP_PROXIES).where(NDP_PROXIES.c.port_id == _PORT, NDP_PROXIES.c.ip_address.in_(_IPS))
_DISSOCIATE: Final = delete(LOCAL_IP_ASSOCIATIONS).where(LOCAL_IP_ASSOCIATIONS.c.fixed_port_id == _PORT)
_FREE: Final = (
    update(FLOATING_IPS)
    .where(
        FLOATING_IPS.c.id.in_(bindparam("ids", expanding=True)),
        ~exists().where(PORT_FORWARDINGS.c.floatingip_id == FLOATING_IPS.c.id),
    )
    .values(router_id=None, revision_number=FLOATING_IPS.c.revision_number + 1, updated_at=bindparam("now"))
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
    if "floating_ip" in uses.kinds:
        _detach(tx, actor, port)
    if "association" in uses.kinds:
        tx.run(_DISSOCIATE, {"port_id": port.id})
    if uses.ips:
        lose_addresses(tx, port, uses.ips)


def lose_addresses(tx: Tx, port: Port, ips: Collection[str]) -> None:
    """These addresses are about to be taken from the port: nothing is forwarded to them, or proxied, any more."""
    values = {"port_id": port.id, "ips": list(ips)}
    floating_ips = {id_ for (id_,) in tx.rows(_FORWARDING, values)}
    tx.run(_UNPROXY, values)
    if floating_ips:
        tx.run(_UNFORWARD, values)
        tx.run(_FREE, {"ids": list(floating_ips), "now": time_text(tx.now)})


def _detach(tx: Tx, actor: Actor, port: Port) -> None:
    floating_ips = tx.select(FloatingIp, {"port_id": port.id})
    if not actor.admin and any(floating_ip.project_id != actor.project_id for floating_ip in floating_ips):
        raise Conflict(
            f"Unable to complete the operation on port {port.id} because the port still has an associated floating IP.",
            "FipAssociated",
        )
    for floating_ip in floating_ips:
        tx.change(floating_ip, port_id=None, fixed_ip_address=None, router_id=None, status="DOWN")
