"""The hosts of a small cloud, each with its `World` and a simulated switch, and the wires between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

from suimon.model import view
from suimon.model.owner import Owner
from suimon.pipeline import services
from suimon.pipeline.facts import Probe
from suimon.pipeline.fields import QUOTED
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.gateway import device
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.program import Nat
from suimon.pipeline.simulate import Conntrack, Packet, Result, Switch
from suimon.pipeline.simulate.namespace import Namespace
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import Program, World
from tests.pipeline.cloud import Cloud, Station

_MOST_LEGS = 200
_FIRST_NAT = 900
"""The namespaces of routers are on OpenFlow ports from here on."""


class Leg(msgspec.Struct, frozen=True):
    """A packet's way through one host."""

    host: str
    packet: Packet
    result: Result


class Journey(msgspec.Struct, frozen=True):
    """Every host it crossed, and which guests or stations got it, each with the packet as it came."""

    legs: tuple[Leg, ...]
    arrivals: tuple[tuple[str, Packet], ...]

    @property
    def delivered(self) -> dict[str, Packet]:
        return dict(self.arrivals)


class Hypervisor:
    """One host: what its world compiled, kept owner by owner as an agent keeps it."""

    def __init__(self, name: str) -> None:
        self.world = World(name, Numbers())
        self.programs: dict[Owner, Program] = {}
        self.conntrack = Conntrack()
        self._told: dict[view.Key, view.Object] = {}
        self._ofports: dict[str, int] = {}
        self.nats: dict[int, Nat] = {}
        """By OpenFlow port, the routers' namespaces."""
        self._namespaces: dict[str, Namespace] = {}
        self._switch: Switch | None = None

    @property
    def installed(self) -> tuple[Flow | Group | Meter, ...]:
        """All that its switch holds."""
        return tuple(thing for things in self.installed_by_owner.values() for thing in things)

    @property
    def installed_by_owner(self) -> dict[Owner, tuple[Flow | Group | Meter, ...]]:
        """Without those that need nothing."""
        programs = self.programs.items()
        every = {owner: (*one.flows, *one.groups, *one.meters) for owner, one in programs}
        return {owner: things for owner, things in every.items() if things}

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
        self._attach()
        self._switch = None

    def _attach(self) -> None:
        """As the agent does it: the namespaces that routers want get devices on br-int, and these their flows."""
        nats = {device(nat.router_id): nat for program in self.programs.values() for nat in program.nats}
        self.nats = {_FIRST_NAT + self.world.number("router", nat.router_id): nat for nat in nats.values()}
        self.world.wire_nats({device(nat.router_id): ofport for ofport, nat in self.nats.items()})
        for owner in sorted(self.world.take_dirty()):
            self.programs[owner] = self.world.compile(owner)

    def judge(self, away: set[str], refused: set[tuple[str, str]]) -> None:
        """`refused` by host: a host knows itself by no address."""
        gateways = (each for each in self._told.values() if isinstance(each, view.Gateways))
        vteps = {each.host: each.vtep for there in gateways for each in there.hosts} | {self.world.host: ""}
        self.world.judge(away, set(), {(vteps[host], what) for host, what in refused}, serving=True)

    def through_namespace(self, ofport: int, packet: Packet) -> Packet | None:
        """What comes back to br-int of a packet that went into a router's namespace."""
        nat = self.nats[ofport]
        return self._namespaces.setdefault(nat.router_id, Namespace()).forward(nat, packet).packet


