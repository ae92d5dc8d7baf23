"""Promise: who gets the address of a port that is gone is found at once, though neighbours send to the MAC it had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.live import LiveCloud
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
WORLD = f"""
host h1
network blue vxlan 100
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet blue6 blue 2001:db8:b::/64
group web egress:any ingress:icmp ingress:any@web egress6:any ingress6:any
port a h1 blue {MAC}01 10.0.0.11 2001:db8:b::11 groups=web
port b h1 blue {MAC}02 10.0.0.12 2001:db8:b::12 groups=web
port c h1 blue {MAC}03 10.0.0.13 2001:db8:b::13 groups=web
"""
HAS_BOTH = f"port c h1 blue {MAC}03 10.0.0.12 2001:db8:b::12 groups=web"
ADDRESSES = {"10.0.0.12": "24", "2001:db8:b::12": "64"}


@pytest.fixture
def live(switch: OpenVSwitch) -> Iterator[LiveCloud]:
    cloud = LiveCloud(switch, WORLD)
    cloud.await_addresses()
    yield cloud


def test_an_address_that_another_port_gets_is_found_by_whoever_believes_the_old_mac(live: LiveCloud) -> None:
    assert [live.pings("a", address) for address in ADDRESSES] == [3, 3]
    live.forget("port", "b")
    assert [live.pings("a", address) for address in ADDRESSES] == [0, 0]
    live.change(HAS_BOTH)
    for address, length in ADDRESSES.items():
        nodad = ["nodad"] * (":" in address)
        live.run("c", "ip", "address", "add", f"{address}/{length}", "dev", "eth0", *nodad)
    for address in ADDRESSES:
        _believe(live, address, f"{MAC}02")
        assert live.pings("a", address) == 3
        assert f"{MAC}02" in live.run("a", "ip", "neigh", "show", address), "nobody told it otherwise"


def _believe(live: LiveCloud, address: str, mac: str) -> None:
    """As who talked with it a moment ago: for half a minute it asks nobody again."""
    live.run("a", "ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "reachable")
