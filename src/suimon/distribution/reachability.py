"""Does A reach B? What the hosts on the way are told is read from the store, and a packet walked through it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final

import msgspec

from suimon.distribution.holders import Holder, holder, outside_holder
from suimon.distribution.involved import known, places
from suimon.model import things, view
from suimon.model.touches import ROUTER_INTERFACE
from suimon.pipeline.simulate.causes import Event, events
from suimon.pipeline.simulate.journey import Journey, Leg, Sites
from suimon.pipeline.simulate.namespace import L4
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
from suimon.store.tx import Tx

OUTSIDE_MAC: Final = "02:00:5e:00:00:01"
"""Who answers ARP outside: the next hop of every gateway, and whoever is asked about."""


class Question(msgspec.Struct, frozen=True):
    """From a port or an outside address to a port or an address."""

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

    `target` is the port that the address asked for turned out to be, `project_id` whose that address is if it is a
    floating IP or a router's; `packet` is the first one as it was sent. `outside` is where one could be sent from as if
    it came from outside: a gateway host besides those that take it, and its way there.
    """

    there: Way
    back: Way
    target: things.Port | None = None
    packet: Packet | None = None
    project_id: str = ""
    outside: tuple[str, str] | None = None

    @property
    def reached(self) -> bool | None:
        """Whether a connection comes about: the packet arrives, and its answer. None: it goes to
        where it is not followed (a guest that routes).
        """
        for way in (self.there, self.back):
            if way.events and not way.arrived:
                return None if way.events[-1].what in ("forwarded", "delivered") else False
        return self.there.arrived


class _Entry(msgspec.Struct, frozen=True):
    """How a packet from outside comes in: on which external or provider network, to which MAC, address and L4 port.
    `host` alone takes it; without, the gateway host of a router does.
    """

    network: view.Network
    mac: str
    ip: str
    l4_port: int
    host: str = ""


def verdict(tx: Tx, question: Question) -> Verdict:
    """Raises QuestionError for a question that no packet can be sent for."""
    return _Walk(tx, question).verdict()


