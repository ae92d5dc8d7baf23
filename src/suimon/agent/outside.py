"""The agent on external networks: speaks for the floating IPs of this host (ARP), and learns their next hops.

Frames leave by packet-out to the provider's patch port, where br-int's own flows are passed by: they carry the
VLAN tag themselves. What comes in was untagged and placed on its network by br-int.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final, Never

import msgspec
import structlog

from suimon.agent.memory import Memory
from suimon.agent.neighbours import Config, Hop, Neighbours, Outgoing, Source, announcement
from suimon.agent.packets import Arp, Ethernet, PacketError
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import FloatingIp
from suimon.pipeline.fields import NET, NEXTHOP
from suimon.pipeline.flow import Actions, Match, Output, Resubmit, match
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


class Outside:
    """Neighbours of this host's floating IPs, in terms of the world. `clock` gives seconds that only go forward."""

    def __init__(self, config: Config, memory: Memory, world: World, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._world = world
        self._clock = clock
        known = memory.load_neighbours()
        self._neighbours = Neighbours(config, known)
        self._announced: set[Source] = set()
        self._ready: list[PacketOut] = []
        self._asked = asyncio.Event()
        for (network_id, ip), mac in known.items():
            world.learn(network_id, ip, mac)

    def prepare(self) -> None:
        """Before a round: which next hops are needed now, and which networks nobody here is on any more."""
        hops: dict[Hop, Source] = {}
        sources: dict[str, Source] = {}
        networks: set[str] = set()
        announced = set()
        for floating in self._floating_ips():
            networks.add(floating.network_id)
            source = self._source(floating)
            if source is None:
                continue
            sources.setdefault(floating.network_id, source)
            if source not in self._announced:
                self._ready.append(_sent(announcement(source)))
            announced.add(source)
            router = self._world.router(floating.router_id)
            if router and router.gateway and router.gateway.nexthop and ":" not in router.gateway.nexthop:
                hops.setdefault((router.gateway.network_id, router.gateway.nexthop), source)
        self._announced = announced
        for network_id, ip in self._neighbours.need(hops, sources, networks, self._clock()):
            self._world.learn(network_id, ip, None)
        self._memory.write_neighbours(self._neighbours.known)

    def take_ready(self) -> list[PacketOut]:
        """After a round: what waited for its flows. Each is given once.

        New questions are asked from now on: before, the flow that brings the answers here was not in.
        """
        self._asked.set()
        ready, self._ready = self._ready, []
        return ready

    async def run(self, send: Callable[[PacketOut], Awaitable[None]]) -> Never:
        """Ask what is due, when it is; ends with what `send` raises."""
        while True:
            self._asked.clear()
            for outgoing in self._neighbours.due(self._clock()):
                await send(_sent(outgoing))
            due = self._neighbours.next_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._asked.wait()

    def missed(self, packet: PacketIn) -> None:
        """A packet reached stage neighbour and nobody knows its next hop."""
        network_id = self._world.numbers.name("network", packet.fields.get(NET, 0))
        source = self._sender(packet)
        if network_id and source and packet.fields.get(NEXTHOP):
            hop = (network_id, str(IPv4Address(packet.fields[NEXTHOP])))
            self._neighbours.missed(hop, source, packet, self._clock())
            self._asked.set()

    def answered(self, packet: PacketIn) -> bool:
        """An ARP reply came from outside. True if it changes what the world knows."""
        try:
            reply = Arp.parse(Ethernet.parse(packet.data).payload)
        except PacketError as error:
            log.info("arp_refused", reason=str(error))
            return False
        network_id = self._world.numbers.name("network", packet.fields.get(NET, 0))
        learned = self._neighbours.answered(network_id or "", reply, packet.fields.get("in_port", 0), self._clock())
        if learned is None:
            log.info("arp_unasked", ip=reply.spa, mac=reply.sha)
            return False
        self._ready += map(_resumed, learned.packets)
        if learned.news:
            log.info("neighbour_learned", network=learned.hop[0], ip=learned.hop[1], mac=learned.mac)
            self._world.learn(*learned.hop, learned.mac)
        return learned.news or bool(learned.packets)

    def _floating_ips(self) -> Iterator[FloatingIp]:
        return (thing for thing in self._world.objects.values() if isinstance(thing, FloatingIp))

    def _source(self, floating: FloatingIp) -> Source | None:
        """None while its network has no interface on this host."""
        network = self._world.network(floating.network_id)
        ofport = self._world.physnets.get(network.physnet or "") if network else None
        if network is None or ofport is None:
            return None
        return Source(floating.address, floating.mac, ofport, network.segment if network.kind == "vlan" else None)

    def _sender(self, packet: PacketIn) -> Source | None:
        """The floating IP that a packet leaves by: stage floating_out has already written it into the packet."""
        try:
            mac = Ethernet.parse(packet.data).src
        except PacketError:
            return None
        floating = next((each for each in self._floating_ips() if each.mac.lower() == mac), None)
        return self._source(floating) if floating else None


def _sent(outgoing: Outgoing) -> PacketOut:
    return PacketOut((Output(outgoing.ofport),), outgoing.frame)


def _resumed(packet: PacketIn) -> PacketOut:
    """A packet that waited goes on where it was held up, with all that its registers said."""
    return PacketOut((Resubmit(Stage.NEIGHBOUR),), packet.data, match(packet.fields))