class Underlay:
    """All hosts. `follow` brings them up to date with the cloud; `send` carries a packet as far as it goes."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hypervisors = {name: Hypervisor(name) for name in cloud.hosts}
        for name, host in cloud.hosts.items():
            self.hypervisors[name].world.wire(host.tunnels, host.physnets)

    def follow(self, late: Collection[str] = ()) -> None:
        for name, hypervisor in self.hypervisors.items():
            if name in late:
                continue
            mine = {port.id for port in self.cloud.all(view.Port) if name in self.cloud.hosts_of(port)}
            ofports = {port_id: ofport for port_id, ofport in self.cloud.ofports.items() if port_id in mine}
            hypervisor.follow(self.cloud.told(name), ofports)

    def learn(self, network_id: str, ip: str, mac: str | None) -> None:
        """As if every host had asked for a next hop."""
        for hypervisor in self.hypervisors.values():
            hypervisor.world.learn(network_id, ip, mac)

    def arrive(self, port_id: str) -> None:
        """As if its guest had announced itself on the host where it is waited for."""
        self.hypervisors[self.cloud.besides[port_id]].world.arrive(port_id)

    def judge(self, away: set[str], refused: set[tuple[str, str]]) -> None:
        """As if every host had noticed that these gateway hosts (by tunnel address) don't serve, and what others, by
        their names, refuse.
        """
        for hypervisor in self.hypervisors.values():
            hypervisor.judge(away, refused)

    def lapse(self, now_s: float) -> None:
        """As if it were that late on every host."""
        for hypervisor in self.hypervisors.values():
            hypervisor.world.lapse(now_s)

    def expect(self, place: str, looks: str) -> None:
        """A probe as in `tcp/61000` for a port or `provider/<physnet>`; none any more for an empty word."""
        protocol, _, l4_source = looks.partition("/")
        probe = Probe(0x0800, {"icmp": 1, "tcp": 6, "udp": 17}[protocol], int(l4_source or 0)) if looks else None
        outside = place.startswith("provider/")
        for name in self.hypervisors if outside else (self.cloud.port(place).host,):
            self.hypervisors[name].world.expect(place if outside else f"port/{place}", probe)

    def send(self, sender: view.Port | Station, packet: Packet) -> Journey:
        if isinstance(sender, Station):
            first = list(self._on_wire("", sender.physnet, _tagged(packet, sender.vlan)))
            waiting = deque((host, arrived, Stage.CLASSIFY) for host, arrived in first)
        else:
            tagged = packet if packet.fields.get("vlan_vid") else _tagged(packet, sender.vlan)
            arriving = tagged.arriving(self.cloud.ofports[sender.parent or sender.id])
            waiting = deque([(sender.host, arriving, Stage.CLASSIFY)])
        legs: list[Leg] = []
        arrivals: list[tuple[str, Packet]] = []
        while waiting:
            host, arrived, stage = waiting.popleft()
            result = self.hypervisors[host].switch.process(arrived, stage)
            legs.append(Leg(host, arrived, result))
            assert len(legs) < _MOST_LEGS, "the packet goes round in circles"
            waiting += ((host, translated, stage) for stage, translated in self._translated(result))
            for ofport, sent in result.outputs:
                for place, there in self._beyond(host, ofport, sent):
                    if place in self.cloud.hosts:
                        waiting.append((place, there, Stage.CLASSIFY))
                    else:
                        arrivals.append((place, there))
        return Journey(tuple(legs), tuple(arrivals))

    def _translated(self, result: Result) -> Iterator[tuple[Stage, Packet]]:
        """What the host's agent sends on of what it was handed: ICMP errors that quote what their receiver knows."""
        own = {each.address: each.fixed_ip for each in self.cloud.all(view.FloatingIp)}
        meant = (each for port in self.cloud.all(view.Port) for each in port.local_ips)
        own |= {each.address: each.fixed_ip for each in meant if ":" not in each.address + each.fixed_ip}
        own_of = {int(IPv4Address(address)): int(IPv4Address(ip)) for address, ip in own.items()}
        address_of = {ip: address for address, ip in own_of.items()}
        stages = [step.stage for step in result.steps for _ in range(step.handed)]
        for stage, packet in zip(stages, result.to_controller, strict=True):
            if packet.quoted is None or "ipv4_src" not in packet.fields:
                continue
            src, dst = packet.fields["ipv4_src"], packet.fields["ipv4_dst"]
            about, said = packet.quoted.fields, {}
            if stage is Stage.FLOATING_IN and about["ipv4_src"] == dst:
                said = {"ipv4_src": own_of[dst]}
            elif stage is Stage.FLOATING_OUT and about["ipv4_dst"] == src:
                said = {"ipv4_dst": address_of[src]}
            elif stage is Stage.LOCAL_BACK and about["ipv4_dst"] == own_of[src]:
                said = {"ipv4_dst": src}
            if said:
                quoted = packet.quoted.with_fields(said)
                yield stage, msgspec.structs.replace(packet.with_fields({QUOTED: 1}), quoted=quoted)

    def _beyond(self, host: str, ofport: int, packet: Packet) -> Iterator[tuple[str, Packet]]:
        """Who is behind a host's OpenFlow port, and what the packet is when it gets there."""
        here = self.cloud.hosts[host]
        for port in self.cloud.all(view.Port):
            plugged = self.cloud.ofports.get(port.parent or port.id) if host in self.cloud.hosts_of(port) else None
            if plugged == ofport and packet.fields.get("vlan_vid", 0) == _vlan_vid(port.vlan):
                # Where the guest isn't known to run, the name tells.
                yield (
                    port.id if port.host == host else f"{port.id}@{host}",
                    packet.with_fields({"vlan_vid": 0}).arriving(0),
                )
        for kind in (kind for kind, tunnel in here.tunnels.items() if tunnel == ofport):
            for other in self.cloud.hosts.values():
                far = int(IPv4Address(other.vtep or 0)) == packet.fields["tun_dst"]
                if far and other.vtep and kind in other.tunnels:
                    ends = {"tun_src": int(IPv4Address(here.vtep or 0)), "tun_dst": packet.fields["tun_dst"]}
                    yield other.name, packet.arriving(other.tunnels[kind], {**ends, "tun_id": packet.fields["tun_id"]})
        if ofport in self.hypervisors[host].nats:
            back = self.hypervisors[host].through_namespace(ofport, packet)
            if back is not None:
                yield host, back.arriving(ofport)
        if ofport == services.SERVICES_OFPORT:
            yield host, _served(packet).arriving(ofport)
        for physnet, patch in here.physnets.items():
            if patch == ofport:
                yield from self._on_wire(host, physnet, packet)

    def _on_wire(self, sender: str, physnet: str, packet: Packet) -> Iterator[tuple[str, Packet]]:
        """A provider network carries a frame to everybody on it: switches there know no better here."""
        for host in self.cloud.hosts.values():
            if host.name != sender and physnet in host.physnets:
                yield host.name, packet.arriving(host.physnets[physnet])
        for station in self.cloud.stations.values():
            eth_dst = packet.fields["eth_dst"]
            mine = eth_dst == int(station.mac.replace(":", ""), 16) or eth_dst >> 40 & 1
            vlan = packet.fields.get("vlan_vid", 0)
            if sender and mine and station.physnet == physnet and vlan == _vlan_vid(station.vlan):
                yield station.name, packet.with_fields({"vlan_vid": 0}).arriving(0)


