"""Real packets to a destination that two routes lead to: both are used, and a connection stays on its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
ROUTER = f"router r blue4=10.0.0.1@{MAC}f1 red4=10.0.1.1@{MAC}f2"
WORLD = f"""
host h1
network blue vxlan 100
network red vxlan 101
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet red4 red 10.0.1.0/24 gateway=10.0.1.1
group open egress:any ingress:any
port vm h1 blue {MAC}01 10.0.0.11 groups=open
port fw1 h1 red {MAC}11 10.0.1.11 security=no
port fw2 h1 red {MAC}12 10.0.1.12 security=no
{ROUTER} routes=192.0.2.0/24@10.0.1.11,192.0.2.0/24@10.0.1.12
"""
CONNECTIONS = 40


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    yield LiveCloud(kept_switch, WORLD)


def test_connections_are_spread_and_stay_where_they_are(live: LiveCloud) -> None:
    senders = [live.socket("vm", socket.SOCK_DGRAM, 20000 + number) for number in range(CONNECTIONS)]
    with live.wire("fw1") as first, live.wire("fw2") as second:
        for _ in range(3):
            for sender in senders:
                sender.sendto(b"datagram", ("192.0.2.1", 9))
        seen = [heard(wire) for wire in (first, second)]
    for sender in senders:
        sender.close()
    assert set(seen[0]) | set(seen[1]) == set(range(20000, 20000 + CONNECTIONS)), "none is lost"
    assert not set(seen[0]) & set(seen[1]), "a connection goes one way"
    assert min(len(set(each)) for each in seen) >= CONNECTIONS // 8, "both ways are used"
    assert len(seen[0]) + len(seen[1]) == 3 * CONNECTIONS


def heard(wire: socket.socket) -> list[int]:
    """Source ports of the datagrams to the destination that came."""
    ports = []
    try:
        while True:
            data, sender = wire.recvfrom(2000)
            if sender[2] != socket.PACKET_OUTGOING and data[12:14] == b"\x08\x00" and data[30:33] == b"\xc0\x00\x02":
                ports.append(int.from_bytes(data[34:36], "big"))
    except TimeoutError:
        return ports
