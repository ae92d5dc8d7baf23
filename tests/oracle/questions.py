"""Random frames for a cloud, biased to what nearly passes: edges of ranges, answers, foreign addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random
from typing import Final, NamedTuple

from tests.oracle.frame import BROADCAST, ECHO, ECHO_REPLY, ERRORS, ICMP, ICMPV6, TCP, UDP, Arrival, Frame, link_local
from tests.oracle.guard import Body, may_open, within
from tests.oracle.intent import Resources

_NOBODY: Final = "02:00:00:00:0a:0a"
_ELSEWHERE: Final = ("198.51.100.9", "192.0.2.9", "2001:db8:ffff::9", "10.9.9.9")


class Question(NamedTuple):
    """`sender` is the id of a port or machine."""

    sender: str
    frame: Frame


class Asker:
    """Makes up questions about one state of a cloud."""

    def __init__(self, resources: Resources, random: Random) -> None:
        self._all, self._random = resources, random
        self._subnets = {subnet["id"]: subnet for subnet in resources["subnets"]}
        ports = resources["ports"]
        self._guests = [p for p in ports if p["binding:host_id"] and not p["device_owner"].startswith("network:")]
        self._macs = {
            (port["network_id"], fixed["ip_address"]): port["mac_address"]
            for port in ports
            for fixed in port["fixed_ips"]
        }
        for machine in resources["machines"]:
            self._macs |= {(machine["network_id"], ip): machine["mac"] for ip in machine["ips"]}
        self._edges = sorted(self._all_edges())

    def questions(self, count: int) -> Iterator[Question]:
        """Fewer where a cloud has nobody to ask."""
        for _ in range(count):
            sender = self._random.choice([*self._guests, *self._guests, *self._all["machines"]] or [None])
            if sender is not None and _ips(sender):
                yield Question(sender["id"], self._frame(sender))

    def answer(self, to: Question, arrival: Arrival) -> Question | None:
        """What the receiver of a packet sends back, by the way that it has to its sender."""
        frame, receiver = arrival.frame, self._anybody(arrival.place)
        if frame.what != "ip" or receiver is None:
            return None
        mac = self._next_mac(receiver, frame.dst, frame.src) or frame.eth_src
        back = frame.but(eth_src=frame.eth_dst, eth_dst=mac, src=frame.dst, dst=frame.src, ttl=64, opens=False)
        if frame.protocol in ECHO:
            return Question(receiver["id"], back.but(first=ECHO_REPLY[frame.protocol]))
        return Question(receiver["id"], back.but(first=frame.second, second=frame.first))

    def error(self, to: Question, arrival: Arrival) -> Question | None:
        """What the receiver of a packet says back about it, or about one like it that nobody sent."""
        frame, back = arrival.frame, self.answer(to, arrival)
        if back is None or frame.flooded or frame.quoted or not may_open(frame.but(opens=True)):
            return None
        protocol = ICMPV6 if frame.ipv6 else ICMP
        kind, code = self._random.choice(ERRORS[protocol])
        quoted = frame
        if self._random.random() < 0.2 and frame.protocol in (TCP, UDP):
            quoted = frame.but(second=frame.second ^ 1)
        elif self._random.random() < 0.2 and frame.protocol in ECHO:
            quoted = frame.but(ident=frame.ident ^ 1)
        about = {"protocol": protocol, "first": kind, "second": code, "ident": 0, "opens": True, "quoted": quoted}
        return back._replace(frame=back.frame.but(**about))

    def _frame(self, sender: Body) -> Frame:
        random = self._random
        frame = random.choice((self._packet,) * 8 + (self._question,) * 2 + (self._lease, self._services))(sender)
        return self._forged(frame, sender) if random.random() < 0.25 else frame

    def _packet(self, sender: Body) -> Frame:
        random = self._random
        # What a guest says to its own address never leaves it.
        dst = random.choice([ip for ip in self._targets(sender) if ip not in _ips(sender)])
        mine = [ip for ip in _ips(sender) if (":" in ip) == (":" in dst)]
        if not mine:
            return self._question(sender)
        src = random.choice(mine)
        mac = self._next_mac(sender, src, dst) or _NOBODY
        if random.random() < 0.05:
            dst, mac = ("ff02::1", "33:33:00:00:00:01") if ":" in dst else ("255.255.255.255", BROADCAST)
        frame = Frame(
            eth_src=_mac(sender), eth_dst=mac, what="ip", src=src, dst=dst, ttl=random.choice((64,) * 9 + (1,))
        )
        protocol = random.choice((TCP, TCP, TCP, UDP, UDP, ICMP, 47, 132))
        if protocol == ICMP:
            protocol = ICMPV6 if frame.ipv6 else ICMP
            kind = random.choice((ECHO[protocol],) * 4 + (ECHO_REPLY[protocol], 5 if protocol == ICMP else 127))
            return frame.but(protocol=protocol, first=kind, ident=random.randint(1, 9999))
        if protocol not in (TCP, UDP):
            return frame.but(protocol=protocol)
        l4 = {"first": random.randint(20000, 60000), "second": random.choice(self._edges)}
        return frame.but(protocol=protocol, **l4, opens=protocol != TCP or random.random() < 0.9)

    def _targets(self, sender: Body) -> list[str]:
        """Guests above all, and local IPs that mean one beside the sender; then whatever has an address."""
        found = [ip for guest in self._guests for ip in _ips(guest)] * 3
        found += [ip for port in self._all["ports"] for ip in _ips(port)]
        found += [each["floating_ip_address"] for each in self._all["floatingips"]] * 3
        found += [each["local_ip_address"] for each in self._all["local_ips"] if self._beside(sender, each)] * 40
        routed = {route["destination"] for router in self._all["routers"] for route in router["routes"]}
        found += [ip for ip in _ELSEWHERE if any(within(ip, cidr) for cidr in routed)] * 4
        return [*found, *(ip for each in self._all["machines"] for ip in each["ips"]), *_ELSEWHERE]

    def _beside(self, sender: Body, local_ip: Body) -> bool:
        """Whether the address means somebody else on the network and the host of the sender."""
        meant = {one["fixed_port_id"] for one in local_ip["associations"]} - {sender["id"]}
        seat = sender["network_id"], sender.get("binding:host_id")
        return any(
            port["id"] in meant and seat == (port["network_id"], port["binding:host_id"]) for port in self._guests
        )

    def _question(self, sender: Body) -> Frame:
        """ARP and neighbour discovery, asked and answered."""
        random = self._random
        src, about = random.choice(_ips(sender)), random.choice(self._targets(sender))
        if ":" not in src:
            about = about if ":" not in about else src
            ends = {"eth_src": _mac(sender), "eth_dst": BROADCAST, "mac": _mac(sender)}
            asking = Frame(**ends, what="arp", src=random.choice((src, src, src, "0.0.0.0")), dst=about)
            if random.random() < 0.7:
                return asking
            return asking.but(asks=False, src=src, eth_dst=self._macs.get((sender["network_id"], about), BROADCAST))
        about = about if ":" in about and about not in _ips(sender) else "fd00:ffff::1"
        to = link_local("33:33:00:00:00:01").replace("fe80::", "ff02::1:")
        ends = {"eth_src": _mac(sender), "eth_dst": "33:33:ff:00:00:01", "ttl": 255}
        asking = Frame(**ends, what="nd", src=src, dst=to, about=about, mac=_mac(sender))
        if random.random() < 0.2:
            return asking.but(src="::", about=src, mac="")
        return asking if random.random() < 0.7 else asking.but(asks=False, about=src, eth_dst=_NOBODY)

    def _lease(self, sender: Body) -> Frame:
        ends = {"eth_src": _mac(sender), "eth_dst": BROADCAST, "src": "0.0.0.0", "dst": "255.255.255.255"}
        asking = Frame(**ends, what="ip", protocol=UDP, first=68, second=67)
        if self._random.random() < 0.7:
            return asking
        # As a server would, but not always from a server's L4 port.
        own, elsewhere = self._random.choice(_ips(sender)), self._random.choice((0, 1000))
        if ":" in own:
            many = {"eth_dst": "33:33:00:00:00:01", "dst": "ff02::1"}
            return asking.but(**many, src=own, first=547 + elsewhere, second=546)
        return asking.but(src=own, first=67 + elsewhere, second=68)

    def _services(self, sender: Body) -> Frame:
        if self._random.random() < 0.5:
            src, dst = link_local(_mac(sender)), "fe80::a9fe:a9fe"
        else:
            src = self._random.choice([ip for ip in _ips(sender) if ":" not in ip] or ["10.1.0.9"])
            dst = "169.254.169.254"
        ends = {"eth_src": _mac(sender), "eth_dst": "02:5a:00:00:00:fe", "src": src, "dst": dst}
        if ":" in dst and self._random.random() < 0.4:
            about = dst if self._random.random() < 0.7 else self._random.choice(self._targets(sender))
            many = {"eth_dst": "33:33:ff:fe:a9:fe", "dst": "ff02::1:fffe:a9fe", "ttl": 255}
            about = about if ":" in about else dst
            return Frame(**(ends | many), what="nd", about=about, mac=_mac(sender))
        protocol, l4_port = self._random.choice(((TCP, 80), (UDP, 53), (TCP, 53), (TCP, 22), (UDP, 80)))
        return Frame(**ends, what="ip", protocol=protocol, first=self._random.randint(20000, 60000), second=l4_port)

    def _forged(self, frame: Frame, sender: Body) -> Frame:
        """As somebody else, to somebody else, or of a kind that nobody knows. Machines keep their MAC."""
        macs = [*self._macs.values(), "00:00:5e:00:01:01", _NOBODY]
        match self._random.choice(("eth_src", "eth_dst", "src", "mac", "what")):
            case "what" if frame.what == "ip":
                return Frame(eth_src=frame.eth_src, eth_dst=frame.eth_dst, what="other")
            case "mac" if frame.what != "ip":
                return frame.but(mac=self._random.choice(macs))
            case "src" if frame.src not in ("", "::", "0.0.0.0"):
                like = [ip for ip in self._targets(sender) if (":" in ip) == frame.ipv6]
                pairs = [p["ip_address"].partition("/")[0] for g in self._guests for p in g["allowed_address_pairs"]]
                return frame.but(src=self._random.choice([*like, *(ip for ip in pairs if (":" in ip) == frame.ipv6)]))
            case "eth_dst":
                return frame.but(eth_dst=self._random.choice(macs))
        return frame if "ips" in sender else frame.but(eth_src=self._random.choice(macs))

    def _next_mac(self, sender: Body, src: str, dst: str) -> str | None:
        """Of the destination if it is on the link, else of the gateway that the sender's subnet has."""
        on_network = [each for each in self._subnets.values() if each["network_id"] == sender["network_id"]]
        if any(within(dst, each["cidr"]) for each in on_network):
            return self._macs.get((sender["network_id"], dst))
        gateways = [each["gateway_ip"] for each in on_network if within(src, each["cidr"])]
        if "ips" in sender:
            return self._way_in(sender, dst)
        return self._macs.get((sender["network_id"], gateways[0] if gateways else ""))

    def _way_in(self, machine: Body, dst: str) -> str | None:
        """Machines outside have routes to what is behind any router of their network."""
        ports = self._all["ports"]
        gateways = [p for p in ports if p["device_owner"] == "network:router_gateway"]
        for gateway in (each for each in gateways if each["network_id"] == machine["network_id"]):
            legs = [p for p in ports if p["device_id"] == gateway["device_id"] and p is not gateway]
            cidrs = [self._subnets[fixed["subnet_id"]]["cidr"] for leg in legs for fixed in leg["fixed_ips"]]
            if any(within(dst, cidr) for cidr in cidrs):
                return str(gateway["mac_address"])
        return None

    def _anybody(self, id_: str) -> Body | None:
        return next((each for each in [*self._guests, *self._all["machines"]] if each["id"] == id_), None)

    def _all_edges(self) -> set[int]:
        """L4 ports just inside and just outside of what rules, blocks and forwardings speak of."""
        ends = {1, 22, 80, 65535}
        for rule in (*self._all["security-group-rules"], *self._all["blocks"]):
            ends |= {each for each in (rule["port_range_min"], rule["port_range_max"]) if each}
        for one in self._all["restrictions"]:
            ends |= {each for each in (one["port_min"], one["port_max"]) if each}
        for one in self._all["port_forwardings"]:
            for name in ("external_port_range", "internal_port_range"):
                ends |= {int(each) for each in one[name].split(":")}
        return {edge for end in ends for edge in (end - 1, end, end + 1) if 0 < edge < 65536}


def _ips(place: Body) -> list[str]:
    ips = place["ips"] if "ips" in place else [fixed["ip_address"] for fixed in place["fixed_ips"]]
    return [str(ip_address(ip)) for ip in ips]


def _mac(place: Body) -> str:
    return str(place.get("mac") or place["mac_address"])