class _Walk:
    """One question: first the hosts it is about, then the packet."""

    def __init__(self, tx: Tx, question: Question) -> None:
        self._question = question
        self._wanted = question.wanted
        self._source = question.source if isinstance(question.source, things.Port) else None
        self._target = question.target if isinstance(question.target, things.Port) else None
        self._address = question.target if isinstance(question.target, str) else self._meant(tx)
        self._holder = self._held(tx)
        if self._holder is not None:
            self._target = self._holder.port
        routers = [self._holder.router_id] if self._holder and self._holder.router_id else []
        legs = [self._holder.leg_id] if self._holder and self._holder.leg_id else []
        self._known = known(tx, self._ends(), self._address, routers, legs)
        self._sites = Sites(places(tx, self._known), self._answers())

    def verdict(self) -> Verdict:
        for port in self._ends():
            if not port.binding_host:
                stopped = Event("", "binding", "dropped", "the port is bound to no host", "port", port.id)
                return self._told(Way((msgspec.structs.replace(stopped, near=port is self._source),)))
        return self._from_port(self._source) if self._source else self._from_outside()

    def _ends(self) -> list[things.Port]:
        return [port for port in (self._source, self._target) if port]

    def _held(self, tx: Tx) -> Holder | None:
        """Whose the address asked for is, on a network that the sender's host knows, or outside."""
        if not self._address:
            return None
        if self._source is None:
            return outside_holder(tx, self._address, self._wanted)
        subnets = known(tx, [self._source]).subnets(self._address)
        return holder(tx, [each.id for each in subnets], self._address, self._wanted)

    def _meant(self, tx: Tx) -> str:
        """The address of a port that is bound to no host: of a router's leg, or one that some guest said that it has,
        which gets what is sent there (docs/decisions/0041).
        """
        if self._source is None or self._target is None or self._target.binding_host:
            return ""
        if self._target.device_owner == ROUTER_INTERFACE:
            return _address_of(self._target, self._source)
        claimed = {each.ip for each in tx.select(things.VirtualAddress, {"port_id": self._target.id})}
        fixed = [each for each in self._target.fixed_ips if each.ip in claimed]
        return _address_of(msgspec.structs.replace(self._target, fixed_ips=tuple(fixed)), self._source) if fixed else ""

    def _answers(self) -> dict[tuple[str, str], str]:
        """Who answers ARP on external networks."""
        answers: dict[tuple[str, str], str] = {}
        external = {thing.id for thing in self._known.objects if isinstance(thing, view.Network) and thing.external}
        if self._address and self._source and self._holder is None:
            for subnet in self._known.subnets(self._address):
                answers |= {(subnet.network_id, self._address): OUTSIDE_MAC} if subnet.network_id in external else {}
        for thing in self._known.objects:
            if isinstance(thing, view.Router) and thing.gateway:
                gateway = thing.gateway
                for nexthop in filter(None, (gateway.nexthop, gateway.nexthop6)):
                    answers.setdefault((gateway.network_id, nexthop), OUTSIDE_MAC)
                for own in filter(None, (gateway.ip, gateway.ip6, *(each.address for each in thing.forwardings))):
                    answers[gateway.network_id, own] = gateway.mac
            elif isinstance(thing, view.FloatingIp):
                answers[thing.network_id, thing.address] = thing.mac
        return answers

    def _from_port(self, source: things.Port) -> Verdict:
        port = self._port(source)
        site = self._sites.sites[port.host]
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
        there, back = _parted(there, arrived=source.id in journey.delivered)
        return self._told(there, back or self._answer(journey, source), packet)

    def _answer(self, journey: Journey, source: things.Port) -> Way:
        """What the target sends back, through the connections that the first packet made."""
        if self._target is not None and self._target.id in journey.delivered:
            return self._answered(journey.delivered[self._target.id], self._target, arrives=source.id)
        if self._target is None and journey.left:
            left = journey.left[-1]
            mac = left.packet.fields["eth_src"].to_bytes(6, "big").hex(":")
            back = answering(left.packet, mac)
            return self._way(self._sites.from_wire(left.way.partition("/")[2], back), arrives=source.id)
        return Way(())

    def _answered(self, got: Packet, target: things.Port, arrives: str = "") -> Way:
        """By the port that got the packet, to another one or, without, to the outside."""
        port = self._port(target)
        try:
            back = answering(got, next_mac(self._sites.sites[port.host].world, port, packet_ip(got, "src")))
        except QuestionError as error:
            return Way((Event(port.host, "guest", "dropped", f"the answer: {error}", "port", port.id),))
        return self._way(self._sites.from_port(port, back), arrives, leaves=not arrives)

    def _from_outside(self) -> Verdict:
        target, source = self._target, str(self._question.source)
        if target is None and self._holder is None:
            raise QuestionError("one of the two must be a port, or an address on an external network")
        entry = next(self._entries(source), None)
        if entry is None:
            return self._told(Way((self._nobody(),)))
        attached = [self._sites.sites[entry.host]] if entry.host else list(self._sites.sites.values())
        if not any(entry.network.physnet in site.world.physnets for site in attached):
            words = "no host with that physical network and a tunnel address leads its router out"
            if entry.host:
                words = "the host is not attached to the physical network that the outside is on"
            stopped = Event(entry.host, "classify", "dropped", words, "network", entry.network.id, near=False)
            return self._told(Way((stopped,)))
        wanted = msgspec.structs.replace(self._wanted, l4_port=entry.l4_port)
        packet = opening(Ends(OUTSIDE_MAC, entry.mac, source, entry.ip), wanted)
        if entry.network.kind == "vlan":
            packet = packet.with_fields({"vlan_vid": 0x1000 | (entry.network.segment or 0)})
        journey = self._sites.from_wire(entry.network.physnet or "", packet)
        there = self._way(journey, leaves=target is None)
        back = Way(())
        if target is not None and there.arrived:
            back = self._answered(journey.delivered[target.id], target)
        takers = {leg.host for leg in journey.legs if leg.result.sent and leg.entry.startswith("provider/")}
        outside = self._beside(entry.network.physnet or "", takers)
        return msgspec.structs.replace(self._told(there, back, packet), outside=outside)

    def _beside(self, physnet: str, takers: Set[str]) -> tuple[str, str] | None:
        """Another gateway host that the physical network leads to the takers from."""
        gateways = (thing for thing in self._known.objects if isinstance(thing, view.Gateways) and thing.id == physnet)
        others = [each.host for thing in gateways for each in thing.hosts if each.host not in takers]
        return (others[0], f"provider/{physnet}") if others else None

    def _nobody(self) -> Event:
        if self._holder is not None and self._target is None:
            return Event("", "answer", "dropped", self._holder.words, self._holder.kind, self._holder.id, near=False)
        words = "the port has no floating IP, and no network that is reached from outside"
        target = self._target.id if self._target else ""
        return Event("", "floating_in", "dropped", words, "port", target, near=False)

    def _entries(self, source: str) -> Iterator[_Entry]:
        """The ways in from outside, the likeliest first; those to the address that was asked for, if one was."""
        every = self._port_entries(self._target, source) if self._target else iter(())
        yield from (each for each in every if self._address in ("", each.ip))
        holder = self._holder
        for thing in self._known.objects if holder and holder.router_id else ():
            if isinstance(thing, view.Router) and holder and thing.id == holder.router_id:
                gateway, network = thing.gateway, self._network(thing)
                if gateway and network:
                    yield _Entry(network, gateway.mac, self._address, self._wanted.l4_port)

    def _port_entries(self, target: things.Port, source: str) -> Iterator[_Entry]:
        world, port = self._sites.sites[target.binding_host].world, self._port(target)
        family, l4_port = (6 if ":" in source else 4), self._wanted.l4_port
        for id_ in world.found("floating_ip@port", target.id):
            floating = world.floating_ip(id_)
            network = world.network(floating.network_id) if floating else None
            if floating and network and family == 4:
                yield _Entry(network, floating.mac, floating.address, l4_port, port.host)
        own = world.network(port.network_id)
        ip, subnet_id = first_address(port, family)
        if own is not None and not own.tunnelled:
            subnet = world.subnet(subnet_id)
            if subnet and subnet.gateway_ip and found_mac(world, own.id, subnet.gateway_ip) is None:
                world.learn(own.id, subnet.gateway_ip, OUTSIDE_MAC)
            yield _Entry(own, port.mac, ip, l4_port, port.host)
        for router in map(world.router, world.found("router@network", port.network_id)):
            gateway, network = (router.gateway, self._network(router)) if router else (None, None)
            if router is None or gateway is None or network is None:
                continue
            for one in router.forwardings if family == 4 else ():
                if outer := self._forwarded(one, ip):
                    yield _Entry(network, gateway.mac, one.address, outer)
            legs = {leg.cidr for leg in router.interfaces if leg.subnet_id == subnet_id}
            if gateway.ip6 if family == 6 else not gateway.snat or legs & set(gateway.plain):
                yield _Entry(network, gateway.mac, ip, l4_port)

    def _forwarded(self, one: view.PortForwarding, ip: str) -> int:
        """The L4 port outside that leads to the one that was asked for; 0 if none does."""
        l4_port = self._wanted.l4_port
        if (L4[one.protocol], one.ip) != (self._wanted.protocol, ip):
            return 0
        if self._address:
            return l4_port if one.first <= l4_port <= one.last else 0
        return one.first + l4_port - one.inner_first if one.inner_first <= l4_port <= one.inner_last else 0

    def _network(self, router: view.Router) -> view.Network | None:
        """That it leaves to."""
        wanted = router.gateway.network_id if router.gateway else ""
        networks = (thing for thing in self._known.objects if isinstance(thing, view.Network))
        return next((network for network in networks if network.id == wanted), None)

    def _way(self, journey: Journey, arrives: str = "", *, leaves: bool = False) -> Way:
        every = [(leg, event) for leg in journey.legs for event in events(self._sites.sites[leg.host], leg)]
        told = tuple(event for leg, event in every if _matters(leg, event))
        wanted = arrives or (self._target.id if self._target else "")
        if leaves or not wanted:
            arrived = any(left.way.startswith("provider/") for left in journey.left)
            arrived = arrived or any(event.what == "answered" for event in told)
        else:
            arrived = wanted in journey.delivered
        if not arrived and not any(event.what in ("dropped", "answered") for event in told):
            told = tuple(event for _, event in every)
        return Way(told, journey.legs, arrived)

    def _told(self, there: Way, back: Way | None = None, packet: Packet | None = None) -> Verdict:
        project_id = self._holder.project_id if self._holder else ""
        return Verdict(there, back or Way(()), self._target, packet, project_id)

    def _port(self, port: things.Port) -> view.Port:
        site = self._sites.sites.get(port.binding_host)
        found = site.world.port(port.id) if site else None
        if found is None:
            raise QuestionError(f"port {port.id} is none that a guest is plugged into")
        return found


def _parted(way: Way, *, arrived: bool) -> tuple[Way, Way | None]:
    """The way there and the answer's, of a packet that a router on the way made its answer of."""
    turned = next((number for number, event in enumerate(way.events, 1) if event.what == "answered"), len(way.events))
    if turned == len(way.events):
        return way, None
    return Way(way.events[:turned], way.legs, way.arrived), Way(way.events[turned:], (), arrived)


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
