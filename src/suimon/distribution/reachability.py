"""Does A reach B? The views of the two hosts that are asked, read from the store, and a packet walked through them.

Read is what these hosts hold, but for the peers and members that the question is not about: what it costs grows with
the hosts' own ports, not with the cloud. A router with extra routes may lead to any peer, so then they are all read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.distribution.objects import read
from suimon.distribution.scopes import scopes
from suimon.model import things, view
from suimon.model.touches import FLOATING_IP, UNPLUGGED
from suimon.pipeline.simulate.causes import Event, events
from suimon.pipeline.simulate.journey import Journey, Leg, Place, Sites
from suimon.pipeline.simulate.packet import Ends, Packet
from suimon.pipeline.simulate.sender import (
    QuestionError,
    Wanted,
    answering,
    first_address,
    found_mac,
    leaving,
    next_mac,
    opening,
    packet_ip,
)
from suimon.store.tables import IP_ALLOCATIONS
from suimon.store.tx import Tx

OUTSIDE_MAC: Final = "02:00:5e:00:00:01"
"""Who answers ARP outside: the next hop of every gateway, and whoever is asked about."""
_LAZY: Final = ("peers:", "members:")
_HOLDER: Final = select(IP_ALLOCATIONS.c.port_id).where(
    IP_ALLOCATIONS.c.subnet_id.in_(bindparam("subnets", expanding=True)), IP_ALLOCATIONS.c.ip == bindparam("ip")
)


class Question(msgspec.Struct, frozen=True):
    """From a port or an outside address to a port or an address; at least one of them is a port."""

    source: things.Port | str
    target: things.Port | str
    wanted: Wanted = Wanted()


class Way(msgspec.Struct, frozen=True):
    """One direction: what happened on it, and the legs for those who compare them with a real switch."""

    events: tuple[Event, ...]
    legs: tuple[Leg, ...] = ()
    arrived: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """`there` is the way of the first packet, `back` that of the answer, empty unless there was one to answer.

    `target` is the port that the address asked for turned out to be; `packet` is the first one as it was sent.
    """

    there: Way
    back: Way
    target: things.Port | None = None
    packet: Packet | None = None

    @property
    def reached(self) -> bool | None:
        """Whether a connection comes about: the packet arrives, and its answer. None: it leaves for a host (a router's
        gateway host, a guest that routes) that is not followed.
        """
        for way in (self.there, self.back):
            if way.events and not way.arrived:
                return None if way.events[-1].what == "forwarded" else False
        return self.there.arrived


def verdict(tx: Tx, question: Question) -> Verdict:
    """Raises QuestionError for a question that no packet can be sent for."""
    walk = _Walk(tx, question)
    return walk.verdict()


class _Walk:
    """One question: first the hosts it is about, then the packet."""

    def __init__(self, tx: Tx, question: Question) -> None:
        self._tx = tx
        self._question = question
        self._wanted = question.wanted
        self._source = question.source if isinstance(question.source, things.Port) else None
        self._target = question.target if isinstance(question.target, things.Port) else None
        self._address = question.target if isinstance(question.target, str) else ""
        self._answers: dict[tuple[str, str], str] = {}
        self._sites = self._wired()

    def verdict(self) -> Verdict:
        for port in (self._source, self._target):
            if port is not None and not port.binding_host:
                stopped = Event("", "binding", "dropped", "the port is bound to no host", "port", port.id)
                return self._told(Way((msgspec.structs.replace(stopped, near=port is self._source),)))
        return self._from_port(self._source) if self._source else self._from_outside()

    def _wired(self) -> Sites:
        """The address asked for may belong to a port: that is known once its sender's host is."""
        sites = self._read([port for port in (self._source, self._target) if port])
        if self._address and self._source and self._source.binding_host:
            self._target = self._holder(sites)
            if self._target is not None:
                return self._read([self._source, self._target])
            self._expect_outside(sites)
            return self._read([self._source])
        return sites

    def _read(self, ports: list[things.Port]) -> Sites:
        hosts = {port.binding_host for port in ports if port.binding_host}
        views = read_views(self._tx, hosts, {port.id for port in ports})
        known = {host.name: host for host in self._tx.select(things.Host, {"name": hosts})} if hosts else {}
        self._learn(views.values())
        unready = self._unready(views)
        places = [
            Place(name, known[name].tunnel_ip, known[name].physnets, objects, unready)
            if name in known
            else Place(name, None, (), objects, unready)
            for name, objects in views.items()
        ]
        return Sites(places, self._answers)

    def _learn(self, views: Iterable[tuple[view.Object, ...]]) -> None:
        for thing in (thing for objects in views for thing in objects):
            if isinstance(thing, view.Router) and thing.gateway:
                for nexthop in filter(None, (thing.gateway.nexthop, thing.gateway.nexthop6)):
                    self._answers.setdefault((thing.gateway.network_id, nexthop), OUTSIDE_MAC)
            elif isinstance(thing, view.FloatingIp):
                self._answers[thing.network_id, thing.address] = thing.mac

    def _expect_outside(self, sites: Sites) -> None:
        """Whoever is asked about on an external network's own subnet answers ARP there."""
        for site in sites.sites.values():
            for thing in site.place.objects:
                if isinstance(thing, view.Subnet):
                    network = site.world.network(thing.network_id)
                    if network and network.external and ip_address(self._address) in ip_network(thing.cidr):
                        self._answers[network.id, self._address] = OUTSIDE_MAC

    def _unready(self, views: dict[str, tuple[view.Object, ...]]) -> dict[str, str]:
        ids = {thing.id for objects in views.values() for thing in objects if isinstance(thing, view.Port)}
        rows = self._tx.select(things.Port, {"id": ids}) if ids else []
        return {port.id: _unready_words(port) for port in rows if port.admin_state_up and port.status != "ACTIVE"}

    def _holder(self, sites: Sites) -> things.Port | None:
        """The port that has the address, on a network that the sender's host knows: its floating IP's, if it is one."""
        address = ip_address(self._address)
        subnets = [
            thing.id
            for site in sites.sites.values()
            for thing in site.place.objects
            if isinstance(thing, view.Subnet) and address in ip_network(thing.cidr)
        ]
        values = {"subnets": subnets, "ip": f"{int(address):0{address.max_prefixlen // 4}x}"}
        for (port_id,) in map(tuple, self._tx.rows(_HOLDER, values)) if subnets else ():
            port = self._tx.get(things.Port, port_id)
            if port is not None and port.device_owner == FLOATING_IP:
                floating = self._tx.select(things.FloatingIp, {"floating_port_id": port.id})
                port = self._tx.get(things.Port, floating[0].port_id) if floating and floating[0].port_id else None
            if port is not None and port.device_owner not in UNPLUGGED:
                return port
        return None

    def _from_port(self, source: things.Port) -> Verdict:
        site = self._sites.sites[source.binding_host]
        port = site.world.port(source.id)
        if port is None:
            raise QuestionError(f"port {source.id} is none that a guest is plugged into")
        if source.id in site.place.unready:
            words = site.place.unready[source.id]
            return self._told(Way((Event(port.host, "classify", "dropped", words, "port", port.id),)))
        if not self._address and self._target is None:
            raise QuestionError("there is nobody to send to")
        packet = leaving(site.world, port, self._address or _address_of(self._target, source), self._wanted)
        journey = self._sites.from_port(port, packet)
        there = self._way(journey)
        if not there.arrived:
            return self._told(there, packet=packet)
        return self._told(there, self._answer(journey, source), packet)

    def _answer(self, journey: Journey, source: things.Port) -> Way:
        """What the target sends back, through the connections that the first packet made."""
        if self._target is not None and self._target.id in journey.delivered:
            got = journey.delivered[self._target.id]
            port = self._port(self._target)
            try:
                back = answering(got, next_mac(self._world(port), port, packet_ip(got, "src")))
            except QuestionError as error:
                stopped = Event(port.host, "guest", "dropped", f"the answer: {error}", "port", port.id)
                return Way((stopped,))
            return self._way(self._sites.from_port(port, back), arrives=source.id)
        if self._target is None and journey.left:
            left = journey.left[-1]
            mac = left.packet.fields["eth_src"].to_bytes(6, "big").hex(":")
            back = answering(left.packet, mac)
            return self._way(self._sites.from_wire(left.way.partition("/")[2], back), arrives=source.id)
        return Way(())

    def _from_outside(self) -> Verdict:
        target = self._target
        if target is None or not isinstance(self._question.source, str):
            raise QuestionError("one of the two must be a port")
        site = self._sites.sites[target.binding_host]
        source = self._question.source
        for network, mac, ip in self._entries(target):
            packet = opening(Ends(OUTSIDE_MAC, mac, source, ip), self._wanted)
            if network.kind == "vlan":
                packet = packet.with_fields({"vlan_vid": 0x1000 | (network.segment or 0)})
            if (network.physnet or "") not in site.world.physnets:
                words = "the host is not attached to the physical network that the outside is on"
                return self._told(
                    Way((Event(target.binding_host, "classify", "dropped", words, "network", network.id, near=False),))
                )
            journey = self._sites.from_wire(network.physnet or "", packet)
            there = self._way(journey)
            if not there.arrived:
                return self._told(there, packet=packet)
            got = journey.delivered[target.id]
            port = self._port(target)
            back = answering(got, next_mac(site.world, port, source))
            return self._told(there, self._way(self._sites.from_port(port, back), leaves=True), packet)
        words = "the port has no floating IP, and no network that is reached from outside"
        return self._told(Way((Event("", "floating_in", "dropped", words, "port", target.id, near=False),)))

    def _entries(self, target: things.Port) -> list[tuple[view.Network, str, str]]:
        """By which networks and to which MAC and address an outside packet comes to the port."""
        world = self._sites.sites[target.binding_host].world
        port = self._port(target)
        found = []
        for id_ in world.found("floating_ip@port", target.id):
            floating = world.floating_ip(id_)
            network = world.network(floating.network_id) if floating else None
            if floating and network:
                found.append((network, floating.mac, floating.address))
        own = world.network(port.network_id)
        if own is not None and not own.tunnelled:
            ip, subnet_id = first_address(port, 6 if ":" in str(self._question.source) else 4)
            subnet = world.subnet(subnet_id)
            if subnet and subnet.gateway_ip and found_mac(world, own.id, subnet.gateway_ip) is None:
                world.learn(own.id, subnet.gateway_ip, OUTSIDE_MAC)
            found.append((own, port.mac, ip))
        return found

    def _way(self, journey: Journey, arrives: str = "", *, leaves: bool = False) -> Way:
        every = [(leg, event) for leg in journey.legs for event in events(self._sites.sites[leg.host], leg)]
        told = tuple(event for leg, event in every if _matters(leg, event))
        wanted = arrives or (self._target.id if self._target else "")
        if leaves or not wanted:
            arrived = any(left.way.startswith("provider/") for left in journey.left)
            arrived = arrived or bool(told and told[-1].what == "answered")
        else:
            arrived = wanted in journey.delivered
        if not arrived and not any(event.what in ("dropped", "answered") for event in told):
            told = tuple(event for _, event in every)
        return Way(told, journey.legs, arrived)

    def _told(self, there: Way, back: Way | None = None, packet: Packet | None = None) -> Verdict:
        return Verdict(there, back or Way(()), self._target, packet)

    def _port(self, port: things.Port) -> view.Port:
        found = self._sites.sites[port.binding_host].world.port(port.id)
        if found is None:
            raise QuestionError(f"port {port.id} is none that a guest is plugged into")
        return found

    def _world(self, port: view.Port) -> Any:
        return self._sites.sites[port.host].world


