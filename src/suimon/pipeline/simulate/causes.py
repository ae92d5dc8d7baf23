"""Which resource decided about a packet: what a journey's leg did, as events that name things.

A rule is found by what it says, not by the flow it became: one that is named allows the connection in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.fields import (
    COMPLAINT,
    EXPIRED,
    MTU,
    NET,
    NEXTHOP,
    NEXTHOP6,
    NO_ROUTE,
    ROUTER,
    SOURCE,
    TARGET,
    TOO_BIG,
    VERDICT,
    registers,
)
from suimon.pipeline.flow import CheckLarger, SetField, set_field
from suimon.pipeline.restrict import PRIORITIES
from suimon.pipeline.simulate.journey import INWARDS, Leg, Site
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.simulate.sender import packet_ip
from suimon.pipeline.simulate.switch import Step
from suimon.pipeline.tables import Stage

What = Literal["sent", "allowed", "routed", "translated", "forwarded", "delivered", "answered", "dropped"]
Why = tuple[str, str, str]
"""Kind and id of the resource, and words."""

NAMESPACE: Final = "namespace"
"""What stands for a stage in what a router's namespace does."""
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
_ICMP: Final = {1: "icmp", 58: "icmpv6"}
_ECHO_REPLIES: Final = frozenset({set_field("icmp_type", 0), set_field("icmpv6_type", 129)})
_OUTWARDS: Final = frozenset({Stage.BLOCK_OUT, Stage.ANTISPOOF, Stage.TRACK_OUT, Stage.GROUP_OUT, Stage.ALLOW_OUT})


class Event(msgspec.Struct, frozen=True):
    """Something that a stage on `host` did with the packet, and the resource (`kind`, `id`) that made it so.

    `near` says that it happened for the port that the packet came from, or on its way out of that port's host.
    """

    host: str
    stage: str
    what: What
    words: str
    kind: str = ""
    id: str = ""
    near: bool = True


def events(site: Site, leg: Leg) -> Iterator[Event]:
    """In the order of the lookups; the last one says how the packet left the host, or what dropped it."""
    inwards, turned = not leg.entry.startswith("port/"), False
    for step, near in leg.halves():
        inwards = inwards or step.stage in INWARDS
        found = _passed(site, step, inwards=inwards)
        if found:
            what, (kind, id_, words) = found
            turned = turned or what == "answered"
            yield Event(leg.host, step.stage.label, what, words, kind, id_, near)
    for sent in leg.result.sent:
        way = site.way(sent)
        stage = sent.step.stage.label
        if way.startswith("port/"):
            port_id = way.removeprefix("port/")
            yield Event(leg.host, stage, "delivered", "handed to the port's interface", "port", port_id, near=False)
        elif way.startswith(("tunnel/", "provider/")):
            yield Event(leg.host, stage, "forwarded", f"left the host by {way.replace('/', ' ')}", near=near)
        elif not way.startswith("nat/") and not turned:
            kind, id_ = _owner(sent.step)
            yield Event(leg.host, stage, "answered", f"answered by the {kind} itself", kind, id_, near)
    for crossed in leg.crossings:
        yield Event(leg.host, NAMESPACE, crossed.what, crossed.words, "router", crossed.router_id, near)
    last = leg.result.last
    if leg.result.to_controller and last.stage is Stage.FIT:
        yield Event(leg.host, last.stage.label, "dropped", *_complained(site, last.packet), near)
    elif leg.result.to_controller and last.stage is Stage.NEIGHBOUR:
        # The agent asks for it. Whoever answers is among the journey's answers.
        yield Event(leg.host, last.stage.label, "dropped", *_no_next_hop(site, last.packet), near)
    elif leg.result.to_controller and not leg.result.sent:
        yield Event(leg.host, leg.result.last.stage.label, "answered", "handed to the host's agent", near=near)
    if drop := leg.result.drop:
        kind, id_, words = _dropped(site, leg)
        yield Event(leg.host, drop.stage.label, "dropped", words, kind, id_, near)


