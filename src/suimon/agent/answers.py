"""What the switch hands to the agent: what guests ask about their addresses (DHCP, router solicitations) and which
virtual ones they claim, ARP replies from outside, packets without a next hop, those that a router can't carry on, and
errors about what was rewritten.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.agent import dhcp, dhcp6
from suimon.agent.advertise import Advertiser
from suimon.agent.claims import Claims
from suimon.agent.complaints import complaint
from suimon.agent.enforcer import Enforcer
from suimon.agent.outside import PacketOut
from suimon.agent.packets import ETH_ARP, PacketError, tagged
from suimon.agent.packets6 import ETH_IPV6, IP_ICMPV6
from suimon.agent.probes import Probes
from suimon.agent.quotes import translated
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import Network, Port, Subnet
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Output
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

log = structlog.get_logger()

_ARP_AT: Final = ETH_ARP.to_bytes(2, "big")
_IPV6_AT: Final = ETH_IPV6.to_bytes(2, "big")
_ICMPV6: Final = bytes([IP_ICMPV6])
_ADVERTISEMENT: Final = bytes([136])
"""ICMPv6 type of a neighbour advertisement: the switch hands up those from outside only."""


class Config(msgspec.Struct, frozen=True):
    lease_s: int = 86400


class Sender(Protocol):
    async def send(self, packet: PacketOut) -> None: ...


class Answers:
    """Takes packets one by one; the meters of stage answer and neighbour bound how many there are."""

    def __init__(self, config: Config, enforcer: Enforcer, advertiser: Advertiser, claims: Claims) -> None:
        self._config = config
        self._world = enforcer.world
        self._enforcer = enforcer
        self._advertiser = advertiser
        self._claims = claims
        self.probes = Probes(enforcer.world, enforcer)

    async def run(self, packets: "asyncio.Queue[PacketIn]", switch: Sender) -> Never:
        """Ends with what `switch` raises when it is lost."""
        while True:
            for reply in self.take(await packets.get()):
                await switch.send(reply)

    def take(self, packet: PacketIn) -> list[PacketOut]:
        """What is to be sent at once; whatever the packet is, it ends nothing."""
        if packet.stage == Stage.NEIGHBOUR:
            self._enforcer.missed(packet)
        elif packet.stage == Stage.BLOCK_OUT:
            self._enforcer.arrived(packet)
        elif packet.stage == Stage.ANTISPOOF:
            self._claims.heard(packet)
        elif packet.stage == Stage.TUNNEL:
            self._enforcer.gateway_answered(packet)
        elif packet.stage in (Stage.DELIVER, Stage.REMOTE):
            return self.probes.caught(packet)
        elif packet.stage == Stage.FIT:
            return self._told(complaint, packet)
        elif packet.stage in (Stage.FLOATING_IN, Stage.LOCAL_BACK, Stage.FLOATING_OUT):
            return self._told(translated, packet)
        elif packet.data[12:14] == _ARP_AT or _advertises(packet.data):
            self._enforcer.answered(packet)
        else:
            return self._to_guest(packet)
        return []

    def _to_guest(self, packet: PacketIn) -> list[PacketOut]:
        """The answers to what a guest asks about its addresses, to the interface where it came from."""
        port = self._asking(packet)
        if port is None:
            return []
        if packet.data[12:14] != _IPV6_AT:
            frames = self._dhcp(packet.data, port)
        elif packet.data[20:21] == _ICMPV6:
            frames = self._advertiser.solicited(packet.data, port)
        else:
            frames = self._dhcp6(packet.data, port)
        output = (Output(packet.fields["in_port"]),)
        return [PacketOut(output, tagged(frame, port.vlan)) for frame in frames]

    def _told(self, tell: Callable[[World, PacketIn], PacketOut | None], packet: PacketIn) -> list[PacketOut]:
        """Why a packet is not carried on: by a router of ours to its sender, or by others, in the guest's terms."""
        try:
            told = tell(self._world, packet)
        except PacketError as error:
            log.debug("complaint_refused", reason=str(error))
            return []
        return [told] if told else []

    def _asking(self, packet: PacketIn) -> Port | None:
        """Whose packet it is: a trunk's subports share its interface, and br-int says which of them it was."""
        plugged = self._world.port_by_ofport(packet.fields.get("in_port", 0))
        if plugged is None:
            return None
        names = (plugged.id, *self._world.found("port@parent", plugged.id))
        number = packet.fields.get(SOURCE)
        return next((self._world.port(name) for name in names if self._world.number("port", name) == number), None)

    def _dhcp(self, frame: bytes, port: Port) -> list[bytes]:
        network = self._world.network(port.network_id)
        if network is None:
            return []
        served = dhcp.links(port, self._subnets(port), network, self._config.lease_s, self._routed(network))
        try:
            reply = dhcp.answer(frame, port.mac, served)
        except dhcp.DhcpError as error:
            log.debug("dhcp_refused", port=port.id, reason=str(error))
            return []
        return [reply] if reply else []

    def _dhcp6(self, frame: bytes, port: Port) -> list[bytes]:
        network = self._world.network(port.network_id)
        if network is None:
            return []
        served = dhcp6.service(port, self._subnets(port), network, self._config.lease_s)
        try:
            reply = dhcp6.answer(frame, port.mac, served)
        except dhcp6.Dhcp6Error as error:
            log.debug("dhcp6_refused", port=port.id, reason=str(error))
            return []
        return [reply] if reply else []

    def _subnets(self, port: Port) -> dict[str, Subnet]:
        found = (self._world.subnet(fixed.subnet_id) for fixed in port.fixed_ips)
        return {subnet.id: subnet for subnet in found if subnet}

    def _routed(self, network: Network) -> set[str]:
        """The addresses that routers of ours have on a network."""
        routers = map(self._world.router, self._world.found("router@network", network.id))
        legs = [leg for router in routers if router and router.up for leg in router.interfaces]
        return {leg.ip for leg in legs if leg.network_id == network.id}


def _advertises(frame: bytes) -> bool:
    return (frame[12:14], frame[20:21], frame[54:55]) == (_IPV6_AT, _ICMPV6, _ADVERTISEMENT)
