"""Promise: a limit lets through its burst and its rate, and no more: bits and packets, UDP and TCP, in and out, on a
port and on a floating IP, of both families; and a limit that changes changes where it is.

Counted is what arrives of a flood, so that a slow machine proves nothing wrong. What a port gets in bits is shaped by
its interface's queue (test_agent, and the tour); networks, and gateways of IPv4, are in test_gateways, through tunnels.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch
from tests.system.streams import streamed

MAC = "02:00:00:00:00:"
PAYLOAD = {"bits": 1000, "packets": 100}
HEADERS = 14 + 8
"""Of Ethernet and UDP; what is metered is the frame without its tag."""
_TOS, _RECVTOS = (socket.IPPROTO_IP, 1), (socket.IPPROTO_IP, 13)
_TCLASS, _RECVTCLASS = (socket.IPPROTO_IPV6, 67), (socket.IPPROTO_IPV6, 66)
"""How a datagram's class is set and told (ip(7), ipv6(7), linux/in6.h)."""
RATE_KBPS, BURST_KBIT = 2000, 500
RATE_PPS, BURST_PACKETS = 1000, 250
FLOOD_S = 0.5
POLICIES = (
    f"qos bits limit:egress:{RATE_KBPS}/{BURST_KBIT} limit:ingress:{RATE_KBPS}/{BURST_KBIT} dscp:-:26",
    "qos packets packets:egress:1 packets:ingress:1",
)
FLOATING = f"floating fa public 203.0.113.9 {MAC}fa port=a router=r"
PORT_A = f"port a h1 blue {MAC}01 10.0.0.11 2001:db8:b::11 groups=open"
ROUTER = (
    f"router r blue4=10.0.0.1@{MAC}f1 blue6=2001:db8:b::1@{MAC}f1 gateway=public@203.0.113.2@{MAC}f3@203.0.113.1 "
    "six=2001:db8:f::2@2001:db8:f::1"
)
WORLD = "\n".join(
    (
        "host h1 vtep=198.18.0.1",
        "network blue vxlan 100",
        "network public flat physnet=ext external=yes",
        "subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1",
        "subnet blue6 blue 2001:db8:b::/64 gateway=2001:db8:b::1",
        "subnet public4 public 203.0.113.0/24 gateway=203.0.113.1 dhcp=no",
        "subnet public6 public 2001:db8:f::/64 gateway=2001:db8:f::1 dhcp=no",
        "gateways ext h1",
        f"station internet {MAC}0f 203.0.113.1 physnet=ext",
        "group open egress:any ingress:any egress6:any ingress6:any",
        *POLICIES,
        PORT_A,
        f"port b h1 blue {MAC}02 10.0.0.12 2001:db8:b::12 groups=open",
        ROUTER,
        FLOATING,
    )
)


class Way(NamedTuple):
    """From whom to whom, by which address."""

    source: str
    target: str
    address: str


OUT, IN = Way("a", "b", "10.0.0.12"), Way("b", "a", "10.0.0.11")
OUT6, IN6 = Way("a", "b", "2001:db8:b::12"), Way("b", "a", "2001:db8:b::11")
FLOATING_OUT, FLOATING_IN = Way("a", "internet", "203.0.113.1"), Way("internet", "a", "203.0.113.9")
GATEWAY_OUT, GATEWAY_IN = Way("a", "internet", "2001:db8:f::1"), Way("internet", "a", "2001:db8:b::11")
CELLS = {
    "port, out, bits": (OUT, PORT_A, "bits"),
    "port, out, bits, IPv6": (OUT6, PORT_A, "bits"),
    "port, out, packets": (OUT, PORT_A, "packets"),
    "port, in, packets": (IN, PORT_A, "packets"),
    "port, in, packets, IPv6": (IN6, PORT_A, "packets"),
    "floating IP, out, bits": (FLOATING_OUT, FLOATING, "bits"),
    "floating IP, in, bits": (FLOATING_IN, FLOATING, "bits"),
    "floating IP, out, packets": (FLOATING_OUT, FLOATING, "packets"),
    "floating IP, in, packets": (FLOATING_IN, FLOATING, "packets"),
    "gateway, out, bits, IPv6": (GATEWAY_OUT, ROUTER, "bits"),
    "gateway, in, bits, IPv6": (GATEWAY_IN, ROUTER, "bits"),
    "gateway, out, packets, IPv6": (GATEWAY_OUT, ROUTER, "packets"),
    "gateway, in, packets, IPv6": (GATEWAY_IN, ROUTER, "packets"),
}


TCP_CELLS = [cell for cell in CELLS if "bits" in cell]


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> LiveCloud:
    made = LiveCloud(kept_switch, WORLD)
    made.run("internet", "ip", "address", "add", "2001:db8:f::1/64", "dev", "eth0", "nodad")
    made.run("internet", "ip", "route", "add", "2001:db8:b::/64", "via", "2001:db8:f::2")
    made.world.learn("public", "2001:db8:f::1", f"{MAC}0f")
    made.change()
    assert made.pings("a", "2001:db8:b::12", "-w9"), "its addresses are no duplicates"
    return made


@pytest.mark.parametrize("cell", CELLS)
def test_a_flood_gets_through_as_far_as_the_limit(live: LiveCloud, cell: str) -> None:
    way, limited, policy = CELLS[cell]
    with _limited(live, limited, policy):
        arrived, flooded_s = _flood(live, way, 1500, PAYLOAD[policy])
    frame_bits = 8 * (PAYLOAD["bits"] + HEADERS + (40 if ":" in way.address else 20))
    packets = (BURST_KBIT + RATE_KBPS * flooded_s) * 1000 / frame_bits
    expected = packets if policy == "bits" else BURST_PACKETS + RATE_PPS * flooded_s
    # A busy machine may lose some before they are counted.
    assert 0.85 * expected < arrived < 1.05 * expected, f"{arrived} of {expected:.0f} in {flooded_s:.2f} s"


