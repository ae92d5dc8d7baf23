"""A scan from every place finds the sockets that docs/guide/security.md lists, and no others of ours."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from tests.system.clouds import connect, guest, inside_network, outside_network, two_hypervisors
from tests.system.openvswitch import run

GUIDE = Path(__file__).parents[2] / "docs/guide/security.md"
TCP = "1-150,443,445,873,2049,3260,4789,5432,5900,6081,6379,6633,6640,6653,8000,8080,8443,8775,9600-9900,16509"
UDP = "53,67,68,123,161,547,4789,5353,6081"
QUESTION = """
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(10)
asking.connect(("169.254.169.254", 53))
asking.send(bytes.fromhex("1267010000010000000000000161000001" + "0001"))
print("answered" if asking.recv(512)[:2] == bytes.fromhex("1267") else "something else")
"""
LISTENER = """
import socket, threading
sockets = [socket.create_server(("", port)) for port in (22, 80)]
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
        outside = outside_network(lab)
        inside, router = inside_network(lab, outside)
        self.guest: Guest = guest(lab, inside.id, "scanner", lab.layout.hosts[0].name)
        net = connect(lab).network
        group = next(each for each in net.security_groups() if each.name == "default")
        for rule in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"}):
            net.create_security_group_rule(security_group_id=group.id, direction="ingress", **rule)
        self.floating_ip = net.create_ip(floating_network_id=outside.id, port_id=self.guest.port_id).floating_ip_address
        hosts = lab.layout.hosts
        controller = lab.layout.controller_ip
        gateway = router.external_gateway_info["external_fixed_ips"][0]["ip_address"]
        every = [address for host in hosts for address in (host.tunnel_ip, host.management_ip)]
        self.namespaces = {
            "guest": self.guest.namespace,
            "outside": lab.layout.internet,
            "tunnels": self.scanner,
            "management": "",
        }
        self.targets = {
            ("guest", "services"): ["169.254.169.254"],
            ("guest", "router"): ["10.9.0.1", gateway],
            ("guest", "hosts"): [*every, controller],
            ("outside", "router"): [gateway],
            ("outside", "guest"): [self.floating_ip],
            ("tunnels", "hosts"): [host.tunnel_ip for host in hosts],
            ("management", "controller"): [controller],
            ("management", "hosts"): [host.management_ip for host in hosts],
        }

    def await_ways(self) -> None:
        """Until what is to be scanned is there."""
        for way in (("outside", "router"), ("outside", "guest"), ("guest", "router")):
            inside = ["ip", "netns", "exec", self.namespaces[way[0]]]
            for address in self.targets[way]:
                asking = [*inside, "ping", "-c1", "-W1", address]
                answers = (subprocess.run(asking, capture_output=True, check=False).returncode for _ in range(30))
                assert any(code == 0 for code in answers), f"{address} does not answer"

    def join_tunnels(self) -> None:
        """One more machine on the tunnel network, with an address that no host has."""
        run("ip", "netns", "add", self.scanner)
        fabric = self.lab.layout.fabric
        run("ip", "-n", fabric, "link", "add", "scan", "type", "veth", "peer", "name", "eth0", "netns", self.scanner)
        run("ip", "-n", fabric, "link", "set", "scan", "master", "tun", "up")
        run("ip", "-n", self.scanner, "address", "add", f"{self.lab.layout.tunnels[200]}/24", "dev", "eth0")
        run("ip", "-n", self.scanner, "link", "set", "eth0", "up")
        run("ip", "netns", "exec", self.scanner, "ethtool", "-K", "eth0", "tx", "off")

    def open(self, way: tuple[str, str]) -> set[str]:
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
        scan = ["nmap", "-sS", "-sU", "-p", f"T:{TCP},U:{UDP}", *pace, *self.targets[way]]
        said = run(*inside, *scan, timeout_s=120)
        if way != ("tunnels", "hosts"):
            assert said.count("Status: Up") == len(self.targets[way]), said
        return {f"{protocol}/{port}" for port, protocol in re.findall(r"(\d+)/open/(tcp|udp)/", said)}


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


def test_what_is_found_open_is_what_is_listed(places: Places) -> None:
    """And what a guest listens on and its group lets in, by its floating IP: a scan that finds nothing can find."""
    listens = ["ip", "netns", "exec", places.guest.namespace, sys.executable, "-I", "-c", LISTENER]
    with subprocess.Popen(listens, stdout=subprocess.PIPE) as listener, ThreadPoolExecutor(4) as pool:
        try:
            assert listener.stdout is not None and listener.stdout.readline()
            found = dict(zip(places.targets, pool.map(places.open, places.targets), strict=True))
        finally:
            listener.kill()
    assert found.pop(("outside", "guest")) == {"tcp/22"}
    # nmap's own question is none that a resolver answers; a real one is.
    asked = places.lab.guests.run(places.guest, ["python3", "-c", QUESTION])
    assert asked.strip() == "answered"
    found["guest", "services"].add("udp/53")
    assert found == listed()


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
