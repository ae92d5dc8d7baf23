"""Promise: a hypervisor with the kernel's datapath is one among others. `make hypervisor` runs this.

Two of the lab's hypervisors are namespaces with Open vSwitch's userspace datapath; the third is an emulated machine
with Debian's cloud kernel. Packets cross between them, groups hold and cut, restarts touch nothing, and it leads a
router out. What is right is shown, not how long it takes.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.lab.births import Birth, touched
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import PUBLIC_GATEWAY, Layout
from suimon.lab.measure import Measure
from suimon.lab.processes import environment
from suimon.model.gateways import candidates, ranked
from tests.kernel.inside import GOODBYE, LEGS, PORT
from tests.kernel.wires import card, tap
from tests.system.clouds import connect, eventually, outside_network, two_hypervisors
from tests.system.namespaces import inside
from tests.system.pings import pinging

CLONE = Path(__file__).parents[2]
NAME = "hv3"
CALL_TIMEOUT_S = 300
"""For what takes longest there: to boot and join."""
ANSWER_TIMEOUT_S = 5
SLOW_S = 60
RETURN_S = 90
"""More than it takes a gateway host that was silent to serve again."""
REUSED = 40


class Machine:
    """A hypervisor that is told through a socket what to do; see `inside.Hypervisor` for what it can."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(CALL_TIMEOUT_S)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("rb")

    def __call__(self, method: str, *arguments: object) -> Any:
        self._socket.sendall(msgspec.json.encode([method, *arguments]) + b"\n")
        result, complaint = msgspec.json.decode(self._answers.readline())
        assert not complaint, complaint
        return result

    def end(self) -> None:
        """It goes down when nobody calls any more."""
        self._answers.close()
        self._socket.close()


@contextmanager
def booted(lab: Lab, layout: Layout) -> Iterator[Machine]:
    """With a card on each of the lab's networks."""
    subprocess.run([CLONE / "tests/kernel/install"], check=True)
    path, options = layout.directory / PORT, []
    for number, bridge in enumerate(LEGS):
        device = f"{bridge}-{NAME}"
        tap(layout.fabric, device, "master", bridge)
        options += card(device, f"02:00:00:00:03:{number:02x}")
    options += ["-chardev", f"socket,id={PORT},path={path},server=on,wait=off", "-device", "virtio-serial-pci"]
    options += ["-device", f"virtserialport,chardev={PORT},name={PORT}"]
    within = [".venv/bin/python", "-u", "-m", "tests.kernel.inside", msgspec.json.encode(layout.config).decode(), NAME]
    boot = ["nsenter", f"--net=/run/netns/{layout.fabric}", str(CLONE / "tests/kernel/boot"), *within]
    marked = {**environment(layout.directory), "MACHINE": " ".join(options)}
    with subprocess.Popen(boot, stdin=subprocess.DEVNULL, env=marked) as booting:
        try:
            eventually(lambda: path.exists() or booting.poll() is not None)
            machine = Machine(path)
            yield machine
            machine.end()
            booting.wait(60)
        finally:
            booting.terminate()