@pytest.mark.parametrize("cell", TCP_CELLS)
def test_tcp_gets_what_the_limit_leaves_it(live: LiveCloud, cell: str) -> None:
    """No more, and at least half: what is dropped is sent again, and the sender slows down."""
    way, limited, policy = CELLS[cell]
    with _limited(live, limited, policy):
        ends = live.connect(way.source, way.target, 8001, way.address)
        assert ends
        received, lasted_s = streamed(*ends)
    kbits, allowed = 8 * received / 1000, RATE_KBPS * lasted_s
    assert 0.5 * allowed < kbits < 1.05 * (allowed + BURST_KBIT), f"{kbits:.0f} kbit in {lasted_s:.2f} s"


def test_a_floating_ip_s_limit_is_no_limit_of_its_port(live: LiveCloud) -> None:
    with _limited(live, FLOATING, "bits"):
        assert _flood(live, OUT, 300)[0] == _flood(live, IN, 300)[0] == 300


def test_a_changed_limit_is_the_same_meter_and_nothing_else_is_touched(live: LiveCloud) -> None:
    with _limited(live, PORT_A, "bits"), _limited(live, FLOATING, "packets"):
        _flood(live, FLOATING_OUT, 100)
        before, met = _meters(live), _met(live)
        live.change("qos bits limit:egress:3000/600")
        after, met_after = _meters(live), _met(live)
        live.change(*POLICIES)
    changed = [number for number in after if before.get(number) != after[number]]
    assert [after[number].removeprefix("kbps burst bands= type=drop ") for number in changed] == [
        "rate=3000 burst_size=600"
    ]
    assert changed[0] in before
    kept = met.keys() & met_after.keys() - set(changed)
    assert any(met[number] for number in kept) and all(met[number] == met_after[number] for number in kept)


@pytest.mark.parametrize(
    ("way", "limited"),
    [(OUT, PORT_A), (OUT6, PORT_A), (FLOATING_OUT, FLOATING), (GATEWAY_OUT, ROUTER)],
    ids=["port", "port, IPv6", "floating", "gateway, IPv6"],
)
def test_the_mark_is_on_what_leaves_and_on_nothing_that_comes(live: LiveCloud, way: Way, limited: str) -> None:
    """Whatever the guest marks it with; what it says of congestion stays (RFC 3168, section 5)."""
    family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
    udp = socket.SOCK_DGRAM
    given, told = (_TCLASS, _RECVTCLASS) if family == socket.AF_INET6 else (_TOS, _RECVTOS)
    with (
        _limited(live, limited, "bits"),
        live.socket(way.target, udp, 8000, family) as far,
        live.socket(way.source, udp, 8001, family) as near,
    ):
        near.connect((way.address, 8000))
        for end in (near, far):
            end.setsockopt(*told, 1)
        for class_ in (0, 46 << 2 | 2):
            near.setsockopt(*given, class_)
            near.send(b"marked")
            seen, sender = _class(far)
            assert (seen >> 2, seen & 3) == (26, class_ & 3)
        far.sendto(b"not marked", sender)
        assert _class(near)[0] == 0


@contextlib.contextmanager
def _limited(live: LiveCloud, thing: str, policy: str) -> Iterator[None]:
    live.change(f"{thing} qos={policy}")
    try:
        yield
    finally:
        live.change(thing)


def _flood(live: LiveCloud, way: Way, most: int, payload_bytes: int = 100) -> tuple[int, float]:
    """How many of so many datagrams arrived, sent at more than twice any limit, and how long that took."""
    family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
    kind = socket.SOCK_DGRAM
    with live.socket(way.target, kind, 8000, family) as receiver, live.socket(way.source, kind, 0, family) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: all of it waits there (socket(7)).
        sender.sendto(b"first", (way.address, 8000))
        assert receiver.recv(10) == b"first"
        started = time.monotonic()
        for number in range(most):
            sender.sendto(bytes(payload_bytes), (way.address, 8000))
            ahead_s = started + FLOOD_S * number / most - time.monotonic()
            if ahead_s > 0.002:
                time.sleep(ahead_s)
        flooded_s = time.monotonic() - started
        receiver.settimeout(0.2)
        arrived = 0
        with contextlib.suppress(TimeoutError):
            while receiver.recv(2000):
                arrived += 1
    return arrived, flooded_s


def _class(receiver: socket.socket) -> tuple[int, tuple[str, int]]:
    """The traffic class (type of service) of the next datagram, and whose it is."""
    _, [(_, _, data)], _, sender = receiver.recvmsg(10, 100)
    return int.from_bytes(data, sys.byteorder), sender[:2]


def _meters(live: LiveCloud) -> dict[str, str]:
    """What each meter is."""
    dump = live.switch.ofctl("dump-meters", "br-int")
    return {found[1]: " ".join(found[2].split()) for found in re.finditer(r"meter=(\d+) (.*\n.*)", dump)}


def _met(live: LiveCloud) -> dict[str, int]:
    """How many packets each meter has counted."""
    dump = live.switch.ofctl("meter-stats", "br-int")
    return {found[1]: int(found[2]) for found in re.finditer(r"meter:(\d+) .*?packet_in_count:(\d+)", dump)}
