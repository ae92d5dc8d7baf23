"""Puts questions like `vm1 -> vm2 tcp/22` to the simulated switches of a small cloud."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import msgspec

from suimon.model import view
from suimon.pipeline import ipv6
from suimon.pipeline.fields import PROBE_ECN, TARGET, WHO_HAS
from suimon.pipeline.flow import Meter, SetField, UseMeter
from suimon.pipeline.gateway import addresses
from suimon.pipeline.remote import host_mac
from suimon.pipeline.services import METADATA_IP6, SERVICES_IP, SERVICES_MAC
from suimon.pipeline.simulate import Ends, Packet, arp, icmp_echo, icmp_error, later_fragment, sctp, tcp, udp
from suimon.pipeline.simulate.packet import ACK, PSH, SYN
from suimon.pipeline.tables import ASIDE, Stage
from tests.pipeline import discovery
from tests.pipeline.cloud import Cloud, Station
from tests.pipeline.underlay import Journey, Leg, Underlay

Sender = view.Port | Station
BROADCAST = "ff:ff:ff:ff:ff:ff"
_TALK = re.compile(r"^(\S+) (->|~>|<~|<!|~~>) (\S+) (icmp|(?:tcp|udp|sctp)/\d+)((?: \w+=\S+)*)$")
_ARP = re.compile(r"^(\S+) arp (\S+)((?: \w+=\S+)*)$")
_ASKS = re.compile(r"^(\S+) asks(6?) ((?:tcp|udp)/\d+)((?: \w+=\S+)*)$")
_DISCOVERY = re.compile(r"^(\S+) (ns|dad|na|rs|ra|redirect|mld|dhcp6|dhcp6-server)(?: ([0-9a-f:]+))?((?: \w+=\S+)*)$")
_DHCP = re.compile(r"^(\S+) dhcp((?: \w+=\S+)*)$")


_THERE_AND_BACK = (
    *(("ipv4_src", "ipv4_dst"), ("ipv4_dst", "ipv4_src"), ("tcp_src", "tcp_dst"), ("tcp_dst", "tcp_src")),
    *(("udp_src", "udp_dst"), ("udp_dst", "udp_src"), ("eth_dst", "eth_src")),
    *(("ipv6_src", "ipv6_dst"), ("ipv6_dst", "ipv6_src")),
)


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
            name, arrow, target, service, forged = talk.groups()
            source = name.partition("@")[0]
            match arrow:
                case "->":
                    return self._open((source, target, service), _options(forged))
                case "~>":
                    opened = self._connections[source, target, service].opened
                    return self._single(self.sender(name), _later(opened), self._meant(target))
                case "~~>":
                    opened = self._connections[source, target, service].opened
                    return self._single(self.sender(source), later_fragment(opened), self._meant(target))
                case "<~":
                    answer = _later(self._answered(self._arrived(source, target, service), self._meant(target)))
                case _:
                    return self._complained(source, target, service, _options(forged))
            return self._single(self.sender(self._meant(target)), answer, source)
        if who_has := _ARP.match(question):
            source, ip, forged = who_has.groups()
            return self._who_has(self.sender(source), ip, _options(forged))
        if asks := _ASKS.match(question):
            source, six, service, forged = asks.groups()
            at = METADATA_IP6 if six else SERVICES_IP
            return self._served(self.sender(source), service, {"at": at, **_options(forged)})
        if asked := _DISCOVERY.match(question):
            name, kind, about, forged = asked.groups()
            return self._discover(self.sender(name), kind, about or "", _options(forged))
        discover = _DHCP.match(question)
        assert discover, f"not a question: {question}"
        sender = self.sender(discover[1])
        ends = Ends(_options(discover[2]).get("mac", sender.mac), BROADCAST, "0.0.0.0", "255.255.255.255")
        return self._single(sender, udp(ends, 67, 68), "")

    def _complained(self, source: str, target: str, service: str, forged: dict[str, str]) -> Answer:
        """About the first packet of a connection, by who got it; whoever hears of it is told what it sent itself."""
        meant = forged.get("local") or self._meant(target)
        complaint = _complaint(self._arrived(source, target, service))
        journey = self.underlay.send(self.sender(meant), complaint)
        if heard := journey.delivered.get(source):
            opened = self._connections[source, target, service].opened.fields
            told = heard.quoted.fields if heard.quoted else {}
            ends = ("ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst")
            assert [told.get(end) for end in ends] == [opened.get(end) for end in ends], "about a packet of others"
            assert heard.fields.get("ipv4_src") == opened.get("ipv4_dst"), "somebody else complains"
        return Answer(self._verdict(journey, source), journey.legs)

    def _arrived(self, source: str, target: str, service: str) -> Packet:
        arrived = self._connections[source, target, service].arrived
        assert arrived, "the connection never got through"
        return arrived

    def sender(self, name: str) -> Sender:
        name, _, host = name.partition("@")
        station = self.cloud.stations.get(name)
        return station or (self.cloud.bound(self.cloud.port(name), host) if host else self.cloud.port(name))

    def _open(self, names: tuple[str, str, str], forged: dict[str, str]) -> Answer:
        source, target, service = names
        sender = self.sender(source)
        ip = target if is_address(target) else _ip(self.sender(target))
        mac = forged.get("to") or _next_mac(self.cloud, sender, ip)
        ends = Ends(forged.get("mac", sender.mac), mac, forged.get("ip", _ip(sender, ip)), ip)
        packet = _odd(self._packet(ends, service, int(forged.get("from", -1))), forged)
        meant = forged.get("local") or self._meant(target) or self._forwarded(target, packet)
        journey = self.underlay.send(sender, packet)
        arrived = journey.delivered.get(meant)
        self._connections[names] = Connection(packet, arrived)
        text = self._verdict(journey, meant)
        if "way" in forged:
            return Answer(f"{text} by {_way(journey)}", journey.legs)
        if text != "delivered" or arrived is None:
            return Answer(text, journey.legs)
        if forged.get("counted") == "there":
            return Answer(f"{text}, counted by {self._counted(journey)}", journey.legs)
        if "seen" in forged:
            mac = arrived.fields["eth_src"].to_bytes(6, "big").hex(":")
            host = next((name for name in self.cloud.hosts if host_mac(name) == mac), None)
            return Answer(f"{text} from {f'the MAC of {host}' if host else mac}", journey.legs)
        back = self.underlay.send(self.sender(meant), self._answered(arrived, meant))
        returned = self._verdict(back, source)
        if "local" in forged and returned == "delivered":
            assert back.delivered[source].fields["ipv4_src"] == packet.fields["ipv4_dst"], "somebody else answers"
        if "counted" in forged:
            return Answer(f"{returned} back, counted by {self._counted(back)}", back.legs)
        legs = (*journey.legs, *back.legs)
        return Answer(text if returned == "delivered" else f"delivered, its answer {returned}", legs)

    def _counted(self, journey: Journey) -> str:
        """The meters that it passed, in order, and the marks that it was given."""
        told = []
        for leg in journey.legs:
            installed = self.underlay.hypervisors[leg.host].installed
            meters = {each.meter_id: each for each in installed if isinstance(each, Meter)}
            for step in leg.result.steps:
                for action in step.flow.actions if step.flow else ():
                    if isinstance(action, UseMeter):
                        meter = meters[action.meter_id]
                        told.append(f"{meter.owner} {meter.rate} {'packets' if meter.packets else 'kbit'}/s")
                    elif isinstance(action, SetField) and action.field == "ip_dscp":
                        told.append(f"mark {action.value}")
        return ", ".join(told) or "nobody"

    def _answered(self, arrived: Packet, by: str) -> Packet:
        """What is sent back: to whom the answer's own way leads, where a host had routed with its own MAC."""
        reply = _reply(arrived)
        if reply.fields["eth_dst"] not in {int(host_mac(host).replace(":", ""), 16) for host in self.cloud.hosts}:
            return reply
        to = (
            IPv6Address(reply.fields["ipv6_dst"])
            if "ipv6_dst" in reply.fields
            else IPv4Address(reply.fields["ipv4_dst"])
        )
        mac = _next_mac(self.cloud, self.sender(by), str(to))
        return reply.with_fields({"eth_dst": int(mac.replace(":", ""), 16)})

    def _packet(self, ends: Ends, service: str, l4_src: int) -> Packet:
        self._next_id += 1
        l4_src = self._next_id if l4_src < 0 else l4_src
        protocol, _, l4_port = service.partition("/")
        match protocol:
            case "tcp":
                return tcp(ends, int(l4_port), l4_src)
            case "udp":
                return udp(ends, int(l4_port), l4_src)
            case "sctp":
                return sctp(ends, int(l4_port), l4_src)
        return icmp_echo(ends, self._next_id)

    def _who_has(self, sender: Sender, ip: str, forged: dict[str, str]) -> Answer:
        to = forged.get("to", BROADCAST)
        ends = Ends(forged.get("mac", sender.mac), to, forged.get("ip", _ip(sender)), ip)
        name = _name(sender)
        journey = self.underlay.send(sender, arp(ends, 2 if "reply" in forged else 1))
        if "way" in forged:
            return Answer(f"{self._verdict(journey, '')} by {_way(journey)}", journey.legs)
        reply = journey.delivered.get(name)
        if reply is None:
            return Answer(self._verdict(journey, ""), journey.legs)
        mac = reply.fields["arp_sha"].to_bytes(6, "big").hex(":")
        assert (reply.fields["arp_op"], reply.fields["eth_src"], reply.fields["arp_tha"], reply.fields["eth_dst"]) == (
            *(2, reply.fields["arp_sha"]),
            *[int(sender.mac.replace(":", ""), 16)] * 2,
        ), f"not a proper ARP reply: {reply.fields}"
        assert IPv4Address(reply.fields["arp_spa"]) == IPv4Address(ip)
        assert IPv4Address(reply.fields["arp_tpa"]) == IPv4Address(ends.ip_src)
        return Answer(f"{mac}, {self._verdict(journey, name)}", journey.legs)

    def _served(self, sender: Sender, service: str, forged: dict[str, str]) -> Answer:
        """A question to the services of its host, which answer at once."""
        mac, ip = forged.get("mac", sender.mac), forged.get("ip", _ip(sender, forged["at"]))
        asked = self._packet(Ends(mac, forged.get("to", SERVICES_MAC), ip, forged["at"]), service, -1)
        answer = self._single(sender, asked, _name(sender))
        if answer.text != "delivered":
            return answer
        seen = answer.legs[-1].packet.fields
        address = IPv4Address(seen["ipv4_dst"]) if "ipv4_dst" in seen else IPv6Address(seen["ipv6_dst"])
        back = answer.legs[-1].result.sent[0].packet.fields
        assert all(back[name] == asked.fields[other] for name, other in _THERE_AND_BACK if name in back), back
        return Answer(f"answered as {address}", answer.legs)

    def _discover(self, sender: Sender, kind: str, about: str, forged: dict[str, str]) -> Answer:
        packet = discovery.packet(sender.mac, _ip(sender, about or "::"), kind, about, forged)
        if "frag" in forged:
            packet = packet.with_fields({"ip_frag": int(forged["frag"])})
        journey = self.underlay.send(sender, packet)
        answer = journey.delivered.get(_name(sender))
        text = self._verdict(journey, _name(sender))
        if answer is None:
            return Answer(text, journey.legs)
        return Answer(f"{discovery.told(packet, answer)}, {text}", journey.legs)

    def _single(self, sender: Sender, packet: Packet, meant: str) -> Answer:
        journey = self.underlay.send(sender, packet)
        return Answer(self._verdict(journey, meant), journey.legs)

    def _meant(self, target: str) -> str:
        """Who should get what is sent to a name or an address; "" when nobody of ours has it."""
        if not is_address(target):
            return target
        floating = {floating.address: floating.port_id for floating in self.cloud.all(view.FloatingIp)}
        ports = {ip: port.id for port in self.cloud.all(view.Port) for ip in _ips(port)}
        ports |= {held.cidr: port.id for port in self.cloud.all(view.Port) for held in port.holds}
        stations = {station.ip: station.name for station in self.cloud.stations.values()}
        return {**stations, **ports, **floating}.get(target, "")

    def _forwarded(self, target: str, packet: Packet) -> str:
        """Who should get what is sent to an L4 port of an external address; "" when it leads to nobody."""
        l4_port = packet.fields.get("tcp_dst", packet.fields.get("udp_dst", -1))
        protocol = packet.fields["ip_proto"]
        for router in self.cloud.all(view.Router):
            for one in router.forwardings:
                if (one.address, one.protocol) == (target, protocol) and one.first <= l4_port <= one.last:
                    return self._meant(one.ip)
        return ""

    def _verdict(self, journey: Journey, meant: str) -> str:
        for leg in journey.legs:
            rivals = [step for step in leg.result.steps if step.rivals]
            assert not rivals, f"flows of one priority disagree on {leg.host}: {rivals}"
        first = journey.legs[0]
        places = sorted(journey.delivered)
        if len(journey.legs) == 1 and places and places == [self._asker(first)]:
            return f"answered {_where(first)}"
        if places:
            return "delivered" if places == [meant] else f"delivered to {', '.join(places)}"
        # Of several hosts that a provider network showed it to, the one where it got furthest says why.
        ended = [leg for leg in journey.legs if not leg.result.sent]
        last = max(ended, key=lambda leg: leg.result.last.stage)
        if last.result.to_controller:
            return f"handed to the agent {_where(last)}"
        drop = last.result.drop
        assert drop
        owner = f" by {drop.owner}" if drop.owner else ""
        elsewhere = f" on {last.host}" if last.host != first.host else ""
        return f"dropped at {drop.stage.label}{owner}{elsewhere}"

    def _asker(self, leg: Leg) -> str | None:
        """The guest whose packet it is."""
        ofport, vlan = leg.packet.fields["in_port"], leg.packet.fields.get("vlan_vid", 0) & 0xFFF
        here = [port for port in self.cloud.all(view.Port) if port.host == leg.host and (port.vlan or 0) == vlan]
        plugged = (port.id for port in here if self.cloud.ofports.get(port.parent or port.id) == ofport)
        return next(plugged, None)


