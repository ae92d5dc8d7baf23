"""A small cloud on one real switch: guests in namespaces, and the flows that the pipeline compiles for them.

`change` puts in what follows from a change of the cloud, and holds the switch to it; sockets in the guests say what
their own kernels get.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address, ip_network

from suimon.agent.inquiries import Config as InquiriesConfig
from suimon.agent.inquiries import Inquiries
from suimon.agent.looks import Config as LooksConfig
from suimon.agent.looks import Counters, Looks
from suimon.agent.meter import Config as MeterConfig
from suimon.agent.meter import Meter
from suimon.agent.outside import PacketOut
from suimon.agent.probes import Probes
from suimon.dataplane.devices import Devices
from suimon.dataplane.openflow.connection import Config, Connection
from suimon.dataplane.openflow.target import BridgeTarget, bridge_entries
from suimon.dataplane.switch import Plugged
from suimon.dataplane.zones import Config as ZonesConfig
from suimon.dataplane.zones import ZoneLimits
from suimon.model import view
from suimon.model.counts import Activity, Drops, Reading
from suimon.model.questions import Asked, CountDrops, Look, Traced
from suimon.pipeline.facts import Probe
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World
from suimon.reconcile import plan
from tests.patience import patient
from tests.pipeline.cloud import Cloud
from tests.pipeline.underlay import Hypervisor
from tests.system.namespaces import inside
from tests.system.openvswitch import DATAPATH, OpenVSwitch

TIMEOUT_S = patient(1.5)
Ends = tuple[socket.socket, socket.socket]


class LiveCloud:
    """`guests` are the ports of `host`, and the stations, in the order of their ofports: IPv4 addresses by name."""

    def __init__(self, switch: OpenVSwitch, text: str, host: str = "h1") -> None:
        self.switch = switch
        self.guests: dict[str, str] = {}
        self._namespaces: dict[str, str] = {}
        self._cloud = Cloud()
        self._name = host
        self._host = Hypervisor(host)
        switch.add_bridge()
        # What waits for the next look at all datapath flows (ovs-vswitchd.conf.db(5)) waits a fifth as long.
        switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=100")
        for line in text.strip().splitlines():
            self._cloud.read(line)
        for port in [port for port in self._cloud.all(view.Port) if port.host == host and port.parent is None]:
            self._add_guest(port.id, port.mac, port.fixed_ips[0].ip)
            for fixed in port.fixed_ips[1:]:
                self._add_ipv6(port.id, fixed)
            self._cloud.ofports[port.id] = len(self.guests)
        for station in self._cloud.stations.values():
            self._add_guest(station.name, station.mac, station.ip)
            self._host.world.wire({}, {station.physnet: len(self.guests)})
            for network in self._cloud.all(view.Network):
                if network.physnet == station.physnet:
                    self._host.world.learn(network.id, station.ip, station.mac)
        if tunnels := self._cloud.hosts[host].tunnels:
            self._host.world.wire(tunnels, self._host.world.physnets)
        self.change()

    def change(self, *lines: str) -> None:
        for line in lines:
            self._cloud.read(line)
        self._host.follow(self._cloud.told(self._name), self._cloud.ofports)
        asyncio.run(self._install())

    def forget(self, kind: str, name: str) -> None:
        """That thing is gone."""
        self._cloud.delete(kind, name)
        self.change()

    @property
    def world(self) -> World:
        return self._host.world

    def await_addresses(self) -> None:
        """Until no guest's kernel looks for duplicates of its addresses any more (RFC 4862, section 5.4)."""
        deadline = time.monotonic() + patient(20)
        while looking := [each for each in self.guests if self.run(each, "ip", "-6", "address", "show", "tentative")]:
            assert time.monotonic() < deadline, f"{', '.join(looking)}: its address is still tentative"
            time.sleep(0.05)

    def namespace(self, guest: str) -> str:
        return self._namespaces[guest]

    def pings(self, source: str, address: str, *options: str) -> int:
        """How many of three were answered."""
        within = ["ip", "netns", "exec", self._namespaces[source]]
        command = [*within, "ping", "-c3", "-i0.2", f"-W{patient(1):g}", *options, address]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(30)).stdout
        found = re.search(r"(\d+) received", said)
        assert found, said
        return int(found[1])

    def socket(
        self, guest: str, kind: socket.SocketKind, l4_port: int = 0, family: int = socket.AF_INET
    ) -> socket.socket:
        """A socket of the guest's kernel."""
        made = self._made(guest, lambda: socket.socket(family, kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.bind(("", l4_port))
        return made

    def connect(
        self, source: str, target: str, l4_port: int, address: str = "", *, source_port: int = 0
    ) -> Ends | None:
        """Both ends of a TCP connection, the source's first; None if it doesn't come about."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.socket(target, socket.SOCK_STREAM, l4_port, family) as listener:
            listener.listen()
            near = self.socket(source, socket.SOCK_STREAM, source_port, family)
            try:
                near.connect((address or self.guests[target], l4_port))
                far, _ = listener.accept()
            except TimeoutError:
                near.close()
                return None
        far.settimeout(TIMEOUT_S)
        return near, far

    def wire(self, guest: str) -> socket.socket:
        """The frames of a guest's interface as they are; `auxdata` says which tag the kernel took off."""
        raw = self._made(guest, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        raw.bind(("eth0", 3))
        raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA (packet(7)).
        return raw

    @contextlib.contextmanager
    def hearing(self, guest: str) -> Iterator[list[bytes]]:
        """The frames that came to a guest's interface by the end: to its kernel's own questions, too."""
        frames: list[bytes] = []
        with self.wire(guest) as wire:
            yield frames
            wire.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame, (_, _, direction, *_) = wire.recvfrom(1 << 16)
                    if direction != socket.PACKET_OUTGOING:
                        frames.append(frame)

    def silence(self, *guests: str) -> None:
        """These kernels, or all, say nothing unasked by IPv6: what is counted comes from the test."""
        for guest in guests or self.guests:
            self.run(guest, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")

    def run(self, guest: str, *command: str) -> str:
        return self.switch.exec(*command, guest=self._namespaces[guest])

    def delivered(self) -> dict[str, int]:
        """Packets that each port was sent since its flow came."""
        self.switch.appctl("revalidator/purge")
        dump = self.switch.ofctl("dump-flows", "br-int", f"table={Stage.DELIVER:d}")
        counted = {int(found[2]): int(found[1]) for found in re.finditer(r"n_packets=(\d+).*output:(\d+)", dump)}
        return {name: counted[number] for name, number in self._cloud.ofports.items()}

    def drops(self, port_id: str) -> dict[str, int]:
        """What was dropped of a port's packets, by reason, as its host answers when the controller asks."""
        self.switch.appctl("revalidator/purge")
        return asyncio.run(self._ask(CountDrops("q", port_id))).drops

    def _add_guest(self, name: str, mac: str, ip: str) -> None:
        subnet = next(each for each in self._cloud.all(view.Subnet) if ip_address(ip) in ip_network(each.cidr))
        self._namespaces[name] = guest = self.switch.add_guest(name, mac, f"{ip}/24")
        assert self.switch.ofport(f"tap{len(self.guests)}") == len(self.guests) + 1
        self.guests[name] = ip
        if subnet.gateway_ip not in (None, ip):
            self.switch.exec("ip", "route", "add", "default", "via", str(subnet.gateway_ip), guest=guest)

    def _add_ipv6(self, name: str, fixed: view.FixedIp) -> None:
        """Besides its IPv4 address, which comes first."""
        self.run(name, "ip", "addr", "add", f"{fixed.ip}/64", "dev", "eth0")
        gateway_ip = next(each.gateway_ip for each in self._cloud.all(view.Subnet) if each.id == fixed.subnet_id)
        if gateway_ip is not None:
            self.run(name, "ip", "route", "add", "default", "via", gateway_ip, "dev", "eth0")

    def _made(self, guest: str, make: Callable[[], socket.socket]) -> socket.socket:
        made = inside(self._namespaces[guest], make)
        made.settimeout(TIMEOUT_S)
        return made

    async def _install(self) -> None:
        async with self._connected() as connection:
            target, desired = BridgeTarget(connection), bridge_entries(self._host.installed)
            assert await target.apply(plan(desired, await target.observe())) == {}
            assert await target.observe() == desired
        self.switch.appctl("revalidator/wait")

    def dropped(self, during: Callable[[], None]) -> tuple[Drops, ...]:
        """What anti-spoofing dropped meanwhile, as the agent's meter tells it."""

        async def read() -> tuple[Drops, ...]:
            meter = Meter(MeterConfig(), self._host.world, _Answers(asyncio.Queue()), Devices(), time.time)
            async with self._connected() as connection:
                assert await meter.dropped(connection) == ()
                await asyncio.to_thread(during)
                return await meter.dropped(connection)

        return asyncio.run(read())

    def look(self, asked: Look) -> Activity:
        """What a port does now, as its host answers when the controller asks."""
        traced = asyncio.run(self._ask(asked))
        assert traced.activity is not None, traced.error
        return traced.activity

    async def _ask(self, question: Asked) -> Traced:
        heard: asyncio.Queue[Traced] = asyncio.Queue()
        world, answers = self._host.world, _Answers(heard)
        looks = Looks(
            LooksConfig(self.switch.rundir), world, Meter(MeterConfig(), world, answers, Devices(), time.time)
        )
        inquiries = Inquiries(InquiriesConfig(self.switch.rundir), world, answers, Probes(world, answers), looks)
        async with self._connected() as connection:
            zones = ZoneLimits(ZonesConfig(self.switch.rundir), lambda: DATAPATH, world.numbers.zones)
            asking = asyncio.ensure_future(inquiries.run(Counters(connection, zones, self._plugged), answers.send))
            inquiries.ask(question)
            answered = asyncio.ensure_future(heard.get())
            await asyncio.wait((asking, answered), timeout=patient(10), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                await asking
            asking.cancel()
            zones.close()
            return answered.result()

    def _plugged(self) -> dict[str, Plugged]:
        """As the database would tell it."""
        ofports = self._cloud.ofports.items()
        return {name: Plugged(name, f"tap{ofport}", ofport, up=True, ifindex=ofport) for name, ofport in ofports}

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = Connection(Config(timeout_s=patient(15)), self.switch.rundir / "br-int.mgmt")
        running = asyncio.create_task(connection.run())
        try:
            yield connection
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


class _Answers:
    """Who is told the answers to questions. Nobody here sends a probe, or waits for one."""

    def __init__(self, heard: asyncio.Queue[Traced]) -> None:
        self._heard = heard

    async def answer(self, traced: Traced) -> None:
        self._heard.put_nowait(traced)

    def read_last(self, reading: Reading) -> None:
        raise AssertionError("nothing goes")

    def read(self, reading: Reading) -> None:
        raise AssertionError(reading)

    async def send(self, packet: PacketOut) -> None:
        raise AssertionError(packet)

    async def filled(self, zone: int) -> None:
        """Nobody bounds zones here."""

    def expect(self, port_id: str, probe: Probe | None) -> None:
        raise AssertionError(port_id)

    async def settled(self) -> None:
        raise AssertionError
