"""Gateway hosts: who could lead routers out to a physical network, and what those who do have to know for it.

A gateway host knows what any host with a guest behind the router would: the router, its networks and their ports. So a
router costs `model.gateways.RANKS` hosts that much, however many hosts and routers there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, select

from suimon.distribution.policies import OF_FLOATING_IP
from suimon.distribution.routes import behind
from suimon.model import view
from suimon.model.gateways import candidates, ranked
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.store.tables import CHANGES, FLOATING_IPS, HOSTS, NETWORKS, PORTS, ROUTERS
from suimon.store.tx import Tx

_TEXTS = msgspec.json.Decoder(tuple[str, ...])


class Attached:
    """The hosts of each physical network that tunnels reach, as they were when they were first asked for."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[view.GatewayHost, ...]] | None = None

    def hosts(self, tx: Tx) -> dict[str, tuple[view.GatewayHost, ...]]:
        """By physical network."""
        if self._hosts is None:
            self._hosts = attached_hosts(tx)
        return self._hosts


class Leading(msgspec.Struct, frozen=True):
    """What to look at to see what hosts hold as gateways: all routers, or those that they may lead."""

    attached: Attached
    routers: frozenset[str] | None = None


def gateways(tx: Tx, physnets: Collection[str]) -> Iterator[view.Gateways]:
    """The gateway hosts of these physical networks; nothing for one that no host has."""
    for physnet, hosts in attached_hosts(tx).items():
        if physnet in physnets:
            yield view.Gateways(physnet, hosts)


def leaders(tx: Tx, attached: Attached, routers: Collection[str]) -> set[str]:
    """The gateway hosts of these routers."""
    hosts = attached.hosts(tx)
    leaving = tx.rows(_LEAVING_OF, {"routers": sorted(routers)}) if routers else ()
    return {each.host for router_id, physnet, *_ in leaving for each in ranked(router_id, hosts.get(physnet, ()))}


def duties(tx: Tx, hosts: Collection[str], leading: Leading) -> dict[str, set[str]]:
    """By host, the scopes that it holds as a gateway: four statements for any number of hosts, and `behind`'s."""
    held: dict[str, set[str]] = defaultdict(set)
    every = leading.attached.hosts(tx).items() if hosts else ()
    attached = {physnet: there for physnet, there in every if any(each.host in hosts for each in there)}
    if not attached:
        return held
    physnets = {"physnets": sorted(attached)}
    external: dict[str, set[str]] = defaultdict(set)
    for id_, physnet in tx.rows(_EXTERNAL, physnets):
        external[physnet].add(f"network:{id_}")
    for physnet, there in attached.items():
        for each in there:
            if each.host in hosts:
                held[each.host] |= {f"physnet:{physnet}", *external[physnet]}
    of_these = leading.routers
    leaving = tx.rows(_LEAVING, physnets) if of_these is None else tx.rows(_LEAVING_OF, {"routers": sorted(of_these)})
    led: dict[str, list[str]] = defaultdict(list)
    routed: dict[str, set[str]] = defaultdict(set)
    for router_id, physnet, policy_id, has_routes in leaving:
        for each in ranked(router_id, attached.get(physnet, ())):
            if each.host in hosts:
                led[router_id].append(each.host)
                routed[each.host] |= {router_id} if has_routes else set()
                # Also of one without legs: the holders of its scope are who hears of its first.
                held[each.host] |= {f"router:{router_id}"} | ({f"qos:{policy_id}"} if policy_id else set())
    for router_id, network_id in tx.rows(_LEGS, {"routers": sorted(led)}) if led else ():
        for host in led[router_id]:
            held[host] |= {f"network:{network_id}", f"peers:{network_id}"}
    for router_id, policy_id in tx.rows(_FORWARDED, {"routers": sorted(led)}) if led else ():
        for host in led[router_id]:
            held[host].add(f"qos:{policy_id}")
    for host, more in behind(tx, routed).items():
        held[host] |= more
    return held


def led_by(tx: Tx, host: str) -> list[str]:
    """The routers whose first gateway host it is."""
    attached = {physnet: there for physnet, there in attached_hosts(tx).items() if any(x.host == host for x in there)}
    leaving = tx.rows(_LEAVING, {"physnets": sorted(attached)})
    return sorted(row[0] for row in leaving if ranked(row[0], attached[row[1]])[0].host == host)


def drain_revision(tx: Tx, host: str) -> int:
    """Who has put this revision in force knows whether the host is drained; 0 if the log doesn't reach back to it."""
    return int(tx.rows(_NEWEST, {"host": host})[0][0] or 0)


def attached_hosts(tx: Tx) -> dict[str, tuple[view.GatewayHost, ...]]:
    """By physical network, the hosts that have it and can be reached by tunnels."""
    attached: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    drained, silent = set(), set()
    for name, vtep, physnets, is_drained, is_silent in tx.rows(_HOSTS, {}):
        drained |= {name} if is_drained else set()
        silent |= {name} if is_silent else set()
        for physnet in _TEXTS.decode(physnets):
            attached[physnet].append((name, vtep))
    return {physnet: candidates(hosts, drained, silent) for physnet, hosts in attached.items()}


_NEWEST: Final = select(func.max(CHANGES.c.revision)).where(CHANGES.c.kind == "host", CHANGES.c.id == bindparam("host"))
_HOSTS: Final = select(HOSTS.c.name, HOSTS.c.tunnel_ip, HOSTS.c.physnets, HOSTS.c.drained, HOSTS.c.silent).where(
    HOSTS.c.physnets != "[]"
)
_EXTERNAL: Final = select(NETWORKS.c.id, NETWORKS.c.physnet).where(
    NETWORKS.c.external, NETWORKS.c.physnet.in_(bindparam("physnets", expanding=True))
)
_WAYS_OUT: Final = (
    select(PORTS.c.device_id, NETWORKS.c.physnet, ROUTERS.c.gateway_qos_policy_id, ROUTERS.c.routes != "[]")
    .join(ROUTERS, ROUTERS.c.id == PORTS.c.device_id)
    .join(NETWORKS, NETWORKS.c.id == PORTS.c.network_id)
    .where(NETWORKS.c.external, PORTS.c.device_owner == ROUTER_GATEWAY)
)
_LEAVING: Final = _WAYS_OUT.where(NETWORKS.c.physnet.in_(bindparam("physnets", expanding=True)))
_LEAVING_OF: Final = _WAYS_OUT.where(PORTS.c.device_id.in_(bindparam("routers", expanding=True)))
_FORWARDED: Final[Any] = (
    select(FLOATING_IPS.c.router_id, OF_FLOATING_IP)
    .join(NETWORKS, NETWORKS.c.id == FLOATING_IPS.c.floating_network_id)
    .where(
        FLOATING_IPS.c.router_id.in_(bindparam("routers", expanding=True)),
        FLOATING_IPS.c.port_id.is_(None),
        OF_FLOATING_IP.is_not(None),
    )
)
"""The policies of floating IPs that have a router and no port: their L4 ports are forwarded."""
_LEGS: Final[Any] = select(PORTS.c.device_id, PORTS.c.network_id).where(
    PORTS.c.device_id.in_(bindparam("routers", expanding=True)), PORTS.c.device_owner == ROUTER_INTERFACE
)
