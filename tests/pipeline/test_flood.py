"""A network on more hypervisors than one group can name: everybody on it still hears a broadcast."""

from ipaddress import IPv4Address

import pytest

from suimon.dataplane.openflow.messages import GroupEntry, set_group
from suimon.model import view
from suimon.model.owner import Owner
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
    owners = (Owner("bridge", "br-int"), Owner("port", "vm"), Owner("network", "blue"))
    programs = [world.compile(owner) for owner in owners]
    groups = [group for program in programs for group in program.groups]
    switch = Switch([flow for program in programs for flow in program.flows], groups)
    for group in groups:
        set_group(group.group_id, GroupEntry(group.buckets))
    request: Packet = arp(Ends("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "10.0.0.1", "10.0.0.9"))
    sent = switch.process(request.arriving(1)).outputs
    heard = [packet.fields["tun_dst"] for ofport, packet in sent if ofport == 100]
    assert sorted(heard) == [FIRST + number for number in range(hosts)]
    world.delete(("network", "blue"))
    assert not world.numbers.dump().used["group"]