def _passed(site: Site, step: Step, *, inwards: bool) -> tuple[What, Why] | None:
    if step.flow is None or not step.flow.actions:
        return None
    owner = step.flow.owner
    if not _ECHO_REPLIES.isdisjoint(step.flow.actions):
        kind, id_ = _router(site, owner)
        return "answered", (kind, id_, "answered by the router itself")
    match step.stage:
        case Stage.RULES_OUT | Stage.RULES_IN if _allows(step):
            port = _port(site, step.packet, TARGET if inwards else SOURCE)
            return ("allowed", _rule(site, port, step)) if port else None
        case Stage.ROUTE | Stage.FIT if owner.kind == "router" and not isinstance(step.flow.actions[-2], CheckLarger):
            return "routed", ("router", owner.id, f"routed towards {_ip(step.packet, 'ipv4_dst')}")
        case Stage.FLOATING_IN | Stage.FLOATING_OUT if owner.kind == "floating_ip":
            return "translated", ("floating_ip", owner.id, "rewritten as the floating IP says")
    return None


def _allows(step: Step) -> bool:
    assert step.flow is not None
    return any(isinstance(action, SetField) and action.field == VERDICT for action in step.flow.actions)


def _rule(site: Site, port: view.Port, step: Step) -> Why:
    direction: view.Direction = "egress" if step.stage is Stage.RULES_OUT else "ingress"
    for group_id in port.groups:
        group = site.world.group(group_id)
        if group is None:
            continue
        flow = _Connection.of(step.packet, stateful=group.stateful)
        for rule in group.rules:
            if rule.direction == direction and flow is not None and flow.allowed(site, rule):
                return "security_group_rule", rule.id, f"allowed by an {direction} rule of security group {group_id}"
    return "port", port.id, f"allowed {direction} by the port's security groups"


class _Connection(msgspec.Struct, frozen=True):
    """What rules are about: of ICMP, `first` is the type and `second` the code; otherwise `first` is the l4 port."""

    protocol: int
    source: str
    target: str
    first: int
    second: int

    @classmethod
    def of(cls, packet: Packet, *, stateful: bool) -> _Connection | None:
        fields = packet.fields
        if "ip_proto" not in fields:
            return None
        six = "ipv6_src" in fields
        if stateful and fields.get("ct_nw_proto"):
            names = ("ct_ipv6_src", "ct_ipv6_dst") if six else ("ct_nw_src", "ct_nw_dst")
            protocol, ends = fields["ct_nw_proto"], (_ip(packet, names[0]), _ip(packet, names[1]))
            l4 = fields["ct_tp_src"], fields["ct_tp_dst"]
            return cls(protocol, *ends, *(l4 if protocol in _ICMP else (l4[1], 0)))
        protocol, ends = fields["ip_proto"], (packet_ip(packet, "src"), packet_ip(packet, "dst"))
        if icmp := _ICMP.get(protocol):
            return cls(protocol, *ends, fields.get(f"{icmp}_type", 0), fields.get(f"{icmp}_code", 0))
        name = _PROTOCOLS.get(protocol, "")
        return cls(protocol, *ends, fields.get(f"{name}_dst", 0), 0)

    def allowed(self, site: Site, rule: view.SecurityGroupRule) -> bool:
        six = ":" in self.source
        # Neutron takes "icmp" for either family's.
        protocol = self.protocol if rule.protocol not in _ICMP or self.protocol not in _ICMP else rule.protocol
        if (rule.ethertype == "IPv6") != six or rule.protocol not in (None, protocol):
            return False
        if rule.protocol in _ICMP:
            if rule.port_min not in (None, self.first) or rule.port_max not in (None, self.second):
                return False
        elif rule.port_min is not None and not rule.port_min <= self.first <= (rule.port_max or rule.port_min):
            return False
        remote = self.target if rule.direction == "egress" else self.source
        if rule.remote_prefix and not _within(remote, rule.remote_prefix):
            return False
        return not rule.remote_group or _is_member(site, rule.remote_group, remote)

    def __str__(self) -> str:
        name = _PROTOCOLS.get(self.protocol, f"protocol {self.protocol}")
        service = f"{name}/{self.first}" if self.protocol in (6, 17) else name
        return f"{service} from {self.source} to {self.target}"


