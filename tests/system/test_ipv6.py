"""Real IPv6 packets through real flows: neighbours, groups, routing, and what a guest may not say.

The guests' own kernels look for duplicates of their addresses, ask for their neighbours and believe or refuse the
answers that the switch makes; `make kernel` runs it on the kernel's datapath.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator

import pytest

from suimon.pipeline.ipv6 import link_local
from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch
from tests.system.test_packets import passes

MAC = "02:00:00:00:00:"
OPEN = "group web egress6:any ingress6:icmp6/128-0 ingress6:tcp/8000 ingress6:any@web"
SHUT = "group web egress6:any ingress6:icmp6/128-0 ingress6:any@web"
WORLD = f"""
host h1
network blue vxlan 100
network red vxlan 101
subnet blue4 blue 10.0.0.0/24
subnet blue6 blue 2001:db8:b::/64 gateway={link_local(MAC + "f1")}
subnet red4 red 10.0.1.0/24
subnet red6 red 2001:db8:e::/64 gateway=2001:db8:e::1
{OPEN}
group ping egress6:any ingress6:icmp6/128-0
port a h1 blue {MAC}01 10.0.0.11 2001:db8:b::11 groups=web
port b h1 blue {MAC}02 10.0.0.12 2001:db8:b::12 groups=web
port c h1 red {MAC}03 10.0.1.13 2001:db8:e::13 groups=ping
router r blue6=2001:db8:b::1@{MAC}f1 red6=2001:db8:e::1@{MAC}f2
"""
ECHO_REQUEST, SOLICITATION = 128, 135
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
WAYS = {
    "the same network": ("a", "2001:db8:b::12"),
    "by its link-local address": ("a", f"{link_local(MAC + '02')}%eth0"),
    "the router's own address": ("a", "2001:db8:b::1"),
    "its link-local address": ("c", f"{link_local(MAC + 'f2')}%eth0"),
    "its address on the other network": ("a", "2001:db8:e::1"),
    "through the router": ("a", "2001:db8:e::13"),
    "and back": ("c", "2001:db8:b::11"),
}


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    cloud = LiveCloud(kept_switch, WORLD)
    cloud.await_addresses()
    yield cloud


def test_looking_for_duplicates_is_answered_by_nobody(live: LiveCloud) -> None:
    for guest in ("a", "b", "c"):
        addresses = live.run(guest, "ip", "-6", "addr", "show", "dev", "eth0")
        assert "2001:db8:" in addresses
        assert "tentative" not in addresses and "dadfailed" not in addresses


@pytest.mark.parametrize("way", WAYS)
def test_pings_are_answered(live: LiveCloud, way: str) -> None:
    assert live.pings(*WAYS[way]) == 3


@pytest.mark.parametrize("way", ["the same network", "through the router"])
def test_fragments_arrive(live: LiveCloud, way: str) -> None:
    assert live.pings(*WAYS[way], "-s", "4000") == 3


def test_neighbours_are_known_without_asking_them(live: LiveCloud) -> None:
    live.run("a", "ip", "-6", "neigh", "flush", "dev", "eth0")
    with live.hearing("b") as frames:
        assert live.pings("a", "2001:db8:b::12") == 3
    messages = Counter(frame[54] for frame in frames if frame[20] == 58)
    assert (messages[ECHO_REQUEST], messages[SOLICITATION]) == (3, 0)
    assert f"lladdr {MAC}02" in live.run("a", "ip", "-6", "neigh", "show", "2001:db8:b::12")
    assert live.pings("a", "2001:db8:e::13") == 3
    assert "router" in live.run("a", "ip", "-6", "neigh", "show", link_local(MAC + "f1"))


def test_groups_let_in_what_their_rules_say(live: LiveCloud) -> None:
    assert live.connect("a", "b", 9000, "2001:db8:b::12"), "a member of the remote group"
    assert live.connect("c", "b", 8000, "2001:db8:b::12"), "through the router, to an open port"
    assert live.connect("c", "b", 9000, "2001:db8:b::12") is None
    assert live.connect("a", "c", 9000, "2001:db8:e::13") is None


def test_a_removed_rule_cuts_its_connections_and_no_others(live: LiveCloud) -> None:
    doomed, kept = live.connect("c", "b", 8000, "2001:db8:b::12"), live.connect("a", "b", 9000, "2001:db8:b::12")
    assert passes(doomed) and passes(kept)
    live.change(SHUT)
    try:
        assert not passes(doomed)
        assert passes(kept)
    finally:
        live.change(OPEN)


def test_a_guest_is_no_router_whatever_header_hides_it(live: LiveCloud) -> None:
    """Plain, behind a destination options header, and in fragments, of which the first has the header or hasn't."""
    with live.hearing("b") as frames:
        raw = live.wire("a")
        for payload in hidden(advertisement()):
            raw.send(payload)
        assert live.pings("a", "2001:db8:b::12") == 3
    assert not [each for each in frames if each[38:54] == ALL_NODES]
    assert "2001:db8:bad" not in live.run("b", "ip", "-6", "addr", "show", "dev", "eth0")


def advertisement() -> bytes:
    """ICMPv6, without a checksum that fits: nobody is to look at it."""
    offered = socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 86400, 0) + offered
    return struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix


def hidden(message: bytes) -> Iterator[bytes]:
    nothing = struct.pack("!BBBB", 58, 0, 1, 2) + b"\0\0\0\0"
    yield frame(58, message)
    yield frame(60, nothing + message)
    yield frame(44, struct.pack("!BBHI", 58, 0, 1, 7) + message[:8])
    yield frame(44, struct.pack("!BBHI", 60, 0, 1, 8) + nothing)
    yield frame(44, struct.pack("!BBHI", 60, 0, 1, 9) + nothing[:4])


def frame(next_header: int, payload: bytes) -> bytes:
    """To all nodes, with the sender's own addresses: only the message is wrong."""
    addresses = socket.inet_pton(socket.AF_INET6, link_local(MAC + "01")) + ALL_NODES
    ethernet = bytes.fromhex("333300000001" + (MAC + "01").replace(":", "") + "86dd")
    return ethernet + struct.pack("!IHBB", 6 << 28, len(payload), next_header, 255) + addresses + payload
