"""Objects put together from several rows: security groups, routers, QoS policies; always in the same few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from suimon.model import things, view
from suimon.model.specs.security_groups import PROTOCOLS
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_PORTS
from suimon.store.tx import Tx

T = TypeVar("T", bound=things.Thing)


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
    for router in tx.select(things.Router, {"id": ids}):
        interfaces: list[view.RouterInterface] = []
        gateway = None
        for leg in _ordered(legs_of[router.id]):
            if leg.device_owner == ROUTER_GATEWAY:
                gateway = _gateway(leg, subnets)
            else:
                interfaces += _interfaces(leg, subnets)
        yield view.Router(router.id, router.admin_state_up, tuple(interfaces), gateway, router.routes)


def _interfaces(leg: things.Port, subnets: dict[str, things.Subnet]) -> Iterator[view.RouterInterface]:
    for fixed in leg.fixed_ips:
        cidr = subnets[fixed.subnet_id].cidr
        yield view.RouterInterface(leg.id, leg.network_id, fixed.subnet_id, cidr, fixed.ip, leg.mac_address)


def _gateway(leg: things.Port, subnets: dict[str, things.Subnet]) -> view.Gateway:
    fixed = next((fixed for fixed in leg.fixed_ips if ":" not in fixed.ip), None)
    if fixed is None:
        return view.Gateway(leg.network_id, None, leg.mac_address, None)
    return view.Gateway(leg.network_id, fixed.ip, leg.mac_address, subnets[fixed.subnet_id].gateway_ip)


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
