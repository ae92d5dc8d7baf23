"""Promise: a guest without a floating IP gets out by a gateway host, and by another one when that host dies.

Real packets in a lab with two gateway hosts; what the internet host sees of them, and for how long nothing went.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.lab.births import Birth, touched
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY, Host
from tests.patience import timed
from tests.system.clouds import (
    connect,
    eventually,
    guest,
    inside_network,
    leading_out,
    outside_network,
    two_hypervisors,
)
from tests.system.namespaces import inside
from tests.system.streams import streamed

_REUSED = 30
_METERS = {"kbps": "rate=1100 burst_size=1100", "packets": "rate=1000 burst_size=250"}
"""By unit, how a meter shows the limit."""
_ANSWERS = "table=2,dl_type=0x88b5,dl_dst=02:53:4d:00:01:01"
MOST_GAP_S = 5.0
"""A new connection works again after a second or two of unanswered questions, and what a busy machine adds."""
_LIVENESS_LOST = """table bridge deaf {
 chain passing { type filter hook forward priority 0; udp dport 4789 @th,224,16 0x88b5 drop; }
}
"""
"""Of what passes between hypervisors, questions whether a gateway host lives and their answers, inside of VXLAN."""


class Cloud(msgspec.Struct, frozen=True):
    lab: Lab
    api: Any
    router: Any
    outside: str
    inside: str
    guests: dict[str, Guest]
    """One on each hypervisor, by its name."""

    @property
    def ranks(self) -> list[Host]:
        return leading_out(self.lab, self.router)

    @property
    def led_by(self) -> list[Host]:
        """The same, but the one first that answers for the router's address now."""
        asked = f"table=34,arp,arp_op=1,arp_tpa={self.address}"
        found = {each.name: self.lab.switch(each.name).ofctl("dump-flows", "br-int", asked) for each in self.ranks}
        leads = {name for name, dump in found.items() if "arp_tpa" in dump}
        assert len(leads) == 1, leads
        return sorted(self.ranks, key=lambda each: each.name not in leads)

    @property
    def address(self) -> str:
        """The router's own on the outside."""
        return str(self.router.external_gateway_info["external_fixed_ips"][0]["ip_address"])

    @property
    def answered(self) -> int:
        """How many answers of gateway hosts that they live have come to others of them."""
        found = (self.lab.switch(host.name).ofctl("dump-flows", "br-int", _ANSWERS) for host in self.lab.layout.hosts)
        return sum(int(count) for dump in found for count in re.findall(r"n_packets=(\d+)", dump))

    @property
    def flows(self) -> dict[str, Birth]:
        """Of all hypervisors, each with its own."""
        found = {host.name: self.lab.switch(host.name).flows("br-int") for host in self.lab.layout.hosts}
        return {f"{name}: {flow}": birth for name, flows in found.items() for flow, birth in flows.items()}

    def socket(self, place: str, kind: socket.SocketKind, l4_port: int = 0) -> socket.socket:
        """A socket of a guest's kernel or of the internet host's."""
        return _socket(self._namespace(place), kind, l4_port)

    def await_free(self, place: str, l4_port: int) -> None:
        """Until the kernel there has let go of the last connection from this port (proc_net(5), /proc/net/tcp)."""

        def taken() -> bool:
            # Not /proc/net, which is that of a process's first thread.
            lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
            return any(line.split()[1].endswith(f":{l4_port:04X}") for line in lines)

        eventually(lambda: not inside(self._namespace(place), taken))

    def connect(self, place: str, l4_port: int, source_port: int = 0) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection from a guest to the internet host."""
        with self.socket("internet", socket.SOCK_STREAM, l4_port) as listener:
            listener.listen()
            near = self.socket(place, socket.SOCK_STREAM, source_port)
            near.connect((PUBLIC_GATEWAY, l4_port))
            far, _ = listener.accept()
        far.settimeout(2)
        return near, far

    def give_gateway(self, policy: str | None) -> None:
        gateway = {"network_id": self.outside, "qos_policy_id": policy}
        self.api.update_router(self.router.id, external_gateway_info=gateway)

    def give_network(self, policy: str | None) -> None:
        self.api.update_network(self.inside, qos_policy_id=policy)

    def _namespace(self, place: str) -> str:
        return self.lab.layout.internet if place == "internet" else self.guests[place].namespace


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with two_hypervisors("gw") as lab:
        net = connect(lab).network
        outside = outside_network(lab)
        inside, router = inside_network(lab, outside)
        group = next(each for each in net.security_groups() if each.name == "default")
        net.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
        guests = {host.name: guest(lab, inside.id, f"vm{host.name}", host.name) for host in lab.layout.hosts}
        made = Cloud(lab, net, router, outside.id, inside.id, guests)
        eventually(lambda: _answers(made, made.ranks[0].name))
        yield made


@pytest.fixture(autouse=True)
def _ends_without_floating_ips(cloud: Cloud) -> Iterator[None]:
    """However a test ends: what is left of one that fails, the API would refuse the next one's forwardings for."""
    yield
    for floating in list(cloud.api.ips()):
        for one in list(cloud.api.floating_ip_port_forwardings(floating.id)):
            cloud.api.delete_floating_ip_port_forwarding(floating.id, one.id)
        cloud.api.delete_ip(floating)


