"""A network on more hypervisors than one group can name: everybody on it still hears a broadcast."""

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from suimon.dataplane.openflow.messages import GroupEntry, set_group
from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.flow import Group
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.simulate import Ends, Packet, Switch, arp
from suimon.pipeline.world import World

FIRST = int(IPv4Address("172.16.0.1"))


def crowded(hosts: int) -> World:
    """A guest here, and one on each of so many others."""
    world = World("here", Numbers())
    world.wire({"vxlan": 100}, {})
    world.set(view.Network("blue", "vxlan", 7, None, 1450))
    world.set(view.Port("vm", "here", "blue", "02:00:00:00:00:01", (), security=False))
    world.plug("vm", 1)
    for number in range(hosts):
        mac = f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"
        vtep = str(IPv4Address(FIRST + number))
        world.set(view.Peer(f"peer{number}", "blue", mac, (), f"h{number}", vtep))
    return world


@pytest.mark.parametrize("hosts", [0, 1, 1000, 1001, 2000])
def test_a_broadcast_reaches_every_host_once(hosts: int) -> None:
    world = crowded(hosts)
    programs = [world.compile(owner) for owner in world.owners()]
    groups = [group for program in programs for group in program.groups]
    switch = Switch([flow for program in programs for flow in program.flows], groups)
    for group in groups:
        set_group(group.group_id, GroupEntry(group.buckets))
    request: Packet = arp(Ends("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "10.0.0.1", "10.0.0.9"))
    sent = switch.process(request.arriving(1)).outputs
    heard = [packet.fields["tun_dst"] for ofport, packet in sent if ofport == 100]
    assert sorted(heard) == [FIRST + number for number in range(hosts)]
    world.delete(("network", "blue"))
    world.delete(("port", "vm"))
    assert not world.numbers.dump().used["group"]


def guests(world: World, count: int) -> list[str]:
    """So many, plugged here."""
    names = [f"guest{number}" for number in range(count)]
    for number, name in enumerate(names):
        mac = f"02:00:00:02:{number >> 8:02x}:{number & 255:02x}"
        world.set(view.Port(name, "here", "blue", mac, (), security=False))
        world.plug(name, 1000 + number)
    return names


def groups_of(world: World, owners: Iterable[Owner]) -> dict[int, Group]:
    return {group.group_id: group for owner in owners for group in world.compile(owner).groups}


def test_a_broadcast_reaches_every_guest_of_the_host_once_however_they_came() -> None:
    world = crowded(1)
    names = guests(world, 100)
    for name in names[:20]:
        world.plug(name, None)
    for name in names[20:40]:
        world.delete(("port", name))
    world.set(view.Port(names[40], "there", "blue", "02:00:00:02:00:28", (), security=False, active=False))
    switch = Switch([flow for owner in world.owners() for flow in world.compile(owner).flows])
    switch.groups.update(groups_of(world, world.owners()))
    request: Packet = arp(Ends("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "10.0.0.1", "10.0.0.9"))
    heard = [ofport for ofport, _ in switch.process(request.arriving(1)).outputs]
    assert sorted(heard) == [100, *range(1041, 1100)]
    for name in (*names, "vm"):
        world.delete(("port", name))
    assert not world.numbers.dump().used["group"]


def test_a_guest_that_comes_or_goes_costs_a_part_of_those_that_are_here() -> None:
    """In buckets of what is compiled anew; how many hosts there are is no matter."""
    world = crowded(500)
    guests(world, 320)
    world.take_dirty()
    costs = []
    for ofport in (None, 1005, 2000):
        world.plug("guest5", ofport)
        made = groups_of(world, world.take_dirty())
        costs.append(sum(len(group.buckets) for group in made.values()))
    assert 0 < costs[0] <= 2 * 320 / 16
    assert costs == [costs[0], costs[0] + 1, 0], "where one that stays is plugged is no matter"
