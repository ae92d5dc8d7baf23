"""Real packets of a trunk: frames that a guest tags, its subports' networks, and tags that are nobody's."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from suimon.agent.packets import ETH_IPV4, Ethernet, checksum, ip_bytes
from suimon.model.questions import Look
from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch
from tests.system.senders import going_on

MAC = "02:00:00:00:00:"
WORLD = f"""
host h1
network blue vxlan 100
network red vxlan 101
network green vxlan 102
network yard flat physnet=ext
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet red4 red 10.0.1.0/24 gateway=10.0.1.1
subnet green4 green 10.0.2.0/24 gateway=10.0.2.1
subnet yard4 yard 192.0.2.0/24 gateway=192.0.2.200
station outside {MAC}0f 192.0.2.200 physnet=ext
group web egress:any ingress:icmp
router r red4=10.0.1.1@{MAC}f2 green4=10.0.2.1@{MAC}f3
port parent h1 blue {MAC}01 10.0.0.11 groups=web
port a h1 blue {MAC}02 10.0.0.12 groups=web
port b h1 red {MAC}03 10.0.1.13 groups=web
port sub20 h1 red {MAC}20 10.0.1.20 groups=web parent=parent vlan=20
port sub30 h1 green {MAC}30 10.0.2.30 groups=web parent=parent vlan=30
port sub40 h1 yard {MAC}40 192.0.2.40 security=no parent=parent vlan=40
"""
SEEN = tuple[int, str, int]
"""The tag, the sender's MAC and the ICMP type of an echo that came."""
ECHO, REPLY = 8, 0


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    cloud = LiveCloud(kept_switch, WORLD)
    # Nobody answers there for the subport's address: its guest is these tests.
    cloud.run("outside", "ip", "neigh", "replace", "192.0.2.40", "lladdr", f"{MAC}40", "dev", "eth0")
    yield cloud


def test_the_parent_is_untagged(live: LiveCloud) -> None:
    assert live.pings("parent", "10.0.0.12") == 3


@pytest.mark.parametrize(
    ("vlan", "source", "mac", "address", "seen"),
    [
        (20, "10.0.1.20", "03", "10.0.1.13", (20, f"{MAC}03", REPLY)),
        (40, "192.0.2.40", "0f", "192.0.2.200", (40, f"{MAC}0f", REPLY)),
        (20, "10.0.1.20", "f2", "10.0.1.1", (20, f"{MAC}f2", REPLY)),
        (20, "10.0.1.20", "f2", "10.0.2.30", (30, f"{MAC}f3", ECHO)),
    ],
    ids=["a guest of its network", "out of the host", "its router", "another subport of the same interface"],
)
def test_a_subport_reaches(live: LiveCloud, vlan: int, source: str, mac: str, address: str, seen: SEEN) -> None:
    assert asked(live, "parent", vlan, Ethernet(MAC + mac, f"{MAC}{vlan}", ETH_IPV4, echo(source, address))) == seen


def test_a_guest_reaches_a_subport(live: LiveCloud) -> None:
    with live.wire("parent") as wire, live.socket("b", socket.SOCK_DGRAM) as sender:
        sender.sendto(b"not let in by any rule", ("10.0.1.20", 9))
        with pytest.raises(TimeoutError):
            heard(wire)
        assert live.pings("b", "10.0.1.20") == 0, "nobody answers there"
        assert heard(wire) == (20, f"{MAC}03", ECHO)


def test_what_restricts_the_parent_holds_whatever_its_guest_sends_and_gets(live: LiveCloud) -> None:
    """By any tag and by none; of others it takes nothing."""
    to_b = Ethernet(f"{MAC}03", f"{MAC}20", ETH_IPV4, echo("10.0.1.20", "10.0.1.13"))
    live.change("restrict r port parent quarantine")
    try:
        assert live.pings("parent", "10.0.0.12") == 0
        assert asked(live, "parent", 20, to_b) is None
        with live.wire("parent") as wire:
            assert live.pings("b", "10.0.1.20") == 0
            wire.settimeout(0)
            with pytest.raises(BlockingIOError):
                heard(wire)
        assert live.pings("b", "10.0.1.1") == 3
    finally:
        live.forget("restrict", "r")
    assert asked(live, "parent", 20, to_b) == (20, f"{MAC}03", REPLY)
    assert live.pings("parent", "10.0.0.12") == 3


