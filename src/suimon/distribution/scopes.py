"""Which scopes a host holds: what its bound ports need, found in one statement for any number of hosts.

host:H      its ports, their floating IPs
network:N   networks of its ports; those of the routers on them (one hop), and the routers' external networks
peers:N     the bound ports of such a network, if packets find their way there by us: vxlan, or a router is on it
router:R    routers with an interface on a network of its ports
group:G     security groups of its ports; members:G the remote groups and address groups that their rules name
qos:Q       QoS policies of its ports, or else of their networks
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import CTE, Select, bindparam, func, literal, select, union
from sqlalchemy.sql.expression import CompoundSelect

from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE, UNPLUGGED
from suimon.store.tables import NETWORKS, PORT_SECURITY_GROUPS, PORTS, SECURITY_GROUP_RULES
from suimon.store.tx import Tx

Scopes = frozenset[str]


def scopes(tx: Tx, hosts: Collection[str]) -> dict[str, Scopes]:
    """By host, what it holds now; a host without ports, known or not, holds `host:H` alone."""
    held = {host: {f"host:{host}"} for host in hosts}
    for row in tx.rows(_STATEMENT, {"hosts": list(hosts)}):
        host, what, id_ = map(str, row)
        held[host].update(f"{scope}:{id_}" for scope in _SCOPES[what])
    return {host: frozenset(each) for host, each in held.items()}


_SCOPES: Final[dict[str, tuple[str, ...]]] = {
    "vxlan": ("network", "peers"),
    "vlan": ("network",),
    "flat": ("network",),
    ROUTER_INTERFACE: ("network", "peers"),
    ROUTER_GATEWAY: ("network",),
    "router": ("router",),
    "group": ("group",),
    "members": ("members",),
    "qos": ("qos",),
}
"""By what the statement says of an id: the scopes that follow."""


def _statement() -> CompoundSelect[Any]:
    mine = _bound_ports()
    routers = _routers(mine)
    parts = (_networks(mine), _policies(mine), _groups(mine), _members(mine), _all(routers), _legs(routers))
    return union(*parts)


def _bound_ports() -> CTE:
    policy = func.coalesce(PORTS.c.qos_policy_id, NETWORKS.c.qos_policy_id).label("policy")
    columns = (PORTS.c.id, PORTS.c.binding_host, PORTS.c.network_id, PORTS.c.port_security, NETWORKS.c.network_type)
    return (
        select(*columns, policy)
        .join(NETWORKS, NETWORKS.c.id == PORTS.c.network_id)
        .where(PORTS.c.binding_host.in_(bindparam("hosts", expanding=True)), PORTS.c.device_owner.not_in(UNPLUGGED))
        .cte("mine")
    )


def _routers(mine: CTE) -> CTE:
    # Each network once: looking for a network's router ports passes all of its ports.
    networks = select(mine.c.binding_host, mine.c.network_id).distinct().cte("networks_of_mine")
    return (
        select(networks.c.binding_host, PORTS.c.device_id.label("router_id"))
        .join(PORTS, PORTS.c.network_id == networks.c.network_id)
        .where(PORTS.c.device_owner == ROUTER_INTERFACE)
        .distinct()
        .cte("routers")
    )


def _networks(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, mine.c.network_type, mine.c.network_id)


def _policies(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, literal("qos"), mine.c.policy).where(mine.c.policy.is_not(None))


def _groups(mine: CTE) -> Select[Any]:
    belongs = PORT_SECURITY_GROUPS
    return (
        select(mine.c.binding_host, literal("group"), belongs.c.group_id)
        .join(belongs, belongs.c.port_id == mine.c.id)
        .where(mine.c.port_security)
    )


def _members(mine: CTE) -> Select[Any]:
    belongs, rules = PORT_SECURITY_GROUPS, SECURITY_GROUP_RULES
    remote = func.coalesce(rules.c.remote_group_id, rules.c.remote_address_group_id)
    return (
        select(mine.c.binding_host, literal("members"), remote)
        .join(belongs, belongs.c.port_id == mine.c.id)
        .join(rules, rules.c.security_group_id == belongs.c.group_id)
        .where(mine.c.port_security, remote.is_not(None))
    )


def _all(routers: CTE) -> Select[Any]:
    return select(routers.c.binding_host, literal("router"), routers.c.router_id)


def _legs(routers: CTE) -> Select[Any]:
    return (
        select(routers.c.binding_host, PORTS.c.device_owner, PORTS.c.network_id)
        .join(PORTS, PORTS.c.device_id == routers.c.router_id)
        .where(PORTS.c.device_owner.in_((ROUTER_INTERFACE, ROUTER_GATEWAY)))
    )


_STATEMENT: Final = _statement()
