"""Guests that mean it no good, on a real Open vSwitch: what they send gets nowhere, and costs nobody else."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, UDP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from suimon.model.view import FixedIp, Network, Port, SecurityGroup, SecurityGroupRule, Subnet
from suimon.pipeline.meters import Range
from tests.agent.fake_controller import FakeController
from tests.patience import patient, timed
from tests.system.agent_process import AgentProcess
from tests.system.hostile_frames import (
    BY_A_FRIEND,
    DISCOVER,
    DROPPED,
    FLOODS,
    FRIEND,
    FRIEND_MAC,
    IP4,
    MAC,
    MARK,
    NAMESAKE,
    STRICT,
)
from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch
from tests.system.test_services import Host

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
    cloud.silence()
    return cloud


def test_what_a_guest_may_not_send_gets_to_nobody(live: LiveCloud) -> None:
    """All of it after each other; then one that may, so that it is known that all were dealt with."""
    outside = live.wire("internet")
    before, others = live.delivered(), live.drops("other")
    with live.wire("mallory") as wire, live.socket("friend", socket.SOCK_DGRAM, 8000) as friend:
        for frame in DROPPED.values():
            wire.send(bytes(frame))
        wire.send(bytes(_TO_FRIEND / UDP(dport=8000) / Raw(b"well")))
        assert friend.recv(100) == b"well"
    after = live.delivered()
    assert {name: after[name] - before[name] for name in after} == {**dict.fromkeys(after, 0), "friend": 1}
    assert not [raw for raw in taken(outside) if MARK in raw]
    told = live.drops("mallory")
    print(told)
    assert told["spoofed"] > 15 and told["rogue_dhcp"] == 4 and told["rogue_router"] == 4
    assert live.drops("other") == others, "it is told of nobody else's"


def test_what_is_for_another_tenant_s_guest_stays_on_her_own_network(live: LiveCloud) -> None:
    before, others = live.delivered(), live.drops("other")
    with live.wire("mallory") as wire, live.socket("friend", socket.SOCK_DGRAM, 8000) as friend:
        for frame in NAMESAKE.values():
            wire.send(bytes(frame))
        wire.send(bytes(_TO_FRIEND / UDP(dport=8000) / Raw(b"well")))
        while friend.recv(100) != b"well":
            pass
    after = live.delivered()
    got = {name: after[name] - before[name] for name in after}
    assert got.pop("friend") == len(NAMESAKE) + 1 and not any(got.values()), got
    assert live.drops("other") == others


def test_a_friend_who_sends_on_what_mallory_says_is_nobody_s_way_in(live: LiveCloud) -> None:
    """Who is asked by source routing forwards with her address: that is forged, at the port that it comes from."""
    goes_along = ("ip_forward", "conf.all.accept_source_route", "conf.eth0.accept_source_route")
    live.run("friend", "sysctl", "-qw", *(f"net.ipv4.{name}=1" for name in goes_along))
    live.run("friend", "ip", "neighbour", "replace", STRICT, "lladdr", "02:00:00:00:00:04", "dev", "eth0")
    before, forged = live.delivered(), live.drops("friend").get("spoofed", 0)
    with live.wire("mallory") as wire, live.socket("friend", socket.SOCK_DGRAM, 8000) as friend:
        for frame in BY_A_FRIEND:
            wire.send(bytes(frame))
        wire.send(bytes(_TO_FRIEND / UDP(dport=8000) / Raw(b"well")))
        assert friend.recv(100) == b"well"
    after = live.delivered()
    live.run("friend", "sysctl", "-qw", *(f"net.ipv4.{name}=0" for name in goes_along))
    assert {name for name in after if after[name] > before[name]} == {"friend"}
    assert live.drops("friend")["spoofed"] >= forged + 2, "by IPv4; no kernel knows the other any more (RFC 5095)"


def test_fragments_don_t_get_around_groups(live: LiveCloud) -> None:
    """Tiny ones, some that overlap, and later ones by themselves: only what was allowed as a whole arrives.

    Of those that overlap, Open vSwitch's own tracker takes none, and the kernel's the first.
    """
    shut = {"strict": 9000, "each": 9000}
    with ExitStack() as opened:
        wire = opened.enter_context(live.wire("mallory"))
        sockets = {name: opened.enter_context(live.socket(name, socket.SOCK_DGRAM, shut[name])) for name in shut}
        well = opened.enter_context(live.socket("strict", socket.SOCK_DGRAM, 8000))
        wires = [opened.enter_context(live.wire(name)) for name in shut]
        for number, name in enumerate(shut):
            mac, ip = f"02:00:00:00:00:0{4 + number}", live.guests[name]
            frame, whole = Ether(src=MAC, dst=mac), IP(src=IP4, dst=ip, id=100) / UDP(dport=9000) / Raw(MARK * 40)
            wire.send(bytes(frame / whole))
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
        # What overlaps may arrive before, as far as it is for 8000.
        while well.recv(4000) != WELL:
            pass
        for name, receiver in sockets.items():
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                print(name, receiver.recv(1000))
        for each in wires:
            assert arrived_whole(each) <= {8000}
    assert live.drops("each")["ingress_rules"] >= 1 <= live.drops("strict")["ingress_rules"]
    assert live.drops("friend")["ingress_rules"] == 0


def _whole6(address: str, l4_port: int) -> IPv6:
    return IPv6(src="2001:db8::11", dst=address) / IPv6ExtHdrFragment(id=7) / UDP(dport=l4_port) / Raw(MARK * 40)


def arrived_whole(wire: socket.socket) -> set[int]:
    """The L4 ports of the datagrams that came, as a guest's kernel puts them together; none may lack a part."""
    frames = [Ether(raw) for raw in taken(wire)]
    whole = defragment([frame[IP] for frame in frames if IP in frame and frame[IP].proto == 17])
    assert not [each for each in whole if each.frag or each.flags.MF]
    return {each[UDP].dport for each in whole}


