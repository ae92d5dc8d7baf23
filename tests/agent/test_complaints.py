"""What routers tell senders: the right kind, from the right address, about the packet; and nothing about errors."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Dot1Q, Ether

from suimon.agent.complaints import complaint
from suimon.agent.packets import PacketError
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import FixedIp, FloatingIp, Gateway, Network, Port, Router, RouterInterface
from suimon.pipeline.fields import COMPLAINT, EXPIRED, MTU, NET, NO_ROUTE, ROUTER, SOURCE, TOO_BIG
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World

LEG, LEG2, GATE, GUEST, FLOATING = (f"02:00:00:00:00:{number:02x}" for number in range(1, 6))
IN_PORT, OUTSIDE = 7, 101


def leg(name, network, cidr, ip, mac):
    return RouterInterface(name, network, name, cidr, ip, mac)


@pytest.fixture
def world():
    made = World("h1", Numbers())
    own = leg("blue", "blue", "10.0.0.0/24", "10.0.0.1", LEG)
    own6 = leg("blue6", "blue", "fd00::/64", "fd00::1", LEG)
    for thing in (
        Network("blue", "vxlan", 100, None, 1450),
        Network("public", "vlan", 300, "ext", 1500, external=True),
        Network("between", "vxlan", 101, None, 1450),
        Router("r1", True, (own, own6), Gateway("public", "203.0.113.2", GATE, None, ip6="2001:db8::2")),
        Router("r2", True, (leg("link", "between", "10.9.0.0/24", "10.9.0.2", LEG2),)),
        Port("p1", "h1", "blue", GUEST, (FixedIp("blue", "10.0.0.5"),)),
        FloatingIp("f1", "h1", "public", "203.0.113.9", FLOATING, "p1", "10.0.0.5", "r1"),
    ):
        made.set(thing)
    made.plug("p1", IN_PORT)
    made.wire({}, {"ext": OUTSIDE})
    return made


def handed(world, frame, kind, router="r1", network="blue", port="p1", in_port=IN_PORT, mtu=0):
    number = {"network": network, "router": router, "port": port}
    numbers = {kind: world.number(kind, name) if name else 0 for kind, name in number.items()}
    fields = {"in_port": in_port, COMPLAINT: kind, MTU: mtu}
    fields |= {NET: numbers["network"], ROUTER: numbers["router"], SOURCE: numbers["port"]}
    out = complaint(world, PacketIn(48, 0, fields, bytes(frame)))
    if out is None:
        return None
    assert {name: value for name, value, _ in out.fields} == {"in_port": in_port, SOURCE: numbers["port"]}
    told = Ether(out.data)
    again = Ether(out.data)
    for layer in (IP, ICMP) if IP in again else (ICMPv6PacketTooBig, ICMPv6TimeExceeded, ICMPv6DestUnreach):
        if layer in again:
            sum_field = "chksum" if layer in (IP, ICMP) else "cksum"
            delattr(again[layer], sum_field)
    assert bytes(again) == out.data, "the checksums are right"
    return told


def sent(**more):
    return Ether(src=GUEST, dst=LEG) / IP(src="10.0.0.5", dst="192.0.2.1", flags="DF", ttl=1, **more)


def sent6():
    return Ether(src=GUEST, dst=LEG) / IPv6(src="fd00::5", dst="2001:db8:9::1", hlim=1)


@pytest.mark.parametrize(("kind", "said"), [(TOO_BIG, (3, 4, 1400)), (EXPIRED, (11, 0, 0)), (NO_ROUTE, (3, 0, 0))])
def test_a_guest_is_told_by_its_router(world, kind, said):
    frame = sent() / UDP(sport=1000, dport=2000) / bytes(1500)
    told = handed(world, frame, kind, mtu=1400)
    assert (told.dst, told.src) == (GUEST, LEG)
    assert (told[IP].src, told[IP].dst, told[IP].ttl) == ("10.0.0.1", "10.0.0.5", 64)
    assert (told[ICMP].type, told[ICMP].code, told[ICMP].nexthopmtu if kind == TOO_BIG else 0) == said
    quoted = bytes(told[ICMP].payload)
    assert quoted == bytes(frame[IP])[: len(quoted)]
    assert told[IP].len == 576


def test_a_short_packet_is_quoted_whole_but_for_its_padding(world):
    frame = bytes(sent() / UDP(sport=1, dport=2)) + bytes(18)
    assert handed(world, frame, NO_ROUTE)[IP].len == 20 + 8 + 28


@pytest.mark.parametrize(
    ("kind", "layer", "said"),
    [(TOO_BIG, ICMPv6PacketTooBig, 1400), (EXPIRED, ICMPv6TimeExceeded, 0), (NO_ROUTE, ICMPv6DestUnreach, 0)],
)
def test_ipv6(world, kind, layer, said):
    told = handed(world, sent6() / UDP() / bytes(1400), kind, mtu=1400)
    assert (told[IPv6].src, told[IPv6].dst, told[layer].code) == ("fd00::1", "fd00::5", 0)
    assert getattr(told[layer], "mtu", 0) == said
    assert len(told[IPv6]) == 1280


def test_who_is_outside_is_told_by_the_gateway_under_its_tag(world):
    far = "02:00:00:00:00:0f"
    to_floating = Ether(src=far, dst=FLOATING) / IP(src="198.51.100.9", dst="203.0.113.9") / UDP() / bytes(1480)
    told = handed(world, to_floating, TOO_BIG, "", "public", "", OUTSIDE, 1450)
    assert (told.dst, told.src, told[Dot1Q].vlan, told[IP].src) == (far, FLOATING, 300, "203.0.113.2")
    to_guest = Ether(src=far, dst=GATE) / IPv6(src="2001:db8:7::1", dst="fd00::5") / UDP() / bytes(1480)
    told = handed(world, to_guest, TOO_BIG, "r1", "public", "", OUTSIDE, 1450)
    assert (told.dst, told.src, told[Dot1Q].vlan, told[IPv6].src) == (far, GATE, 300, "2001:db8::2")


def test_the_second_router_speaks_but_the_frame_is_the_first_ones(world):
    frame = Ether(src=LEG, dst=LEG2) / IP(src="10.0.0.5", dst="192.0.2.1", ttl=1) / UDP()
    told = handed(world, frame, EXPIRED, "r2", "between")
    assert (told.dst, told.src, told[IP].src) == (GUEST, LEG, "10.9.0.2")


@pytest.mark.parametrize(
    "frame",
    [
        sent() / ICMP(type=3, code=3) / bytes(28),
        sent(proto=1),
        sent(frag=9) / UDP(),
        sent6() / ICMPv6DestUnreach(),
        Ether(src=GUEST, dst=LEG) / IP(src="0.0.0.0", dst="192.0.2.1") / UDP(),
        Ether(src=GUEST, dst=LEG) / IP(src="224.0.0.1", dst="192.0.2.1") / UDP(),
        Ether(src=GUEST, dst=LEG) / IP(src="10.0.0.5", dst="224.0.0.9") / UDP(),
        Ether(src=GUEST, dst=LEG) / IPv6(src="::", dst="2001:db8::1") / UDP(),
    ],
    ids=lambda frame: frame.summary()[8:60],
)
def test_some_are_told_nothing(world, frame):
    assert handed(world, frame, EXPIRED) is None


def test_queries_and_unknown_routers(world):
    assert handed(world, sent() / ICMP(type=8), EXPIRED)[ICMP].type == 11
    assert handed(world, sent6() / ICMPv6EchoRequest(), EXPIRED)[ICMPv6TimeExceeded].type == 3
    assert handed(world, sent() / TCP(), EXPIRED, router="gone") is None
    assert handed(world, sent() / TCP(), 9) is None


@pytest.mark.parametrize("payload", [b"", b"\x45", b"\x60" + bytes(20), b"\x75" + bytes(60)])
@pytest.mark.parametrize("eth_type", [0x0800, 0x86DD])
def test_garbage_is_refused(world, payload, eth_type):
    with pytest.raises(PacketError):
        handed(world, bytes(12) + eth_type.to_bytes(2) + payload, EXPIRED)
