"""Puts questions like `vm1 -> vm2 tcp/22` to the simulated switches of a small cloud."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network

import msgspec

from suimon.model import view
from suimon.pipeline.simulate import Ends, Packet, arp, icmp_echo, icmp_error, later_fragment, tcp, udp
from suimon.pipeline.simulate.packet import ACK, PSH, SYN
from tests.pipeline.cloud import Cloud, Station
from tests.pipeline.underlay import Journey, Leg, Underlay

Sender = view.Port | Station
BROADCAST = "ff:ff:ff:ff:ff:ff"
_TALK = re.compile(r"^(\S+) (->|~>|<~|<!|~~>) (\S+) (icmp|(?:tcp|udp)/\d+)((?: \w+=\S+)*)$")
_ARP = re.compile(r"^(\S+) arp (\S+)((?: \w+=\S+)*)$")
_DHCP = re.compile(r"^(\S+) dhcp((?: \w+=\S+)*)$")


class Answer(msgspec.Struct, frozen=True):
    text: str
    legs: tuple[Leg, ...]


class Connection(msgspec.Struct, frozen=True):
    """What its opener sent first, and that packet as the other side got it (None: it never did)."""

    opened: Packet
    arrived: Packet | None


class Questioner:
    """Remembers the connections it opened, so that later questions can be about them."""

    def __init__(self, underlay: Underlay) -> None:
        self.underlay = underlay
        self.cloud = underlay.cloud
        self._connections: dict[tuple[str, str, str], Connection] = {}
        self._next_id = 40000

    def ask(self, question: str) -> Answer:
        if talk := _TALK.match(question):
            source, arrow, target, service, forged = talk.groups()
            match arrow:
                case "->":
                    return self._open((source, target, service), _options(forged))
                case "~>":
                    opened = self._connections[source, target, service].opened
                    return self._single(self.sender(source), _later(opened), self._meant(target))
                case "~~>":
                    opened = self._connections[source, target, service].opened
                    return self._single(self.sender(source), later_fragment(opened), self._meant(target))
                case "<~":
                    answer = _later(_reply(self._arrived(source, target, service)))
                case _:
                    answer = _complaint(self._arrived(source, target, service))
            return self._single(self.sender(self._meant(target)), answer, source)
        if who_has := _ARP.match(question):
            source, ip, forged = who_has.groups()
            return self._who_has(self.sender(source), ip, _options(forged))
        discover = _DHCP.match(question)
        assert discover, f"not a question: {question}"
        sender = self.sender(discover[1])
        ends = Ends(_options(discover[2]).get("mac", sender.mac), BROADCAST, "0.0.0.0", "255.255.255.255")
        return self._single(sender, udp(ends, 67, 68), "")

    def _arrived(self, source: str, target: str, service: str) -> Packet:
        arrived = self._connections[source, target, service].arrived
        assert arrived, "the connection never got through"
        return arrived

    def sender(self, name: str) -> Sender:
        return self.cloud.stations.get(name) or self.cloud.port(name)

    def _open(self, names: tuple[str, str, str], forged: dict[str, str]) -> Answer:
        source, target, service = names
        sender = self.sender(source)
        ip = target if target[0].isdigit() else _ip(self.sender(target))
        mac = forged.get("to") or _next_mac(self.cloud, sender, ip)
        ends = Ends(forged.get("mac", sender.mac), mac, forged.get("ip", _ip(sender)), ip)
        packet = self._packet(ends, service, int(forged.get("from", 0)))
        meant = self._meant(target)
        journey = self.underlay.send(sender, packet)
        arrived = journey.delivered.get(meant)
        self._connections[names] = Connection(packet, arrived)
        text = self._verdict(journey, meant)
        if text != "delivered" or arrived is None:
            return Answer(text, journey.legs)
        back = self.underlay.send(self.sender(meant), _reply(arrived))
        returned = self._verdict(back, source)
        legs = (*journey.legs, *back.legs)
        return Answer(text if returned == "delivered" else f"delivered, its answer {returned}", legs)

    def _packet(self, ends: Ends, service: str, l4_src: int) -> Packet:
        self._next_id += 1
        l4_src = l4_src or self._next_id
        protocol, _, l4_port = service.partition("/")
        match protocol:
            case "tcp":
                return tcp(ends, int(l4_port), l4_src)
            case "udp":
                return udp(ends, int(l4_port), l4_src)
        return icmp_echo(ends, self._next_id)

    def _who_has(self, sender: Sender, ip: str, forged: dict[str, str]) -> Answer:
        ends = Ends(forged.get("mac", sender.mac), BROADCAST, forged.get("ip", _ip(sender)), ip)
        name = _name(sender)
        journey = self.underlay.send(sender, arp(ends))
        reply = journey.delivered.get(name)
        if reply is None:
            return Answer(self._verdict(journey, ""), journey.legs)
        mac = reply.fields["arp_sha"].to_bytes(6, "big").hex(":")
        assert (reply.fields["arp_op"], reply.fields["eth_src"], reply.fields["arp_tha"], reply.fields["eth_dst"]) == (
            *(2, reply.fields["arp_sha"]),
            *[int(sender.mac.replace(":", ""), 16)] * 2,
        ), f"not a proper ARP reply: {reply.fields}"
        assert IPv4Address(reply.fields["arp_spa"]) == IPv4Address(ip)
        return Answer(f"{mac}, {self._verdict(journey, name)}", journey.legs)

    def _single(self, sender: Sender, packet: Packet, meant: str) -> Answer:
        journey = self.underlay.send(sender, packet)
        return Answer(self._verdict(journey, meant), journey.legs)

    def _meant(self, target: str) -> str:
        """Who should get what is sent to a name or an address; "" when nobody of ours has it."""
        if not target[0].isdigit():
            return target
        floating = {floating.address: floating.port_id for floating in self.cloud.all(view.FloatingIp)}
        ports = {fixed.ip: port.id for port in self.cloud.all(view.Port) for fixed in port.fixed_ips}
        stations = {station.ip: station.name for station in self.cloud.stations.values()}
        return {**stations, **ports, **floating}.get(target, "")

    def _verdict(self, journey: Journey, meant: str) -> str:
        for leg in journey.legs:
            rivals = [step for step in leg.result.steps if step.rivals]
            assert not rivals, f"flows of one priority disagree on {leg.host}: {rivals}"
        first = journey.legs[0]
        places = sorted(journey.delivered)
        if len(journey.legs) == 1 and places == [self._at(first.host, first.packet.fields["in_port"])]:
            return f"answered {_where(first)}"
        if places:
            return "delivered" if places == [meant] else f"delivered to {', '.join(places)}"
        # Of several hosts that a provider network showed it to, the one where it got furthest says why.
        ended = [leg for leg in journey.legs if not leg.result.sent]
        last = max(ended, key=lambda leg: leg.result.steps[-1].stage)
        if last.result.to_controller:
            return f"handed to the agent {_where(last)}"
        drop = last.result.drop
        assert drop
        owner = f" by {drop.owner}" if drop.owner else ""
        elsewhere = f" on {last.host}" if last.host != first.host else ""
        return f"dropped at {drop.stage.label}{owner}{elsewhere}"

    def _at(self, host: str, ofport: int) -> str | None:
        """The guest behind a host's OpenFlow port."""
        plugged = (name for name, number in self.cloud.ofports.items() if number == ofport)
        return next((name for name in plugged if self.cloud.port(name).host == host), None)


