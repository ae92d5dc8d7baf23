"""What somebody else did inside a router's network namespace is found by reading the kernel, told, and put right."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from suimon.dataplane import kept
from suimon.dataplane.nat import Config, Namespaces, NatTarget, digest
from suimon.dataplane.switch import Switch
from suimon.model.view import PortForwarding
from suimon.pipeline.gateway import INSIDE, NAMESPACE, OUTSIDE, device
from suimon.pipeline.program import Nat
from suimon.reconcile import Changes
from tests.patience import patient
from tests.system.openvswitch import DATAPATH, OpenVSwitch
from tests.system.test_dataplane import BARE, followed

SHOWN = (
    "cat /sys/class/net/nat/flags",
    "cat /sys/class/net/nat/mtu",
    "cat /sys/class/net/nat/address",
    "ip -4 -oneline address show",
    "ip route",
    "ip rule",
    "ip neighbour show nud permanent",
    "nft list ruleset",
    "sysctl net.ipv4.ip_forward net.ipv4.conf.all.accept_redirects",
)
HARM = (
    "nft flush ruleset",
    "nft flush chain ip suimon leaving",
    "ip route flush table main",
    "ip route replace 10.9.0.0/24 via 169.254.255.2 dev nat onlink",
    "ip address flush dev nat",
    "ip rule add priority 7 blackhole",
    "ip rule delete priority 32766",
    "ip link set nat mtu 1400",
    "ip link set nat address 02:00:00:00:00:01",
    "ip neighbour delete 169.254.255.1 dev nat",
    "ip link set nat down",
    "sysctl -qw net.ipv4.ip_forward=0",
    "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
)


class Scene:
    """A router's namespace on a bare bridge, kept by one life of the agent."""

    def __init__(self, switch: OpenVSwitch, model: Switch, nats: dict[str, Nat]) -> None:
        self.switch, self.model, self.nats = switch, model, nats
        self.config = Config(prefix=f"{switch.namespace}-", timeout_s=patient(10))
        ((self.name, self.nat),) = nats.items()
        self.space = self.config.prefix + self.name

    async def shown(self) -> list[str]:
        return [await asyncio.to_thread(self.exec, each) for each in SHOWN]

    def exec(self, command: str) -> str:
        said = self.switch.exec(*command.split(), guest=self.space)
        return said.replace(" linkdown", "")  # It says so for a moment longer than it is.


def play(switch: OpenVSwitch, scene: Callable[[Scene, Namespaces], Coroutine[None, None, None]]) -> None:
    router = secrets.token_hex(8)
    forwarding = PortForwarding("203.0.113.5", 6, 80, 80, "10.9.0.5", 8080, 8080)
    nat = Nat(router, ("203.0.113.5",), ("10.9.0.0/24",), source="203.0.113.5", forwardings=(forwarding,))
    nats = {device(router): nat}

    async def whole() -> None:
        async with followed(switch) as model:
            await model.ensure(BARE)
            one, known, made = Scene(switch, model, nats), asyncio.Event(), asyncio.Event()
            known.set()
            namespaces = Namespaces(one.config, model, nats, known, lambda _: made.set())
            running = asyncio.create_task(namespaces.run())
            try:
                await asyncio.wait_for(made.wait(), patient(20))
                await scene(one, namespaces)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(whole())


def test_what_a_router_s_namespace_lost_is_told_and_put_back(switch: OpenVSwitch) -> None:
    async def scene(one: Scene, namespaces: Namespaces) -> None:
        before = await one.shown()
        assert await namespaces.check() == [], "nobody touched it"
        for harm in HARM:
            await asyncio.to_thread(one.exec, harm)
            assert await one.shown() != before, harm
            ((drift, why),) = await namespaces.check()
            assert (drift.example, drift.changed, why) == (one.name, 1, ""), harm
            assert await one.shown() == before, harm
        assert await namespaces.check() == []

    play(switch, scene)