def _where(leg: Leg) -> str:
    """The last stage that had a say: `reply` only carries out, as does what turns a question for an address around."""
    asked = leg.result.last.packet.fields.get(TARGET) == WHO_HAS
    carrying_out = {Stage.REPLY, *ASIDE, *([Stage.LOOKUP, Stage.ADVERTISE] if asked else [])}
    last = [step for step in leg.result.steps if step.stage not in carrying_out][-1]
    return f"at {last.stage.label}" + (f" by {last.flow.owner}" if last.flow else "")


def _odd(packet: Packet, forged: dict[str, str]) -> Packet:
    """Large, near its end, a first fragment, under a tag that is not the sender's own, or with another tag below."""
    packet = msgspec.structs.replace(packet, size=int(forged.get("size", packet.size)))
    packet = packet.with_fields({"ip_ttl": int(forged["ttl"])}) if "ttl" in forged else packet
    packet = packet.with_fields({"ip_frag": int(forged["frag"])}) if "frag" in forged else packet
    packet = packet.with_fields({"ip_ecn": PROBE_ECN}) if "probe" in forged else packet
    if "inner" in forged:
        packet = Packet({**{name: packet.fields[name] for name in ("eth_src", "eth_dst")}, "eth_type": 0x8100})
    return packet.with_fields({"vlan_vid": 0x1000 | int(forged["tag"])}) if "tag" in forged else packet


