"""Real packets through real flows, on the datapath that this machine has: the kernel's, or userspace's without it.

What the simulated switch and `ofproto/trace` can't tell: connections being tracked and cut, rewritten headers that
the guests' kernels accept, copies for everybody, meters that police. `make kernel` runs it on the kernel's datapath.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkCookieAck,
    SCTPChunkCookieEcho,
    SCTPChunkData,
    SCTPChunkInit,
    SCTPChunkInitAck,
)
from scapy.packet import Packet as Bytes

from tests.system.clouds import eventually
from tests.system.live import TIMEOUT_S, Ends, LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import DATAPATH, OpenVSwitch

MAC = "02:00:00:00:00:"
CROWD = [f"port x{n} h1 blue {MAC}2{n:x} 10.0.0.{32 + n} groups=web" for n in range(14)]
"""The kernel keeps no more than ten actions of a packet for later: a broadcast must not need that."""
OPEN = "group web egress:any ingress:any@web ingress:icmp ingress:tcp/8000 ingress:udp/8000 ingress:sctp/8000"
SHUT = "group web egress:any ingress:any@web ingress:icmp"
RATE_KBPS = 2000
WORLD = f"""
host h1
network blue vxlan 100
network red vxlan 101
network public flat physnet=ext external=yes
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet red4 red 10.0.1.0/24 gateway=10.0.1.1
subnet public4 public 203.0.113.0/24 gateway=203.0.113.1 dhcp=no
station internet {MAC}0f 203.0.113.1 physnet=ext
{OPEN}
group ping egress:any ingress:icmp
qos slow limit:egress:{RATE_KBPS} block:egress:tcp/25
port a h1 blue {MAC}01 10.0.0.11 groups=web
port b h1 blue {MAC}02 10.0.0.12 groups=web
port c h1 red {MAC}03 10.0.1.13 groups=ping
port d h1 red {MAC}04 10.0.1.14 groups=ping qos=slow
router r blue4=10.0.0.1@{MAC}f1 red4=10.0.1.1@{MAC}f2 gateway=public@203.0.113.2@{MAC}f3@203.0.113.1
floating fa public 203.0.113.9 {MAC}fa port=a router=r
floating fc public 203.0.113.10 {MAC}fc port=c router=r
"""
WAYS = {
    "the same network": ("a", "10.0.0.12"),
    "the router's own address": ("a", "10.0.0.1"),
    "its address on the other network": ("a", "10.0.1.1"),
    "through the router": ("a", "10.0.1.13"),
    "and back": ("c", "10.0.0.11"),
    "in by a floating IP": ("internet", "203.0.113.9"),
    "out by a floating IP": ("c", "203.0.113.1"),
    "from one floating IP to another": ("a", "203.0.113.10"),
}
REWRITTEN = pytest.mark.skipif(
    DATAPATH == "netdev", reason="Open vSwitch spoils later fragments whose addresses it rewrites (docs/decisions/0079)"
)


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    cloud = LiveCloud(kept_switch, WORLD + "\n".join(CROWD))
    cloud.silence()
    return cloud


@pytest.mark.parametrize("way", WAYS)
def test_pings_are_answered(live: LiveCloud, way: str) -> None:
    assert live.pings(*WAYS[way]) == 3


@pytest.mark.parametrize("way", [way for way in WAYS if "address" not in way])
def test_fragments_arrive(live: LiveCloud, way: str) -> None:
    assert live.pings(*WAYS[way], "-s", "4000") == 3


@pytest.mark.skipif(DATAPATH != "netdev", reason="what the guide says is of the userspace datapath")
@pytest.mark.parametrize("way", [way for way in WAYS if "address" in way])
def test_a_router_answers_no_ping_in_fragments(live: LiveCloud, way: str) -> None:
    """When it does, the guide has to say so."""
    assert live.pings(*WAYS[way], "-s", "1400") == 3
    assert live.pings(*WAYS[way], "-s", "4000") == 0


@pytest.mark.parametrize(
    ("source", "target", "address"),
    [
        ("a", "b", "10.0.0.12"),
        ("c", "b", "10.0.0.12"),
        pytest.param("internet", "a", "203.0.113.9", marks=REWRITTEN),
        pytest.param("c", "internet", "203.0.113.1", marks=REWRITTEN),
    ],
)
def test_a_datagram_in_fragments_arrives_as_it_was(live: LiveCloud, source: str, target: str, address: str) -> None:
    told = bytes(range(1, 251)) * 16
    with live.socket(target, socket.SOCK_DGRAM, 8000) as server, live.socket(source, socket.SOCK_DGRAM) as client:
        client.sendto(told, (address, 8000))
        assert server.recvfrom(2 * len(told))[0] == told


def test_without_a_floating_ip_nothing_goes_outside(live: LiveCloud) -> None:
    assert live.pings("b", "203.0.113.1") == 0


def test_groups_let_in_what_their_rules_say(live: LiveCloud) -> None:
    assert live.connect("a", "b", 9000), "a member of the remote group"
    assert live.connect("c", "b", 8000), "through the router, to an open port"
    assert live.connect("internet", "a", 8000, "203.0.113.9")
    assert live.connect("c", "a", 8000, "203.0.113.9"), "both behind floating IPs"
    assert live.connect("c", "b", 9000) is None
    assert live.connect("a", "c", 9000) is None
    assert live.connect("internet", "a", 9000, "203.0.113.9") is None


def test_a_removed_rule_cuts_its_connections_both_ways_and_no_others(live: LiveCloud) -> None:
    server, client = live.socket("b", socket.SOCK_DGRAM, 8000), live.socket("c", socket.SOCK_DGRAM)
    client.connect((live.guests["b"], 8000))
    client.send(b"the first")
    server.connect(server.recvfrom(100)[1])
    doomed = [(server, client), live.connect("c", "b", 8000), live.connect("internet", "a", 8000, "203.0.113.9")]
    kept = live.connect("a", "b", 9000)
    assert all(passes(ends) for ends in (*doomed, kept))
    live.change(SHUT)
    try:
        # At once: one after the other, a patient machine waits more than half a minute (nf_conntrack_udp_timeout),
        # and after that much silence the server's datagram opens a connection of its own, as it may.
        with ThreadPoolExecutor(len(doomed)) as pool:
            assert not any(pool.map(passes, doomed))
        assert passes(kept)
        client.send(b"so that its own side still knows of it when the server speaks")
    finally:
        live.change(OPEN)
    assert passes((server, client))


def test_an_association_by_sctp_is_begun_and_cut_by_its_port(live: LiveCloud) -> None:
    """Userspace's tracker takes all that two addresses say by SCTP for one connection; each L4 port is judged."""
    client, server = (_by_sctp(live, guest) for guest in ("c", "b"))
    there, back = (client, server, live.guests["b"]), (server, client, live.guests["c"])
    said, answered = ({"sport": here, "dport": far, "tag": tag} for here, far, tag in ((400, 8000, 9), (8000, 400, 7)))
    data, closed = SCTPChunkData(data=b"data"), SCTP(sport=400, dport=9000) / SCTPChunkInit(init_tag=7)

    def associates() -> bool:
        """Linux's tracker waits for each of these only so long (nf_conntrack_sctp_timeout_cookie_wait: 3 s)."""
        begins = SCTP(sport=400, dport=8000) / SCTPChunkInit(init_tag=7)
        agrees = SCTP(**answered) / SCTPChunkInitAck(init_tag=9)
        cookie, thanks = SCTP(**said) / SCTPChunkCookieEcho(cookie=b"cake"), SCTP(**answered) / SCTPChunkCookieAck()
        return all(
            _arrives(each, *way) for each, way in ((begins, there), (agrees, back), (cookie, there), (thanks, back))
        )

    with client, server:
        eventually(associates)
        assert not _arrives(closed, *there)
        live.change(SHUT)
        try:
            assert not _arrives(SCTP(**said) / data, *there) and not _arrives(SCTP(**answered) / data, *back)
        finally:
            live.change(OPEN)
        eventually(lambda: _arrives(SCTP(**said) / data, *there) and _arrives(SCTP(**answered) / data, *back))