def test_every_guest_gets_out_by_the_router_s_address(cloud: Cloud) -> None:
    for place in cloud.guests:
        near, far = cloud.connect(place, 8000)
        with near, far:
            assert far.getpeername()[0] == cloud.address
            near.send(b"there")
            assert far.recv(10) == b"there"
            far.send(b"and back")
            assert near.recv(10) == b"and back"


@timed
@pytest.mark.parametrize("way", ["egress", "ingress"])
@pytest.mark.parametrize("unit", ["kbps", "packets"])
def test_a_limit_of_the_gateway_holds_for_all_who_pass_it(cloud: Cloud, unit: str, way: str) -> None:
    """More than its burst and its rate, to and from the host that doesn't lead out: what of it gets there."""
    first, second = cloud.ranks
    with _limited(cloud, first, unit, way, cloud.give_gateway):
        _flood(cloud, second.name, unit, way)
        if unit == "kbps":
            near, far = cloud.connect(second.name, 8007)
            received, lasted_s = streamed(*((near, far) if way == "egress" else (far, near)))
            kbits = 8 * received / 1000
            assert 500 * lasted_s < kbits < 1.05 * (1100 + 1100 * lasted_s), f"TCP: {kbits:.0f} kbit"
    _flood(cloud, second.name, "none", way)


@timed
@pytest.mark.parametrize(("unit", "way"), [("kbps", "egress"), ("packets", "egress"), ("packets", "ingress")])
def test_a_limit_of_a_network_is_one_of_each_guest_on_it(cloud: Cloud, unit: str, way: str) -> None:
    """What a guest gets in bits waits in a queue of its interface instead (test_agent)."""
    host = cloud.ranks[1]
    with _limited(cloud, host, unit, way, cloud.give_network):
        _flood(cloud, host.name, unit, way)
    _flood(cloud, host.name, "none", way)


def test_the_mark_of_a_network_and_of_a_gateway_is_seen_outside(cloud: Cloud) -> None:
    """The gateway's is set last."""
    policies = [cloud.api.create_qos_policy(name="marked") for _ in range(2)]
    for policy, mark in zip(policies, (26, 46), strict=True):
        cloud.api.create_qos_dscp_marking_rule(policy, dscp_mark=mark)
    try:
        cloud.give_network(policies[0].id)
        for place in cloud.guests:
            eventually(lambda place=place: _mark(cloud, place) == 26)
        cloud.give_gateway(policies[1].id)
        for place in cloud.guests:
            eventually(lambda place=place: _mark(cloud, place) == 46)
    finally:
        cloud.give_network(None)
        cloud.give_gateway(None)
        for policy in policies:
            cloud.api.delete_qos_policy(policy)
    for place in cloud.guests:
        eventually(lambda place=place: _mark(cloud, place) == 0)


def test_a_source_port_is_used_again_and_again(cloud: Cloud) -> None:
    """What Open vSwitch 3.1 aborts on when it does the rewriting itself: the last connection is still closing."""
    before = [cloud.lab.switch(host.name).vswitchd() for host in cloud.lab.layout.hosts]
    address = cloud.api.create_ip(floating_network_id=cloud.outside)
    for with_floating_ip in (False, True):
        place = cloud.ranks[1].name
        if with_floating_ip:
            cloud.api.update_ip(address, port_id=cloud.guests[place].port_id)
            eventually(lambda: _seen_as(cloud, cloud.ranks[1].name) == address.floating_ip_address)
        for number in range(60):
            near, far = cloud.connect(place, 8001, source_port=20001)
            far.close()
            assert near.recv(10) == b"", f"connection {number}"
            near.close()
            cloud.await_free(place, 20001)
    cloud.api.delete_ip(address)
    eventually(lambda: _seen_as(cloud, cloud.ranks[1].name) == cloud.address)
    assert [cloud.lab.switch(host.name).vswitchd() for host in cloud.lab.layout.hosts] == before


