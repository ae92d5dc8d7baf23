"""A packet's way from host to host: the worlds of the hosts that a question is about, and the wires between them.

Each host is compiled whole from what it is told, as its agent does, with OpenFlow ports of this file's own. A switch
keeps its connection tracker, so that an answer can be sent after the packet it answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Final

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import gateway
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.program import Nat
from suimon.pipeline.simulate.namespace import Crossing, Namespace
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.simulate.switch import Result, Sent, Step, Switch
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

TUNNEL: Final = {kind: number for number, kind in enumerate(view.TUNNELS, 1)}
"""OpenFlow ports of the tunnels by kind; those of provider networks follow."""
_FIRST_PORT: Final = 0x1000
_FIRST_NAT: Final = 0x8000
_PRESENT: Final = 0x1000
_MOST_LEGS: Final = 16
INWARDS: Final = frozenset({Stage.BLOCK_IN, Stage.TRACK_IN, Stage.GROUP_IN, Stage.ALLOW_IN, Stage.DELIVER})


class Place(msgspec.Struct, frozen=True):
    """A host, what it is told, and why ports of it take no part though they are bound to it (by id, in words)."""

    name: str
    vtep: str | None
    physnets: tuple[str, ...]
    objects: tuple[view.Object, ...]
    unready: dict[str, str] = {}


class Leg(msgspec.Struct, frozen=True):
    """A packet's way through one host. `entry` is `port/<id>`, `tunnel/<kind>`, `provider/<physnet>` or `nat/<router>`,
    `ways` are where it was sent (see `Site.way`); `crossings` are what the namespaces among these made of it.

    `near` says that it comes in on its sender's half of the way.
    """

    host: str
    entry: str
    packet: Packet
    result: Result
    ways: tuple[str, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    near: bool = True

    def halves(self) -> Iterator[tuple[Step, bool]]:
        """Each lookup, and whether it is on the sender's half of the way: up to what the receiver's port, or an
        address of its router, has done.
        """
        near = self.near
        for step in self.result.steps:
            owner = step.flow.owner if step.flow else None
            arrives = step.stage is Stage.FLOATING_IN and owner is not None and owner.kind in ("floating_ip", "router")
            near = near and step.stage not in INWARDS and not arrives
            yield step, near


class Left(msgspec.Struct, frozen=True):
    """A packet that left `host` by `tunnel/<kind>` or `provider/<physnet>` for where no host of the question is."""

    host: str
    way: str
    packet: Packet


class Journey(msgspec.Struct, frozen=True):
    """Every host that was crossed, which ports got the packet and as what, and what went elsewhere."""

    legs: tuple[Leg, ...]
    delivered: dict[str, Packet]
    left: tuple[Left, ...]


class Site:
    """One host: its world, its switch, and who is behind which OpenFlow port."""

    def __init__(self, place: Place, answers: Mapping[tuple[str, str], str]) -> None:
        self.place = place
        self.world = World(place.name, Numbers())
        for thing in place.objects:
            self.world.set(thing)
        physnets = {name: len(TUNNEL) + 1 + n for n, name in enumerate(place.physnets)}
        self.world.wire(TUNNEL if place.vtep else {}, physnets)
        mine = sorted(thing.id for thing in place.objects if isinstance(thing, view.Port))
        for number, port_id in enumerate(mine):
            if port_id not in place.unready:
                self.world.plug(port_id, _FIRST_PORT + number)
        for (network_id, ip), mac in answers.items():
            if self.world.network(network_id):
                self.world.learn(network_id, ip, mac)
        self._nats = self._attached()
        self._namespaces: dict[str, Namespace] = {}
        programs = [self.world.compile(owner) for owner in self.world.owners()]
        flows = [flow for program in programs for flow in program.flows]
        self.switch = Switch(flows, [group for program in programs for group in program.groups])

    def way(self, sent: Sent) -> str:
        """Where it goes: `port/<id>`, `tunnel/<kind>`, `provider/<physnet>`, `nat/<router>`, or `back` to where it came
        from.

        Who gets it is told by the flow that sends it: ports of a trunk share an interface.
        """
        if sent.ofport == sent.packet.fields["in_port"]:
            return "back"
        owner = sent.step.flow.owner if sent.step.flow else None
        if owner and owner.kind == "port" and sent.ofport == self.world.ofports.get(owner.id):
            return f"port/{owner.id}"
        wires = {f"tunnel/{kind}": ofport for kind, ofport in self.world.tunnels.items()}
        wires |= {f"provider/{name}": ofport for name, ofport in self.world.physnets.items()}
        wires |= {f"nat/{nat.router_id}": ofport for ofport, nat in self._nats.items()}
        return next((way for way, ofport in wires.items() if ofport == sent.ofport), str(sent.ofport))

    def cross(self, router_id: str, packet: Packet) -> Crossing:
        """Through the router's namespace on this host."""
        nat = next(nat for nat in self._nats.values() if nat.router_id == router_id)
        return self._namespaces.setdefault(router_id, Namespace()).forward(nat, packet)

    def nat_ofport(self, router_id: str) -> int:
        return self.world.nats[gateway.device(router_id)]

    def _attached(self) -> dict[int, Nat]:
        """By OpenFlow port, the namespaces that routers want here, with devices on br-int as the agent makes them."""
        routers = [Owner("router", thing.id) for thing in self.place.objects if isinstance(thing, view.Router)]
        wanted = [nat for owner in routers for nat in self.world.compile(owner).nats]
        nats = dict(enumerate(wanted, _FIRST_NAT))
        self.world.wire_nats({gateway.device(nat.router_id): ofport for ofport, nat in nats.items()})
        return nats


