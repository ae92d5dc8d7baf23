"""Promise: an address that others answer for leads to the guest that it means, and from there back again.

Real packets: a local IP by TCP, UDP and ping, whose answers come from it; an NDP proxy's address from outside.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
LOCAL = "10.0.0.200"
ROUTER = f"router r blue6=2001:db8:b::1@{MAC}f1 gateway=public@203.0.113.2@{MAC}f3@203.0.113.1 six=2001:db8:f::2@::"
WORLD = f"""
host h1 vtep=172.16.0.1
network blue vxlan 100
network public flat physnet=ext external=yes
subnet blue4 blue 10.0.0.0/24
subnet blue6 blue 2001:db8:b::/64 gateway=2001:db8:b::1
subnet public6 public 2001:db8:f::/64 gateway=2001:db8:f::1
station internet {MAC}0f 2001:db8:f::1 physnet=ext
group open egress:any ingress:any egress6:any ingress6:any
group web egress:any ingress:icmp ingress:tcp/8000 ingress:udp/8000
port a h1 blue {MAC}01 10.0.0.11 2001:db8:b::11 groups=open
port b h1 blue {MAC}02 10.0.0.12 2001:db8:b::12 groups=web local={LOCAL}@10.0.0.12
gateways ext h1
{ROUTER}
"""


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    return LiveCloud(kept_switch, WORLD)


def test_a_local_ip_is_answered_by_the_port_of_this_host(live: LiveCloud) -> None:
    assert live.pings("a", LOCAL) == 3
    assert live.pings("a", LOCAL, "-s", "4000") == 3, "in fragments"
    ends = live.connect("a", "b", 8000, LOCAL)
    assert ends, "no connection"
    near, far = ends
    with near, far:
        assert (near.getpeername()[0], far.getsockname()[0]) == (LOCAL, "10.0.0.12")
        near.send(b"there")
        assert far.recv(10) == b"there"
        far.send(b"and back")
        assert near.recv(10) == b"and back"
    assert live.connect("a", "b", 9000, LOCAL) is None, "its groups hold there, too"


def test_the_port_is_itself_to_all_who_asked_for_itself(live: LiveCloud) -> None:
    with live.socket("b", socket.SOCK_DGRAM, 8000) as far:
        for address in ("10.0.0.12", LOCAL, "10.0.0.12"):
            with live.socket("a", socket.SOCK_DGRAM) as near:
                near.sendto(b"who?", (address, 8000))
                _, asker = far.recvfrom(10)
                far.sendto(b"me", asker)
                assert near.recvfrom(10)[1][0] == address


def test_an_ndp_proxy_answers_for_its_addresses_only(live: LiveCloud) -> None:
    """The station's prefix is so short that it takes the networks behind the router for its own link."""
    assert live.pings("internet", "2001:db8:b::11", "-c1") == 0, "nobody answers for it yet"
    live.change(f"{ROUTER} proxied=2001:db8:b::11")
    live.run("internet", "ip", "neigh", "flush", "dev", "eth0")
    assert live.pings("internet", "2001:db8:b::11") == 3
    assert live.pings("internet", "2001:db8:b::12", "-c1") == 0
