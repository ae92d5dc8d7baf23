"""What a question is about: the hosts on its way, and of what they are told the part that both ends lead to.

A host's other ports are left out, and of the scopes that grow with a network or a group (`peers:`, `members:`) all but
the ends' own objects: no flow of another one matches the packet. So what is read grows with neither the cloud nor the
hosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network

import msgspec
from sqlalchemy import bindparam, select

from suimon.distribution.holders import holders
from suimon.distribution.objects import read
from suimon.distribution.scopes import led_to
from suimon.model import things, view
from suimon.model.gateways import ranked
from suimon.pipeline.simulate.journey import Place
from suimon.store.tables import LOCAL_IP_ASSOCIATIONS, LOCAL_IPS
from suimon.store.tx import Tx

_LAZY = ("host:", "peers:", "members:")
_MEANT = (
    select(LOCAL_IP_ASSOCIATIONS.c.fixed_port_id)
    .join(LOCAL_IPS, LOCAL_IPS.c.id == LOCAL_IP_ASSOCIATIONS.c.local_ip_id)
    .where(LOCAL_IPS.c.local_ip_address == bindparam("ip"))
)


class Known(msgspec.Struct, frozen=True):
    """What was read; `held` says which scopes of it each host is told."""

    objects: tuple[view.Object, ...]
    held: dict[str, frozenset[str]]

    def of(self, host: str) -> tuple[view.Object, ...]:
        return tuple(thing for thing in self.objects if thing.scope in self.held[host])

    def subnets(self, address: str) -> list[view.Subnet]:
        """Those that the address is of."""
        subnets = (thing for thing in self.objects if isinstance(thing, view.Subnet))
        return [each for each in subnets if ip_address(address) in ip_network(each.cidr)]


def known(
    tx: Tx,
    ends: Collection[things.Port],
    address: str = "",
    routers: Collection[str] = (),
    legs: Collection[str] = (),
) -> Known:
    """What the hosts of these ports, and those that lead their routers and these ones out, are told that matters to a
    packet between them, or from one of them to the address, which a port of `legs` may have. Where an extra route leads
    is an end, too: a guest routes.
    """
    found = _known(tx, ends, address, routers, legs)
    hops = [port for port in _next_hops(tx, found.objects) if port not in ends]
    return _known(tx, [*ends, *hops], address, routers, legs) if hops else found


def places(tx: Tx, known: Known) -> list[Place]:
    """The hosts as a journey needs them."""
    hosts = {host.name: host for host in tx.select(things.Host, {"name": known.held.keys()})} if known.held else {}
    ids = {thing.id for thing in known.objects if isinstance(thing, view.Port)}
    rows = tx.select(things.Port, {"id": ids}) if ids else []
    unready = {port.id: _unready_words(port) for port in rows if port.admin_state_up and port.status != "ACTIVE"}
    made = []
    for name in known.held:
        vtep, physnets = (hosts[name].tunnel_ip, hosts[name].physnets) if name in hosts else (None, ())
        made.append(Place(name, vtep, physnets, known.of(name), unready))
    return made


def _known(
    tx: Tx, ends: Collection[things.Port], address: str, routers: Collection[str], legs: Collection[str]
) -> Known:
    ids = {port.id for port in ends}
    meant = {str(row[0]) for row in tx.rows(_MEANT, {"ip": address})} if address else set()
    held: dict[str, set[str]] = defaultdict(set)
    for host, scopes in led_to(tx, ids | meant).items():
        if host in {port.binding_host for port in ends}:
            held[host] |= {f"host:{host}", *scopes}
    every = {scope for scopes in held.values() for scope in scopes} | {f"router:{id_}" for id_ in routers}
    members = {scope.removeprefix("members:") for scope in every if scope.startswith("members:")}
    keys: set[view.Key] = {(kind, id_) for kind in ("port", "peer") for id_ in ids | meant}
    keys |= {("leg", id_) for id_ in legs}
    trunks = _trunks(tx, ids | meant)
    keys |= {("member", f"/{id_}") for id_ in ids | members} | {("port", id_) for id_ in trunks}
    restricting = tx.select(things.Restriction, {"target": ids | trunks, "state": "active"}) if ids else ()
    keys |= {("restriction", each.id) for each in restricting}
    for behind in ("port_id", "holder_id") if ids else ():
        keys |= {("floating_ip", each.id) for each in tx.select(things.FloatingIp, {behind: ids})}
    found = read(tx, {scope for scope in every if not scope.startswith(_LAZY)}, keys)
    found += _outside(tx, found)
    objects = tuple(dict.fromkeys(found))
    for host, scopes in _leading(objects).items():
        held[host] |= scopes
    return Known(objects, {host: frozenset(scopes) for host, scopes in held.items()})


def _outside(tx: Tx, found: Iterable[view.Object]) -> list[view.Object]:
    """The external networks of routers, and who leads there: what is asked about may be a router's alone."""
    outside = {thing.gateway.network_id for thing in found if isinstance(thing, view.Router) and thing.gateway}
    missing = outside - {thing.id for thing in found if isinstance(thing, view.Network)}
    if not missing:
        return []
    networks = read(tx, {f"network:{id_}" for id_ in missing}, ())
    physnets = {thing.physnet for thing in networks if isinstance(thing, view.Network)}
    return [*networks, *read(tx, {f"physnet:{name}" for name in physnets if name}, ())]


def _next_hops(tx: Tx, found: Iterable[view.Object]) -> list[things.Port]:
    """The ports that extra routes lead to."""
    routers = [thing for thing in found if isinstance(thing, view.Router) and thing.routes]
    subnets = {leg.subnet_id for router in routers for leg in router.interfaces}
    return holders(tx, subnets, {route.nexthop for each in routers for route in each.routes})


def _leading(objects: Collection[view.Object]) -> dict[str, set[str]]:
    """By host, what it is told as the first gateway host of these routers."""
    networks = {thing.id: thing for thing in objects if isinstance(thing, view.Network)}
    gateways = {thing.id: thing.hosts for thing in objects if isinstance(thing, view.Gateways)}
    held: dict[str, set[str]] = defaultdict(set)
    for router in (thing for thing in objects if isinstance(thing, view.Router)):
        network = networks.get(router.gateway.network_id) if router.gateway else None
        ranks = ranked(router.id, gateways.get(network.physnet or "", ())) if network else ()
        if network is not None and ranks:
            legs = {leg.network_id for leg in router.interfaces}
            held[ranks[0].host] |= {f"router:{router.id}", f"network:{network.id}", f"physnet:{network.physnet}"}
            held[ranks[0].host] |= {f"{kind}:{leg}" for kind in ("network", "peers") for leg in legs}
    return held


def _trunks(tx: Tx, ids: Collection[str]) -> set[str]:
    """The ports whose interfaces carry these."""
    subports = tx.select(things.Subport, {"port_id": ids}) if ids else []
    trunks = tx.select(things.Trunk, {"id": {each.trunk_id for each in subports}}) if subports else []
    return {trunk.port_id for trunk in trunks}


def _unready_words(port: things.Port) -> str:
    return f"the port is {port.status}: {port.status_reason or 'its host has not said that its flows are in'}"
