"""Promise: a guest with a kernel of its own boots on a tap and finds all that a cloud owes it. `make guest` runs this.

Debian's cloud kernel and busybox, emulated: it asks for its address, takes the router's word for the IPv6 one, asks who
it is, and serves a page that the internet reads by the floating IP.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from suimon.lab.guests import Guest
from suimon.lab.processes import environment
from tests.kernel.wires import card, tap
from tests.system.clouds import connect, outside_network, two_hypervisors

HERE = Path(__file__).parent
KERNEL = HERE.parents[1] / ".tools/kernel/boot"
BOOT_TIMEOUT_S = 240
INIT = """
cat >/lease <<'SCRIPT'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev eth0; ip route add default via $router; echo "nameserver $dns" >/etc/resolv.conf
ip link set eth0 mtu $mtu; echo "lease $ip $mtu"
SCRIPT
chmod +x /lease; mkdir -p /www /etc
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -n -q -t 60 -T 1 -O mtu -s /lease 2>/dev/null
echo "instance $(wget -qO- http://169.254.169.254/latest/meta-data/instance-id)"
echo "name $(nslookup -type=a vm.kernel.example 169.254.169.254 | awk '/^Address/ { last = $NF } END { print last }')"
until ip -6 address show dev eth0 scope global | grep -v tentative | grep inet6 >/tmp/six; do sleep 1; done
echo "six $(awk '{ print $2 }' /tmp/six)"
echo "a page of $(uname -sr)" >/www/index.html
httpd -p 80 -h /www
ping -c 1 203.0.113.1 >/dev/null && echo "outside yes"
echo ready
exec sleep 100000
"""


class Booted(msgspec.Struct, frozen=True):
    """What the guest said while it booted, by the first word, and what the API had said before."""

    said: dict[str, str]
    ipv4: str
    ipv6: str
    floating_ip: str
    internet: str


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    subprocess.run([HERE / "install"], check=True)
    initrd = tmp_path_factory.mktemp("guest") / "initrd"
    modules = ["virtio_pci", "virtio_net"]
    subprocess.run([HERE / "pack", initrd, *modules], input=INIT, text=True, check=True)
    with two_hypervisors("guest") as lab, ExitStack() as ending:
        net = connect(lab).network
        outside = outside_network(lab)
        inside = net.create_network(name="inside", dns_domain="kernel.example.")
        four = net.create_subnet(network_id=inside.id, ip_version=4, cidr="10.9.0.0/24")
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        six = net.create_subnet(network_id=inside.id, ip_version=6, cidr="2001:db8:9::/64", **slaac)
        router = net.create_router(name="r", external_gateway_info={"network_id": outside.id})
        for subnet in (four, six):
            net.add_interface_to_router(router, subnet=subnet.id)
        group = next(each for each in net.security_groups() if each.name == "default")
        net.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
        port = net.create_port(network_id=inside.id, binding_host_id="hv1", dns_name="vm", device_id="an-instance")
        floating = net.create_ip(floating_network_id=outside.id, port_id=port.id)
        host = lab.layout.host("hv1")
        guest = Guest("vm", host.name, port.id, port.mac_address, "")
        tap(host.namespace, guest.device)
        lab.guests.plug(guest)
        command = ["ip", "netns", "exec", host.namespace, *_machine(guest, initrd)]
        machine = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment(lab.layout.directory)
        )
        ending.callback(machine.wait)
        ending.callback(machine.kill)
        ipv4, ipv6 = sorted((each["ip_address"] for each in port.fixed_ips), key=lambda address: ":" in address)
        yield Booted(_said(machine), ipv4, ipv6, floating.floating_ip_address, lab.layout.internet)


def _machine(guest: Guest, initrd: Path) -> list[str]:
    (kernel,) = KERNEL.glob("vmlinuz-*")
    return [
        *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "128", "-smp", "1", "-nodefaults"),
        *("-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"),
        *card(guest.device, guest.mac),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 quiet no_timer_check panic=-1 reboot=t"),
    ]


def _said(machine: subprocess.Popen[str]) -> dict[str, str]:
    """Until it is ready; what is missing then, it never said."""
    assert machine.stdout is not None
    late = threading.Timer(BOOT_TIMEOUT_S, machine.kill)
    late.start()
    said: dict[str, str] = {}
    for line in machine.stdout:
        word, _, rest = line.strip().partition(" ")
        said[word] = rest
        if word == "ready":
            break
    late.cancel()
    return said


def test_it_gets_its_addresses(booted: Booted) -> None:
    assert booted.said["lease"] == f"{booted.ipv4} 1450"
    assert booted.said["six"] == f"{booted.ipv6}/64"


def test_it_learns_who_it_is(booted: Booted) -> None:
    assert booted.said["instance"] == "an-instance"
    assert booted.said["name"] == booted.ipv4


def test_it_reaches_the_outside_and_is_reached(booted: Booted) -> None:
    assert booted.said["outside"] == "yes"
    program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
    read = [
        "ip",
        "netns",
        "exec",
        booted.internet,
        sys.executable,
        "-I",
        "-c",
        program,
        f"http://{booted.floating_ip}/",
    ]
    assert subprocess.run(read, capture_output=True, text=True, check=True).stdout.startswith("a page of Linux 6.")