def _way(journey: Journey) -> str:
    """The hosts that saw it."""
    return ", ".join(dict.fromkeys(leg.host for leg in journey.legs))


def _options(words: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words.split())


def _name(sender: Sender) -> str:
    return sender.name if isinstance(sender, Station) else sender.id


def is_address(text: str) -> bool:
    return text[0].isdigit() or ":" in text


def _ips(port: view.Port) -> list[str]:
    return [*(fixed.ip for fixed in port.fixed_ips), *ipv6.port_addresses(port)]


def _ip(sender: Sender, to: str = "") -> str:
    """The address that it has for packets to that one: its first of that family, or its link-local one."""
    if isinstance(sender, Station):
        return sender.ip
    if to.startswith(("fe80:", "ff02:")):
        return ipv6.link_local(sender.mac)
    return next((ip for ip in _ips(sender) if not to or (":" in ip) == (":" in to)), _ips(sender)[0])


def _next_mac(cloud: Cloud, sender: Sender, ip: str) -> str:
    """The MAC that the sender would have learned by ARP for the address, or for its gateway."""
    if isinstance(sender, Station):
        wanted = (sender.physnet, sender.vlan)
        here = {n.id for n in cloud.all(view.Network) if (n.physnet, n.segment) == wanted}
        hop = ip
    else:
        here = {sender.network_id}
        subnets = [subnet for subnet in cloud.all(view.Subnet) if subnet.network_id in here]
        inside = ip.startswith("fe80:") or any(ip_address(ip) in ip_network(subnet.cidr) for subnet in subnets)
        chosen = _ip(sender, ip)
        mine = next(subnet for subnet in subnets if ip_address(chosen) in ip_network(subnet.cidr) or inside)
        hop = ip if inside or mine.gateway_ip is None else mine.gateway_ip
    known = {station.ip: station.mac for station in cloud.stations.values()}
    for port in cloud.all(view.Port):
        if port.network_id in here:
            known.update((each, port.mac) for each in _ips(port))
    nearby = [port for port in cloud.all(view.Port) if isinstance(sender, view.Port) and port.host == sender.host]
    for port in nearby:
        known.update((local.address, port.mac) for local in port.local_ips if port.id in cloud.ofports)
    for router in cloud.all(view.Router):
        legs = [leg for leg in router.interfaces if leg.network_id in here]
        known.update((each, leg.mac) for leg in legs for each in (leg.ip, ipv6.link_local(leg.mac)))
        if router.gateway and router.gateway.network_id in here:
            known.update(dict.fromkeys([*addresses(router), router.gateway.ip6], router.gateway.mac))
            # Whoever is outside has routes to the networks behind.
            reached = [leg for leg in router.interfaces if ":" in ip and ip_address(ip) in ip_network(leg.cidr)]
            known.update(dict.fromkeys([ip] if reached else (), router.gateway.mac))
    known.update(
        (floating.address, floating.mac) for floating in cloud.all(view.FloatingIp) if floating.network_id in here
    )
    return known[hop]


