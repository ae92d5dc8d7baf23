"""Which scopes a host holds: what its bound ports need, found in a statement or two for any number of hosts.

host:H      its ports, also those that are waited for there (live migration); their floating IPs
network:N   networks of its ports; those of the routers on them (one hop), and the routers' external networks
peers:N     the bound ports of such a network, if packets find their way there by us: tunnels, or a router is on it;
            and the legs of its routers
router:R    routers with an interface on a network of its ports, and those behind them (`routes.behind`), with their
            networks and peers
group:G     security groups of its ports; members:G the remote groups and address groups that their rules name
physnet:P   the gateway hosts of a physical network that one of these routers leaves by; or that the host itself has
            (then it also holds its external networks, and of the routers that it is a gateway host of: the router, and
            the networks and peers of their legs)
project:P   projects of its ports; cloud:all if it has a port
qos:Q       QoS policies of its ports and their floating IPs, or else of those' networks; and those that it carries out
            as a gateway host (`gateways.duties`)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BindParameter,
    Select,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    union,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import CompoundSelect

from suimon.distribution.gateways import Attached, Leading, duties
from suimon.distribution.policies import OF_FLOATING_IP, OF_PORT
from suimon.distribution.routes import behind
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE, UNPLUGGED
from suimon.model.view import EVERY_HOST, TUNNELS
from suimon.store.tables import (
    FLOATING_IPS,
    HOSTS,
    NETWORKS,
    PORT_BINDINGS,
    PORT_SECURITY_GROUPS,
    PORTS,
    ROUTERS,
    SECURITY_GROUP_RULES,
)
from suimon.store.tx import Tx

Scopes = frozenset[str]


def scopes(tx: Tx, hosts: Collection[str], leading: Leading | None = None) -> dict[str, Scopes]:
    """By host, what it holds now; a host without ports, known or not, holds `host:H` alone.

    `leading` says which routers the hosts may lead out, if that is known.
    """
    held = {host: {f"host:{host}"} for host in hosts}
    for host, led in _led(tx, _OF_HOSTS, hosts).items():
        held[host] |= led
    attached = {str(host) for (host,) in tx.rows(_ATTACHED, {"wanted": list(hosts)})}
    for host, of_duty in duties(tx, attached, leading or Leading(Attached())).items():
        held[host] |= of_duty
    return {host: frozenset(each) for host, each in held.items()}


def led_to(tx: Tx, port_ids: Collection[str]) -> dict[str, set[str]]:
    """By host, what these ports of it lead to: all that a host gains by them, at a cost that is theirs and not its."""
    return _led(tx, _OF_PORTS, port_ids)


def _led(tx: Tx, statement: CompoundSelect[Any], wanted: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    routed: dict[str, set[str]] = defaultdict(set)
    for row in tx.rows(statement, {"wanted": list(wanted)}):
        host, what, id_ = map(str, row)
        found[host].update(f"{scope}:{id_}" for scope in _SCOPES[what])
        if what == _ROUTED:
            routed[host].add(id_)
    for host, more in behind(tx, routed).items():
        found[host] |= more
    return found


_WANTED: Final[BindParameter[Any]] = bindparam("wanted", expanding=True)
_ATTACHED: Final = select(HOSTS.c.name).where(HOSTS.c.name.in_(_WANTED), HOSTS.c.physnets != "[]")
"""Hosts that have physical networks."""
_ROUTED: Final = "routed"
"""What the statement says of a router with extra routes."""
_SCOPES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(TUNNELS, ("network", "peers")),
    "vlan": ("network",),
    "flat": ("network",),
    ROUTER_INTERFACE: ("network", "peers"),
    ROUTER_GATEWAY: ("network",),
    "router": ("router",),
    _ROUTED: ("router",),
    "physnet": ("physnet",),
    "group": ("group",),
    "members": ("members",),
    "qos": ("qos",),
    "project": ("project",),
    "cloud": ("cloud",),
}
"""By what the statement says of an id: the scopes that follow."""


def _statement(wanted: ColumnElement[Any] | None = None) -> CompoundSelect[Any]:
    """Of the ports with these ids, or of all that are bound to these hosts."""
    mine = _bound_ports(wanted)
    groups, routers = _groups(mine), _routers(mine)
    legs = _legs(routers)
    outside = (_policies_outside(mine, behind) for behind in (FLOATING_IPS.c.port_id, FLOATING_IPS.c.holder_id))
    of_mine = (_networks(mine), _policies(mine), *outside, _projects(mine), _cloud(mine))
    of_groups = (select(groups.c.binding_host, literal("group"), groups.c.group_id), _members(groups))
    of_routers = (_by_routes(routers), select(*legs.c), _ways_out(legs))
    return union(*of_mine, *of_groups, *of_routers)


def _bound_ports(wanted: ColumnElement[Any] | None) -> CTE:
    active, waited_for = PORTS.c.binding_host, PORT_BINDINGS.c.host
    waiting = _ports_of(waited_for, waited_for if wanted is None else wanted)
    waiting = waiting.join(PORT_BINDINGS, PORT_BINDINGS.c.port_id == PORTS.c.id)
    return union_all(_ports_of(active, active if wanted is None else wanted), waiting).cte("mine")


def _ports_of(host: ColumnElement[str], wanted: ColumnElement[Any]) -> Select[Any]:
    policy = OF_PORT.label("policy")
    columns = (PORTS.c.network_id, PORTS.c.port_security, PORTS.c.project_id, NETWORKS.c.network_type)
    return (
        select(PORTS.c.id, host.label("binding_host"), *columns, policy)
        .select_from(PORTS)
        .join(NETWORKS, NETWORKS.c.id == PORTS.c.network_id)
        .where(wanted.in_(_WANTED), host != "", PORTS.c.device_owner.not_in(UNPLUGGED))
    )


def _routers(mine: CTE) -> CTE:
    # The owner is written out, because a partial index (ix_ports_router_legs) serves no bound value: without it, each
    # look for a network's routers passes all of its ports.
    owner: ColumnElement[str] = literal_column(f"'{ROUTER_INTERFACE}'")
    networks = select(mine.c.binding_host, mine.c.network_id).distinct().cte("networks_of_mine")
    return (
        select(networks.c.binding_host, PORTS.c.device_id.label("router_id"))
        .join(PORTS, PORTS.c.network_id == networks.c.network_id)
        .where(PORTS.c.device_owner == owner)
        .distinct()
        .cte("routers_of_mine")
    )


def _networks(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, mine.c.network_type, mine.c.network_id)


def _projects(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, literal("project"), mine.c.project_id)


def _cloud(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, literal("cloud"), literal(EVERY_HOST.partition(":")[2]))


def _policies(mine: CTE) -> Select[Any]:
    return select(mine.c.binding_host, literal("qos"), mine.c.policy).where(mine.c.policy.is_not(None))


def _policies_outside(mine: CTE, behind: ColumnElement[str]) -> Select[Any]:
    return (
        select(mine.c.binding_host, literal("qos"), OF_FLOATING_IP)
        .join(FLOATING_IPS, behind == mine.c.id)
        .join(NETWORKS, NETWORKS.c.id == FLOATING_IPS.c.floating_network_id)
        .where(OF_FLOATING_IP.is_not(None))
    )


def _groups(mine: CTE) -> CTE:
    belongs = PORT_SECURITY_GROUPS
    return (
        select(mine.c.binding_host, belongs.c.group_id)
        .join(belongs, belongs.c.port_id == mine.c.id)
        .where(mine.c.port_security)
        .distinct()
        .cte("groups_of_mine")
    )


def _members(groups: CTE) -> Select[Any]:
    rules = SECURITY_GROUP_RULES
    remote = func.coalesce(rules.c.remote_group_id, rules.c.remote_address_group_id)
    return (
        select(groups.c.binding_host, literal("members"), remote)
        .join(rules, rules.c.security_group_id == groups.c.group_id)
        .where(remote.is_not(None))
    )


def _by_routes(routers: CTE) -> Select[Any]:
    what = case((ROUTERS.c.routes != "[]", _ROUTED), else_="router")
    return select(routers.c.binding_host, what, ROUTERS.c.id).join(ROUTERS, ROUTERS.c.id == routers.c.router_id)


def _legs(routers: CTE) -> CTE:
    return (
        select(routers.c.binding_host, PORTS.c.device_owner, PORTS.c.network_id)
        .join(PORTS, PORTS.c.device_id == routers.c.router_id)
        .where(PORTS.c.device_owner.in_((ROUTER_INTERFACE, ROUTER_GATEWAY)))
        .cte("legs")
    )


def _ways_out(legs: CTE) -> Select[Any]:
    return (
        select(legs.c.binding_host, literal("physnet"), NETWORKS.c.physnet)
        .join(NETWORKS, NETWORKS.c.id == legs.c.network_id)
        .where(legs.c.device_owner == ROUTER_GATEWAY, NETWORKS.c.physnet.is_not(None))
    )


_OF_HOSTS: Final = _statement()
_OF_PORTS: Final = _statement(PORTS.c.id)