def _dropped(site: Site, leg: Leg) -> Why:
    step = leg.result.last
    packet = step.packet
    if step.note:
        return *_owner(step), step.note
    if step.stage in _OUTWARDS | INWARDS:
        port = _port(site, packet, SOURCE if step.stage in _OUTWARDS else TARGET)
        if port is not None:
            return _refused(site, port, step)
    match step.stage:
        case Stage.CLASSIFY | Stage.TUNNEL:
            return _unknown_entry(site, leg)
        case Stage.LOOKUP if step.flow and step.flow.owner.kind == "leg":
            return *_router(site, step.flow.owner), _pings_only(packet)
        case Stage.LOOKUP:
            return _nobody(site, packet)
        case Stage.ROUTE:
            router = site.world.numbers.name("router", packet.fields.get(ROUTER, 0)) or ""
            return "router", router, _pings_only(packet)
        case Stage.FLOATING_OUT:
            router = site.world.numbers.name("router", packet.fields.get(ROUTER, 0)) or ""
            return "router", router, f"{packet_ip(packet, 'src')} has no floating IP to leave for the outside with"
        case Stage.NEIGHBOUR:
            words, kind, id_ = _no_next_hop(site, packet)
            return kind, id_, words
        case Stage.REMOTE:
            network = site.world.numbers.name("network", packet.fields.get(NET, 0)) or ""
            return "network", network, "the host is not attached to what carries the network"
    return *_owner(step), "dropped there" if step.flow else "no flow is for it"


def _router(site: Site, owner: Owner) -> tuple[str, str]:
    """Whose flow it is: of one that this host needn't know, it is the leg's."""
    leg = site.world.objects.get((owner.kind, owner.id))
    return ("router", leg.router_id) if isinstance(leg, view.Leg) else (owner.kind, owner.id)


def _pings_only(packet: Packet) -> str:
    return f"{packet_ip(packet, 'dst')} is the router's own address: it answers ping only"


def _complained(site: Site, packet: Packet) -> tuple[str, str, str]:
    """Words, and the router that tells the sender the same."""
    router = site.world.numbers.name("router", packet.fields.get(ROUTER, 0)) or ""
    words = {
        TOO_BIG: f"larger than the {packet.fields.get(MTU, 0)} bytes that the next network takes",
        EXPIRED: "its time to live is over",
        NO_ROUTE: f"the router has no route to {packet_ip(packet, 'dst')}",
    }
    return words[packet.fields[COMPLAINT]], "router", router


def _no_next_hop(site: Site, packet: Packet) -> tuple[str, str, str]:
    """Words, and the network."""
    network = site.world.numbers.name("network", packet.fields.get(NET, 0)) or ""
    return f"nobody on the network has the next hop {_next_hop(packet)}", "network", network


def _refused(site: Site, port: view.Port, step: Step) -> Why:
    """By something of the port's own."""
    packet, outwards = step.packet, step.stage in _OUTWARDS
    direction = "egress" if outwards else "ingress"
    if step.stage is Stage.ANTISPOOF:
        claimed = f"{packet_ip(packet, 'src')} from {_mac(packet, 'eth_src')}"
        return "port", port.id, f"the port may not send as {claimed}: it has neither that pair nor leave to use it"
    if step.stage is Stage.DELIVER:
        return "port", port.id, "the port or its network is administratively down"
    if step.flow is not None and step.stage in (Stage.BLOCK_OUT, Stage.BLOCK_IN, Stage.GROUP_OUT, Stage.GROUP_IN):
        if step.flow.key.priority in PRIORITIES:
            return _restricted(site, port, step)
        block = _block(site, port, packet)
        words = f"blocked by the port's QoS policy {port.qos_id}" + ("" if block is None else f", rule {block.id}")
        return ("port_block_rule", block.id, words) if block else ("qos_policy", port.qos_id or "", words)
    if step.stage in (Stage.GROUP_OUT, Stage.GROUP_IN):
        return "port", port.id, "not part of any connection that the port's security groups allowed"
    stateful = not any(group and not group.stateful for group in map(site.world.group, port.groups))
    asked = _Connection.of(packet, stateful=stateful)
    about = f"no {direction} rule allows {asked}"
    if not port.groups:
        return "port", port.id, f"the port has no security group: {about}"
    return "security_group", port.groups[0], f"{about} (security groups {', '.join(port.groups)})"