def _where(leg: Leg) -> str:
    last = leg.result.steps[-1]
    return f"at {last.stage.label}" + (f" by {last.flow.owner}" if last.flow else "")


def _options(words: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words.split())


def _name(sender: Sender) -> str:
    return sender.name if isinstance(sender, Station) else sender.id


def _ip(sender: Sender) -> str:
    return sender.ip if isinstance(sender, Station) else sender.fixed_ips[0].ip


def _next_mac(cloud: Cloud, sender: Sender, ip: str) -> str:
    """The MAC that the sender would have learned by ARP for the address, or for its gateway."""
    if isinstance(sender, Station):
        wanted = (sender.physnet, sender.vlan)
        here = {n.id for n in cloud.all(view.Network) if (n.physnet, n.segment) == wanted}
        hop = ip
    else:
        here = {sender.network_id}
        subnets = [subnet for subnet in cloud.all(view.Subnet) if subnet.network_id in here]
        inside = any(IPv4Address(ip) in IPv4Network(subnet.cidr) for subnet in subnets)
        mine = next(subnet for subnet in subnets if subnet.id == sender.fixed_ips[0].subnet_id)
        hop = ip if inside or mine.gateway_ip is None else mine.gateway_ip
    known = {station.ip: station.mac for station in cloud.stations.values()}
    for port in cloud.all(view.Port):
        if port.network_id in here:
            known.update((fixed.ip, port.mac) for fixed in port.fixed_ips)
    for router in cloud.all(view.Router):
        known.update((leg.ip, leg.mac) for leg in router.interfaces if leg.network_id in here)
        if router.gateway and router.gateway.network_id in here and router.gateway.ip:
            known[router.gateway.ip] = router.gateway.mac
    known.update(
        (floating.address, floating.mac) for floating in cloud.all(view.FloatingIp) if floating.network_id in here
    )
    return known[hop]


def _reply(packet: Packet) -> Packet:
    """What the other side sends back for a packet that it got."""
    fields = packet.fields
    pairs = [("eth_src", "eth_dst"), ("ipv4_src", "ipv4_dst"), ("tcp_src", "tcp_dst"), ("udp_src", "udp_dst")]
    swapped = {a: fields[b] for pair in pairs if pair[0] in fields for a, b in (pair, pair[::-1])}
    if "icmp_type" in fields:
        swapped["icmp_type"] = 0
    return msgspec.structs.replace(packet.with_fields({**swapped, "ip_ttl": 64}), tcp_flags=SYN | ACK)


def _complaint(packet: Packet) -> Packet:
    """ "Port unreachable" from whom the packet was for."""
    mac_src, mac_dst = (packet.fields[name].to_bytes(6, "big").hex(":") for name in ("eth_dst", "eth_src"))
    ip_src, ip_dst = (str(IPv4Address(packet.fields[name])) for name in ("ipv4_dst", "ipv4_src"))
    return icmp_error(Ends(mac_src, mac_dst, ip_src, ip_dst), packet)


def _later(packet: Packet) -> Packet:
    return msgspec.structs.replace(packet, tcp_flags=PSH | ACK)
