"""Claims of virtual addresses: what guests say by ARP and neighbour advertisements about the single addresses of their
allowed address pairs, told to the controller (docs/decisions/0041).

The controller may not have it: another port claimed the address less than a second ago, or it is nobody's virtual
address. So a claim is told again some times until the view says that the port holds the address, then not for a while.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec

from suimon.agent.neighbours import discovered
from suimon.agent.packets import ETH_ARP, Arp, Ethernet, PacketError
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import AddressPair, Claim
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.world import World

_MOST: Final = 1000
"""Claims that are followed at a time; what comes beyond is heard when there is room again."""


class Config(msgspec.Struct, frozen=True):
    times: int = 4
    again_s: float = 0.4
    """Told so often, so far apart: the controller takes one change a second for each address."""
    quiet_s: float = 30.0
    """What the controller didn't have by then, isn't told again for so long."""


class Telling(Protocol):
    """Through which the controller is told (agent.reporter.Reporter)."""

    def claimed(self, claim: Claim) -> None: ...


class Claims:
    def __init__(self, config: Config, world: World, reporter: Telling) -> None:
        self._config = config
        self._world = world
        self._reporter = reporter
        self._told: dict[Claim, asyncio.TimerHandle] = {}

    def heard(self, packet: PacketIn) -> None:
        """Stage antispoof let it pass: the port may say so."""
        port_id = self._world.numbers.name("port", packet.fields.get(SOURCE, 0))
        try:
            claim = Claim(port_id or "", _pair(Ethernet.parse(packet.data)))
        except PacketError:
            return
        if claim not in self._told and len(self._told) < _MOST:
            self._tell(claim, self._config.times)

    def _tell(self, claim: Claim, times: int) -> None:
        """So often, and then it is forgotten."""
        self._told.pop(claim, None)
        port = self._world.port(claim.port_id)
        if port is None or claim.pair not in port.claimable or times < 0:
            return
        if times:
            self._reporter.claimed(claim)
        wait_s = self._config.again_s if times > 0 else self._config.quiet_s
        self._told[claim] = asyncio.get_running_loop().call_later(wait_s, self._tell, claim, times - 1)


def _pair(frame: Ethernet) -> AddressPair:
    """Raises PacketError."""
    said = Arp.parse(frame.payload) if frame.eth_type == ETH_ARP else discovered(frame)
    return AddressPair(said.sha, said.spa)
