"""Real packets that can't be carried on, by a router of ours or by one outside: guests' kernels hear why, and fit what
they send to the path. What such errors quote is translated with the addresses of floating IPs and local IPs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from suimon.agent.complaints import complaint
from suimon.agent.outside import PacketOut
from suimon.agent.packets import PacketError
from suimon.agent.quotes import translated
from suimon.dataplane.openflow.connection import Config, Connection
from suimon.dataplane.openflow.messages import PacketIn
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World
from tests.patience import patient
from tests.system.live import TIMEOUT_S, LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch, run

MAC = "02:00:00:00:00:"
ROUTER = f"router r wide4=10.0.0.1@{MAC}f1 wide6=fd00::1@{MAC}f1 small4=10.0.1.1@{MAC}f2 small6=fd00:1::1@{MAC}f2"
WORLD = f"""
host h1
network wide vxlan 100 mtu=1500
network small vxlan 101 mtu=1400
network yard flat physnet=ext external=yes mtu=1500
subnet wide4 wide 10.0.0.0/24 gateway=10.0.0.1
subnet wide6 wide fd00::/64 gateway=fd00::1
subnet small4 small 10.0.1.0/24 gateway=10.0.1.1
subnet small6 small fd00:1::/64 gateway=fd00:1::1
subnet yard4 yard 192.0.2.0/24 gateway=192.0.2.200
station outside {MAC}0f 192.0.2.200 physnet=ext
group open egress:any ingress:any egress6:any ingress6:any
port wide h1 wide {MAC}01 10.0.0.11 fd00::11 groups=open
port wide2 h1 wide {MAC}02 10.0.0.12 groups=open local=10.0.0.200@10.0.0.12
port small h1 small {MAC}03 10.0.1.13 fd00:1::13 groups=open
{ROUTER} gateway=yard@192.0.2.1@{MAC}f3@192.0.2.200
floating f yard 192.0.2.13 {MAC}fa port=small router=r
floating g yard 192.0.2.11 {MAC}fb port=wide router=r
"""


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    cloud = LiveCloud(kept_switch, WORLD)
    for name, ip, gateway in (("wide", "fd00::11", "fd00::1"), ("small", "fd00:1::13", "fd00:1::1")):
        # Without waiting for who else might have the address.
        cloud.run(name, "ip", "addr", "del", f"{ip}/64", "dev", "eth0")
        cloud.run(name, "ip", "addr", "add", f"{ip}/64", "dev", "eth0", "nodad")
        cloud.run(name, "ip", "route", "replace", "default", "via", gateway, "dev", "eth0")
    with complaining(cloud):
        yield cloud


def answer(world: World, packet: PacketIn) -> PacketOut | None:
    with contextlib.suppress(PacketError):
        return complaint(world, packet) if packet.stage == Stage.FIT else translated(world, packet)
    return None


@contextlib.contextmanager
def complaining(live: LiveCloud) -> Iterator[None]:
    """The agent's part: it answers what the switch hands over."""
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        connection = Connection(Config(timeout_s=patient(15)), live.switch.rundir / "br-int.mgmt")
        running = asyncio.create_task(connection.run())
        await connection.dump_meters()
        ready.set()
        ending = asyncio.create_task(asyncio.to_thread(done.wait))
        while not ending.done():
            handed = asyncio.create_task(connection.packets.get())
            await asyncio.wait([handed, ending], return_when=asyncio.FIRST_COMPLETED)
            if handed.done() and (told := answer(live.world, handed.result())):
                await connection.packet_out(told.actions, told.data, told.fields)
        running.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(patient(10))
    try:
        yield
    finally:
        done.set()
        thread.join()


def ping(live: LiveCloud, guest: str, address: str, *options: str) -> str:
    within = ["ip", "netns", "exec", live.namespace(guest)]
    command = [*within, "ping", "-n", "-c1", f"-W{patient(2):g}", *options, address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(10)).stdout


@pytest.mark.parametrize(
    ("guest", "address", "options", "said"),
    [
        ("wide", "10.0.1.13", ["-M", "do", "-s1372"], "1 received"),
        ("wide", "10.0.1.13", ["-M", "do", "-s1373"], "From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)"),
        ("wide", "fd00:1::13", ["-M", "do", "-s1352"], "1 received"),
        ("wide", "fd00:1::13", ["-M", "do", "-s1353"], "From fd00::1 icmp_seq=1 Packet too big: mtu=1400"),
        ("wide", "10.0.1.13", ["-t1"], "From 10.0.0.1 icmp_seq=1 Time to live exceeded"),
        ("wide", "10.0.1.13", ["-t2"], "1 received"),
        ("wide", "fd00:1::13", ["-t1"], "From fd00::1 icmp_seq=1 Time exceeded: Hop limit"),
        ("small", "fd00:9::1", [], "From fd00:1::1 icmp_seq=1 Destination unreachable: No route"),
        ("outside", "192.0.2.13", ["-M", "do", "-s1373"], "From 192.0.2.1 icmp_seq=1 Frag needed and DF set"),
        ("small", "192.0.2.200", ["-t1"], "From 10.0.1.1 icmp_seq=1 Time to live exceeded"),
    ],
)
def test_a_ping_hears_why(live: LiveCloud, guest: str, address: str, options: list[str], said: str) -> None:
    assert said in (told := ping(live, guest, address, *options)), told


def test_a_stream_finds_the_size_that_fits(live: LiveCloud) -> None:
    """Both ends think that 1,500 bytes fit: the sender is told otherwise, for the first of what it sends."""
    ends = live.connect("wide2", "small", 7000)
    assert ends
    with ends[0] as near, ends[1] as far:
        near.sendall(bytes(100_000))
        near.shutdown(socket.SHUT_WR)
        received = 0
        while got := far.recv(65536):
            received += len(got)
    assert received == 100_000
    assert "mtu 1400" in live.run("wide2", "ip", "route", "get", "10.0.1.13")