def test_what_a_subport_gets_is_not_held_against_a_limit_that_its_parent_has_for_itself(live: LiveCloud) -> None:
    def flood(_: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(60):
                sender.sendto(b"x", ("192.0.2.40", 9))

    live.change("restrict r network blue packet_rate_limit:ingress:1")
    try:
        with going_on(live, "outside", flood):
            seen = live.look(Look("q", "parent", "ingress", drops=True))
    finally:
        live.forget("restrict", "r")
    assert seen.received_packets > 100 and seen.let_in is not None and seen.let_in < 10


def test_a_limit_of_the_parent_is_one_for_all_that_its_guest_sends(live: LiveCloud) -> None:
    """Counted is what arrives of a flood, so that a slow machine proves nothing wrong."""
    untagged = Ethernet(f"{MAC}02", f"{MAC}01", ETH_IPV4, echo("10.0.0.11", "10.0.0.12")).pack()
    tagged = Ethernet(f"{MAC}03", f"{MAC}20", ETH_IPV4, echo("10.0.1.20", "10.0.1.13"), 20).pack()
    live.change("restrict r port parent packet_rate_limit:egress:1")
    try:
        with live.wire("parent") as wire, live.wire("a") as a, live.wire("b") as b:
            for each in (a, b):
                each.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: all of it waits there (socket(7)).
            started = time.monotonic()
            for number in range(500):
                wire.send(untagged)
                wire.send(tagged)
                if number % 10 == 0:
                    time.sleep(0.005)
            flooded_s = time.monotonic() - started
            arrived = [echoes(each) for each in (a, b)]
    finally:
        live.forget("restrict", "r")
    allowed = 250 + 1000 * flooded_s
    assert min(arrived) > 0 and 200 < sum(arrived) < 1.05 * allowed, f"{arrived} of {allowed:.0f}"


def test_other_tags_go_nowhere(live: LiveCloud) -> None:
    """One that the trunk doesn't have, one below the trunk's, and any at all from a port without a trunk."""
    packet = echo("192.0.2.40", "192.0.2.200")
    plain = Ethernet(f"{MAC}0f", f"{MAC}40", ETH_IPV4, packet)
    below = Ethernet(f"{MAC}0f", f"{MAC}40", 0x8100, struct.pack("!HH", 300, ETH_IPV4) + packet)
    trunkless = Ethernet(f"{MAC}03", f"{MAC}02", ETH_IPV4, echo("10.0.1.20", "10.0.1.13"))
    with live.wire("outside") as outside, live.wire("b") as inside, ThreadPoolExecutor() as pool:
        asking = [
            pool.submit(asked, live, *each)
            for each in (("parent", 50, plain), ("parent", 40, below), ("a", 20, trunkless))
        ]
        assert [each.result() for each in asking] == [None] * 3
        for silent in (outside, inside):
            silent.setblocking(False)  # What came is there by now.
            with pytest.raises(BlockingIOError):
                heard(silent)


def asked(live: LiveCloud, guest: str, vlan: int, frame: Ethernet) -> SEEN | None:
    """What comes back to the guest for a frame that it sends under a tag."""
    with live.wire(guest) as wire:
        wire.send(Ethernet(frame.dst, frame.src, frame.eth_type, frame.payload, vlan).pack())
        try:
            return heard(wire)
        except TimeoutError:
            return None


def heard(wire: socket.socket) -> SEEN:
    """The next ICMP packet that the guest gets. Raises TimeoutError."""
    while True:
        data, ancillary, _, sender = wire.recvmsg(2000, 200)
        tag = next((struct.unpack("=IIIHHHH", each[2])[5] & 0xFFF for each in ancillary), 0)
        frame = Ethernet.parse(data)
        if sender[2] != socket.PACKET_OUTGOING and frame.eth_type == ETH_IPV4 and frame.payload[9] == 1:
            return tag, frame.src, frame.payload[20]


def echoes(wire: socket.socket) -> int:
    """How many requests came, until no more do."""
    wire.settimeout(0.3)
    found = 0
    with contextlib.suppress(TimeoutError):
        while True:
            found += heard(wire)[2] == ECHO
    return found


def echo(source: str, target: str) -> bytes:
    """An ICMP echo request in IPv4 (RFC 792)."""
    body = struct.pack("!BBHHH", ECHO, 0, 0, 7, 1) + b"suimon"
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0) + ip_bytes(source) + ip_bytes(target)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body
