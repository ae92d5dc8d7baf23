"""One life of the connections to Open vSwitch: database and bridges, from connecting until one of them is lost.

Whatever ends it, the next one observes everything again; the switch forwards meanwhile.
"""

import asyncio
import random
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Final, Never

import msgspec
import structlog

from suimon import reconcile
from suimon.agent.advertise import Advertiser
from suimon.agent.answers import Answers
from suimon.agent.checks import Checks
from suimon.agent.ending import apart
from suimon.agent.enforcer import Enforcer, drift_told
from suimon.agent.inquiries import Inquiries
from suimon.agent.looks import Counters
from suimon.agent.meter import Meter
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.reporter import Reporter
from suimon.agent.services.services import Services
from suimon.dataplane.devices import Devices
from suimon.dataplane.exports import Export, obstacle
from suimon.dataplane.layout import SERVICES, TUNNELS, Layout, Provider
from suimon.dataplane.nat import DEVICES, Namespaces
from suimon.dataplane.nat import Config as NatConfig
from suimon.dataplane.openflow.connection import Config as OpenFlowConfig
from suimon.dataplane.openflow.connection import Connection
from suimon.dataplane.openflow.errors import Refused
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, BridgeTarget, bridge_entries
from suimon.dataplane.orphans import Orphan, foreign_ports, orphans
from suimon.dataplane.shaping import ShapingTarget
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Plugged, Switch
from suimon.dataplane.zones import Config as ZonesConfig
from suimon.dataplane.zones import ZoneLimits
from suimon.model.owner import Owner
from suimon.model.view import Drift, Exported
from suimon.pipeline import provider
from suimon.reconcile import Failure, Reconciler

log = structlog.get_logger()

_DOWN: Final = "its link is down"
_NAMESPACES_RETRY_S: Final = 1.0
_NAMESPACES_LAST_RETRY_S: Final = 60.0


class Config(msgspec.Struct, frozen=True):
    switch: SwitchConfig = SwitchConfig()
    openflow: OpenFlowConfig = OpenFlowConfig()
    layout: Layout = Layout()
    nat: NatConfig = NatConfig()
    zones: ZonesConfig = ZonesConfig()


class Parts(msgspec.Struct, frozen=True):
    """The parts of the agent that work with a session and outlive it."""

    enforcer: Enforcer
    answers: Answers
    outside: Outside
    reporter: Reporter
    checks: Checks
    advertiser: Advertiser
    meter: Meter
    devices: Devices
    services: Services | None = None
    inquiries: Inquiries | None = None