class Sites:
    """The hosts of one question. `answers` says which MAC answers ARP for what on external networks."""

    def __init__(self, places: Iterable[Place], answers: Mapping[tuple[str, str], str]) -> None:
        self.sites = {place.name: Site(place, answers) for place in places}

    def from_port(self, port: view.Port, packet: Packet) -> Journey:
        """The port's interface is there: its host's site has it plugged."""
        ofport = self.sites[port.host].world.ofports[port.id]
        packet = packet.with_fields({"vlan_vid": _PRESENT | port.vlan}) if port.vlan else packet
        tagged = packet if port.vlan is None else packet.with_fields({"vlan_vid": 0x1000 | port.vlan})
        return self._carried([(port.host, f"port/{port.id}", tagged.arriving(ofport))], near=True)

    def from_wire(self, physnet: str, packet: Packet) -> Journey:
        """Every host that is attached gets it: switches on a provider network know no better here."""
        return self._carried(list(self._on_wire("", physnet, packet)), near=False)

    def _carried(self, first: list[tuple[str, str, Packet]], *, near: bool) -> Journey:
        waiting = deque((*each, near) for each in first)
        legs: list[Leg] = []
        delivered: dict[str, Packet] = {}
        left: list[Left] = []
        while waiting and len(legs) < _MOST_LEGS:
            host, entry, packet, near = waiting.popleft()
            site = self.sites[host]
            leg = _passed(site, Leg(host, entry, packet, site.switch.process(packet), near=near))
            legs.append(leg)
            near = all(each for _, each in leg.halves())
            for crossing in leg.crossings:
                if crossing.packet is not None:
                    way = f"nat/{crossing.router_id}"
                    back = crossing.packet.arriving(site.nat_ofport(crossing.router_id))
                    waiting.append((host, way, back, near))
            for sent, way in zip(leg.result.sent, leg.ways, strict=True):
                if way.startswith("port/"):
                    delivered[way.removeprefix("port/")] = sent.packet.with_fields({"vlan_vid": 0})
                    continue
                beyond = list(self._beyond(site, way, sent.packet))
                # What is handed to a gateway host is still on its sender's half.
                handed = way.startswith("tunnel/") and sent.packet.fields["tun_id"] == gateway.VNI
                waiting += [(*each, near and handed) for each in beyond]
                if (not beyond and not way.startswith("nat/")) or way.startswith("provider/"):
                    left.append(Left(host, way, sent.packet))
        return Journey(tuple(legs), delivered, tuple(left))

    def _beyond(self, site: Site, way: str, packet: Packet) -> Iterator[tuple[str, str, Packet]]:
        kind, _, name = way.partition("/")
        if kind == "provider":
            yield from self._on_wire(site.place.name, name, packet)
        elif kind == "tunnel":
            for host, other in self.sites.items():
                vtep = other.place.vtep
                if vtep and int(IPv4Address(vtep)) == packet.fields.get("tun_dst"):
                    ends = {"tun_src": int(IPv4Address(site.place.vtep or 0)), "tun_dst": int(IPv4Address(vtep))}
                    yield host, way, packet.arriving(TUNNEL[name], {**ends, "tun_id": packet.fields["tun_id"]})

    def _on_wire(self, sender: str, physnet: str, packet: Packet) -> Iterator[tuple[str, str, Packet]]:
        for name, site in self.sites.items():
            if name != sender and physnet in site.world.physnets:
                yield name, f"provider/{physnet}", packet.arriving(site.world.physnets[physnet])


def _passed(site: Site, leg: Leg) -> Leg:
    """With where it was sent, and what came of it in namespaces."""
    ways = tuple(map(site.way, leg.result.sent))
    into = [(way.removeprefix("nat/"), sent.packet) for way, sent in zip(ways, leg.result.sent, strict=True)]
    crossings = [site.cross(name, packet) for (name, packet), way in zip(into, ways, strict=True) if way[:4] == "nat/"]
    return msgspec.structs.replace(leg, ways=ways, crossings=tuple(crossings))
