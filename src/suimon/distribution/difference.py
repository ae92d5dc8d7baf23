"""From log entries, and from the scopes that hosts held and hold, to what each host is told.

It is the same for a live change, a reconnect and a snapshot: a snapshot is the difference from holding nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from sqlalchemy import BindParameter, Select, bindparam, func, literal, select, union_all

from suimon.distribution.gateways import Leading
from suimon.distribution.objects import read
from suimon.distribution.scopes import Scopes, led_to, scopes
from suimon.model import view
from suimon.model.touches import ROUTER_PORTS, UNPLUGGED, WAY_OUT, Touch
from suimon.store.tables import FLOATING_IPS, PORT_BINDINGS, PORTS, RESTRICTIONS
from suimon.store.tx import Tx

RESCOPING: Final = frozenset({"parted", "router", "network", "remote_group", "gateways", "external_network"})
"""Kinds of entries after which the holders of the entry's scope may hold other scopes, and after `port` only more."""
RESCOPING_IMPLIED: Final = frozenset({"floating_ip", "parted"})
"""The same of implied entries: only they name a port's other hosts, and those of floating IPs."""
LED_ANEW: Final = frozenset({"gateways", "external_network"})
"""Kinds of entries after which any router may be led out by other hosts; after `MOVED`, those that they name."""
MOVED: Final = frozenset({"router", WAY_OUT})


class Held(msgspec.Struct, frozen=True):
    """The scopes that a host was told so far, and the schema of the view that it speaks."""

    schema: int
    scopes: Scopes = frozenset()


_Told = tuple[int, msgspec.Raw]
"""The schema that an object is from, and the object."""


class Difference(msgspec.Struct, frozen=True):
    """What one host is told: `view.Delta` with its objects encoded already, each once for all hosts."""

    schema: int
    scopes: Scopes
    dropped: tuple[str, ...] = ()
    deleted: tuple[view.Key, ...] = ()
    objects: tuple[msgspec.Raw, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.dropped or self.deleted or self.objects)


def differences(
    tx: Tx,
    held: Mapping[str, Held],
    rescoped: AbstractSet[str],
    entries: Iterable[Touch],
    leading: Leading | None = None,
) -> dict[str, Difference]:
    """By host, what makes its view equal to the store.

    `held` is what each host was told so far, `rescoped` are the hosts whose scopes may be others by now, `entries`
    happened since, as `implied` gives it, `leading` is for `scopes`.
    """
    had = {host: each.scopes for host, each in held.items()}
    holds = {**had, **(scopes(tx, rescoped, leading) if rescoped else {})}
    gaining = had.keys() - rescoped
    come = {id_ for kind, id_, scope in entries if kind == "port" and scope.removeprefix("host:") in gaining}
    for host, more in led_to(tx, come).items() if come else ():
        if host in gaining:
            holds[host] |= more
    added = {scope for host in had for scope in holds[host] - had[host]}
    kept = {scope for host in had for scope in holds[host] & had[host]}
    touched = _by_scope(entry for entry in entries if entry[2] in kept)
    found = read(tx, added, {key for keys in touched.values() for key in keys})
    members: dict[str, dict[view.Key, _Told]] = defaultdict(dict)
    for thing in found:
        members[thing.scope][view.key(thing)] = (view.since(thing), msgspec.Raw(msgspec.json.encode(thing)))

    def difference(host: str) -> Difference:
        before, after = had[host], holds[host]
        told = [thing for scope in sorted(after - before) for thing in members[scope].values()]
        deleted: list[view.Key] = []
        for scope in sorted(touched.keys() & before & after):
            for key in sorted(touched[scope]):
                if key in members[scope]:
                    told.append(members[scope][key])
                else:
                    deleted.append(key)
        objects = tuple(encoded for since, encoded in told if since <= held[host].schema)
        return Difference(held[host].schema, after, tuple(sorted(before - after)), tuple(deleted), objects)

    return {host: difference(host) for host in held}


def implied(tx: Tx, entries: Iterable[Touch]) -> set[Touch]:
    """The entries, and those that follow because an object tells something of another.

    A port and a floating IP tell their network's QoS policy, a router its external subnet's gateway and those of the
    floating IPs that it forwards, a floating IP its port's host, as a restriction of a port does, a port the local IPs
    that mean it. What is told of a port, is told to every host that it is bound to.
    """
    every = set(entries)
    networks = {id_ for kind, id_, _ in every if kind == "network"}
    if networks:
        every |= {("port", id_, f"host:{host}") for id_, host in _pairs(tx, _PORTS_ON, networks)}
        every |= {("floating_ip", id_, f"port:{port_id}") for id_, port_id in _pairs(tx, _FLOATING_IPS_ON, networks)}
        every |= {("router", id_, f"router:{id_}") for id_, _ in _pairs(tx, _FORWARDING_ON, networks)}
    meant = {id_ for kind, id_, scope in every if kind == "local_ip" and scope}
    if meant:
        every |= {("port", id_, f"host:{host}") for id_, host in _pairs(tx, _BINDINGS, meant)}
    on_subnets = {scope.removeprefix("network:") for kind, _, scope in every if kind == "subnet"}
    if on_subnets:
        every |= {("router", id_, f"router:{id_}") for id_, _ in _pairs(tx, _ROUTERS_ON, on_subnets)}
    return every | _besides(tx, every)


