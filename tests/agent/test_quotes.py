"""What ICMP errors quote is translated, with checksums that are right; and what is made up goes nowhere."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, IPOption_NOP, TCPerror, UDPerror
from scapy.layers.l2 import Ether

from suimon.agent.packets import PacketError
from suimon.agent.quotes import translated
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import FixedIp, FloatingIp, LocalIp, Network, Port
from suimon.pipeline.fields import NET, QUOTED, SOURCE
from suimon.pipeline.flow import Resubmit
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

FIXED, FLOATING, LOCAL, FAR, HOP = "10.0.0.5", "203.0.113.9", "10.0.0.200", "192.0.2.1", "198.51.100.7"
GUEST, OUTSIDE, PEER = (f"02:00:00:00:00:{number:02x}" for number in (1, 2, 3))


@pytest.fixture
def world():
    made = World("h1", Numbers())
    local = (LocalIp(LOCAL, FIXED),)
    for thing in (
        Network("blue", "vxlan", 100, None, 1450),
        Network("public", "flat", None, "ext", 1500, external=True),
        Port("p1", "h1", "blue", GUEST, (FixedIp("blue", FIXED),), local_ips=local, active=True),
        FloatingIp("f1", "h1", "public", FLOATING, OUTSIDE, "p1", FIXED, "r1"),
    ):
        made.set(thing)
    made.plug("p1", 7)
    return made


def handed(world, stage, network, packet, source="p1", rest=b""):
    fields = {
        "in_port": 7,
        NET: world.number("network", network),
        "reg14": 1,
        "ct_state": 0x21,
        "ct_nw_proto": 1,
        "eth_type": 0x0800,
    }
    fields |= {SOURCE: world.number("port", source)} if source else {}
    return translated(world, PacketIn(stage, 0, fields, bytes(Ether(src=PEER, dst=OUTSIDE) / packet) + rest))


def told(out):
    """What is sent on: scapy computes each checksum anew, and agrees."""
    frame, again = Ether(out.data), Ether(out.data)
    # Scapy computes those of what is quoted from what is there, which is all of the packet here.
    for layer in (IP, ICMP, IPerror, UDPerror, TCPerror, ICMPerror):
        if layer in again:
            del again[layer].chksum
    assert bytes(again) == out.data
    return frame


def error(quoted, src=HOP, dst=FLOATING, **what):
    whole = IP(bytes(quoted))
    return IP(src=src, dst=dst) / ICMP(**(what or {"type": 3, "code": 4, "nexthopmtu": 1400})) / whole


@pytest.mark.parametrize(
    "l4",
    [UDP(sport=1, dport=2) / b"odd", TCP(sport=1, dport=80, flags="A"), ICMP(type=8, id=3)],
    ids=["udp", "tcp", "ping"],
)
@pytest.mark.parametrize("options", [[], [IPOption_NOP()] * 4], ids=["plain", "options"])
def test_what_comes_from_outside_quotes_the_guest(world, l4, options):
    out = handed(world, Stage.FLOATING_IN, "public", error(IP(src=FLOATING, dst=FAR, options=options) / l4), "")
    frame = told(out)
    assert (frame[IP].src, frame[IP].dst, frame[ICMP].nexthopmtu) == (HOP, FLOATING, 1400), "the rest is the switch's"
    assert (frame[IPerror].src, frame[IPerror].dst) == (FIXED, FAR)
    assert out.actions == (Resubmit(Stage.FLOATING_IN),)
    fields = {name: value for name, value, _ in out.fields}
    assert fields == {"in_port": 7, NET: world.number("network", "public"), "reg14": 1, QUOTED: 1}


@pytest.mark.parametrize(
    ("stage", "network", "sender", "address"),
    [(Stage.FLOATING_OUT, "public", FIXED, FLOATING), (Stage.LOCAL_BACK, "blue", LOCAL, LOCAL)],
)
def test_what_the_guest_complains_about_was_for_its_other_address(world, stage, network, sender, address):
    out = handed(world, stage, network, error(IP(src=FAR, dst=FIXED) / UDP(), src=sender, dst=FAR, type=3, code=3))
    frame = told(out)
    assert (frame[IP].src, frame[IPerror].src, frame[IPerror].dst) == (sender, FAR, address)
    forwarded = handed(world, stage, network, error(IP(src=FAR, dst=HOP) / UDP(), src=sender, dst=FAR, type=11))
    assert told(forwarded)[IPerror].dst == HOP, "as somebody's router"


def test_a_local_ip_is_translated_on_the_way_in(world):
    out = handed(world, Stage.FLOATING_IN, "blue", error(IP(src=LOCAL, dst=FAR) / UDP(), dst=LOCAL))
    assert told(out)[IPerror].src == FIXED


def test_what_is_quoted_in_part_keeps_what_there_is(world):
    """Eight bytes behind the header, as RFC 792 has it: no TCP checksum; nor in a later fragment; nor none of UDP."""
    short = bytes(IP(src=FLOATING, dst=FAR) / TCP(seq=7))[:28]
    later = bytes(IP(src=FLOATING, dst=FAR, frag=9, proto=17) / bytes(range(16)))
    unsummed = bytes(IP(src=FLOATING, dst=FAR) / UDP(chksum=0) / b"x")
    for quoted in (short, later, unsummed):
        whole = IP(src=HOP, dst=FLOATING) / ICMP(type=11) / quoted
        out = handed(world, Stage.FLOATING_IN, "public", whole, "", rest=bytes(6))
        assert out.data[-len(quoted) + 20 :] == quoted[20:], "no more, and no padding"
        assert told_header(out.data)[IP].src == FIXED


def told_header(data):
    quoted = Ether(b"\0" * 12 + b"\x08\0" + data[42:])
    again = quoted.copy()
    del again[IP].chksum
    assert Ether(bytes(again))[IP].chksum == quoted[IP].chksum
    return quoted


def test_what_nobody_sent_is_made_up(world):
    others = error(IP(src=FAR, dst=HOP) / UDP())
    assert handed(world, Stage.FLOATING_IN, "public", others, "") is None
    nobodys = error(IP(src=HOP, dst=FAR) / UDP(), dst=HOP)
    assert handed(world, Stage.FLOATING_IN, "public", nobodys, "") is None


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=HOP, dst=FLOATING) / ICMP(type=3) / b"too short",
        IP(src=HOP, dst=FLOATING) / ICMP(type=3) / (b"\x65" + bytes(40)),
        IP(src=HOP, dst=FLOATING) / ICMP(type=3) / (b"\x4f" + bytes(40)),
        IP(src=HOP, dst=FLOATING) / ICMP(type=3, chksum=7) / IP(src=FLOATING, dst=FAR) / UDP(),
        IP(src=HOP, dst=FLOATING) / UDP() / bytes(60),
        IP(src=HOP, dst=FLOATING, flags="MF") / ICMP(type=3) / IP(src=FLOATING, dst=FAR) / UDP(),
        IP(src=HOP, dst=FLOATING, len=2000) / ICMP(type=3) / IP(src=FLOATING, dst=FAR) / UDP(),
    ],
    ids=["short", "version", "length", "checksum", "protocol", "fragment", "cut"],
)
def test_garbage_is_refused(world, packet):
    with pytest.raises(PacketError):
        handed(world, Stage.FLOATING_IN, "public", packet, "")
