"""Objects put together from several rows: security groups, routers, QoS policies; always in the same few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy import bindparam, select

from suimon.distribution.policies import OF_FLOATING_IP
from suimon.model import things, view
from suimon.model.specs.security_groups import PROTOCOLS
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_PORTS
from suimon.store.tables import FLOATING_IPS, NETWORKS, PORT_FORWARDINGS
from suimon.store.tx import Tx

T = TypeVar("T", bound=things.Thing)

_F, _P = FLOATING_IPS.c, PORT_FORWARDINGS.c
_FORWARDINGS: Final = (
    select(_F.router_id, _F.floating_ip_address, _P.protocol, _P.external_first, _P.external_last)
    .add_columns(_P.internal_ip_address, _P.internal_first, _P.internal_last, OF_FLOATING_IP)
    .join(PORT_FORWARDINGS, _P.floatingip_id == _F.id)
    .join(NETWORKS, NETWORKS.c.id == _F.floating_network_id)
    .where(_F.router_id.in_(bindparam("routers", expanding=True)))
    .order_by(_F.floating_ip_address, _P.protocol, _P.external_first)
)


def security_groups(tx: Tx, ids: set[str]) -> Iterator[view.SecurityGroup]:
    """The groups of these ids that there are, with their rules."""
    rules = _by(tx.select(things.SecurityGroupRule, {"security_group_id": ids}), "security_group_id")
    for group in tx.select(things.SecurityGroup, {"id": ids}):
        yield view.SecurityGroup(group.id, tuple(map(_rule, _ordered(rules[group.id]))), group.stateful)


def qos_policies(tx: Tx, ids: set[str]) -> Iterator[view.QosPolicy]:
    """The policies of these ids that there are, with those of their rules that hosts carry out.

    A limit of nothing is none, as for Neutron's agent.
    """
    limits = _by(tx.select(things.BandwidthLimitRule, {"policy_id": ids}), "policy_id")
    blocks = _by(tx.select(things.PortBlockRule, {"policy_id": ids}), "policy_id")
    packet_limits = _by(tx.select(things.PacketRateLimitRule, {"policy_id": ids}), "policy_id")
    marks = {rule.policy_id: rule.dscp_mark for rule in tx.select(things.DscpMarkingRule, {"policy_id": ids})}
    for policy in tx.select(things.QosPolicy, {"id": ids}):
        yield view.QosPolicy(
            policy.id,
            tuple(_limit(rule) for rule in _ordered(limits[policy.id]) if rule.max_kbps),
            tuple(map(_block, _ordered(blocks[policy.id]))),
            tuple(_packet_limit(rule) for rule in _ordered(packet_limits[policy.id]) if rule.max_kpps),
            marks.get(policy.id),
        )


def routers(tx: Tx, ids: set[str]) -> Iterator[view.Router]:
    """The routers of these ids that there are, with their legs on networks."""
    legs = tx.select(things.Port, {"device_id": ids, "device_owner": ROUTER_PORTS})
    wanted = {fixed.subnet_id for leg in legs for fixed in leg.fixed_ips}
    subnets = {subnet.id: subnet for subnet in tx.select(things.Subnet, {"id": wanted})} if wanted else {}
    legs_of = _by(legs, "device_id")
    address_scopes = _address_scopes(tx, subnets.values())
    forwardings, proxied = _forwardings(tx, ids), _proxied(tx, ids)
    for router in tx.select(things.Router, {"id": ids}):
        interfaces: list[view.RouterInterface] = []
        gateway = None
        for leg in _ordered(legs_of[router.id]):
            if leg.device_owner == ROUTER_GATEWAY:
                gateway = _gateway(leg, subnets)
            else:
                interfaces += _interfaces(leg, subnets)
        if gateway:
            plain = _plain(interfaces, legs_of[router.id], address_scopes)
            policy = router.gateway_qos_policy_id
            gateway = msgspec.structs.replace(gateway, snat=router.enable_snat, plain=plain, qos_id=policy)
        ways, limited = forwardings[router.id]
        yield view.Router(
            router.id,
            router.admin_state_up,
            tuple(interfaces),
            gateway,
            router.routes,
            tuple(ways),
            limited=tuple(sorted(limited.items())),
            proxied=tuple(sorted(proxied[router.id])) if router.enable_ndp_proxy else None,
        )


def _address_scopes(tx: Tx, subnets: Iterable[things.Subnet]) -> dict[str, str]:
    """By subnet, the address scope that its pool is in, if there is one."""
    pools = {subnet.id: subnet.subnetpool_id for subnet in subnets if subnet.subnetpool_id}
    found = tx.select(things.SubnetPool, {"id": set(pools.values())}) if pools else []
    scopes = {pool.id: pool.address_scope_id for pool in found if pool.address_scope_id}
    return {subnet_id: scopes[pool_id] for subnet_id, pool_id in pools.items() if pool_id in scopes}


def _plain(
    interfaces: Iterable[view.RouterInterface], legs: Iterable[things.Port], address_scopes: dict[str, str]
) -> tuple[str, ...]:
    """The router's own subnets that are in an address scope of the external network's."""
    outside = [fixed for leg in legs if leg.device_owner == ROUTER_GATEWAY for fixed in leg.fixed_ips]
    scopes = {address_scopes.get(fixed.subnet_id) for fixed in outside} - {None}
    plain = (each.cidr for each in interfaces if address_scopes.get(each.subnet_id) in scopes)
    return tuple(sorted({cidr for cidr in plain if ":" not in cidr}))


def _forwardings(tx: Tx, router_ids: set[str]) -> dict[str, tuple[list[view.PortForwarding], dict[str, str]]]:
    """By router, the L4 ports of floating IPs that it forwards, and these addresses' QoS policies."""
    sorted_out: dict[str, tuple[list[view.PortForwarding], dict[str, str]]] = defaultdict(lambda: ([], {}))
    for router_id, address, protocol, *ways in tx.rows(_FORWARDINGS, {"routers": sorted(router_ids)}):
        first, last, ip, inner_first, inner_last, policy_id = ways
        forwardings, limited = sorted_out[router_id]
        inwards = (ip, inner_first, inner_last)
        forwardings.append(view.PortForwarding(address, _protocol(protocol), first, last, *inwards))
        if policy_id:
            limited[address] = policy_id
    return sorted_out