def read_views(tx: Tx, hosts: Collection[str], ports: Collection[str]) -> dict[str, tuple[view.Object, ...]]:
    """By host, what it is told; of peers and members, those only that these ports are."""
    held = scopes(tx, hosts)
    every = {scope for each in held.values() for scope in each}
    eager = {scope for scope in every if not scope.startswith(_LAZY)}
    addresses = {scope.removeprefix("members:") for scope in every if scope.startswith("members:")}
    keys: set[view.Key] = {("peer", id_) for id_ in ports} | {("member", f"/{id_}") for id_ in {*ports, *addresses}}
    found = read(tx, eager, keys)
    if any(isinstance(thing, view.Router) and thing.routes for thing in found):
        found += read(tx, {scope for scope in every if scope.startswith("peers:")}, ())
    return {host: tuple(dict.fromkeys(thing for thing in found if thing.scope in held[host])) for host in held}


def _matters(leg: Leg, event: Event) -> bool:
    """A frame on a provider network comes to every host there: those that don't know it drop it, and that is all."""
    return not (leg.entry.startswith("provider/") and event.what == "dropped" and event.stage in ("classify", "lookup"))


def _address_of(port: things.Port | None, source: things.Port) -> str:
    """The first one of a family that both have, IPv4 before IPv6."""
    for six in (False, True):
        found = [fixed.ip for fixed in (port.fixed_ips if port else ()) if (":" in fixed.ip) == six]
        if found and any((":" in fixed.ip) == six for fixed in source.fixed_ips):
            return found[0]
    raise QuestionError("the two ports have no addresses of one IP version")


def _unready_words(port: things.Port) -> str:
    return f"the port is {port.status}: {port.status_reason or 'its host has not said that its flows are in'}"
