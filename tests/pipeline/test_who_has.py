"""What a host holds of who is elsewhere: whose MAC an address has, once."""

from __future__ import annotations

import pytest

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import numbers
from suimon.pipeline.fields import BY_ADDRESS, WHO_HAS
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

ROUTER = view.Router(
    "r", up=True, interfaces=(view.RouterInterface("l", "a", "s", "10.0.0.0/24", "10.0.0.1", "02:00:00:00:fe:01"),)
)
PEER = Owner("peer", "p")


def world(*ips: str) -> World:
    made = World("h1", Numbers())
    made.set(view.Network("a", "vxlan", 100, None, 1450))
    made.set(view.Subnet("s", "a", "10.0.0.0/24", "10.0.0.1", dhcp=True))
    made.set(view.Peer("p", "a", "02:00:00:00:00:02", ips, "h2", "172.16.0.2"))
    return made


@pytest.mark.parametrize(
    ("ips", "addresses"), [(("10.0.0.2",), 1), (("10.0.0.2", "10.0.0.3"), 2), (("10.0.0.2", "2001:db8::2"), 3)]
)
def test_a_peer_takes_one_flow_for_its_mac_and_one_for_each_address(ips: tuple[str, ...], addresses: int) -> None:
    """Of IPv6 it has its link-local one, too."""
    made = world(*ips)
    stages = [flow.key.stage for flow in made.compile(PEER).flows]
    assert sorted(stages) == [Stage.LOOKUP, *[Stage.NEIGHBOUR] * addresses]


def test_a_network_s_first_router_makes_no_peer_be_compiled_anew() -> None:
    made = world("10.0.0.2", "2001:db8::2")
    before = made.compile(PEER)
    made.take_dirty()
    made.set(ROUTER)
    assert made.routed("a") and PEER not in made.take_dirty()
    assert made.compile(PEER) == before


def test_no_port_s_number_says_that_somebody_asks() -> None:
    assert numbers.LAST["port"] < BY_ADDRESS < WHO_HAS
