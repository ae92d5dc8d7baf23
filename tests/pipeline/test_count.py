"""What is counted as outside: by the flows of a host, whose simulated switch says which of them a packet met."""

from collections.abc import Iterable

import pytest

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.fields import (
    COUNTING,
    FROM_GUEST,
    FROM_PROVIDER,
    NET,
    ORIGIN,
    RECEIVED,
    RECEIVED_OUTSIDE,
    SENT,
    SENT_OUTSIDE,
    SOURCE,
    TARGET,
)
from suimon.pipeline.flow import match
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.simulate.switch import Switch
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

MAC, ROUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:fe:01"
LEGS = (
    view.RouterInterface("leg-a", "a", "a4", "10.0.0.0/24", "10.0.0.1", ROUTER_MAC),
    view.RouterInterface("leg-b", "b", "b4", "10.0.1.0/24", "10.0.1.1", "02:00:00:00:fe:02"),
)
OTHER_LEGS = (
    view.RouterInterface("leg-a2", "a", "a4", "10.0.0.0/24", "10.0.0.2", "02:00:00:00:fe:03"),
    view.RouterInterface("leg-c", "c", "c4", "10.0.2.0/24", "10.0.2.1", "02:00:00:00:fe:04"),
)
OBJECTS: tuple[view.Object, ...] = (
    *(view.Network(name, "vxlan", number, None, 1450) for number, name in enumerate("abcd", 1)),
    view.Subnet("a4", "a", "10.0.0.0/24", "10.0.0.1", dhcp=True),
    view.Subnet("a6", "a", "2001:db8:a::/64", None, dhcp=False),
    view.Subnet("d4", "d", "10.0.3.0/24", None, dhcp=True),
    view.Router("r", True, LEGS, view.Gateway("d", "10.0.3.9", "02:00:00:00:fe:09", "10.0.3.1")),
    view.Router("r2", True, OTHER_LEGS),
    view.Port(
        "vm", "h1", "a", MAC, (view.FixedIp("a4", "10.0.0.11"), view.FixedIp("a6", "2001:db8:a::11")), security=False
    ),
    view.Port("sub", "h1", "d", "02:00:00:00:00:21", (), security=False, parent="vm", vlan=20),
)


def world(objects: Iterable[view.Object] = OBJECTS) -> World:
    made = World("h1", Numbers())
    for each in objects:
        made.set(each)
    made.plug("vm", 1)
    made.wire({"vxlan": 100}, {})
    return made


def met(made: World, fields: dict[str, object], stage: Stage) -> set[tuple[str, int]]:
    """Whose counting flows a packet meets, and as what."""
    programs = [made.compile(owner) for owner in made.owners()]
    switch = Switch(
        [flow for each in programs for flow in each.flows], [one for each in programs for one in each.groups]
    )
    result = switch.process(Packet({name: value for name, value, _ in match(fields)}), stage)
    assert not any(step.rivals for step in result.steps)
    tallied = [step.flow for step in result.steps if step.stage is Stage.TALLY and step.flow]
    return {(flow.owner.id, {name: value for name, value, _ in flow.key.match}[COUNTING]) for flow in tallied}


@pytest.mark.parametrize(
    ("other", "outside"),
    [
        ("10.0.0.12", False),
        ("10.0.1.12", False),  # Behind one of the network's routers.
        ("10.0.2.12", False),  # Behind the other one.
        ("10.0.3.12", True),  # On the network that a router's gateway is on.
        ("8.8.8.8", True),
        ("169.254.169.254", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("2001:db8:a::12", False),
        ("2001:db8:b::12", True),
        ("fe80::12", False),
        ("ff02::fb", False),
    ],
)
def test_the_other_address_decides_in_both_directions(other: str, outside: bool) -> None:
    made = world()
    family, eth_type = ("ipv6", 0x86DD) if ":" in other else ("ipv4", 0x0800)
    here = {NET: made.number("network", "a"), "in_port": 1, "eth_type": eth_type, "eth_dst": ROUTER_MAC, "eth_src": MAC}
    number = made.number("port", "vm")
    sent = here | {ORIGIN: FROM_GUEST, SOURCE: number, f"{family}_dst": other}
    assert met(made, sent, Stage.ANSWER) == ({("vm", SENT_OUTSIDE)} if outside else set())
    received = here | {TARGET: number, f"{family}_src": other}
    assert met(made, received, Stage.DELIVER) == ({("vm", RECEIVED_OUTSIDE)} if outside else set())


def test_what_no_guest_sent_and_what_is_no_ip_is_not_counted() -> None:
    made = world()
    here: dict[str, object] = {NET: made.number("network", "a"), "in_port": 1, "ipv4_dst": "8.8.8.8"}
    assert met(made, here | {ORIGIN: FROM_PROVIDER, "eth_type": 0x0800}, Stage.ANSWER) == set()
    arp = {NET: made.number("network", "a"), "in_port": 100, TARGET: made.number("port", "vm"), "eth_type": 0x0806}
    assert met(made, arp, Stage.DELIVER) == set()


def test_a_subport_is_counted_whole_by_flows_of_its_own() -> None:
    made = world()
    number = made.number("port", "sub")
    headers: dict[str, object] = {"eth_type": 0x0800, "eth_src": "02:00:00:00:00:21", "eth_dst": MAC}
    tagged = headers | {"in_port": 1, "vlan_vid": 0x1014, "ipv4_src": "10.0.3.21", "ipv4_dst": "10.0.3.22"}
    assert met(made, tagged, Stage.CLASSIFY) == {("sub", SENT)}
    outwards = tagged | {"ipv4_dst": "10.0.0.11"}
    assert met(made, outwards, Stage.CLASSIFY) == {("sub", SENT), ("sub", SENT_OUTSIDE)}
    to_sub = headers | {NET: made.number("network", "d"), TARGET: number, "in_port": 100, "ipv4_src": "8.8.8.8"}
    assert met(made, to_sub, Stage.DELIVER) == {("sub", RECEIVED), ("sub", RECEIVED_OUTSIDE)}


def test_a_leg_that_comes_or_goes_is_noticed_by_who_counts() -> None:
    made = world()
    made.take_dirty()
    made.set(view.Router("r", True, LEGS[:1]))
    assert {Owner("network", "a"), Owner("network", "b"), Owner("router", "r")} <= made.take_dirty()
    made.set(view.Subnet("new", "a", "10.9.0.0/24", None, dhcp=False))
    assert Owner("network", "a") in made.take_dirty()
