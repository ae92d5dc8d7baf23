"""A scan from every place finds the sockets that docs/guide/security.md lists, and no others of ours; by IPv6, too."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from tests.oracle.frame import link_local
from tests.system.clouds import connect, eventually, guest, inside_network, outside_network, two_hypervisors
from tests.system.openvswitch import run

GUIDE = Path(__file__).parents[2] / "docs/guide/security.md"
TCP = "1-150,443,445,873,2049,3260,4789,5432,5900,6081,6379,6633,6640,6653,8000,8080,8443,8775,9600-9900,16509"
UDP = "53,67,68,123,161,547,4789,5353,6081"
SERVICES, SERVICES6 = "169.254.169.254", "fe80::a9fe:a9fe%eth0"
OUTSIDE6, INSIDE6, TUNNELS6 = "2001:db8:e::", "2001:db8:9::", "fd00:5c::"
"""Prefixes of 64 bits."""
QUESTION = """
import socket, sys
(family, kind, *_, address), *_ = socket.getaddrinfo(sys.argv[1], 53, type=socket.SOCK_DGRAM)
asking = socket.socket(family, kind)
asking.settimeout(10)
asking.connect(address)
asking.send(bytes.fromhex("1267010000010000000000000161000001" + "0001"))
print("answered" if asking.recv(512)[:2] == bytes.fromhex("1267") else "something else")
"""
LISTENER = """
import socket, threading
sockets = [socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True) for port in (22, 80)]
print("ready", flush=True)
threading.Event().wait()
"""
"""A guest's, of which one is let in."""
LISTENING = {"tcp/53", "tcp/80", "udp/53"}
"""In all namespaces of a hypervisor together."""


def listed() -> dict[tuple[str, str], set[str]]:
    """By (from, to), what the guide says is open."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| ?(.*?) ?\|$", GUIDE.read_text(), re.M)
    return {(source, target): set(ports.split()) for source, target, ports in rows if source != "from"}


class Places:
    """Where scans start (namespaces), and what is scanned (addresses)."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.scanner = f"smt-scan-{secrets.token_hex(2)}"
        net = connect(lab).network
        outside = outside_network(lab)
        where = {"cidr": f"{OUTSIDE6}/64", "gateway_ip": f"{OUTSIDE6}1", "enable_dhcp": False}
        net.create_subnet(ip_version=6, network_id=outside.id, **where)
        inside, router = inside_network(lab, outside)
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnet = net.create_subnet(ip_version=6, network_id=inside.id, cidr=f"{INSIDE6}/64", **modes)
        net.add_interface_to_router(router, subnet=subnet.id)
        self.guest: Guest = guest(lab, inside.id, "scanner", lab.layout.hosts[0].name)
        group = next(each for each in net.security_groups() if each.name == "default")
        six = {"ether_type": "IPv6"}
        ssh = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        for rule in (ssh, {"protocol": "icmp"}, {**ssh, **six}, {"protocol": "ipv6-icmp", **six}):
            net.create_security_group_rule(security_group_id=group.id, direction="ingress", **rule)
        self.floating_ip = net.create_ip(floating_network_id=outside.id, port_id=self.guest.port_id).floating_ip_address
        hosts = lab.layout.hosts
        controller = lab.layout.controller_ip
        fixed = [each["ip_address"] for each in router.external_gateway_info["external_fixed_ips"]]
        gateway, gateway6 = sorted(fixed, key=lambda address: ":" in address)
        every = [address for host in hosts for address in (host.tunnel_ip, host.management_ip)]
        self.namespaces = {
            "guest": self.guest.namespace,
            "outside": lab.layout.internet,
            "tunnels": self.scanner,
            "management": "",
        }
        self.targets = {
            ("guest", "services"): [SERVICES],
            ("guest", "router"): ["10.9.0.1", gateway],
            ("guest", "hosts"): [*every, controller],
            ("outside", "router"): [gateway],
            ("outside", "guest"): [self.floating_ip],
            ("tunnels", "hosts"): [host.tunnel_ip for host in hosts],
            ("management", "controller"): [controller],
            ("management", "hosts"): [host.management_ip for host in hosts],
        }
        tunnels = self._speak_ipv6(gateway6)
        (own,) = _six(net.get_port(self.guest.port_id))
        legs = [each for each in net.ports(device_id=router.id, network_id=inside.id) if _six(each)]
        self.targets6 = {
            ("guest", "services"): [SERVICES6],
            ("guest", "router"): [*_six(legs[0]), f"{link_local(legs[0].mac_address)}%eth0", gateway6],
            ("guest", "hosts"): tunnels,
            ("outside", "router"): [gateway6],
            ("outside", "guest"): [own],
            ("tunnels", "hosts"): tunnels,
        }

    def _speak_ipv6(self, gateway6: str) -> list[str]:
        """Those outside and the hosts in the tunnel network, which have none in a lab. The addresses of the hosts."""
        outside, hosts = self.lab.layout.internet, self.lab.layout.hosts
        addresses = [f"{TUNNELS6}{number}" for number in range(1, len(hosts) + 1)]
        places = [(outside, "flat", f"{OUTSIDE6}1")]
        places += [(host.namespace, "br-tun", address) for host, address in zip(hosts, addresses, strict=True)]
        for namespace, device, address in places:
            off = f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6"
            run("ip", "netns", "exec", namespace, "sh", "-c", f"echo 0 >{off}")
            run("ip", "-n", namespace, "address", "add", f"{address}/64", "dev", device, "nodad")
        run("ip", "-n", outside, "route", "add", f"{INSIDE6}/64", "via", gateway6, "dev", "flat")
        return addresses

    def await_ways(self) -> None:
        """Until what is to be scanned is there."""
        ways = (("outside", "router"), ("outside", "guest"), ("guest", "router"), ("tunnels", "hosts"))
        for way in ways:
            inside = ["ip", "netns", "exec", self.namespaces[way[0]]]
            for address in (*self.targets[way], *self.targets6[way]):
                eventually(lambda asking=[*inside, "ping", "-c1", "-W1", address]: _succeeds(asking))

    def join_tunnels(self) -> None:
        """One more machine on the tunnel network, with an address that no host has."""
        run("ip", "netns", "add", self.scanner)
        fabric = self.lab.layout.fabric
        run("ip", "-n", fabric, "link", "add", "scan", "type", "veth", "peer", "name", "eth0", "netns", self.scanner)
        run("ip", "-n", fabric, "link", "set", "scan", "master", "tun", "up")
        for address in (f"{self.lab.layout.tunnels[200]}/24", f"{TUNNELS6}c8/64"):
            run("ip", "-n", self.scanner, "address", "add", address, "dev", "eth0", "nodad")
        run("ip", "-n", self.scanner, "link", "set", "eth0", "up")
        run("ip", "netns", "exec", self.scanner, "ethtool", "-K", "eth0", "tx", "off")

    def open(self, way: tuple[str, str], targets: Mapping[tuple[str, str], Sequence[str]]) -> set[str]:
        """`protocol/port` of every socket that nmap finds."""
        namespace = self.namespaces[way[0]]
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        pace = [
            "-n",
            "-Pn",
            "--max-retries",
            "3",
            "--min-rate",
            "300",
            "--max-rate",
            "600",
            "--host-timeout",
            "60s",
            "-oG",
            "-",
        ]
        family = ["-6"] if ":" in targets[way][0] else []
        scan = ["nmap", *family, "-sS", "-sU", "-p", f"T:{TCP},U:{UDP}", *pace, *targets[way]]
        said = run(*inside, *scan, timeout_s=120)
        if way != ("tunnels", "hosts"):
            assert said.count("Status: Up") == len(targets[way]), said
        return {f"{protocol}/{port}" for port, protocol in re.findall(r"(\d+)/open/(tcp|udp)/", said)}


