"""What the switch hands to the agent: DHCP requests of guests, ARP replies from outside, packets without a next hop."""

import asyncio
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.agent import dhcp
from suimon.agent.enforcer import Enforcer
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.packets import ETH_ARP
from suimon.dataplane.openflow.messages import PacketIn
from suimon.pipeline.flow import Output
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

log = structlog.get_logger()

_ARP_AT: Final = ETH_ARP.to_bytes(2, "big")


class Config(msgspec.Struct, frozen=True):
    lease_s: int = 86400


class Sender(Protocol):
    async def send(self, packet: PacketOut) -> None: ...


class Answers:
    """Takes packets one by one; the meters of stage answer and neighbour bound how many there are."""

    def __init__(self, config: Config, world: World, enforcer: Enforcer, outside: Outside) -> None:
        self._config = config
        self._world = world
        self._enforcer = enforcer
        self._outside = outside

    async def run(self, packets: "asyncio.Queue[PacketIn]", switch: Sender) -> Never:
        """Ends with what `switch` raises when it is lost."""
        while True:
            packet = await packets.get()
            if packet.stage == Stage.NEIGHBOUR:
                self._outside.missed(packet)
            elif packet.data[12:14] == _ARP_AT:
                self._enforcer.answered(packet)
            elif (reply := self.dhcp(packet)) is not None:
                await switch.send(reply)

    def dhcp(self, packet: PacketIn) -> PacketOut | None:
        """The answer to a guest's DHCP request, to the interface where it came from; None if none is due."""
        ofport = packet.fields.get("in_port", 0)
        port = self._world.port_by_ofport(ofport)
        network = self._world.network(port.network_id) if port else None
        if port is None or network is None:
            return None
        subnets = {fixed.subnet_id: self._world.subnet(fixed.subnet_id) for fixed in port.fixed_ips}
        served = dhcp.links(port, {name: each for name, each in subnets.items() if each}, network, self._config.lease_s)
        try:
            reply = dhcp.answer(packet.data, port.mac, served)
        except dhcp.DhcpError as error:
            log.info("dhcp_refused", port=port.id, reason=str(error))
            return None
        return None if reply is None else PacketOut((Output(ofport),), reply)