def test_what_is_not_ours_in_it_stays_and_the_next_agent_sees_what_was_lost_meanwhile(switch: OpenVSwitch) -> None:
    async def scene(one: Scene, namespaces: Namespaces) -> None:
        await asyncio.to_thread(one.exec, "nft add table ip theirs")
        assert await namespaces.check() == []
        assert "theirs" in await asyncio.to_thread(one.exec, "nft list ruleset")
        following = NatTarget(one.config, one.model, one.nats)
        assert await following.observe() == {one.name: digest(one.nat)}
        await asyncio.to_thread(one.exec, "nft flush table ip suimon")
        assert await following.observe() == {one.name: ""}

    play(switch, scene)


class Crossing:
    """Frames through a router's namespace, at the end of its device where br-int would be."""

    def __init__(self, device_name: str) -> None:
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self._wire.bind((device_name, 0x0800))
        self._wire.settimeout(patient(5))
        self._number = 0

    def close(self) -> None:
        self._wire.close()

    def send(self, src_mac: str, ip: IP, l4: TCP) -> Packet:
        """How the frame comes out of it again. Raises TimeoutError when it doesn't."""
        self._number += 1
        mark = f"frame {self._number};".encode()
        self._wire.send(bytes(Ether(src=src_mac, dst=NAMESPACE) / ip / l4 / Raw(mark)))
        while True:
            data, origin = self._wire.recvfrom(4096)
            if mark in data and origin[2] != socket.PACKET_OUTGOING:
                return Ether(data)


@pytest.mark.skipif(DATAPATH != "netdev", reason="the kernel's datapath takes the device's frames")
def test_an_upgrade_that_makes_a_namespace_anew_breaks_no_connection(switch: OpenVSwitch, monkeypatch) -> None:
    """Two guests' connections by one source port: the second has another one outside, as only the tracker knows."""
    guests, server, outside = ("10.9.0.5", "10.9.0.6"), "198.51.100.9", "203.0.113.5"

    def leaving(one: Crossing, guest: str, flags: str) -> Packet:
        return one.send(INSIDE, IP(src=guest, dst=server), TCP(sport=5000, dport=80, flags=flags, seq=1, ack=1))

    def coming(one: Crossing, l4_port: int, flags: str) -> Packet:
        return one.send(OUTSIDE, IP(src=server, dst=outside), TCP(sport=80, dport=l4_port, flags=flags, seq=1, ack=2))

    def goes_on(one: Crossing, ports: dict[str, int]) -> None:
        for guest, l4_port in ports.items():
            there, back = leaving(one, guest, "A"), coming(one, l4_port, "A")
            assert (there[IP].src, there[TCP].sport) == (outside, l4_port)
            assert (back[IP].dst, back[TCP].dport) == (guest, 5000)

    async def scene(one: Scene, namespaces: Namespaces) -> None:
        crossing = Crossing(one.name)
        try:
            ports = {guest: leaving(crossing, guest, "S")[TCP].sport for guest in guests}
            assert len(set(ports.values())) == 2
            for l4_port in ports.values():
                coming(crossing, l4_port, "SA")
            goes_on(crossing, ports)
            before = await one.shown()
            for version in range(90, 95):
                monkeypatch.setattr("suimon.dataplane.nat._VERSION", version)
                following = NatTarget(one.config, one.model, one.nats)
                wanted = {one.name: digest(one.nat)}
                assert await following.observe() != wanted, "the agent before it made something else"
                making = asyncio.create_task(following.apply(Changes(wanted)))
                while not making.done():
                    await asyncio.to_thread(goes_on, crossing, ports)
                assert await making == {}
                assert await following.observe() == wanted
                await asyncio.to_thread(goes_on, crossing, ports)
            assert await one.shown() == before
        finally:
            crossing.close()

    play(switch, scene)


def test_a_namespace_that_cannot_be_read_is_an_error_and_nothing_else(switch: OpenVSwitch, monkeypatch) -> None:
    async def scene(one: Scene, namespaces: Namespaces) -> None:
        monkeypatch.setattr("suimon.dataplane.kept.ASKED", (*kept.ASKED, ("link", 4094, bytes(16))))
        with pytest.raises(OSError, match="netlink: Operation not supported"):
            await namespaces.check()

    play(switch, scene)