def _besides(tx: Tx, entries: Iterable[Touch]) -> set[Touch]:
    """Of ports: the other hosts that they are bound to, and their floating IPs and restrictions on every host.

    A change of a port is logged for its active host, and told where it is waited for, too. An association and its
    port's binding are logged apart, and either may have ended since: so each floating IP that a port has or had is
    looked at on each host that the port is or was bound to, and so is each restriction of it.
    """
    hosts: dict[str, set[str]] = defaultdict(set)
    about: dict[str, set[tuple[str, str]]] = defaultdict(set)
    logged: dict[str, set[str]] = defaultdict(set)
    for kind, id_, scope in entries:
        if kind in ("port", "parted") and scope.startswith("host:"):
            logged[id_].add(kind)
            if kind == "port":
                hosts[id_].add(scope)
        elif kind in ("floating_ip", "restriction") and scope.startswith("port:"):
            about[scope.removeprefix("port:")].add((kind, id_))
    if about:
        for port_id, host in _pairs(tx, _BINDINGS, about.keys()):
            hosts[port_id].add(f"host:{host}")
    told: set[Touch] = set()
    wanted = sorted(logged.keys() | hosts.keys())
    for what, port_id, other in tx.rows(_BESIDES, {"wanted": wanted}) if wanted else ():
        if what == "host":
            told |= {(kind, port_id, f"host:{other}") for kind in logged[port_id]}
            hosts[port_id].add(f"host:{other}")
        else:
            about[port_id].add((what, other))
    return told | {
        (kind, id_, host)
        for port_id in hosts.keys() & about.keys()
        for kind, id_ in about[port_id]
        for host in hosts[port_id]
    }


def _by_scope(entries: Iterable[Touch]) -> dict[str, set[view.Key]]:
    touched: dict[str, set[view.Key]] = defaultdict(set)
    for kind, id_, scope in entries:
        if kind in _TOLD:
            touched[scope].add((kind, id_))
    return touched


def _pairs(tx: Tx, statement: Select[str, str], wanted: Collection[str]) -> Iterable[tuple[str, str]]:
    return [(str(id_), str(other)) for id_, other in map(tuple, tx.rows(statement, {"wanted": sorted(wanted)}))]


_TOLD: Final = {str(kind.__struct_config__.tag) for kind in view.Object.__args__}
_WANTED: BindParameter[str] = bindparam("wanted", expanding=True)
_BOUND = select(PORTS.c.id, PORTS.c.binding_host).where(
    PORTS.c.binding_host != "", PORTS.c.device_owner.not_in(UNPLUGGED)
)
_PORTS_ON = _BOUND.where(PORTS.c.network_id.in_(_WANTED))
_BINDINGS = _BOUND.where(PORTS.c.id.in_(_WANTED))
_ROUTERS_ON = select(PORTS.c.device_id, PORTS.c.network_id).where(
    PORTS.c.network_id.in_(_WANTED), PORTS.c.device_owner.in_(ROUTER_PORTS)
)
_FLOATING_IPS_ON = select(FLOATING_IPS.c.id, func.coalesce(FLOATING_IPS.c.holder_id, FLOATING_IPS.c.port_id)).where(
    FLOATING_IPS.c.floating_network_id.in_(_WANTED), FLOATING_IPS.c.port_id.is_not(None)
)
_FORWARDING_ON = select(FLOATING_IPS.c.router_id, FLOATING_IPS.c.id).where(
    FLOATING_IPS.c.floating_network_id.in_(_WANTED),
    FLOATING_IPS.c.port_id.is_(None),
    FLOATING_IPS.c.router_id.is_not(None),
)
_BESIDES = union_all(
    select(literal("host"), PORT_BINDINGS.c.port_id, PORT_BINDINGS.c.host).where(PORT_BINDINGS.c.port_id.in_(_WANTED)),
    *(
        select(literal("floating_ip"), behind, FLOATING_IPS.c.id).where(behind.in_(_WANTED))
        for behind in (FLOATING_IPS.c.port_id, FLOATING_IPS.c.holder_id)
    ),
    select(literal("restriction"), RESTRICTIONS.c.target, RESTRICTIONS.c.id).where(
        RESTRICTIONS.c.target.in_(_WANTED), RESTRICTIONS.c.target_kind == "port", RESTRICTIONS.c.state == "active"
    ),
)
"""Where a port is waited for, its floating IPs, and what restricts it."""