def _proxied(tx: Tx, router_ids: set[str]) -> dict[str, set[str]]:
    """By router, the addresses that it answers for outside."""
    sorted_out: dict[str, set[str]] = defaultdict(set)
    for one in tx.select(things.NdpProxy, {"router_id": router_ids}):
        sorted_out[one.router_id].add(one.ip_address)
    return sorted_out


def _interfaces(leg: things.Port, subnets: dict[str, things.Subnet]) -> Iterator[view.RouterInterface]:
    for fixed in leg.fixed_ips:
        cidr = subnets[fixed.subnet_id].cidr
        yield view.RouterInterface(leg.id, leg.network_id, fixed.subnet_id, cidr, fixed.ip, leg.mac_address)


def _gateway(leg: things.Port, subnets: dict[str, things.Subnet]) -> view.Gateway:
    fixed = next((fixed for fixed in leg.fixed_ips if ":" not in fixed.ip), None)
    fixed6 = next((fixed for fixed in leg.fixed_ips if ":" in fixed.ip), None)
    ip, hop = (fixed.ip, subnets[fixed.subnet_id].gateway_ip) if fixed else (None, None)
    ip6, hop6 = (fixed6.ip, subnets[fixed6.subnet_id].gateway_ip) if fixed6 else (None, None)
    return view.Gateway(leg.network_id, ip, leg.mac_address, hop, nexthop6=hop6, ip6=ip6)


def _rule(rule: things.SecurityGroupRule) -> view.SecurityGroupRule:
    return view.SecurityGroupRule(
        id=rule.id,
        direction=_direction(rule.direction),
        ethertype="IPv6" if rule.ethertype == "IPv6" else "IPv4",
        protocol=None if rule.protocol is None else _protocol(rule.protocol),
        port_min=rule.port_range_min,
        port_max=rule.port_range_max,
        remote_prefix=rule.remote_ip_prefix,
        remote_group=rule.remote_group_id or rule.remote_address_group_id,
    )


def _limit(rule: things.BandwidthLimitRule) -> view.BandwidthLimit:
    return view.BandwidthLimit(_direction(rule.direction), rule.max_kbps, rule.max_burst_kbps)


def _packet_limit(rule: things.PacketRateLimitRule) -> view.PacketLimit:
    return view.PacketLimit(_direction(rule.direction), rule.max_kpps, rule.max_burst_kpps)


def _block(rule: things.PortBlockRule) -> view.PortBlock:
    ports = (rule.port_range_min, rule.port_range_max)
    return view.PortBlock(rule.id, _direction(rule.direction), _protocol(rule.protocol), *ports, rule.remote_ip_prefix)


def _direction(direction: str) -> view.Direction:
    return "egress" if direction == "egress" else "ingress"


def _protocol(protocol: str) -> int:
    """Acts let nothing through but the names above and numbers."""
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def _by(found: Iterable[T], field: str) -> dict[str, list[T]]:
    sorted_out: dict[str, list[T]] = defaultdict(list)
    for thing in found:
        sorted_out[getattr(thing, field)].append(thing)
    return sorted_out


def _ordered(found: Sequence[T]) -> list[T]:
    return sorted(found, key=lambda thing: thing.id)