def _by_sctp(live: LiveCloud, guest: str) -> socket.socket:
    made = inside(live.namespace(guest), lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP))
    made.settimeout(TIMEOUT_S)
    return made


def _arrives(message: Bytes, sender: socket.socket, receiver: socket.socket, address: str) -> bool:
    """Whatever came late of what was sent before it is passed over."""
    sender.sendto(bytes(message), (address, 0))
    try:
        while not receiver.recv(1000).endswith(bytes(message)):
            pass
    except TimeoutError:
        return False
    return True


def passes(ends: Ends | None) -> bool:
    """Whether anything gets from either end to the other; and then it must get both ways."""
    assert ends
    arrived = []
    for sender, receiver in (ends, ends[::-1]):
        sender.send(b"one segment")
        try:
            arrived.append(bool(receiver.recv(100)))
        except TimeoutError:
            arrived.append(False)
    assert len(set(arrived)) == 1, arrived
    return arrived[0]


def test_an_error_about_a_connection_comes_back(live: LiveCloud) -> None:
    """ICMP port unreachable, on one network and through the router."""
    for source, l4_port in (("a", 9000), ("c", 8000)):
        with live.socket(source, socket.SOCK_DGRAM) as client:
            client.connect((live.guests["b"], l4_port))
            client.send(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                client.recv(100)


def test_a_broadcast_reaches_every_port_of_its_network_and_no_other(live: LiveCloud) -> None:
    before = live.delivered()
    with live.socket("a", socket.SOCK_DGRAM) as sender, live.socket("b", socket.SOCK_DGRAM, 9000) as receiver:
        for _ in range(3):
            sender.sendto(b"all", ("10.0.0.255", 9000))
            assert receiver.recv(100) == b"all"
    after = live.delivered()
    crowd = [name for name in after if name.startswith("x")]
    assert len(crowd) == len(CROWD)
    assert {name: after[name] - before[name] for name in [*crowd, "b"]} == dict.fromkeys([*crowd, "b"], 3)
    assert all(after[name] == before[name] for name in ("c", "d"))


def test_a_meter_lets_through_its_rate(live: LiveCloud) -> None:
    """Sent at four times the rate; counted once the burst is used up."""
    received, started, payload = 0, time.monotonic(), bytes(1000)
    sent_bytes, over_s, until_s = 0, 1.0, 4.0
    with live.socket("d", socket.SOCK_DGRAM) as sender, live.socket("b", socket.SOCK_DGRAM, 8000) as receiver:
        receiver.settimeout(0.001)
        while (passed_s := time.monotonic() - started) < until_s:
            if sent_bytes * 8 < RATE_KBPS * 1000 * 4 * passed_s:
                sent_bytes += sender.sendto(payload, (live.guests["b"], 8000))
            try:
                size = len(receiver.recv(2000))
            except TimeoutError:
                continue
            received += size if passed_s > over_s else 0
    rate_kbps = received * 8 / (until_s - over_s) / 1000
    assert RATE_KBPS * 0.75 < rate_kbps < RATE_KBPS * 1.1


def test_a_blocked_port_is_closed_whatever_the_groups_say(live: LiveCloud) -> None:
    assert live.connect("d", "b", 8000)
    live.change("group web egress:any ingress:any")
    try:
        assert live.connect("d", "b", 26)
        assert live.connect("d", "b", 25) is None
    finally:
        live.change(OPEN)


def test_a_source_port_is_used_again_and_again(live: LiveCloud) -> None:
    """The tracker still holds the last connection of this tuple, closing, when the next one comes."""
    for number in range(30):
        ends = live.connect("c", "b", 8000, source_port=20001)
        assert ends, f"connection {number}"
        near, far = ends
        far.close()
        assert near.recv(10) == b""
        near.close()
        time.sleep(0.02)