class Cloud(msgspec.Struct, frozen=True):
    """`client` is on hv1 and `stranger` on hv2; `server` is the machine's guest, and `address` what it got."""

    lab: Lab
    api: Any
    machine: Machine
    client: Guest
    stranger: Guest
    server: Any
    address: str
    web: Any
    router: Any
    outside: str

    def socket(self, source_port: int = 0, *, place: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> socket.socket:
        """Of the client's kernel, or of another namespace's."""
        made = inside(place or self.client.namespace, socket.socket)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", source_port))
        made.settimeout(timeout_s)
        return made

    def ping(self, interval: str) -> list[str]:
        """From the client to the server."""
        return self.lab.guests.inside(self.client, ["ping", interval, "-W2", self.address])

    def open(self, l4_port: int) -> socket.socket:
        """A connection from the client to the server."""
        near = self.socket()
        near.connect((self.address, l4_port))
        return near


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with two_hypervisors("smtkvm") as lab, ExitStack() as ending:
        layout = Layout(msgspec.structs.replace(lab.layout.config, hosts=3))
        machine = ending.enter_context(booted(lab, layout))
        machine("start", lab.cloud.token(layout.host(NAME)))
        net, outside = connect(lab).network, outside_network(lab)
        network = net.create_network(name="inside")
        subnet = net.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")
        router = _router(net, outside.id, layout)
        net.add_interface_to_router(router, subnet=subnet.id)
        clients, web = (net.create_security_group(name=name) for name in ("clients", "web"))
        _allow(net, web, 8000, remote_group_id=clients.id)
        _allow(net, web, 8001)
        net.create_security_group_rule(security_group_id=web.id, direction="ingress", protocol="icmp")
        _allow(net, clients, 8000, remote_group_id=web.id)
        ports = {
            host: net.create_port(network_id=network.id, binding_host_id=host, security_group_ids=[group.id])
            for host, group in (("hv1", clients), ("hv2", web), (NAME, web))
        }
        guests = [
            lab.guests.lease(lab.guests.add(name, host, ports[host].id, ports[host].mac_address))
            for name, host in (("client", "hv1"), ("stranger", "hv2"))
        ]
        address = machine("add_guest", "server", ports[NAME].id, ports[NAME].mac_address)
        for l4_port in (8000, 8001, 9000):
            machine("echo", "server", l4_port)
        eventually(lambda: not any(host["failures"] for host in lab.cloud.hosts()), SLOW_S)
        yield Cloud(lab, net, machine, *guests, ports[NAME], address, web, net.get_router(router.id), outside.id)


def _router(net: Any, outside: str, layout: Layout) -> Any:
    """One that the emulated machine leads out: who does so follows from its id."""
    hosts = candidates((each.name, each.tunnel_ip) for each in layout.hosts)
    while True:
        router = net.create_router(name="way-out", external_gateway_info={"network_id": outside})
        if ranked(router.id, hosts)[0].host == NAME:
            return router
        net.delete_router(router)


def _allow(net: Any, group: Any, l4_port: int, **whom: str) -> Any:
    ports = {"port_range_min": l4_port, "port_range_max": l4_port, "protocol": "tcp", "direction": "ingress"}
    return net.create_security_group_rule(security_group_id=group.id, **ports, **whom)


def test_its_datapath_is_the_kernel_s_and_that_of_the_others_is_not(cloud: Cloud) -> None:
    assert "system@ovs-system" in cloud.machine("datapaths")
    hosts = {host["name"]: host["failures"] for host in cloud.lab.cloud.hosts() if host["up"]}
    assert hosts == {"hv1": {}, "hv2": {}, NAME: {}}
    assert "netdev@ovs-netdev" in cloud.lab.switch("hv1").appctl("dpctl/dump-dps")


def test_guests_reach_each_other_through_the_tunnel(cloud: Cloud) -> None:
    assert Measure(cloud.lab).ping("client", cloud.address)[0] == 0
    sent = os.urandom(300_000)
    with cloud.open(8000) as near:
        for at in range(0, len(sent), 30_000):
            near.sendall(sent[at : at + 30_000])
            assert _heard(near, 30_000) == sent[at : at + 30_000]
        assert cloud.machine("tunnelled"), "nothing came by the kernel's tunnel"


def test_groups_hold_on_both_sides(cloud: Cloud) -> None:
    """What the server's group lets in from the client's and from nobody else, and the other way round."""
    measure, client = Measure(cloud.lab), cloud.client.lease["ip"].partition("/")[0]
    asked = [("client", 8000), ("client", 9000), ("stranger", 8000), ("stranger", 8001)]
    told = [measure.connection(who, cloud.address, l4_port) for who, l4_port in asked]
    assert told == ["open", "silent", "silent", "open"]
    assert cloud.machine("connection", "server", client, 8000) == "refused", "it came as far as the client's kernel"
    assert cloud.machine("connection", "server", client, 8001) == "silent"


def test_a_rule_that_goes_cuts_its_connections(cloud: Cloud) -> None:
    rule = _allow(cloud.api, cloud.web, 9000)
    eventually(lambda: Measure(cloud.lab).connection("client", cloud.address, 9000) == "open", SLOW_S)
    with cloud.open(9000) as cut, cloud.open(8000) as other:
        assert _answered(cut) and _answered(other)
        cloud.api.delete_security_group_rule(rule.id)
        eventually(lambda: not _answered(cut), SLOW_S)
        assert _answered(other)


def test_a_source_port_is_used_again_and_again(cloud: Cloud) -> None:
    """The server hangs up first, so that a connection is still closing when the next one comes: what Open vSwitch 3.1
    aborts on when it rewrites addresses itself.
    """
    before = cloud.machine("vswitchd")
    for number in range(REUSED):
        with _reopened(cloud, cloud.address, 8000) as near:
            near.sendall(GOODBYE)
            assert _heard(near, len(GOODBYE)) == GOODBYE, f"connection {number}"
            assert near.recv(10) == b"", f"connection {number}"
    with cloud.socket(8003, place=cloud.lab.layout.internet) as listener:
        listener.listen()
        for number in range(REUSED):
            with _reopened(cloud, PUBLIC_GATEWAY, 8003) as near:
                listener.accept()[0].close()
                assert near.recv(10) == b"", f"connection {number} by the router's address"
    assert cloud.machine("vswitchd") == before
    assert cloud.machine("aborts") == []


def test_an_agent_that_dies_and_returns_touches_nothing(cloud: Cloud) -> None:
    before = cloud.machine("flows")
    with pinging(cloud.ping("-i0.2")) as counted, cloud.open(8000) as near:
        assert _answered(near)
        cloud.machine("kill_agent")
        assert _answered(near)
        cloud.machine("start_agent")
        assert _answered(near)
    assert counted.lost <= 1, counted
    assert (
        touched(*({flow: Birth(*birth) for flow, birth in each.items()} for each in (before, cloud.machine("flows"))))
        == []
    )


def test_connections_outlive_the_switch(cloud: Cloud) -> None:
    """The kernel keeps them; its datapath forwards what it knows until the next ovs-vswitchd comes."""
    eventually(lambda: not cloud.lab.cloud.is_a_gateway_away(), RETURN_S)
    before = cloud.machine("flows")
    with pinging(cloud.ping("-i0.1")) as counted, cloud.open(8000) as near:
        assert _answered(near)
        cloud.machine("restart_switch")
        # As a gateway host it was silent: until it serves again, others lead out.
        eventually(lambda: cloud.machine("flows").keys() == before.keys(), RETURN_S + SLOW_S)
        assert _answered(near, timeout_s=30)
    print(f"\nrestart of ovs-vswitchd: {counted.lost} of ten pings a second were lost")


def test_it_leads_a_router_out(cloud: Cloud) -> None:
    """The client's source is rewritten in a namespace of the emulated machine."""
    told = cloud.router.external_gateway_info["external_fixed_ips"][0]["ip_address"]
    with cloud.socket(8002, place=cloud.lab.layout.internet) as listener, cloud.socket() as near:
        listener.listen()
        near.connect((PUBLIC_GATEWAY, 8002))
        far, (source, _) = listener.accept()
        with far:
            assert source == told
            near.sendall(b"there")
            assert _heard(far, 5) == b"there"


def test_its_guest_is_reached_by_floating_ip(cloud: Cloud) -> None:
    floating = cloud.api.create_ip(floating_network_id=cloud.outside, port_id=cloud.server.id)
    address = (floating.floating_ip_address, 8001)

    def answers() -> bool:
        with cloud.socket(place=cloud.lab.layout.internet, timeout_s=1) as near:
            return near.connect_ex(address) == 0 and _answered(near)

    eventually(answers, SLOW_S)


def _reopened(cloud: Cloud, address: str, l4_port: int) -> socket.socket:
    """By a source port that was used before, as soon as the client's own kernel has let go of that connection."""
    near = cloud.socket(20001)
    eventually(lambda: near.connect_ex((address, l4_port)) != errno.EADDRNOTAVAIL)
    return near


def _answered(near: socket.socket, *, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
    near.settimeout(timeout_s)
    try:
        near.sendall(b"well?")
        return _heard(near, 5) == b"well?"
    except TimeoutError:
        return False


def _heard(near: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size and (more := near.recv(size - len(heard))):
        heard += more
    return heard