def _reply(packet: Packet) -> Packet:
    """What the other side sends back for a packet that it got."""
    fields = packet.fields
    pairs = [("eth_src", "eth_dst"), ("ipv4_src", "ipv4_dst"), ("tcp_src", "tcp_dst"), ("udp_src", "udp_dst")]
    pairs += [("sctp_src", "sctp_dst"), ("ipv6_src", "ipv6_dst")]
    swapped = {a: fields[b] for pair in pairs if pair[0] in fields for a, b in (pair, pair[::-1])}
    if "icmp_type" in fields:
        swapped["icmp_type"] = 0
    if "icmpv6_type" in fields:
        swapped["icmpv6_type"] = 129
    return msgspec.structs.replace(packet.with_fields({**swapped, "ip_ttl": 64}), tcp_flags=SYN | ACK)


def _complaint(packet: Packet) -> Packet:
    """ "Port unreachable" from whom the packet was for."""
    mac_src, mac_dst = (packet.fields[name].to_bytes(6, "big").hex(":") for name in ("eth_dst", "eth_src"))
    if "ipv6_src" in packet.fields:
        ip_src, ip_dst = (str(IPv6Address(packet.fields[name])) for name in ("ipv6_dst", "ipv6_src"))
    else:
        ip_src, ip_dst = (str(IPv4Address(packet.fields[name])) for name in ("ipv4_dst", "ipv4_src"))
    return icmp_error(Ends(mac_src, mac_dst, ip_src, ip_dst), packet)


def _later(packet: Packet) -> Packet:
    return msgspec.structs.replace(packet, tcp_flags=PSH | ACK)