def _served(packet: Packet) -> Packet:
    """What the host's services send back."""
    fields = packet.fields
    assert fields["eth_dst"] == int(services.SERVICES_MAC.replace(":", ""), 16), "their stack takes nothing else"
    if "ipv4_src" in fields:
        assert IPv4Address(fields["ipv4_src"]) in IPv4Network(services.ASKERS), "they have no route to anybody else"
    else:
        assert IPv6Address(fields["ipv6_src"]) in IPv6Network(services.ASKERS_IP6), "nor by IPv6"
        assert fields["ipv6_dst"] == int(IPv6Address(services.SERVICES_IP6)), "their own address"
    pairs = [("eth_src", "eth_dst"), ("ipv4_src", "ipv4_dst"), ("tcp_src", "tcp_dst"), ("udp_src", "udp_dst")]
    pairs.append(("ipv6_src", "ipv6_dst"))
    swapped = {a: fields[b] for pair in pairs if pair[0] in fields for a, b in (pair, pair[::-1])}
    return packet.with_fields({**swapped, "ip_ttl": 64})


def _tagged(packet: Packet, vlan: int | None) -> Packet:
    return packet.with_fields({"vlan_vid": _vlan_vid(vlan)})


def _vlan_vid(vlan: int | None) -> int:
    return 0x1000 | vlan if vlan is not None else 0