def taken(wire: socket.socket) -> Iterator[bytes]:
    """What waits to be read."""
    wire.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            yield wire.recv(4096)


NETS = (Network("n1", "vxlan", 100, None, 1450), Network("n2", "vxlan", 200, None, 1450))
SUBNETS = tuple(Subnet(f"s{n.id}", n.id, "10.0.0.0/24", "10.0.0.1", dhcp=True) for n in NETS)
SHUT = SecurityGroup("g1", (SecurityGroupRule("r1", "egress", "IPv4"),))
PORTS = tuple(
    Port(f"{n}" * 36, "h1", net.id, f"02:00:00:00:00:0{n}", (FixedIp(f"s{net.id}", "10.0.0.11"),), groups=("g1",))
    for n, net in enumerate(NETS, 1)
)
FLOOD = 20_000
MOST_CPU_S = 0.3
"""Of the agent's time."""


@pytest.fixture
def besieged(switch: OpenVSwitch, controller: FakeController, tmp_path: Path) -> Iterator[tuple[Host, AgentProcess]]:
    """Two tenants' guests with one address each, and the real agent."""
    agent = AgentProcess(switch, tmp_path / "state")
    agent.join(controller)
    controller.change(*NETS, *SUBNETS, SHUT, *PORTS)
    agent.start()
    try:
        host = Host(switch, controller, tmp_path / "state")
        agent.wait_log("services_ready")
        for each in PORTS:
            guest = switch.add_guest(each.id, each.mac, "10.0.0.11/24")
            switch.exec("ip", "route", "add", "169.254.169.254", "dev", "eth0", guest=guest)
            host.guests.append(guest)
        for each in PORTS:
            controller.wait_status(each.id, "ACTIVE")
        yield host, agent
    finally:
        agent.stop()
        print(agent.log.read_text())


@timed
def test_a_flood_costs_the_agent_little_and_others_nothing(besieged: tuple[Host, AgentProcess]) -> None:
    """DHCP requests, questions for names and connections to everywhere, as many as she can send."""
    host, agent = besieged
    mallory, other = 0, 1
    began_s, began = agent.cpu_s(), time.monotonic()
    stop = threading.Event()

    def flood() -> int:
        frames = [bytes(frame) for frame in FLOODS]
        sent = 0
        with raw_socket() as wire:
            while sent < FLOOD or not stop.is_set():
                wire.send(frames[sent % len(frames)])
                sent += 1
        return sent

    with ThreadPoolExecutor() as pool:
        flooding = pool.submit(host.inside, mallory, flood)
        try:
            for _ in range(3):
                assert host.inside(other, lambda: leased(PORTS[other].mac)) == "10.0.0.11"
                assert host.resolve(other, "nobody.openstacklocal")[0] != 5, "not refused"
                assert host.get(other, "/latest/meta-data/local-ipv4") == (200, "10.0.0.11")
        finally:
            stop.set()
        sent = flooding.result()
    took_s, cpu_s = time.monotonic() - began, agent.cpu_s() - began_s
    asked, passed = metered(host.switch)
    print(f"{sent} frames in {took_s:.1f} s: {passed} of {asked} handed up, {cpu_s:.2f} s of the agent's time")
    assert passed <= 2 * (20 + 10 * took_s), "of both ports, no more than the meters let pass"
    assert asked > 5 * passed, "the flood came as far as the meters"
    assert cpu_s < MOST_CPU_S + 0.1 * took_s


def raw_socket() -> socket.socket:
    """On the interface of the namespace that the thread is in."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.bind(("eth0", 3))
    made.settimeout(patient(5))
    return made


def leased(mac: str) -> str:
    """The address that is offered to who asks by DHCP."""
    raw = bytes.fromhex(mac.replace(":", ""))
    with raw_socket() as wire:
        wire.send(bytes(DISCOVER).replace(bytes.fromhex(MAC.replace(":", "")), raw))
        while True:
            offer = Ether(wire.recv(2000))
            if BOOTP in offer and offer[BOOTP].op == 2:
                return str(offer[BOOTP].yiaddr)


def metered(switch: OpenVSwitch) -> tuple[int, int]:
    """Of the meters for what is handed to the agent for a port: packets that came, and packets that they let pass."""
    came = passed = 0
    pattern = r"meter:(\d+) .*?packet_in_count:(\d+).*?0: packet_count:(\d+)"
    for meter, packets, dropped in re.findall(pattern, switch.ofctl("meter-stats"), re.S):
        if int(meter) & ~0x7FFF == Range.AGENT:
            came, passed = came + int(packets), passed + int(packets) - int(dropped)
    return came, passed