def _restricted(site: Site, port: view.Port, step: Step) -> Why:
    """By what an operator put on the port, or on the outside address: the first one that speaks of the packet."""
    assert step.flow is not None
    one = site.world.restriction(step.flow.owner.id) if step.flow.owner.kind == "restriction" else None
    for each in site.world.restrictions(port) if one is None else ():
        if each.kind == "quarantine" or (each.kind == "port_block" and _speaks(each, step.packet)):
            one = each
            break
    if one is None:
        return "port", port.id, "restricted by the operator"
    what = {"quarantine": "in quarantine", "port_block": "blocked"}.get(one.kind, "restricted")
    until = "until it is released" if one.expires_s is None else f"until {_utc(one.expires_s)}"
    return "restriction", one.id, f"{what} by the operator, {until}: {one.reason}"


def _speaks(restriction: view.Restriction, packet: Packet) -> bool:
    views = [flow for stateful in (False, True) if (flow := _Connection.of(packet, stateful=stateful))]
    first, last = restriction.port_min, restriction.port_max
    return any(flow.protocol == restriction.protocol and first <= flow.first <= last for flow in views)


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _block(site: Site, port: view.Port, packet: Packet) -> view.PortBlock | None:
    """The first block that speaks of the packet, or of the connection that it belongs to."""
    policy = site.world.qos(port.qos_id)
    views = [flow for stateful in (False, True) if (flow := _Connection.of(packet, stateful=stateful))]
    for block in policy.blocks if policy else ():
        for flow in views:
            remote = flow.target if block.direction == "egress" else flow.source
            prefix = block.remote_prefix
            speaks = block.protocol == flow.protocol and block.port_min <= flow.first <= block.port_max
            if speaks and (not prefix or _within(remote, prefix)):
                return block
    return None


def _unknown_entry(site: Site, leg: Leg) -> Why:
    if leg.entry.startswith("port/"):
        port = site.world.port(leg.entry.removeprefix("port/"))
        assert port is not None, "a packet was sent by it"
        if not port.up:
            return "port", port.id, "the port is administratively down"
        return "network", port.network_id, "the port's network is administratively down"
    return "", "", f"what came by {leg.entry.replace('/', ' ')} belongs to no network that the host has ports on"


def _nobody(site: Site, packet: Packet) -> Why:
    """No MAC on this network: that of a port that takes no part, or of none at all."""
    network_id = site.world.numbers.name("network", packet.fields.get(NET, 0)) or ""
    mac = _mac(packet, "eth_dst")
    for port_id in site.world.found("port@network", network_id):
        port = site.world.port(port_id)
        if port and port.mac == mac:
            return "port", port_id, site.place.unready.get(port_id, "the port has no interface there")
    for id_ in site.world.found("floating_ip@network", network_id):
        floating = site.world.floating_ip(id_)
        if floating and floating.mac == mac:
            reason = site.place.unready.get(floating.port_id, "its port has no interface there")
            return "floating_ip", id_, f"the port behind the floating IP takes no part: {reason}"
    return "network", network_id, f"nobody on the network has {mac}"


def _owner(step: Step) -> tuple[str, str]:
    return (step.flow.owner.kind, step.flow.owner.id) if step.flow else ("", "")


def _port(site: Site, packet: Packet, register: str) -> view.Port | None:
    name = site.world.numbers.name("port", packet.fields.get(register, 0))
    return site.world.port(name) if name else None


def _is_member(site: Site, group_id: str, ip: str) -> bool:
    members = (thing for thing in site.world.objects.values() if isinstance(thing, view.Member))
    return any(_within(ip, each) for member in members if member.group_id == group_id for each in member.ips)


def _within(ip: str, prefix: str) -> bool:
    return (":" in prefix) == (":" in ip) and ip_address(ip) in ip_network(prefix, strict=False)


def _ip(packet: Packet, field: str) -> str:
    value = packet.fields.get(field, 0)
    return str(IPv6Address(value) if "ipv6" in field else IPv4Address(value))


def _next_hop(packet: Packet) -> str:
    if packet.fields.get(NEXTHOP):
        return _ip(packet, NEXTHOP)
    parts = [packet.fields.get(part, 0).to_bytes(4, "big") for part in registers(NEXTHOP6)]
    return str(IPv6Address(b"".join(parts)))


def _mac(packet: Packet, field: str) -> str:
    return packet.fields.get(field, 0).to_bytes(6, "big").hex(":")
