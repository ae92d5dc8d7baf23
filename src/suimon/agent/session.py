"""One life of the connections to Open vSwitch: database and bridges, from connecting until one of them is lost.

Whatever ends it, the next one observes everything again; the switch forwards meanwhile.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final, Never

import msgspec
import structlog

from suimon import reconcile
from suimon.agent.answers import Answers
from suimon.agent.enforcer import Enforcer
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.reporter import Reporter
from suimon.dataplane.layout import TUNNEL, Layout, Provider
from suimon.dataplane.openflow.connection import Config as OpenFlowConfig
from suimon.dataplane.openflow.connection import Connection
from suimon.dataplane.openflow.errors import Refused
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, BridgeTarget, bridge_entries
from suimon.dataplane.shaping import ShapingTarget
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Plugged, Switch
from suimon.model.owner import Owner
from suimon.pipeline import provider
from suimon.reconcile import Reconciler

log = structlog.get_logger()

_COUNTERS_EVERY_S: Final = 10.0


class Config(msgspec.Struct, frozen=True):
    switch: SwitchConfig = SwitchConfig()
    openflow: OpenFlowConfig = OpenFlowConfig()
    layout: Layout = Layout()


class Parts(msgspec.Struct, frozen=True):
    """The parts of the agent that work with a session and outlive it."""

    enforcer: Enforcer
    answers: Answers
    outside: Outside
    reporter: Reporter


class Session:
    """`run()` ends with an exception group of what was lost. Also `agent.enforcer.Switch` to the enforcer."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._switch = Switch(config.switch)
        self._connection = Connection(config.openflow, config.switch.management(config.layout.integration))
        self._providers = {each: self._provider(each) for each in config.layout.providers}
        self.bridge = BridgeTarget(self._connection)
        self.shapes = ShapingTarget(self._switch)

    async def run(self) -> Never:
        parts = self._parts
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._switch.run())
            await self._switch.ensure(self._config.layout)
            tasks.create_task(self._connection.run())
            for connection, reconciler in self._providers.values():
                tasks.create_task(connection.run())
                tasks.create_task(reconciler.run())
            await self._connection.dump_meters()  # Not worth compiling for a switch that doesn't answer.
            await self._take_wiring()
            log.info("switch_connected", plugged=len(self._switch.plugged))
            tasks.create_task(self._follow_wiring())
            tasks.create_task(parts.enforcer.run(self, random.random))
            tasks.create_task(parts.answers.run(self._connection.packets, self))
            tasks.create_task(parts.outside.run(self.send))
            tasks.create_task(self._count())
        raise AssertionError("a session never ends without an exception")

    async def send(self, packet: PacketOut) -> None:
        await self._connection.packet_out(packet.actions, packet.data, packet.fields)

    async def flush_zone(self, zone: int) -> None:
        """Forget the connections of a port that is gone; without it they only take room until they time out."""
        try:
            await self._connection.flush_zone(zone)
        except (OSError, Refused) as error:
            log.warning("zone_not_flushed", zone=zone, reason=str(error))

    async def _follow_wiring(self) -> Never:
        while True:
            seen = await self._switch.changed()
            self._plug(seen.plugged)
            if seen.links:
                self._wire()

    async def _take_wiring(self) -> None:
        """All that is plugged now, before the first flow is compiled; what went away since the last session, too."""
        gone = self._parts.enforcer.world.ofports.keys() - self._switch.plugged.keys()
        self._plug({**self._switch.plugged, **dict.fromkeys(gone)})
        self._wire()

    def _plug(self, changed: Mapping[str, Plugged | None]) -> None:
        enforcer = self._parts.enforcer
        for port_id, plugged in changed.items():
            ofport, error = (plugged.ofport, plugged.error) if plugged else (None, "")
            if error or enforcer.world.ofports.get(port_id) != ofport:
                name, why = plugged.interface if plugged else None, {"error": error} if error else {}
                log.info("interface_changed", port=port_id, interface=name, ofport=ofport, **why)
            enforcer.plug(port_id, ofport, error)

    def _wire(self) -> None:
        """Tunnel and provider networks on br-int, and the wire through each provider bridge."""
        ofports = {name: link.ofport for name, link in self._switch.links.items() if link.ofport is not None}
        for name, link in self._switch.links.items():
            if link.error:
                log.error("link_failed", interface=name, reason=link.error)
        physnets = {}
        for each, (_, reconciler) in self._providers.items():
            inner, outer, uplink = (ofports.get(name) for name in _wires(each))
            if inner is not None:
                physnets[each.physnet] = inner
            flows = () if uplink is None or outer is None else provider.flows(each.physnet, uplink, outer)
            reconciler.want(Owner("bridge", each.bridge), bridge_entries(flows))
        self._parts.enforcer.wire(ofports.get(TUNNEL), physnets)

    def _provider(self, each: Provider) -> tuple[Connection, Reconciler[Owner, BridgeKey, BridgeEntry]]:
        connection = Connection(self._config.openflow, self._config.switch.management(each.bridge))
        return connection, Reconciler(reconcile.Config(), BridgeTarget(connection), random.random)

    async def _count(self) -> Never:
        while True:
            await asyncio.sleep(_COUNTERS_EVERY_S)
            ports = self._parts.enforcer.world.port
            self._parts.reporter.counters(tuple(each for each in self._switch.counters() if ports(each.port_id)))


def _wires(each: Provider) -> tuple[str, str, str]:
    """Names of the patch port's two ends, br-int's first, and of the uplink."""
    return f"int-{each.physnet}", f"phy-{each.physnet}", each.uplink or ""