def test_who_asks_a_closed_port_outside_is_told(cloud: Cloud) -> None:
    """By what an error quotes: the namespace of the router translates that; through a floating IP, the agent."""
    place = cloud.ranks[1].name
    address = cloud.api.create_ip(floating_network_id=cloud.outside)
    for seen_as in (cloud.address, address.floating_ip_address):
        if seen_as != cloud.address:
            cloud.api.update_ip(address, port_id=cloud.guests[place].port_id)
        eventually(lambda seen_as=seen_as: _seen_as(cloud, place) == seen_as)
        with cloud.socket(place, socket.SOCK_DGRAM) as near:
            near.settimeout(5)
            near.connect((PUBLIC_GATEWAY, 8010))
            near.send(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                near.recv(10)
    cloud.api.delete_ip(address)
    eventually(lambda: _seen_as(cloud, place) == cloud.address)


def test_a_source_port_is_used_again_on_every_way_that_rewrites(cloud: Cloud) -> None:
    """To a floating IP from the other host and from its own guest, to a forwarded L4 port, to a local IP, which has a
    second conntrack zone, and to the services.
    """
    switches = [cloud.lab.switch(host.name) for host in cloud.lab.layout.hosts]
    before = [switch.vswitchd() for switch in switches]
    first, second = (each.name for each in cloud.ranks)
    floating = cloud.api.create_ip(floating_network_id=cloud.outside, port_id=cloud.guests[first].port_id)
    forwarding = cloud.api.create_ip(floating_network_id=cloud.outside)
    to = {"internal_port_id": cloud.guests[second].port_id, "internal_ip_address": _address(cloud.guests[second])}
    ways = {"external_port": 8090, "internal_port": 8091, "protocol": "tcp"}
    one = cloud.api.create_floating_ip_port_forwarding(forwarding.id, **ways, **to)
    neighbour = guest(cloud.lab, cloud.inside, "neighbour", second)
    local = cloud.api.create_local_ip(network_id=cloud.inside, local_ip_address="10.9.0.200")
    cloud.api.create_local_ip_association(local.id, fixed_port_id=neighbour.port_id)
    cloud.guests["neighbour"] = neighbour
    for source, target, address, listens in (
        (second, "neighbour", (local.local_ip_address, 8091), 8091),
        (second, first, (floating.floating_ip_address, 8091), 8091),
        (first, first, (floating.floating_ip_address, 8091), 8091),
        ("internet", second, (forwarding.floating_ip_address, 8090), 8091),
    ):
        with cloud.socket(target, socket.SOCK_STREAM, listens) as listener:
            listener.listen()
            eventually(lambda source=source, address=address: _reused(cloud, source, address))
            listener.settimeout(2)
            for number in range(_REUSED):
                with cloud.socket(source, socket.SOCK_STREAM, 20002) as near:
                    print(f"connection {number} from {source} to {address}")
                    near.connect(address)
                    far, peer = listener.accept()
                    while peer[1] != 20002:  # The ways were tried out by another source port.
                        far, peer = listener.accept()
                    far.close()
                    assert near.recv(10) == b""
                cloud.await_free(source, 20002)
    for _ in range(_REUSED):
        with cloud.socket(second, socket.SOCK_STREAM, 20004) as near:
            near.connect(("169.254.169.254", 80))
            near.send(b"GET / HTTP/1.0\r\n\r\n")
            while near.recv(1000):
                pass
        cloud.await_free(second, 20004)
    cloud.api.delete_floating_ip_port_forwarding(forwarding.id, one.id)
    cloud.api.delete_ip(forwarding)
    cloud.api.delete_ip(floating)
    cloud.api.delete_local_ip_association(local.id, neighbour.port_id)
    cloud.api.delete_local_ip(local)
    del cloud.guests["neighbour"]
    assert [switch.vswitchd() for switch in switches] == before
    assert [switch.aborts() for switch in switches] == [[]] * len(switches)


def test_ports_of_one_floating_ip_lead_to_guests_of_two_hosts(cloud: Cloud) -> None:
    floating = cloud.api.create_ip(floating_network_id=cloud.outside)
    for number, one in enumerate(cloud.guests.values()):
        ways = {"external_port": 8080 + number, "internal_port": 80, "protocol": "tcp"}
        to = {"internal_port_id": one.port_id, "internal_ip_address": _address(one)}
        cloud.api.create_floating_ip_port_forwarding(floating.id, **ways, **to)
    for number, place in enumerate(cloud.guests):
        with cloud.socket(place, socket.SOCK_STREAM, 80) as listener:
            listener.listen()

            def arrives(listener: socket.socket = listener, l4_port: int = 8080 + number) -> bool:
                with cloud.socket("internet", socket.SOCK_STREAM) as client, contextlib.suppress(OSError):
                    client.connect((floating.floating_ip_address, l4_port))
                    with listener.accept()[0] as far:
                        return bool(far.getpeername()[0] == PUBLIC_GATEWAY)
                return False

            eventually(arrives)


def test_hosts_that_only_hear_other_packets_of_each_other_move_nothing(cloud: Cloud) -> None:
    """A flooded switch loses what its sockets can't hold: here, every question and every answer, for as long as three
    takeovers last. Guests' packets go both ways meanwhile, as in a flood.
    """
    first, second = cloud.ranks
    before, judged = cloud.answered, cloud.lab.cloud.judgements()
    there = ["ip", "netns", "exec", cloud.lab.layout.fabric, "nft"]
    pings = ["ping", "-i0.1", "-c45", "-W1", _address(cloud.guests[first.name])]
    subprocess.run([*there, "-f", "-"], input=_LIVENESS_LOST, text=True, check=True)
    try:
        ended = subprocess.run(cloud.lab.guests.inside(cloud.guests[second.name], pings), check=False, timeout=30)
    finally:
        subprocess.run([*there, "delete", "table", "bridge", "deaf"], check=True)
    assert ended.returncode == 0
    assert cloud.answered <= before + 2 * len(cloud.ranks), "some answers passed"
    eventually(lambda: cloud.answered > before + 4 * len(cloud.ranks))
    assert cloud.lab.cloud.judgements() == judged


def test_agents_that_die_and_return_move_and_touch_nothing(cloud: Cloud) -> None:
    """That of the host that leads out, and that of the one that would."""
    leaves, answered = cloud.ranks[1].name, []
    near, far = cloud.connect(leaves, 8004)
    before, judged = cloud.flows, cloud.lab.cloud.judgements()
    for host in cloud.ranks:
        cloud.lab.cloud.kill_agent(host)
        answered += [_answers(cloud, leaves) for _ in range(20)]
        cloud.lab.cloud.start_agent(host)
        cloud.lab.cloud.await_agent(host)
        answered += [_answers(cloud, leaves) for _ in range(20)]
    assert all(answered)
    assert cloud.lab.cloud.judgements() == judged
    assert touched(before, cloud.flows) == []
    far.send(b"still there")
    assert near.recv(20) == b"still there"


def test_another_host_takes_over_when_the_uplink_of_the_first_is_cut(cloud: Cloud) -> None:
    """All else of it lives, and it says so; its return moves nothing at once."""
    first, second = cloud.led_by
    guests = [each.name for each in cloud.ranks]
    eventually(lambda: all(_answers(cloud, place) for place in guests))
    _cut_uplink(cloud, first, "down")
    try:
        cut = time.monotonic()
        eventually(lambda: _answers(cloud, second.name))
        print(f"\nuplink cut: a new connection after {time.monotonic() - cut:.2f} s")
        assert _answers(cloud, first.name), "its guests leave by the other, too"
        (said,) = (each["failures"] for each in cloud.lab.cloud.hosts() if each["name"] == first.name)
        assert said == {"interface/eth-public": "its link is down"}
        assert cloud.led_by == [second, first]
        before = cloud.flows
    finally:
        _cut_uplink(cloud, first, "up")
    assert all(_answers(cloud, place) for place in guests * 5)
    assert touched(before, cloud.flows) == []


def test_a_namespace_that_cannot_be_made_is_told_and_tried_again_and_another_host_leads_out(cloud: Cloud) -> None:
    host, other = cloud.led_by
    (name,) = (each.name for each in Path("/run/netns").glob(f"{host.namespace}-smn*"))
    in_the_way = Path("/run/netns", name)
    cloud.lab.cloud.kill_agent(host)
    subprocess.run(["ip", "netns", "delete", name], check=True)
    in_the_way.mkdir()
    cloud.lab.cloud.start_agent(host)

    def told() -> str:
        (said,) = (each["failures"] for each in cloud.lab.cloud.hosts() if each["name"] == host.name)
        return " ".join(f"{owner}: {why}" for owner, why in said.items())

    try:
        eventually(lambda: f"namespace {name}" in told())
        eventually(lambda: all(_answers(cloud, each.name) for each in cloud.ranks))
        assert cloud.led_by == [other, host]
    finally:
        in_the_way.rmdir()
    eventually(lambda: not told())
    assert _answers(cloud, host.name)


def test_another_host_takes_over_and_the_first_comes_back_quietly(cloud: Cloud) -> None:
    first, second = cloud.led_by
    near, far = cloud.connect(second.name, 8002)
    cloud.lab.cloud.kill_agent(first)
    cloud.lab.kill_vswitchd(first)
    died = time.monotonic()
    eventually(lambda: _answers(cloud, second.name))
    gap_s = time.monotonic() - died
    assert cloud.lab.cloud.is_a_gateway_away()
    print(f"\ntakeover: a new connection after {gap_s:.2f} s")
    assert gap_s < MOST_GAP_S
    near.send(b"still there")
    with contextlib.suppress(TimeoutError):
        print(f"an established connection goes on: {far.recv(20) == b'still there'}")
    cloud.lab.start_vswitchd(first)
    cloud.lab.cloud.start_agent(first)
    cloud.lab.cloud.await_agent(first)
    time_ends = time.monotonic() + 6
    lost = 0
    while time.monotonic() < time_ends:
        lost += not _answers(cloud, second.name)
    assert lost <= 1, "its return is noticed"
    eventually(lambda: _answers(cloud, first.name))


def test_restarts_while_a_host_is_replaced_move_nothing(cloud: Cloud) -> None:
    for host in cloud.ranks:
        before = cloud.flows
        cloud.lab.cloud.kill_agent(host)
        cloud.lab.cloud.start_agent(host)
        cloud.lab.cloud.await_agent(host)
        assert all(_answers(cloud, each.name) for each in cloud.ranks)
        assert touched(before, cloud.flows) == []


def test_nobody_outside_says_how_a_packet_goes_on_inside(cloud: Cloud) -> None:
    (name,) = (each.name for each in Path("/run/netns").glob(f"{cloud.ranks[0].namespace}-smn*"))
    settings = [
        f"net.ipv4.conf.{where}.accept_{what}" for where in ("all", "nat") for what in ("source_route", "redirects")
    ]
    said = subprocess.run(["ip", "netns", "exec", name, "sysctl", "-n", *settings], stdout=subprocess.PIPE, check=True)
    assert said.stdout.split() == [b"0"] * 4


def test_a_router_that_hides_nobody(cloud: Cloud) -> None:
    gateway = {"network_id": cloud.outside, "enable_snat": False}
    cloud.api.update_router(cloud.router, external_gateway_info=gateway)
    route = ["ip", "-n", cloud.lab.layout.internet, "route", "add", "10.9.0.0/24", "via", cloud.address]
    subprocess.run(route, check=True)
    eventually(lambda: _seen_as(cloud, cloud.ranks[1].name) == _address(cloud.guests[cloud.ranks[1].name]))


def _address(one: Guest) -> str:
    return one.lease["ip"].partition("/")[0]


def _cut_uplink(cloud: Cloud, host: Host, state: str) -> None:
    command = ["ip", "-n", cloud.lab.layout.fabric, "link", "set", f"pub-{host.name}", state]
    subprocess.run(command, check=True)


def _reused(cloud: Cloud, source: str, address: tuple[str, int]) -> bool:
    """Whether a connection from one and the same source port comes about."""
    with cloud.socket(source, socket.SOCK_STREAM, 20003) as near, contextlib.suppress(OSError):
        near.connect(address)
        return True
    return False


def _answers(cloud: Cloud, place: str) -> bool:
    """Whether a ping from a guest to the internet host is answered within a moment."""
    command = cloud.lab.guests.inside(cloud.guests[place], ["ping", "-c1", "-W1", PUBLIC_GATEWAY])
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _seen_as(cloud: Cloud, place: str) -> str:
    """The source address that the internet host sees of a guest, "" if nothing arrives."""
    try:
        near, far = cloud.connect(place, 8003)
    except OSError:
        return ""
    with near, far:
        return str(far.getpeername()[0])


@contextlib.contextmanager
def _limited(cloud: Cloud, host: Host, unit: str, way: str, give: Callable[[str | None], None]) -> Iterator[None]:
    """While the host has a meter of that; afterwards it has none."""
    policy = cloud.api.create_qos_policy(name="slow")
    if unit == "kbps":
        cloud.api.create_qos_bandwidth_limit_rule(policy, max_kbps=1100, max_burst_kbps=1100, direction=way)
    else:
        cloud.api.create_qos_packet_rate_limit_rule(policy, max_kpps=1, direction=way)
    switch = cloud.lab.switch(host.name)

    def metered() -> bool:
        return _METERS[unit] in switch.ofctl("dump-meters", "br-int")

    give(policy.id)
    try:
        eventually(metered)
        yield
    finally:
        give(None)
        cloud.api.delete_qos_policy(policy)
    eventually(lambda: not metered())


def _flood(cloud: Cloud, place: str, unit: str, way: str) -> None:
    """Datagrams between a guest and the internet host: what the limit allows arrives, all of them without one."""
    udp, most, payload_bytes = socket.SOCK_DGRAM, 400 if unit == "none" else 1500, 100 if unit == "packets" else 1000
    with cloud.socket("internet", udp, 8006) as outer, cloud.socket(place, udp) as inner:
        inner.sendto(b"first", (PUBLIC_GATEWAY, 8006))
        _, seen = outer.recvfrom(10)
        sender, to, receiver = (inner, (PUBLIC_GATEWAY, 8006), outer) if way == "egress" else (outer, seen, inner)
        receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: all of it waits there (socket(7)).
        receiver.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        # By the clock that the kernel stamps what it receives with.
        started, sent = time.time(), list[float]()
        for number in range(most):
            sent.append(time.time())
            sender.sendto(bytes(payload_bytes), to)
            time.sleep(max(0.0, started + 0.5 * number / most - time.time()))
        receiver.settimeout(0.5)
        moments: list[float] = []
        with contextlib.suppress(TimeoutError):
            while told := receiver.recvmsg(2000, 64)[1]:
                seconds, nanoseconds = struct.unpack("@ll", told[0][2])
                moments.append(seconds + nanoseconds / 1e9)
    arrived, lasted_s, kbit = len(moments), moments[-1] - started, 8 * (payload_bytes + 42) / 1000
    rate, burst = {"none": (most, most), "kbps": (1100 / kbit, 1100 / kbit), "packets": (1000, 250)}[unit]
    # A busy machine sends late, which a full bucket has nothing of; and what its switch takes late may pass then.
    fewest, most = _passing(sent, rate, burst), min(most, round(burst + rate * lasted_s))
    words = (
        f"{arrived} of {fewest} to {most}, sent in {sent[-1] - started:.2f} s, the last there after {lasted_s:.2f} s"
    )
    assert (0.8 if unit != "none" else 0.97) * fewest < arrived < 1.05 * most, words


def _passing(sent: list[float], rate: float, burst: float) -> int:
    """How many of packets that are sent at these moments a bucket lets pass that is full at first."""
    passed, level, before = 0, burst, sent[0]
    for moment in sent:
        level, before = min(burst, level + rate * (moment - before)), moment
        if level >= 1:
            passed, level = passed + 1, level - 1
    return passed


def _mark(cloud: Cloud, place: str) -> int:
    """The DSCP that the internet host sees on what comes of a guest; -1 if nothing does."""
    udp = socket.SOCK_DGRAM
    with cloud.socket("internet", udp, 8011) as far, cloud.socket(place, udp) as near:
        far.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS (ip(7)).
        near.sendto(b"marked", (PUBLIC_GATEWAY, 8011))
        with contextlib.suppress(TimeoutError):
            _, [(_, _, tos)], _, _ = far.recvmsg(10, 100)
            return int(tos[0]) >> 2
    return -1


def _socket(namespace: str, kind: socket.SocketKind, l4_port: int) -> socket.socket:
    made = inside(namespace, lambda: socket.socket(socket.AF_INET, kind))
    made.settimeout(2)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", l4_port))
    return made
