"""The agent on external networks: speaks for the floating IPs of this host and for the routers that it leads out (ARP),
and learns their next hops.

Frames leave by packet-out to the provider's patch port, where br-int's own flows are passed by: they carry the
VLAN tag themselves. What comes in was untagged and placed on its network by br-int.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Never

import msgspec
import structlog

from suimon.agent.announcements import Announcements
from suimon.agent.announcements import Config as AnnouncementsConfig
from suimon.agent.memory import Memory
from suimon.agent.neighbours import Config, Hop, Neighbours, Outgoing, Source, discovered, link
from suimon.agent.packets import Arp, Ethernet, PacketError
from suimon.agent.packets6 import ETH_IPV6
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import FloatingIp, Network, Port
from suimon.pipeline.fields import NET, NEXTHOP, NEXTHOP6, registers
from suimon.pipeline.flow import Actions, Match, Output, Resubmit, match
from suimon.pipeline.gateway import active, addresses
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

log = structlog.get_logger()

FROM_AGENT: Final = match({"in_port": 0xFFFFFFFD})
"""OFPP_CONTROLLER: a packet-out that continues no packet of anybody."""


class PacketOut(msgspec.Struct, frozen=True):
    """A packet for the switch, as if it had come with `fields`, and what to do with it."""

    actions: Actions
    data: bytes
    fields: Match = FROM_AGENT


def resumed(packet: PacketIn, stage: Stage) -> PacketOut:
    """A packet goes on where it was held up, with all that its registers said. What the connection tracker said, and
    the eth_type that comes with it, the switch takes from nobody: it would refuse the message
    (OFPBRC_PIPELINE_FIELDS_ONLY).
    """
    kept = {name: value for name, value in packet.fields.items() if not name.startswith(("ct_", "eth_"))}
    return PacketOut((Resubmit(stage),), packet.data, match(kept))


class _Speaker(msgspec.Struct, frozen=True):
    """An address on an external network that this host answers for."""

    network_id: str
    address: str
    mac: str
    router_id: str
    routes: bool = False
    """It is the router's own address."""
    announced: bool = True
    """Not yet that of a guest who has come, but whose port is still another host's; nor a router's that another host
    may have taken over.
    """


