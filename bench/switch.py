"""What the pipeline costs beside a plain bridge: `make bench-switch`.

Brings up a lab of its own. Each way that guests talk is measured in turn with the same way over `br-plain`, a bridge of
the same ovs-vswitchd that only learns addresses (NORMAL), several times; what is shown is the median, and the median of
the ratios of neighbouring measurements, which other programs on the machine disturb least. Then, at rest: how often a
packet crosses the datapath (each `ct` sends it around once more), how many megaflows connections leave, and whether
connections from one port, one upon the other, all come about.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import openstack

from suimon.lab.lab import Lab
from suimon.lab.layout import PHYSNET, PUBLIC_GATEWAY, PUBLIC_NETWORK, Host, LabConfig
from suimon.lab.processes import environment
from suimon.model.gateways import candidates, ranked

GOAL: Final = 0.9
PINGS: Final = 100
COUNTED: Final = 500
REUSED: Final = 100
L4_PORT: Final = 8000
SERVER: Final = """
import socket, sys
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", int(sys.argv[1]))); listener.listen(512)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    one, _ = listener.accept(); one.sendall(b"x"); one.close()
"""
CONNECT: Final = """
import errno, socket, sys, time
address, seconds, most, source = (sys.argv[1], int(sys.argv[2])), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
made = failed = 0; begun = time.monotonic()
while made + failed < most and time.monotonic() < begun + seconds:
    one = socket.socket(); one.settimeout(3); one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if source: one.bind(("", source))
        one.connect(address)
        while one.recv(10): pass
        made += 1
    except TimeoutError:
        failed += 1
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL: raise  # The last connection of this port hasn't quite ended.
    one.close()
    if source: time.sleep(0.02)
print(made, failed, time.monotonic() - begun)
"""
DATAGRAMS: Final = """
import socket, sys, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.connect((sys.argv[1], int(sys.argv[2])))
for number in range(int(sys.argv[3])):
    one.send(b"x"); time.sleep(0.002)
