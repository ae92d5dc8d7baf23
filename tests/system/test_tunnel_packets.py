"""Real packets between two switches by each kind of tunnel, with flows that the pipeline compiled."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.patience import patient
from tests.system.live import LiveCloud
from tests.system.openvswitch import DATAPATH, OpenVSwitch, run

MAC = "02:00:00:00:00:"
KINDS = ("vxlan", "gre", "geneve")
WORLD = f"""
host h1 vtep=198.18.0.1 tunnel=10 gre=11 geneve=12
host h2 vtep=198.18.0.2 tunnel=10 gre=11 geneve=12
network v vxlan 100
network g gre 100
network w geneve 100
subnet v4 v 10.0.0.0/24 gateway=10.0.0.1
subnet g4 g 10.0.1.0/24 gateway=10.0.1.1
subnet w4 w 10.0.2.0/24 gateway=10.0.2.1
subnet v6 v 2001:db8:100::/64 gateway=2001:db8:100::1
subnet g6 g 2001:db8:101::/64 gateway=2001:db8:101::1
group open egress:any ingress:any egress6:any ingress6:any
router r v6=2001:db8:100::1@{MAC}f1 g6=2001:db8:101::1@{MAC}f2 v4=10.0.0.1@{MAC}f1 g4=10.0.1.1@{MAC}f2
port v1 h1 v {MAC}01 10.0.0.11 2001:db8:100::11 groups=open
port g1 h1 g {MAC}02 10.0.1.11 groups=open
port w1 h1 w {MAC}03 10.0.2.11 groups=open
port v2 h2 v {MAC}11 10.0.0.12 2001:db8:100::12 groups=open
port g2 h2 g {MAC}12 10.0.1.12 2001:db8:101::12 groups=open
port v3 h1 v {MAC}04 10.0.0.13 2001:db8:100::13 groups=open
port w2 h2 w {MAC}13 10.0.2.12 groups=open
"""


@pytest.fixture(scope="module")
def clouds(kept_switch: OpenVSwitch) -> Iterator[list[LiveCloud]]:
    other = OpenVSwitch()
    with ExitStack() as ending:
        ending.callback(other.stop)
        other.start()
        made = [LiveCloud(each, WORLD, f"h{number}") for number, each in enumerate((kept_switch, other), 1)]
        _join(kept_switch, other)
        yield made


def _join(*switches: OpenVSwitch) -> None:
    """A wire between them, with the tunnel addresses on it."""
    one, two = (switch.namespace for switch in switches)
    run("ip", "link", "add", "wire", "netns", one, "type", "veth", "peer", "name", "wire", "netns", two)
    for number, switch in enumerate(switches, 1):
        switch.exec("ethtool", "-K", "wire", "tx", "off")
        switch.exec("ip", "link", "set", "wire", "up")
        device = "wire" if DATAPATH == "system" else _bridged(switch)
        switch.exec("ip", "address", "add", f"198.18.0.{number}/24", "dev", device)
        for ofport, kind in enumerate(KINDS, 10):
            options = ["options:remote_ip=flow", "options:key=flow", f"options:local_ip=198.18.0.{number}"]
            made = ["add-port", "br-int", f"sm-{kind}", "--", "set", "interface", f"sm-{kind}", f"type={kind}"]
            switch.vsctl(*made, f"ofport_request={ofport}", *options)
            assert switch.ofport(f"sm-{kind}") == ofport
    if DATAPATH == "netdev":
        macs = [switch.vsctl("get", "interface", "br-tun", "mac_in_use").strip('"') for switch in switches]
        for number, switch in enumerate(switches, 1):
            switch.appctl("tnl/neigh/set", "br-tun", f"198.18.0.{3 - number}", macs[2 - number])


def _bridged(switch: OpenVSwitch) -> str:
    """Userspace tunnels need a bridge that holds the tunnel address, and the peer's MAC beforehand."""
    switch.vsctl("add-br", "br-tun", "--", "set", "bridge", "br-tun", "datapath_type=netdev", "fail_mode=standalone")
    switch.vsctl("add-port", "br-tun", "wire")
    switch.exec("ip", "link", "set", "br-tun", "up")
    return "br-tun"


