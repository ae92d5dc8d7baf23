"""The hosts of a small cloud, each with its `World` and a simulated switch, and the wires between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from ipaddress import IPv4Address

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.simulate import Conntrack, Packet, Result, Switch
from suimon.pipeline.world import Program, World
from tests.pipeline.cloud import Cloud, Station

_MOST_LEGS = 200


class Leg(msgspec.Struct, frozen=True):
    """A packet's way through one host."""

    host: str
    packet: Packet
    result: Result


class Journey(msgspec.Struct, frozen=True):
    """Every host it crossed, and which guests or stations got it, each with the packet as it came."""

    legs: tuple[Leg, ...]
    delivered: dict[str, Packet]


class Hypervisor:
    """One host: what its world compiled, kept owner by owner as an agent keeps it."""

    def __init__(self, name: str) -> None:
        self.world = World(name, Numbers())
        self.programs: dict[Owner, Program] = {}
        self.conntrack = Conntrack()
        self._told: dict[view.Key, view.Object] = {}
        self._ofports: dict[str, int] = {}
        self._switch: Switch | None = None

    @property
    def installed(self) -> tuple[Flow | Group | Meter, ...]:
        """All that its switch holds."""
        programs = self.programs.values()
        return tuple(thing for one in programs for thing in (*one.flows, *one.groups, *one.meters))

    @property
    def flows(self) -> tuple[Flow, ...]:
        return tuple(flow for program in self.programs.values() for flow in program.flows)

    @property
    def switch(self) -> Switch:
        if self._switch is None:
            groups = [group for program in self.programs.values() for group in program.groups]
            self._switch = Switch(self.flows, groups, self.conntrack)
        return self._switch

    def follow(self, told: dict[view.Key, view.Object], ofports: dict[str, int]) -> None:
        """Change the world into what it is told now, and compile the owners that this marks."""
        for key in [key for key in self._told if key not in told]:
            self.world.delete(key)
        for key, thing in told.items():
            if self._told.get(key) != thing:
                self.world.set(thing)
        for port_id in {**self._ofports, **ofports}:
            if self._ofports.get(port_id) != ofports.get(port_id):
                self.world.plug(port_id, ofports.get(port_id))
        self._told, self._ofports = dict(told), dict(ofports)
        # In one order, so that every run gives out the same numbers.
        for owner in sorted(self.world.take_dirty()):
            self.programs[owner] = self.world.compile(owner)
        self._switch = None


class Underlay:
    """All hosts. `follow` brings them up to date with the cloud; `send` carries a packet as far as it goes."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hypervisors = {name: Hypervisor(name) for name in cloud.hosts}
        for name, host in cloud.hosts.items():
            self.hypervisors[name].world.wire(host.tunnel, host.physnets)

    def follow(self) -> None:
        for name, hypervisor in self.hypervisors.items():
            mine = {port.id for port in self.cloud.all(view.Port) if port.host == name}
            ofports = {port_id: ofport for port_id, ofport in self.cloud.ofports.items() if port_id in mine}
            hypervisor.follow(self.cloud.told(name), ofports)

    def learn(self, network_id: str, ip: str, mac: str | None) -> None:
        """As if every host had asked for a next hop."""
        for hypervisor in self.hypervisors.values():
            hypervisor.world.learn(network_id, ip, mac)

    def send(self, sender: view.Port | Station, packet: Packet) -> Journey:
        if isinstance(sender, Station):
            first = list(self._on_wire("", sender.physnet, _tagged(packet, sender.vlan)))
            waiting = deque((host, arrived) for host, arrived in first if isinstance(arrived, Packet))
        else:
            waiting = deque([(sender.host, packet.arriving(self.cloud.ofports[sender.id]))])
        legs: list[Leg] = []
        delivered: dict[str, Packet] = {}
        while waiting:
            host, arrived = waiting.popleft()
            result = self.hypervisors[host].switch.process(arrived)
            legs.append(Leg(host, arrived, result))
            assert len(legs) < _MOST_LEGS, "the packet goes round in circles"
            for ofport, sent in result.outputs:
                for place, there in self._beyond(host, ofport, sent):
                    if place in self.cloud.hosts:
                        waiting.append((place, there))
                    else:
                        delivered[place] = there
        return Journey(tuple(legs), delivered)

    def _beyond(self, host: str, ofport: int, packet: Packet) -> Iterator[tuple[str, Packet]]:
        """Who is behind a host's OpenFlow port, and what the packet is when it gets there."""
        here = self.cloud.hosts[host]
        for port_id, plugged in self.cloud.ofports.items():
            if plugged == ofport and self.cloud.port(port_id).host == host:
                yield port_id, packet.arriving(0)
        if ofport == here.tunnel:
            for other in self.cloud.hosts.values():
                if other.vtep and int(IPv4Address(other.vtep)) == packet.fields["tun_dst"] and other.tunnel:
                    ends = {"tun_src": int(IPv4Address(here.vtep or 0)), "tun_dst": packet.fields["tun_dst"]}
                    yield other.name, packet.arriving(other.tunnel, {**ends, "tun_id": packet.fields["tun_id"]})
        for physnet, patch in here.physnets.items():
            if patch == ofport:
                yield from self._on_wire(host, physnet, packet)

    def _on_wire(self, sender: str, physnet: str, packet: Packet) -> Iterator[tuple[str, Packet]]:
        """A provider network carries a frame to everybody on it: switches there know no better here."""
        for host in self.cloud.hosts.values():
            if host.name != sender and physnet in host.physnets:
                yield host.name, packet.arriving(host.physnets[physnet])
        for station in self.cloud.stations.values():
            mine = packet.fields["eth_dst"] in (int(station.mac.replace(":", ""), 16), 0xFFFFFFFFFFFF)
            vlan = packet.fields.get("vlan_vid", 0)
            if sender and mine and station.physnet == physnet and vlan == _vlan_vid(station.vlan):
                yield station.name, packet.with_fields({"vlan_vid": 0}).arriving(0)


def _tagged(packet: Packet, vlan: int | None) -> Packet:
    return packet.with_fields({"vlan_vid": _vlan_vid(vlan)})


def _vlan_vid(vlan: int | None) -> int:
    return 0x1000 | vlan if vlan is not None else 0