"""


class Way(NamedTuple):
    """Who talks to whom: places of the lab, the address, and the plain way that it is held against."""

    name: str
    source: str
    target: str
    address: str
    plain: str


class Figures(NamedTuple):
    """The last two are CPU time of both ovs-vswitchd."""

    packets_per_s: float
    connections_per_s: float
    ping_ms: float
    us_per_packet: float
    us_per_connection: float


class Counts(NamedTuple):
    """At rest: crossings of the datapath per packet, megaflows of one connection and of fifty, failed reuse."""

    crossings: float
    megaflows: int
    megaflows_of_50: int
    refused: int


class Bench:
    """A lab with both clouds in it, the tenants' one and the plain one."""

    def __init__(self, lab: Lab, seconds: int) -> None:
        self._lab = lab
        self._seconds = seconds
        self._env = environment(lab.layout.directory)
        self._addresses: dict[str, str] = {}
        self._places = {"internet": lab.layout.internet}
        self._net: Any = None

    def build(self) -> list[Way]:
        files = [str(self._lab.layout.clouds_yaml)]
        config = openstack.config.OpenStackConfig(config_files=files).get_one("suimon")
        cloud = openstack.connection.Connection(config=config)
        self._net = cloud.network
        self._net.update_quota(cloud.current_project_id, security_group_rules=-1)
        outside = self._outside()
        red, blue = (self._network(name, f"10.{number}.0.0/24") for number, name in enumerate(("red", "blue"), 10))
        router = self._net.create_router(name="r", external_gateway_info={"network_id": outside.id})
        for network in (red, blue):
            self._net.add_interface_to_router(router, subnet_id=network.subnet_ids[0])
        one, hundred = self._group("one", 0), self._group("hundred", 99)
        stateless = self._group("stateless", 0, stateful=False)
        for name, network, host, group in (
            ("a", red, "hv1", one),
            ("b", red, "hv1", one),
            ("far", red, "hv2", one),
            ("other", blue, "hv1", one),
            ("c", red, "hv1", hundred),
            ("d", red, "hv1", hundred),
            ("fard", red, "hv2", hundred),
            ("e", red, "hv1", stateless),
            ("f", red, "hv1", stateless),
            ("g", red, "hv1", None),
            ("h", red, "hv1", None),
            ("named", red, "hv1", one),
        ):
            self._guest(name, network, host, group)
        port = next(self._net.ports(name="named"))
        self._net.create_ip(floating_network_id=outside.id, port_id=port.id)
        self._plain()
        self._plain_router(self._leading(router.id))
        return list(self._ways())

    def measure(self, way: Way) -> Figures:
        """One after the other: how many small datagrams, how many connections, how long a ping."""
        with self._program(way.target, sys.executable, "-I", "-c", SERVER, str(L4_PORT)):
            before_us = self._cpu_us()
            made, _, took_s = self._said(way, CONNECT, str(self._seconds), "1000000", "0")
            us_per_connection = (self._cpu_us() - before_us) / made
            ping = self._run(way.source, "ping", "-q", "-c", str(PINGS), "-i", "0.01", way.address)
        server = ["iperf3", "--server", "--one-off", "--port", "5201", "--forceflush"]
        with self._program(way.target, *server):
            udp = ["--udp", "--bitrate", "0", "--length", "64", "--time", str(self._seconds), "--json"]
            before_us = self._cpu_us()
            told = json.loads(self._run(way.source, "iperf3", "--client", way.address, *udp))
            took_us = self._cpu_us() - before_us
        total = told["end"]["sum"]
        arrived = total["packets"] - total["lost_packets"]
        found = re.search(r"= [\d.]+/([\d.]+)/", ping)
        assert found, ping
        per_s = arrived / total["seconds"], made / took_s
        return Figures(*per_s, float(found[1]), took_us / arrived, us_per_connection)

    def count(self, way: Way) -> Counts:
        with self._program(way.target, sys.executable, "-I", "-c", SERVER, str(L4_PORT)):
            self._said(way, CONNECT, "5", "1", "0")
            self._purge()
            self._run(way.source, sys.executable, "-I", "-c", DATAGRAMS, way.address, str(L4_PORT), str(COUNTED))
            crossings = sum(packets for packets in self._megaflows()) / COUNTED
            self._purge()
            self._said(way, CONNECT, "5", "1", "0")
            one = len(self._megaflows())
            self._said(way, CONNECT, "5", "50", "0")
            fifty = len(self._megaflows())
            _, failed, _ = self._said(way, CONNECT, "30", str(REUSED), "20001")
        return Counts(crossings, one, fifty, int(failed))

    def vswitchds(self) -> list[int]:
        return [self._lab.switch(host.name).vswitchd().pid for host in self._lab.layout.hosts]

    def _cpu_us(self) -> float:
        """What both switches have used so far (proc(5), utime and stime of /proc/PID/stat)."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.vswitchds()]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) * 1_000_000 / os.sysconf("SC_CLK_TCK")

    def _outside(self) -> Any:
        flat = {"provider_network_type": "flat", "provider_physical_network": PHYSNET}
        outside = self._net.create_network(name="outside", is_router_external=True, **flat)
        pool = [{"start": str(PUBLIC_NETWORK[100]), "end": str(PUBLIC_NETWORK[200])}]
        where = {"cidr": str(PUBLIC_NETWORK), "gateway_ip": PUBLIC_GATEWAY, "allocation_pools": pool}
        self._net.create_subnet(network_id=outside.id, ip_version=4, enable_dhcp=False, **where)
        return outside

    def _network(self, name: str, cidr: str) -> Any:
        made = self._net.create_network(name=name)
        self._net.create_subnet(network_id=made.id, ip_version=4, cidr=cidr)
        return self._net.get_network(made.id)

    def _group(self, name: str, more: int, *, stateful: bool = True) -> str:
        """One rule that lets everything in, and `more` that don't match."""
        group = self._net.create_security_group(name=name, stateful=stateful)
        self._net.create_security_group_rule(security_group_id=group.id, direction="ingress")
        for number in range(more):
            span = {"port_range_min": 100 + number * 7, "port_range_max": 103 + number * 7}
            rule = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
            self._net.create_security_group_rule(**rule, **span, remote_ip_prefix=f"198.51.{number}.0/24")
        return str(group.id)

    def _guest(self, name: str, network: Any, host: str, group: str | None) -> None:
        safe = {"security_group_ids": [group]} if group else {"port_security_enabled": False}
        wanted = {"network_id": network.id, "name": name, "binding_host_id": host}
        port = self._net.create_port(**wanted, **safe)
        guest = self._lab.guests.lease(self._lab.guests.add(name, host, port.id, port.mac_address))
        self._places[name], self._addresses[name] = guest.namespace, guest.lease["ip"].partition("/")[0]

    def _plain(self) -> None:
        """Three stations on bridges with one flow each, a tunnel between those, a cable to the provider network."""
        first, second = self._lab.layout.hosts
        for host, peer in ((first, second), (second, first)):
            switch = self._lab.switch(host.name)
            datapath = switch.vsctl("get", "bridge", "br-int", "datapath_type").strip()
            tunnel = ["type=vxlan", "options:key=999", f"options:local_ip={host.tunnel_ip}"]
            bridge = ["add-br", "br-plain", "--", "set", "bridge", "br-plain", f"datapath_type={datapath}"]
            switch.vsctl(*bridge, "fail_mode=standalone")
            made = ["add-port", "br-plain", "plaintun", "--", "set", "interface", "plaintun", *tunnel]
            switch.vsctl(*made, f"options:remote_ip={peer.tunnel_ip}")
        for number, (name, host) in enumerate((("plain1", first), ("plain2", first), ("plain3", second)), 1):
            self._station(name, host, f"02:00:00:00:99:0{number}", [f"10.99.0.{number}/24"])
            self._addresses[name] = f"10.99.0.{number}"
        self._station("plain4", first, "02:00:00:00:99:04", [f"{PUBLIC_NETWORK[250]}/{PUBLIC_NETWORK.prefixlen}"])
        self._cable(first, "br-plain", "plainpub")

    def _leading(self, router_id: str) -> Host:
        """Who leads that router out."""
        order = ranked(router_id, candidates((each.name, each.tunnel_ip) for each in self._lab.layout.hosts))
        return self._lab.layout.host(order[0].host)

    def _plain_router(self, host: Host) -> None:
        """What leads a plain bridge's station out: a namespace between two bridges, as Neutron has it."""
        switch, space = self._lab.switch(host.name), self._lab.layout.guest_namespace("plainrouter")
        datapath = switch.vsctl("get", "bridge", "br-int", "datapath_type").strip()
        made = ["add-br", "br-plainout", "--", "set", "bridge", "br-plainout", f"datapath_type={datapath}"]
        switch.vsctl(*made, "fail_mode=standalone")
        self._cable(host, "br-plainout", "plainout")
        self._station("plainrouter", host, "02:00:00:00:99:fe", ["10.99.0.254/24"])
        leg = f"link add plaingate type veth peer name out address 02:00:00:00:99:ff mtu 1500 netns {space}"
        _command("ip", "-n", host.namespace, *leg.split())
        _command("ip", "-n", host.namespace, "link", "set", "plaingate", "up")
        _command("ip", "-n", space, "link", "set", "out", "up")
        # In the userspace datapath nobody fills in a checksum that was left to the hardware.
        _command("ip", "netns", "exec", host.namespace, "ethtool", "-K", "plaingate", "tx", "off")
        _command("ip", "netns", "exec", space, "ethtool", "-K", "out", "tx", "off")
        self._lab.wires.set_address(space, "out", f"{PUBLIC_NETWORK[251]}/{PUBLIC_NETWORK.prefixlen}")
        switch.vsctl("add-port", "br-plainout", "plaingate")
        _command("ip", "netns", "exec", space, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        rules = "table ip nat { chain out { type nat hook postrouting priority 100; oifname out masquerade; }; }"
        _command("ip", "netns", "exec", space, "nft", rules)
        for station in ("plain1", "plain2"):
            _command("ip", "-n", self._places[station], "route", "add", "default", "via", "10.99.0.254")

    def _cable(self, host: Host, bridge: str, device: str) -> None:
        """From that bridge to the provider network."""
        fabric, far = self._lab.layout.fabric, f"{device}f"
        cable = f"link add {device} type veth peer name {far} netns {fabric}"
        _command("ip", "-n", host.namespace, *cable.split())
        _command("ip", "-n", fabric, "link", "set", far, "master", "pub", "up")
        _command("ip", "-n", host.namespace, "link", "set", device, "up")
        _command("ip", "netns", "exec", host.namespace, "ethtool", "-K", device, "tx", "off")
        self._lab.switch(host.name).vsctl("add-port", bridge, device)

    def _station(self, name: str, host: Host, mac: str, addresses: Sequence[str]) -> None:
        namespace = self._lab.layout.guest_namespace(name)
        self._lab.wires.add_guest(host, name, namespace, mac)
        for address in addresses:
            self._lab.wires.set_address(namespace, "eth0", address)
        # As tenants' networks have it, so that the same packets cross the tunnel.
        _command("ip", "-n", namespace, "link", "set", "eth0", "mtu", "1450")
        self._lab.switch(host.name).vsctl("add-port", "br-plain", name)
        self._places[name] = namespace

    def _ways(self) -> Iterator[Way]:
        for name, source, target, plain in (
            ("plain, same host", "plain1", "plain2", ""),
            ("plain, tunnel", "plain1", "plain3", ""),
            ("plain, outside", "plain4", "internet", ""),
            ("plain, router", "plain1", "internet", ""),
            ("without port security", "g", "h", "plain, same host"),
            ("stateless group", "e", "f", "plain, same host"),
            ("same host", "a", "b", "plain, same host"),
            ("same host, 100 rules", "c", "d", "plain, same host"),
            ("routed", "a", "other", "plain, same host"),
            ("tunnel", "a", "far", "plain, tunnel"),
            ("tunnel, 100 rules", "c", "fard", "plain, tunnel"),
            ("floating IP", "named", "internet", "plain, outside"),
            ("router's address", "a", "internet", "plain, router"),
        ):
            yield Way(name, source, target, self._addresses.get(target, PUBLIC_GATEWAY), plain)

    def _purge(self) -> None:
        for host in self._lab.layout.hosts:
            self._lab.switch(host.name).appctl("revalidator/purge")

    def _megaflows(self) -> list[int]:
        """The packets that each megaflow for IPv4 forwarded: those are what is measured."""
        found = []
        for host in self._lab.layout.hosts:
            for line in self._lab.switch(host.name).appctl("dpctl/dump-flows").splitlines():
                packets = re.search(r"packets:(\d+)", line)
                if "eth_type(0x0800)" in line and packets and "actions:drop" not in line:
                    found.append(int(packets[1]))
        return found

    def _said(self, way: Way, program: str, *arguments: str) -> tuple[float, ...]:
        told = self._run(way.source, sys.executable, "-I", "-c", program, way.address, str(L4_PORT), *arguments)
        return tuple(map(float, told.split()))

    def _run(self, place: str, *command: str) -> str:
        return _command("ip", "netns", "exec", self._places[place], *command, env=self._env)

    def _program(self, place: str, *command: str) -> _Running:
        return _Running(["ip", "netns", "exec", self._places[place], *command], self._env)


class _Running:
    """A program that has said its first line; gone at the end of the block."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)

    def __enter__(self) -> None:
        assert self._child.stdout is not None
        self._child.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()


def _command(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env or dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()[-300:]}")
    return done.stdout


def show(rounds: Sequence[dict[str, Figures]], counts: dict[str, Counts], ways: Sequence[Way]) -> bool:
    """Whether every ratio is as good as the goal."""
    titles = ("packets/s", "conn./s", "ping ms", "us/packet", "us/conn.")
    print(f"{'way':<23}" + "".join(f"{title:>10}{'ratio':>6}" for title in titles), end="")
    print(f"{'crossings':>10}{'megaflows of 1, 50':>19}{'reuse failed':>13}")
    good = True
    for way in ways:
        print(f"{way.name:<23}", end="")
        ratios = []
        for at in range(len(titles)):
            median = statistics.median(each[way.name][at] for each in rounds)
            print(f"{median:>10.{2 if at == 2 else 0}f}", end="")
            if way.plain:
                ratios.append(statistics.median(each[way.name][at] / each[_beside(way)][at] for each in rounds))
            print(f"{ratios[at]:>6.2f}" if ratios else f"{'':>6}", end="")
        count = counts[way.name]
        print(f"{count.crossings:>10.1f}{count.megaflows:>9}{count.megaflows_of_50:>10}{count.refused:>13}")
        good &= count.refused == 0 and all(ratio >= GOAL for ratio in ratios[:2])
    return good


def _beside(way: Way) -> str:
    return f"beside {way.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="how long a stream of packets or connections lasts")
    parser.add_argument("--only", default="", help="ways whose names contain this")
    args = parser.parse_args()
    log: Callable[[str], None] = lambda line: print(line, file=sys.stderr)  # noqa: E731
    lab = Lab(LabConfig(name="benchsw", hosts=2, number=79, api_port=9779), say=log)
    lab.up()
    try:
        bench = Bench(lab, args.seconds)
        every = {way.name: way for way in bench.build()}
        ways = [way for way in every.values() if not way.plain or args.only in way.name]
        before = bench.vswitchds()
        rounds: list[dict[str, Figures]] = []
        for number in range(args.rounds):
            figures: dict[str, Figures] = {}
            for way in ways:
                log(f"round {number + 1}: {way.name}")
                if way.plain:
                    figures[_beside(way)] = bench.measure(every[way.plain])
                figures[way.name] = bench.measure(way)
            rounds.append(figures)
        counts = {way.name: bench.count(way) for way in ways}
        aborted = bench.vswitchds() != before
    finally:
        lab.down()
    good = show(rounds, counts, ways)
    fate = "died" if aborted else "lived"
    print(f"The goal is {GOAL} of the plain bridge's packets and connections; both ovs-vswitchd {fate}.")
    return 0 if good and not aborted else 1


if __name__ == "__main__":
    sys.exit(main())