class Session:
    """`run()` ends with an exception group of what was lost. Also `agent.enforcer.Switch` to the enforcer."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._switch = Switch(config.switch)
        self._connection = Connection(config.openflow, config.switch.management(config.layout.integration))
        self._layout = config.layout
        self._targets: dict[str, BridgeTarget] = {}
        """By bridge."""
        self._providers = {each: self._provider(each) for each in config.layout.providers}
        self.bridge = self._targets[config.layout.integration] = BridgeTarget(self._connection)
        self.shapes = ShapingTarget(self._switch)
        numbers = parts.enforcer.world.numbers
        self.zones = ZoneLimits(config.zones, self._datapath, numbers.zones)
        self._namespaces: Namespaces | None = None

    def _datapath(self) -> str:
        return self._switch.datapath_of(self._config.layout.integration)

    async def run(self) -> Never:
        try:
            await self._run()
        finally:
            self.zones.close()

    async def _run(self) -> Never:
        parts = self._parts
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._switch.run())
            await self._switch.ensure(self._with_tunnels())
            tasks.create_task(self._connection.run())
            for connection, reconciler in self._providers.values():
                tasks.create_task(connection.run())
                tasks.create_task(reconciler.run())
            await self._connection.dump_meters()  # Not worth compiling for a switch that doesn't answer.
            self._tell_obstacle()
            self._take_wiring()
            log.info("switch_connected", plugged=len(self._switch.plugged))
            tasks.create_task(self._follow_wiring())
            tasks.create_task(parts.enforcer.run(self, random.random))
            tasks.create_task(parts.answers.run(self._connection.packets, self))
            tasks.create_task(parts.outside.run(self.send))
            tasks.create_task(parts.advertiser.run(parts.enforcer.links_changed, self.send))
            tasks.create_task(parts.enforcer.gateways.run(self, parts.enforcer))
            tasks.create_task(self._keep_namespaces())
            tasks.create_task(parts.meter.run(self._connection, lambda: self._switch.plugged))
            tasks.create_task(parts.checks.run(self))
            if parts.inquiries is not None:
                counters = Counters(self._connection, self.zones, lambda: self._switch.plugged)
                tasks.create_task(parts.inquiries.run(counters, self.send))
            if parts.services is not None:
                tasks.create_task(self._follow_services(parts.services))
        raise AssertionError("a session never ends without an exception")

    async def send(self, packet: PacketOut) -> None:
        await self._connection.packet_out(packet.actions, packet.data, packet.fields)

    async def packets_from(self, vtep: str) -> int | None:
        """As flows that let them in have counted them: half a second late, when the switch looks at its caches."""
        counted = await self._connection.packets_of(Owner("vtep", vtep).cookie)
        return sum(counted.values()) if counted else None

    async def repair(self) -> list[Drift]:
        """Interfaces and namespaces, then flows: those of br-int, and those of the provider bridges."""
        drifts = await self._repair_layout()
        drifts += await self._repair_namespaces()
        drifts += await self._parts.enforcer.repair()
        for each, (_, reconciler) in self._providers.items():
            found = await reconciler.check()
            if found:
                async with asyncio.timeout(self._config.switch.timeout_s):
                    await reconciler.settled()
            name = f"{each.bridge}: " if found else ""
            for drift in found:
                failure = reconciler.failures.get(drift.owner)
                told = drift_told(drift, failure.reason if failure else "")
                drifts.append(msgspec.structs.replace(told, example=name + told.example))
        return drifts

    def refused(self) -> set[str]:
        providers = (owner for _, reconciler in self._providers.values() for owner in reconciler.failures)
        return {str(owner or "") for owner in (*self._parts.enforcer.refused(), *providers)}

    def foreign(self) -> str:
        found = []
        for name, target in self._targets.items():
            bridge = self._switch.mirror.bridge(name)
            ports = foreign_ports(self._layout, bridge, self._switch.mirror) if bridge else []
            told = [target.foreign, f"{len(ports)} ports, one {ports[0]}" if ports else ""]
            found += [f"{name}: {', '.join(filter(None, told))}"] if any(told) else []
        return "; ".join(sorted(found))

    def orphans(self) -> list[Orphan]:
        """None before there is a view: everything would be one."""
        if self._parts.enforcer.position is None:
            return []
        objects = self._parts.enforcer.world.objects
        layout, mirror = self._with_tunnels(), self._switch.mirror
        return list(orphans(layout, mirror, lambda owner: tuple(owner.split("/", 1)) in objects))

    async def remove(self, orphans: Sequence[Orphan]) -> None:
        await self._switch.transact([orphan.removal for orphan in orphans])

    async def read_last(self, port_ids: Collection[str]) -> None:
        await self._parts.meter.read_last(self._connection, port_ids)

    async def open_tunnels(self) -> None:
        """Make the tunnels of those kinds that the view's networks are of, where there are none yet."""
        if not set(self._layout.tunnels).issuperset(self._parts.enforcer.world.keys("tunnel")):
            layout = self._with_tunnels()
            await self._switch.ensure(layout)
            self._layout = layout
            self._wire()

    async def flush_zone(self, zone: int) -> bool:
        """Forget the connections of a port that is gone; until then they only take room."""
        try:
            await self._connection.flush_zone(zone)
        except (OSError, Refused) as error:
            log.warning("zone_not_flushed", zone=zone, reason=str(error))
            return False
        return True

    async def _repair_layout(self) -> list[Drift]:
        self._tell_obstacle()
        layout = self._with_tunnels()
        wrong = await self._switch.repair(layout)
        return [Drift(f"bridge/{layout.integration}", changed=len(wrong), example=wrong[0])] if wrong else []

    def _tell_obstacle(self) -> None:
        """Nobody's traffic suffers when nothing is exported: it is told, and that is all."""
        name = self._layout.integration
        why = obstacle(name, self._layout.export, self._switch.mirror)
        self._parts.enforcer.note_unmade("export", {Owner("export", name): Failure(why)} if why else {})

    async def _repair_namespaces(self) -> list[Drift]:
        """Of routers and services. A namespace that can't be looked into is no reason to end the session."""
        drifts = []
        services = self._parts.services
        try:
            if self._namespaces is not None:
                for each, reason in await self._namespaces.check():
                    told, name = drift_told(each, reason), f"{self._config.nat.prefix}{each.example}"
                    drifts.append(msgspec.structs.replace(told, example=f"namespace {name}"))
            if services is not None and (harm := await services.harm()):
                drifts.append(Drift("namespace/services", changed=1, example=harm))
        except OSError as error:
            log.warning("namespaces_not_checked", reason=str(error))
        return drifts

    async def _follow_wiring(self) -> Never:
        while True:
            seen = await self._switch.changed()
            self._plug(seen.plugged, time.monotonic())
            if seen.links:
                self._wire()

    async def _follow_services(self, services: Services) -> Never:
        """A veth to them that was made anew is taken up; one that was adopted is known already."""
        while True:
            await services.built.wait()
            await self._switch.reopen(SERVICES, self._with_tunnels())
            await services.taken_up()

    def _take_wiring(self) -> None:
        """All that is plugged now, before the first flow is compiled; what went away since the last session, too."""
        gone = self._parts.enforcer.world.interfaces.keys() - self._switch.plugged.keys()
        self._plug({**self._switch.plugged, **dict.fromkeys(gone)}, since_s=0.0)
        self._wire()

    def _plug(self, changed: Mapping[str, Plugged | None], since_s: float) -> None:
        enforcer = self._parts.enforcer
        for port_id, plugged in changed.items():
            ofport, error = (plugged.ofport, plugged.error) if plugged else (None, "")
            exported = exported_as(plugged, self._layout.export) if plugged else Exported()
            if error or enforcer.world.interfaces.get(port_id) != ofport:
                name, why = plugged.interface if plugged else None, {"error": error} if error else {}
                log.info("interface_changed", port=port_id, interface=name, ofport=ofport, **why)
            self._parts.meter.plugged(port_id, plugged, since_s)
            enforcer.plug(port_id, ofport, error, exported)

    def _wire(self) -> None:
        """Tunnel and provider networks on br-int, and the wire through each provider bridge."""
        ofports = {name: link.ofport for name, link in self._switch.links.items() if link.ofport is not None}
        uplinks = {each.uplink for each in self._providers}
        down = {name: _DOWN for name, link in self._switch.links.items() if link.down and name in uplinks}
        failed = down | {name: link.error for name, link in self._switch.links.items() if link.error}
        for name, reason in failed.items():
            log.error("link_failed", interface=name, reason=reason)
        # That one is made a moment after its port, when the host is new; what is wrong with it, services tell.
        failed.pop(SERVICES, None)
        unmade = {Owner("interface", name): Failure(reason) for name, reason in failed.items()}
        self._parts.enforcer.note_unmade("links", unmade)
        physnets = {}
        for each, (_, reconciler) in self._providers.items():
            inner, outer, uplink = (ofports.get(name) for name in _wires(each))
            if inner is not None:
                physnets[each.physnet] = inner
            flows = () if uplink is None or outer is None else provider.flows(each.physnet, uplink, outer)
            reconciler.want(Owner("bridge", each.bridge), bridge_entries(flows))
        self._parts.enforcer.gateways.cut = frozenset(each.physnet for each in self._providers if each.uplink in failed)
        self._parts.enforcer.wire_nats({name: n for name, n in ofports.items() if name.startswith(DEVICES)})
        tunnels = {kind: ofports[name] for kind, name in TUNNELS.items() if name in ofports}
        self._parts.enforcer.wire(tunnels, physnets)

    def _with_tunnels(self) -> Layout:
        """None is taken away while the agent lives: a network that comes back finds it as it was."""
        kinds = {*self._layout.tunnels, *self._parts.enforcer.world.keys("tunnel")}
        return msgspec.structs.replace(self._layout, tunnels=tuple(sorted(kinds)))

    async def _keep_namespaces(self) -> Never:
        """Those of the routers that this host leads out, or would. That it can't is no reason to end the session."""
        enforcer, pause_s = self._parts.enforcer, _NAMESPACES_RETRY_S
        told = partial(enforcer.note_unmade, "namespaces")
        while True:
            started = time.monotonic()
            kept = Namespaces(self._config.nat, self._switch, enforcer.nats, enforcer.nats_known, told)
            try:
                self._namespaces = kept
                await apart(kept.run())
            except* OSError as errors:
                reason = f"routers don't lead outside by this host: {_first(errors)}"
                log.error("namespaces_not_kept", reason=reason)
                told({Owner("namespace", "all"): Failure(reason)})
                enforcer.nats_known.set()
            if time.monotonic() - started > _NAMESPACES_LAST_RETRY_S:
                pause_s = _NAMESPACES_RETRY_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _NAMESPACES_LAST_RETRY_S)

    def _provider(self, each: Provider) -> tuple[Connection, Reconciler[Owner, BridgeKey, BridgeEntry]]:
        connection = Connection(self._config.openflow, self._config.switch.management(each.bridge))
        target = self._targets[each.bridge] = BridgeTarget(connection)
        return connection, Reconciler(reconcile.Config(), target, random.random)


def _first(group: BaseExceptionGroup[OSError]) -> str:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else str(error) or type(error).__name__


def exported_as(plugged: Plugged, export: Export | None) -> Exported:
    """How what is exported names the interface."""
    number = export and (plugged.ofport if export.names_by_ofport else plugged.ifindex)
    return Exported(number, export.agent) if export and number else Exported()


def _wires(each: Provider) -> tuple[str, str, str]:
    """Names of the patch port's two ends, br-int's first, and of the uplink."""
    return f"int-{each.physnet}", f"phy-{each.physnet}", each.uplink or ""
