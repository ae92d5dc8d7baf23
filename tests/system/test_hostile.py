"""Guests that mean it no good, on a real Open vSwitch: what they send gets nowhere, and costs nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.system.hostile_frames import DROPPED, FRIEND, FRIEND_MAC, IP4, MAC, MARK
from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch

pytestmark = pytest.mark.system

WORLD = """
host h1
network blue vxlan 100
network red vxlan 200
network public flat physnet=ext external=yes
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet blue6 blue 2001:db8::/64 gateway=2001:db8::1
subnet red4 red 10.0.0.0/24 gateway=10.0.0.1
subnet public4 public 203.0.113.0/24 gateway=203.0.113.1 dhcp=no
station internet 02:00:00:00:00:0f 203.0.113.1 physnet=ext
group open ingress:any egress:any ingress6:any egress6:any
group one egress:any egress6:any ingress:udp/8000 ingress6:udp/8000
group each egress:any ingress:udp/8000 stateful=no
router r blue4=10.0.0.1@02:00:00:00:00:f1 gateway=public@203.0.113.2@02:00:00:00:00:f3@203.0.113.1
router s red4=10.0.0.1@02:00:00:00:00:f2
port mallory h1 blue 02:00:00:00:00:01 10.0.0.11 2001:db8::11 groups=open
port friend h1 blue 02:00:00:00:00:02 10.0.0.12 2001:db8::12 groups=open
port other h1 red 02:00:00:00:00:03 10.0.0.12 groups=open
port strict h1 blue 02:00:00:00:00:04 10.0.0.14 2001:db8::14 groups=one
port each h1 blue 02:00:00:00:00:05 10.0.0.15 groups=each
"""
WELL = b"well" * 700
_TO_FRIEND = Ether(src=MAC, dst=FRIEND_MAC) / IP(src=IP4, dst=FRIEND)


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    """Nobody says anything unasked: what is counted comes from Mallory."""
    cloud = LiveCloud(kept_switch, WORLD)
    for guest in cloud.guests:
        cloud.run(guest, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    return cloud


def test_what_a_guest_may_not_send_gets_to_nobody(live: LiveCloud) -> None:
    """All of it after each other; then one that may, so that it is known that all were dealt with."""
    outside = live.wire("internet")
    before = live.delivered()
    with live.wire("mallory") as wire, live.socket("friend", socket.SOCK_DGRAM, 8000) as friend:
        for frame in DROPPED.values():
            wire.send(bytes(frame))
        wire.send(bytes(_TO_FRIEND / UDP(dport=8000) / Raw(b"well")))
        assert friend.recv(100) == b"well"
    after = live.delivered()
    assert {name: after[name] - before[name] for name in after} == {**dict.fromkeys(after, 0), "friend": 1}
    assert not [raw for raw in taken(outside) if MARK in raw]


def test_fragments_don_t_get_around_groups(live: LiveCloud) -> None:
    """Tiny ones, some that overlap, and later ones by themselves: only what was allowed as a whole arrives."""
    shut = {"strict": 9000, "each": 9000}
    with ExitStack() as opened:
        wire = opened.enter_context(live.wire("mallory"))
        sockets = {name: opened.enter_context(live.socket(name, socket.SOCK_DGRAM, shut[name])) for name in shut}
        well = opened.enter_context(live.socket("strict", socket.SOCK_DGRAM, 8000))
        before = live.delivered()
        for number, name in enumerate(shut):
            mac, ip = f"02:00:00:00:00:0{4 + number}", live.guests[name]
            frame, whole = Ether(src=MAC, dst=mac), IP(src=IP4, dst=ip, id=100) / UDP(dport=9000) / Raw(MARK * 40)
            for each in fragment(whole, 8):
                wire.send(bytes(frame / each))
            for each in reversed(fragment(whole, 64)[1:]):
                each.id = 101
                wire.send(bytes(frame / each))
            # The first one says port 8000, which is open; one on top of it says 9000.
            allowed = bytes(UDP(dport=8000, len=72, chksum=0)) + bytes(64)
            other = bytes(UDP(dport=9000, len=72, chksum=0)) + bytes(64)
            for offset, data, more in ((0, allowed[:32], 1), (0, other[:32], 1), (4, allowed[32:], 0)):
                head = IP(src=IP4, dst=ip, id=102, proto=17, frag=offset, flags="MF" if more else 0)
                wire.send(bytes(frame / head / Raw(data)))
            for each in fragment6(_whole6("2001:db8::14", 9000), 64 + 48):
                wire.send(bytes(Ether(src=MAC, dst=mac) / each))
        # Open vSwitch's own tracker takes none below 1200 bytes but the last (ovs-appctl(8), ipf-set-min-frag).
        for each in fragment(IP(src=IP4, dst=live.guests["strict"], id=7) / UDP(dport=8000) / Raw(WELL), 1400):
            wire.send(bytes(Ether(src=MAC, dst="02:00:00:00:00:04") / each))
        assert well.recv(4000) == WELL
        for name, receiver in sockets.items():
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                print(name, receiver.recv(1000))
        after = live.delivered()
        assert after["each"] == before["each"]


def _whole6(address: str, l4_port: int) -> IPv6:
    return IPv6(src="2001:db8::11", dst=address) / IPv6ExtHdrFragment(id=7) / UDP(dport=l4_port) / Raw(MARK * 40)


def taken(wire: socket.socket) -> Iterator[bytes]:
    """What waits to be read."""
    wire.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            yield wire.recv(4096)