@pytest.mark.parametrize(("guest", "kind"), list(zip("vgw", KINDS, strict=True)))
def test_guests_on_two_hosts_reach_each_other(clouds: list[LiveCloud], guest: str, kind: str) -> None:
    """Large ones, too: as many bytes as the MTU of such a network lets pass."""
    near, far = clouds
    before = _sent(near, kind)
    assert near.pings(f"{guest}1", far.guests[f"{guest}2"]) == 3
    mtu = {"vxlan": 1450, "gre": 1458, "geneve": 1450}[kind]
    assert near.pings(f"{guest}1", far.guests[f"{guest}2"], "-M", "do", "-s", str(mtu - 28)) == 3
    assert _sent(near, kind) - before >= 6


@pytest.mark.parametrize(("address", "kind"), [("2001:db8:100::12", "vxlan"), ("2001:db8:101::12", "gre")])
def test_ipv6_crosses_as_well_and_routed(clouds: list[LiveCloud], address: str, kind: str) -> None:
    """Neighbours on the other host are told by this one, and a router takes to it from here."""
    near, far = clouds
    for cloud in clouds:
        cloud.await_addresses()
    before = _sent(near, kind)
    assert near.pings("v1", address) == 3
    assert _sent(near, kind) - before >= 3
    with far.socket("v2" if kind == "vxlan" else "g2", socket.SOCK_STREAM, 8000, socket.AF_INET6) as listener:
        listener.listen()
        with near.socket("v1", socket.SOCK_STREAM, 0, socket.AF_INET6) as client:
            client.connect((address, 8000))
            client.send(b"over the tunnel")
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(patient(5))
                assert accepted.recv(100) == b"over the tunnel"


@pytest.mark.parametrize(
    ("source", "target", "address"),
    [
        ("v1", "v2", "10.0.0.12"),
        ("g1", "g2", "10.0.1.12"),
        ("w1", "w2", "10.0.2.12"),
        ("v1", "v2", "2001:db8:100::12"),
        ("v1", "g2", "2001:db8:101::12"),
    ],
    ids=["vxlan", "gre", "geneve", "IPv6", "IPv6, routed"],
)
def test_a_port_s_mark_crosses(clouds: list[LiveCloud], source: str, target: str, address: str) -> None:
    near, far = clouds
    for cloud in clouds:
        cloud.await_addresses()
    (line,) = (each for each in WORLD.splitlines() if each.startswith(f"port {source} "))
    near.change("qos marked dscp:-:26", f"{line} qos=marked")
    try:
        told = (socket.IPPROTO_IPV6, 66) if ":" in address else (socket.IPPROTO_IP, 13)
        with far.socket(target, socket.SOCK_DGRAM, 8002, _family(address)) as receiver:
            receiver.setsockopt(*told, 1)  # IPV6_RECVTCLASS, IP_RECVTOS (linux/in6.h, ip(7)).
            receiver.settimeout(patient(5))
            with near.socket(source, socket.SOCK_DGRAM, 0, _family(address)) as sender:
                sender.sendto(b"marked", (address, 8002))
            _, [(_, _, seen)], _, _ = receiver.recvmsg(10, 100)
            assert int.from_bytes(seen, sys.byteorder) >> 2 == 26
    finally:
        near.change(line)


@pytest.mark.parametrize("address", ["10.0.0.13", "2001:db8:100::13", "10.0.1.11"])
def test_what_never_leaves_its_host_never_touches_a_tunnel(clouds: list[LiveCloud], address: str) -> None:
    """On one network, and by a router to another. What guests say to all (RFC 4861, RFC 9777) may cross meanwhile: that
    is a few packets, not hundreds.
    """
    near, _ = clouds
    near.await_addresses()
    before = [_sent(near, kind) for kind in KINDS]
    assert near.pings("v1", address, "-c200", "-i0.01") == 200
    with near.socket("g1" if address == "10.0.1.11" else "v3", socket.SOCK_STREAM, 8001, _family(address)) as listener:
        listener.listen()
        with near.socket("v1", socket.SOCK_STREAM, 0, _family(address)) as client:
            client.connect((address, 8001))
            accepted, _ = listener.accept()
            accepted.close()
    assert sum(_sent(near, kind) for kind in KINDS) - sum(before) < 20


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _sent(cloud: LiveCloud, kind: str) -> int:
    cloud.switch.appctl("revalidator/purge")
    dump = cloud.switch.ofctl("dump-ports", "br-int", f"sm-{kind}")
    return int(dump.split("tx pkts=")[1].split(",")[0])
