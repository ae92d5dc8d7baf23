"""Under which keys of which indexes each kind of object can be found.

`Facts` keeps the indexes, and says who is compiled again when a key comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from suimon.model import view
from suimon.pipeline.shared import reference, set_name

Entry = tuple[str, object, str]
"""(index, key, value): value can be found under key."""


def entries(thing: view.Object | None, host: str) -> Iterator[Entry]:
    """Of an object, on a host. A peer on this very host is its `Port`: it stands under none."""
    match thing:
        case view.Network(id=name) if thing.tunnelled:
            yield "tunnel", thing.kind, name
        case view.Gateways(id=name):
            yield "tunnel", "vxlan", name
            for gateway in thing.hosts:
                if gateway.host != host:
                    yield "vtep", gateway.vtep, f"gateways/{name}"
        case view.Port(id=name):
            yield "port@network", thing.network_id, name
            yield "port@project", thing.project_id, name
            if thing.parent:
                yield "port@parent", thing.parent, name
            if thing.security:
                yield "port@set", set_name(thing), name
                for group_id in thing.groups:
                    yield "set@group", group_id, set_name(thing)
            yield from _limited("port", name, {name: thing.qos_id})
            yield from _local_ips(thing)
            yield from _migrating(thing)
            yield from _claims(thing, {pair.mac for pair in thing.pairs})
        case view.Peer(id=name) if thing.host != host:
            yield "peer@network", thing.network_id, name
            yield from _claims(thing, set(thing.macs))
            if thing.vtep:
                yield "vtep", thing.vtep, name
                yield "vtep@network", thing.network_id, thing.vtep
        case view.Leg(id=name):
            yield from (("leg@network", thing.network_id, name), ("leg@router", thing.router_id, name))
        case view.Member():
            for ip in thing.ips:
                yield "group@address", ip, thing.group_id
                yield "address@group", thing.group_id, ip
        case view.SecurityGroup(id=name):
            if not thing.stateful:
                yield "stateless", name, name
            for rule in thing.rules:
                if rule.remote_group:
                    yield "reference", reference(rule, stateless=not thing.stateful), name
        case view.Subnet(id=name):
            yield "subnet@network", thing.network_id, name
        case view.Router(id=name):
            for route in thing.routes:
                yield "route", f"{name}/{route.destination}", route.nexthop
            for interface in thing.interfaces:
                yield "router@network", interface.network_id, name
            if thing.gateway:
                yield "router@network", thing.gateway.network_id, name
                yield "router@gateway", thing.gateway.network_id, name
                yield from _limited("router", name, {name: thing.gateway.qos_id})
            yield from _limited("router", name, {f"{name}/{ip}": policy for ip, policy in thing.limited})
        case view.Restriction():
            yield from _restricting(thing)
        case view.FloatingIp(id=name):
            yield "floating_ip@network", thing.network_id, name
            yield "floating_ip@port", thing.port_id, name
            yield "floating_ip@router", thing.router_id, name
            yield from _limited("floating_ip", name, {name: thing.qos_id})


def _limited(kind: str, name: str, policies: Mapping[str, str | None]) -> Iterator[Entry]:
    """Whom a policy concerns, and what has meters of its own (see `limit.limits`)."""
    for holder, policy_id in policies.items():
        if policy_id:
            yield f"{kind}@qos", policy_id, name
            yield "limited", holder, name


def _migrating(port: view.Port) -> Iterator[Entry]:
    """Of a port that is bound to several hosts: the tunnels to the others."""
    for vtep in port.others:
        yield "tunnel", "vxlan", port.id
        yield "vtep", vtep, f"port/{port.id}"
        for use in ("copied", "returned", "told"):
            yield "migrating", f"{port.id}/{use}", vtep


def _restricting(one: view.Restriction) -> Iterator[Entry]:
    about = f"{one.project_id}/{one.target}" if one.target_kind == "address" else one.target
    yield f"restriction@{one.target_kind}", about, one.id
    if one.expires_s is not None:
        yield "restriction", "ending", one.id


def _local_ips(port: view.Port) -> Iterator[Entry]:
    """The addresses that mean a port here; several may be meant by one, so that it stands for itself. Those of IPv6, or
    that mean one, are kept by the API and mean nothing on a host.
    """
    for local in port.local_ips:
        if ":" in local.address + local.fixed_ip:
            continue
        meant = f"{port.network_id}/{local.address}"
        yield "local", meant, port.id
        yield "local@port", port.id, meant
        yield "local@network", port.network_id, meant


def _claims(port: view.Port | view.Peer, macs: AbstractSet[str]) -> Iterator[Entry]:
    """MACs that a port may use besides its own. Several ports may claim one (VRRP): it stands for itself."""
    for mac in macs - {port.mac}:
        claim = f"{port.network_id}/{mac}"
        yield "claim", claim, port.id
        yield "claim@port", port.id, claim
        yield "claim@network", port.network_id, claim
    if isinstance(port, view.Port) and port.claimable:
        yield "claimed", f"{port.id}/claimed", port.id