def _succeeds(command: Sequence[str]) -> bool:
    print(*command)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _six(port: Any) -> list[str]:
    """The IPv6 addresses of a port."""
    return [each["ip_address"] for each in port.fixed_ips if ":" in each["ip_address"]]


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    if shutil.which("nmap") is None:
        pytest.skip("needs nmap (`make test` installs it)")
    with two_hypervisors("scan") as lab:
        one = Places(lab)
        try:
            one.join_tunnels()
            one.await_ways()
            yield one
        finally:
            subprocess.run(["ip", "netns", "delete", one.scanner], capture_output=True, check=False)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_what_is_found_open_is_what_is_listed(places: Places, family: str) -> None:
    """And what a guest listens on and its group lets in, by its floating IP, or its own address of IPv6: a scan that
    finds nothing can find.
    """
    targets = places.targets6 if family == "IPv6" else places.targets
    listens = ["ip", "netns", "exec", places.guest.namespace, sys.executable, "-I", "-c", LISTENER]
    with subprocess.Popen(listens, stdout=subprocess.PIPE) as listener, ThreadPoolExecutor(4) as pool:
        try:
            assert listener.stdout is not None and listener.stdout.readline()
            found = dict(zip(targets, pool.map(lambda way: places.open(way, targets), targets), strict=True))
        finally:
            listener.kill()
    assert found.pop(("outside", "guest")) == {"tcp/22"}
    # nmap's own question is none that a resolver answers; a real one is.
    asked = places.lab.guests.run(places.guest, ["python3", "-c", QUESTION, targets["guest", "services"][0]])
    assert asked.strip() == "answered"
    found["guest", "services"].add("udp/53")
    assert found == {way: sockets for way, sockets in listed().items() if way in found}
    assert family == "IPv6" or found.keys() == listed().keys()


def test_no_namespace_of_a_host_has_another_socket(places: Places) -> None:
    """Those that a scan could miss, too."""
    for host in places.lab.layout.hosts:
        spaces = [each for each in run("ip", "netns", "list").split() if each.startswith(host.namespace)]
        assert len(spaces) > 1, "the host, its services, its routers"
        sockets = set()
        for space in spaces:
            for line in run("ip", "netns", "exec", space, "ss", "-Hlntu").splitlines():
                protocol, _, _, _, local, *_ = line.split()
                sockets.add(f"{protocol}/{local.rpartition(':')[2]}")
        assert sockets == LISTENING