def test_who_asks_too_often_is_told_no_more(live: LiveCloud) -> None:
    """20 at once and 10 a second, whatever a guest sends."""
    with live.socket("wide", socket.SOCK_DGRAM) as sender, live.wire("wide") as wire:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        for _ in range(300):
            with contextlib.suppress(OSError):  # What came back is told by the next call.
                sender.sendto(b"hop", ("10.0.1.13", 9))
        wire.settimeout(patient(2))  # The agent of a busy machine pauses, too.
        told = 0
        with contextlib.suppress(TimeoutError):
            while True:
                data, address = wire.recvfrom(2000)
                told += address[2] != socket.PACKET_OUTGOING and data[23] == 1 and data[34] == 11
    assert 10 <= told <= 60


BEYOND = "198.51.100.1"
"""Behind the station, which is a router towards it, over a link of 1,300 bytes."""


@pytest.fixture(scope="module")
def beyond(live: LiveCloud) -> Iterator[str]:
    """A network namespace two hops from the floating IPs: the station forwards to it."""
    name = f"{live.namespace('outside')}b"
    run("ip", "netns", "add", name)
    try:
        live.run(
            "outside", "ip", "link", "add", "far0", "mtu", "1300", "type", "veth", "peer", "name", "far1", "netns", name
        )
        live.run("outside", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        live.run("outside", "ip", "addr", "add", "198.51.100.254/24", "dev", "far0")
        live.run("outside", "ip", "link", "set", "far0", "up")
        for command in (f"addr add {BEYOND}/24 dev far1", "link set far1 up", "route add default via 198.51.100.254"):
            live.switch.exec("ip", *command.split(), guest=name)
        yield name
    finally:
        run("ip", "netns", "del", name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-M", "do", "-s1273"], "From 192.0.2.200 icmp_seq=1 Frag needed and DF set (mtu = 1300)"),
        (["-t2"], "From 192.0.2.200 icmp_seq=1 Time to live exceeded"),
        (["-t3"], "1 received"),
    ],
)
@pytest.mark.parametrize("guest", ["wide", "small"])
def test_a_hop_outside_is_heard_by_a_floating_ip(
    live: LiveCloud, beyond: str, guest: str, options: list[str], said: str
) -> None:
    """By a guest on a network of smaller packets, too."""
    assert said in (told := ping(live, guest, BEYOND, *options)), told


def test_a_stream_through_a_floating_ip_finds_the_size_that_fits(live: LiveCloud, beyond: str) -> None:
    """Both ends' links take more than the one in between: each believes in what it has."""
    live.run("wide", "ip", "route", "flush", "cache")
    with inside(beyond, lambda: socket.create_server((BEYOND, 7001))) as listener:
        listener.settimeout(TIMEOUT_S)
        with live.socket("wide", socket.SOCK_STREAM) as near:
            near.connect((BEYOND, 7001))
            far, (address, _) = listener.accept()
            assert address == "192.0.2.11"
            with far:
                near.sendall(bytes(100_000))
                near.shutdown(socket.SHUT_WR)
                far.settimeout(TIMEOUT_S)
                received = 0
                while got := far.recv(65536):
                    received += len(got)
    assert received == 100_000
    assert "mtu 1300" in live.run("wide", "ip", "route", "get", BEYOND)


@pytest.mark.parametrize(
    ("guest", "address"),
    [
        ("outside", "192.0.2.11"),
        pytest.param("small", "192.0.2.11", id="from one floating IP to another"),
        pytest.param("wide", "10.0.0.200", id="local IP"),
    ],
)
def test_a_closed_port_is_known_by_the_address_that_was_asked(live: LiveCloud, guest: str, address: str) -> None:
    with live.socket(guest, socket.SOCK_DGRAM) as sender:
        sender.connect((address, 7002))
        sender.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(10)


def test_who_asks_and_goes_away_is_known_by_a_local_ip(live: LiveCloud) -> None:
    """The guest behind it answers to nobody any more, and hears so."""
    with live.socket("wide2", socket.SOCK_DGRAM, 7003) as far:
        with live.socket("wide", socket.SOCK_DGRAM) as near:
            near.sendto(b"ask", ("10.0.0.200", 7003))
            _, asker = far.recvfrom(10)
        far.connect(asker)
        far.send(b"late")
        with pytest.raises(ConnectionRefusedError):
            far.recv(10)


def test_a_forged_error_reaches_nobody(live: LiveCloud, beyond: str) -> None:
    """About a connection that there isn't; about somebody else's packet; with a checksum that is wrong."""
    about = IP(src="192.0.2.11", dst=BEYOND) / UDP(sport=9, dport=9) / b"never sent"
    others = IP(src="192.0.2.13", dst=BEYOND) / UDP(sport=9, dport=9)
    start = Ether(src=f"{MAC}0f", dst=f"{MAC}fb") / IP(src="192.0.2.200", dst="192.0.2.11")
    with live.wire("outside") as wire, live.hearing("wide") as frames:
        for icmp in (ICMP(type=3, code=3) / about, ICMP(type=3, code=3) / others, ICMP(type=3, chksum=1) / about):
            wire.send(bytes(start / icmp))
        # What is handed up after them gets there: they had their turn.
        assert "From 192.0.2.200" in ping(live, "wide", BEYOND, "-t2")
    told = [frame[34] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 1]
    assert told == [ICMP(type="time-exceeded").type], "of the ping, and of nothing else"