class Outside:
    """Neighbours of this host's floating IPs, in terms of the world. `clock` gives seconds that only go forward."""

    def __init__(self, config: Config, memory: Memory, world: World, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._world = world
        self._clock = clock
        known = memory.load_neighbours()
        self._neighbours = Neighbours(config, known)
        self._announcements = Announcements(AnnouncementsConfig())
        self.told = False
        """Whether this host would know that others lead its routers out now (`gateways.Liveness.told`)."""
        self._spoken_for: set[Source] = set()
        self._ready: list[PacketOut] = []
        self._asked = asyncio.Event()
        for (network_id, ip), mac in known.items():
            world.learn(network_id, ip, mac)

    def prepare(self) -> None:
        """Before a round: which next hops are needed now, and which networks nobody here is on any more."""
        hops: dict[Hop, Source] = {}
        sources: dict[str, Source] = {}
        networks: set[str] = set()
        spoken_for = set(self._guests())
        for speaker in self._speakers():
            networks.add(speaker.network_id)
            source = self._source(speaker)
            if source is None:
                continue
            sources.setdefault(link((speaker.network_id, speaker.address)), source)
            if speaker.announced:
                spoken_for.add(source)
            router = self._world.router(speaker.router_id)
            gateway = router.gateway if router else None
            nexthop = (gateway.nexthop6 if ":" in source.ip else gateway.nexthop) if gateway else None
            if gateway and nexthop and (":" in nexthop) == (":" in source.ip):
                hops.setdefault((gateway.network_id, nexthop), source)
        self._spoken_for = spoken_for
        for network_id, ip in self._neighbours.need(hops, sources, networks, self._clock()):
            self._world.learn(network_id, ip, None)
        self._memory.write_neighbours(self._neighbours.known)

    def announce_again(self) -> None:
        """Another host may have drawn traffic to it for addresses that are this host's."""
        self._announcements.begin_again(self._clock())
        self._asked.set()

    def take_ready(self) -> list[PacketOut]:
        """After a round: what waited for its flows. Each is given once.

        New questions are asked and what is new here is announced from now on: before, the flows that bring here what
        follows were not in.
        """
        self._announcements.speak_for(self._spoken_for, self._clock())
        if self._next_due() is not None:
            self._asked.set()
        ready, self._ready = self._ready, []
        return ready

    async def run(self, send: Callable[[PacketOut], Awaitable[None]]) -> Never:
        """Announce and ask what is due, when it is; ends with what `send` raises."""
        while True:
            self._asked.clear()
            for part in (self._announcements, self._neighbours):
                for outgoing in part.due(self._clock()):
                    await send(_sent(outgoing))
            due = self._next_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._asked.wait()

    def _next_due(self) -> float | None:
        times = (self._announcements.next_due(), self._neighbours.next_due())
        return min((each for each in times if each is not None), default=None)

    def missed(self, packet: PacketIn) -> bool:
        """A packet reached stage neighbour and nobody knew its next hop. True if it is known by now."""
        network_id = self._world.numbers.name("network", packet.fields.get(NET, 0))
        source = self._sender(packet)
        if network_id and source and (ip := _nexthop(packet)):
            hop = (network_id, ip)
            if self._neighbours.missed(hop, source, packet, self._clock()):
                self._ready.append(resumed(packet, Stage.NEIGHBOUR))
                return True
            self._asked.set()
        return False

    def answered(self, packet: PacketIn) -> bool:
        """An ARP reply or a neighbour advertisement came from outside. True if it changes what the world knows."""
        try:
            frame = Ethernet.parse(packet.data)
            reply = discovered(frame) if frame.eth_type == ETH_IPV6 else Arp.parse(frame.payload)
        except PacketError as error:
            log.debug("arp_refused", reason=str(error))
            return False
        network_id = self._world.numbers.name("network", packet.fields.get(NET, 0))
        learned = self._neighbours.answered(network_id or "", reply, packet.fields.get("in_port", 0), self._clock())
        if learned is None:
            log.debug("arp_unasked", ip=reply.spa, mac=reply.sha)
            return False
        self._ready += (resumed(packet, Stage.NEIGHBOUR) for packet in learned.packets)
        if learned.news:
            log.info("neighbour_learned", network=learned.hop[0], ip=learned.hop[1], mac=learned.mac)
            self._world.learn(*learned.hop, learned.mac)
        return learned.news or bool(learned.packets)

    def _floating_ips(self) -> Iterator[tuple[FloatingIp, Port]]:
        """Those of guests who are here, with the port behind.

        By their index: looking through the whole view for them would make each round grow with the cloud.
        """
        world = self._world
        for router_id in world.keys("floating_ip@router"):
            for name in world.found("floating_ip@router", router_id):
                floating = world.floating_ip(name)
                port = world.port(floating.port_id) if floating else None
                if floating and port and world.listens(port):
                    yield floating, port

    def _speakers(self) -> Iterator[_Speaker]:
        """The floating IPs of this host's guests, and the addresses of those routers that it leads out now."""
        for each, port in self._floating_ips():
            yield _Speaker(each.network_id, each.address, each.mac, each.router_id, announced=port.active)
        world = self._world
        for network_id in world.keys("router@gateway"):
            for router in map(world.router, world.found("router@gateway", network_id)):
                chosen = active(world, router) if router else None
                if router and router.gateway and chosen and chosen.host == world.host:
                    gateway = router.gateway
                    six = [gateway.ip6, *(router.proxied or ())] if gateway.ip6 else []
                    for address in [*addresses(router), *six]:
                        own = address == gateway.ip6
                        yield _Speaker(network_id, address, gateway.mac, router.id, own, announced=self.told)

    def _guests(self) -> Iterator[Source]:
        """The addresses of guests that are here and on provider networks themselves."""
        world = self._world
        for network in map(world.network, world.keys("port@network")):
            place = self._place(network) if network and network.up else None
            for port in map(world.port, world.found("port@network", network.id)) if place and network else ():
                if port and port.up and world.found_here(port.id):
                    yield from (Source(fixed.ip, port.mac, *place) for fixed in port.fixed_ips if place)

    def _source(self, speaker: _Speaker) -> Source | None:
        """None while its network has no interface on this host."""
        place = self._place(self._world.network(speaker.network_id))
        return Source(speaker.address, speaker.mac, *place, router=speaker.routes) if place else None

    def _place(self, network: Network | None) -> tuple[int, int | None] | None:
        """Where what is said on a provider network leaves: the interface, and under which tag."""
        ofport = self._world.physnets.get(network.physnet or "") if network else None
        if network is None or ofport is None:
            return None
        return ofport, network.segment if network.kind == "vlan" else None

    def _sender(self, packet: PacketIn) -> Source | None:
        """The address that a packet leaves by: stage floating_out or leave has written its MAC into the packet."""
        try:
            frame = Ethernet.parse(packet.data)
        except PacketError:
            return None
        speakers = (each for each in self._speakers() if (":" in each.address) == (frame.eth_type == ETH_IPV6))
        speaker = next((each for each in speakers if each.mac.lower() == frame.src), None)
        return self._source(speaker) if speaker else None


def _nexthop(packet: PacketIn) -> str | None:
    if packet.fields.get(NEXTHOP):
        return str(IPv4Address(packet.fields[NEXTHOP]))
    parts = [packet.fields.get(part, 0).to_bytes(4, "big") for part in registers(NEXTHOP6)]
    return str(IPv6Address(b"".join(parts))) if any(map(any, parts)) else None


def _sent(outgoing: Outgoing) -> PacketOut:
    return PacketOut((Output(outgoing.ofport),), outgoing.frame)
