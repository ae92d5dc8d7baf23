"""The loop that keeps br-int equal to the world: take in what changed, compile the owners it touches, apply, tell.

Facts come in at any time (`take`, `plug`, `learn` …) and only mark owners; a round compiles whatever is marked by
then, so what came while a bundle was under way shares the next one. In a round everything that a restart needs is on
disk before the switch is told. The loop lives as long as one connection to the switch; the next one observes all of it
and compares that with all that is wanted: there is no second path. What was compiled before is still true then, and
guests would wait for it to be done again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, Final, NamedTuple, Never, Protocol

import structlog

from suimon import reconcile
from suimon.agent.clock import Clock
from suimon.agent.follower import Connected, News
from suimon.agent.gateways import Config as GatewaysConfig
from suimon.agent.gateways import Gateways, Verdict
from suimon.agent.held_view import Changes, Guard
from suimon.agent.in_force import InForce
from suimon.agent.memory import Memory
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.saved import KnownGateway
from suimon.agent.status import Seat, statuses
from suimon.dataplane.openflow.messages import PacketIn
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, bridge_entries, named
from suimon.dataplane.shaping import Shape
from suimon.model.owner import Owner
from suimon.model.view import MOST_REQUESTS, Delta, Drift, Exported, Object, Ping, Port, PortReport, Position, Snapshot
from suimon.pipeline.facts import BRIDGE, Probe
from suimon.pipeline.gateway import device
from suimon.pipeline.numbers import LOCAL_ZONES
from suimon.pipeline.program import Nat, Program
from suimon.pipeline.world import World
from suimon.reconcile import Failure, Reconciler, Target

log = structlog.get_logger()


_Bridge = Reconciler[Owner, BridgeKey, BridgeEntry]
_Shapes = Reconciler[Owner, str, Shape]
_Zones = Reconciler[Owner, int, bool]


class _Loops(NamedTuple):
    """What keeps the switch equal to what is wanted of it, a kind of thing each."""

    bridge: _Bridge
    shapes: _Shapes
    zones: _Zones

    @property
    def failures(self) -> dict[Owner | None, Failure]:
        return self.zones.failures | self.shapes.failures | self.bridge.failures


_BACK_OFF: Final = reconcile.Config()
_UNEXPORTED: Final = Exported()
_REFUSED_RETRY_S: Final = 0.25
"""How often to look whether a refused owner's pause is over, while there is one."""
_SET_S: Final = 1.0
"""By so much the controller's clock was set, or ours was off until the controller said what time it is."""
_CLOCK_LOOK_S: Final = 20.0
"""How often to look what time it is, while there is a restriction with an end."""
_DISK_RETRY_S: Final = 1.0
_SETTLED_TIMEOUT_S: Final = 2.0
_REPAIR_TIMEOUT_S: Final = 30.0
"""How long a repair may take before it is told as one that isn't done."""


class Switch(Protocol):
    """One life of the connections to Open vSwitch, as the enforcer needs it."""

    @property
    def bridge(self) -> Target[BridgeKey, BridgeEntry]: ...

    @property
    def shapes(self) -> Target[str, Shape]: ...

    @property
    def zones(self) -> Target[int, bool]: ...

    async def open_tunnels(self) -> None: ...

    async def read_last(self, port_ids: Set[str]) -> None:
        """What these ports have counted, before what counts it goes; and what interfaces had that were replaced."""
        ...

    async def flush_zone(self, zone: int) -> bool: ...

    async def send(self, packet: PacketOut) -> None: ...


class Telling(Protocol):
    """What the enforcer tells the controller through (agent.reporter.Reporter)."""

    def facts(self, position: Position | None, held: str, failures: dict[str, str]) -> None: ...

    def lead(self, *, able: bool) -> None: ...

    def ports(self, statuses: Mapping[str, PortReport], gone: Set[str]) -> None: ...

    def missing(self, port_ids: Set[str]) -> None: ...

    def drifted(self, drifts: Sequence[Drift]) -> None: ...

    def tell_all_again(self) -> None: ...


class Enforcer:
    """Holds the world, and by `guard` the view in force: one for the agent's life, `run` for each connection."""

    def __init__(self, memory: Memory, guard: Guard, world: World, outside: Outside, reporter: Telling) -> None:
        self.world = world
        self.guard = guard
        self.failures: dict[Owner, Failure] = {}
        """What is not in force, and why, after the last round."""
        self.in_force: Position | None = None
        self.round_done = asyncio.Event()
        """Set after each round, for whoever follows what is in force."""
        self.links_changed = asyncio.Event()
        """Set after a round that concerned what routers tell guests, or which guests (`world.links`)."""
        self.gateways = Gateways(GatewaysConfig(), world)
        self.nats: dict[str, Nat] = {}
        """By device, the namespaces that this host's routers need. A new state of it sets `nats_known`."""
        self.nats_known = asyncio.Event()
        self._verdict = Verdict()
        self._known_gateways: tuple[KnownGateway, ...] = ()
        self._memory = memory
        self._outside = outside
        self._reporter = reporter
        self._plug_errors: dict[str, str] = {}
        self._exported: dict[str, Exported] = {}
        self._ports: dict[str, Port] = {}
        self._missing: set[str] = set()
        """Ports whose interfaces came before anything was told of them."""
        self._seats: dict[str, Seat] = {}
        """As they were before the last round: what is plugged during it, is acknowledged by the next."""
        self._moved: set[str] = set()
        """Ports that may sit elsewhere since then, besides those whose flows are compiled again."""
        self._parting: set[str] = set()
        """Ports that were seated here, and lose their flows or their interface in the next round."""
        self._unjudged: set[str] = set()
        """Ports that were seated again, and not acknowledged since."""
        self._judged_failures: dict[Owner, Failure] = {}
        self._dirty: set[Owner] = set()
        self._told_in_force = InForce()
        self._limited: set[Owner] = set()
        """Who wants limits beside its flows: most owners, peers among them, never do."""
        self._uncompiled: dict[Owner, Failure] = {}
        self._unmade: dict[str, dict[Owner, Failure]] = {}
        self._requests: dict[str, None] = {}
        self._replugged = False
        self._wanted: _Loops | None = None
        self._enforced: _Loops | None = None
        self._left: Mapping[BridgeKey, BridgeEntry] = {}
        self._lost_at: float | None = None
        self._wake = asyncio.Event()
        self.clock = Clock()
        """By which restrictions end."""
        self._settling: list[asyncio.Future[None]] = []
        self._set(guard.view.objects.values())
        self.judge(self.gateways.recall(memory.load_gateways()))

    @property
    def position(self) -> Position | None:
        """What the view stands for, in the switch or on its way there."""
        return self.guard.view.position

    def port_ids(self) -> Set[str]:
        """The ports that are bound to this host."""
        return self._ports.keys()

    def take(self, news: News) -> None:
        """Take in what the controller said."""
        held_before = self.guard.held
        match news:
            case Connected():
                self.guard.connected()
                self._reporter.tell_all_again()
            case Ping():
                self.guard.alive()
                if news.clock_s and abs(self.clock.hear(news.clock_s)) > _SET_S:
                    self._wake.set()
            case Snapshot() | Delta():
                changes = self.guard.take(news)
                if changes is not None:
                    self._change(changes)
                    if isinstance(news, Delta):
                        self._requests = self._requests | dict.fromkeys(news.requests)
        if self.guard.held != held_before:
            if self.guard.held:
                log.error("view_held", reason=self.guard.held, let_through_by="suimon agent accept")
            else:
                log.info("view_no_longer_held")
            self._tell()

    def accept(self) -> bool:
        """The operator lets a held view through; False if none is held."""
        changes = self.guard.accept()
        if changes is None:
            return False
        log.warning("held_view_accepted", deleted=len(changes.deleted), changed=len(changes.changed))
        self._change(changes)
        return True

    def plug(self, port_id: str, ofport: int | None, error: str = "", exported: Exported = _UNEXPORTED) -> None:
        """A guest's interface is there as `ofport`, or is not (None), because of `error` if that is known."""
        self._plug_errors.pop(port_id, None)
        self._exported[port_id] = exported
        if error:
            self._plug_errors[port_id] = error
        carried = {port_id, *self.world.found("port@parent", port_id)}
        self._parting |= {name for name in carried if self.world.ofports.get(name, ofport) != ofport}
        self.world.plug(port_id, ofport)
        self._moved |= carried
        self._replugged = True
        self._miss({port_id} if ofport is not None and port_id not in self._ports else set(), {port_id})
        self._wake.set()

    def wire(self, tunnels: dict[str, int], physnets: dict[str, int]) -> None:
        """Where the tunnels of each kind and the provider networks leave br-int."""
        self.world.wire(tunnels, physnets)
        self._wake.set()

    def missed(self, packet: PacketIn) -> None:
        """A packet for outside could not go on, as nobody knew its next hop."""
        if self._outside.missed(packet):
            self._wake.set()

    def answered(self, packet: PacketIn) -> None:
        """An ARP reply came from outside."""
        if self._outside.answered(packet):
            self._wake.set()

    def arrived(self, packet: PacketIn) -> None:
        """A guest that migrates here announced itself: from now on it gets what is sent to it."""
        port = self.world.port_by_ofport(packet.fields.get("in_port", 0))
        if port is not None and not self.world.listens(port):
            log.info("guest_arrived", port=port.id)
            self.world.arrive(port.id)
            self._wake.set()

    def judge(self, verdict: Verdict) -> None:
        """Which gateway hosts serve now. What this follows from may have changed besides: it is to be kept, too."""
        self._reporter.lead(able=self.gateways.leads_out)
        if self._outside.told != self.gateways.told:
            self._outside.told = self.gateways.told
            self._wake.set()
        if self.gateways.known() != self._known_gateways:
            self._known_gateways = self.gateways.known()
            self._wake.set()
        if verdict == self._verdict:
            return
        refused = sorted(f"{who or 'here'}: {what}" for who, what in verdict.refused)
        log.info("gateways_judged", away=sorted(verdict.away), serving=verdict.serving, refused=refused)
        if verdict.returned != self._verdict.returned:
            self._outside.announce_again()
        self._verdict = verdict
        self.world.judge(verdict.away, verdict.replaced, verdict.refused, serving=verdict.serving)
        self._wake.set()

    def gateway_answered(self, packet: PacketIn) -> None:
        """A gateway host that was asked whether it serves says so."""
        verdict = self.gateways.answered(packet)
        if verdict:
            self.judge(verdict)

    def expect(self, place: str, probe: Probe | None) -> None:
        """A probe for a port or a provider network (`Facts.expect`), or none any more."""
        self.world.expect(place, probe)
        self._wake.set()

    async def settled(self) -> None:
        """Until what is known now was told to the switch. Raises TimeoutError."""
        done = asyncio.get_running_loop().create_future()
        self._settling.append(done)
        self._wake.set()
        async with asyncio.timeout(_SETTLED_TIMEOUT_S):
            await done

    def wire_nats(self, nats: dict[str, int]) -> None:
        """Where the devices of routers' namespaces are on br-int."""
        self.world.wire_nats(nats)
        self._wake.set()

    async def run(self, switch: Switch, jitter: Callable[[], float]) -> Never:
        """Ends with the switch's exception when it is lost. Before there is a view, the bridge is left as it is."""
        while self.position is None:
            await self._next_work(None)
        if self._wanted is None:
            bridge: _Bridge = Reconciler(_BACK_OFF, switch.bridge, jitter)
            shapes: _Shapes = Reconciler(_BACK_OFF, switch.shapes, jitter)
            zones: _Zones = Reconciler(_BACK_OFF, switch.zones, jitter)
            self._wanted = _Loops(bridge, shapes, zones)
            self._dirty.update(self.world.owners())
        loops = self._wanted
        loops.bridge.turn_to(switch.bridge)
        loops.shapes.turn_to(switch.shapes)
        loops.zones.turn_to(switch.zones)
        observed, self._replugged = False, True
        try:
            while True:
                observed = await self._round(switch, loops, observed)
        finally:
            self._enforced, self._left = None, loops.bridge.actual
            self._lost_at = time.monotonic() if observed else self._lost_at

    async def repair(self) -> list[Drift]:
        """Compare the switch with how it was left and repair it: what differed. Nothing before the first round.

        Raises what the switch does when it can't be read whole.
        """
        if self._enforced is None:
            return []
        loops = self._enforced
        found: list[reconcile.Drift[Owner, Any]] = [each for loop in loops for each in await loop.check()]
        if not found:
            return []
        self._wake.set()
        late = Failure(f"it was not done within {_REPAIR_TIMEOUT_S:g} s")
        failures = loops.failures
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPAIR_TIMEOUT_S):
                for loop in loops:
                    await loop.settled()
                late, failures = Failure(""), loops.failures
        return [drift_told(each, failures.get(each.owner, late).reason) for each in found]

    def refused(self) -> set[Owner | None]:
        """Whose part of the switch, or of what else is made here, isn't as it should be."""
        return {*self.failures, *(self._enforced.failures if self._enforced else ())}

    async def _round(self, switch: Switch, loops: _Loops, observed: bool) -> bool:
        """Compile what is marked, apply it, tell. Whether the switch has been observed."""
        await switch.open_tunnels()
        lapses_at_s = self.world.lapse(self.clock.now_s())
        position, requests = self.position, self._take_requests()
        bridge, shapes, zones = loops
        if not self._prepare(loops):
            self._tell()
            if observed:  # What is wanted since before must still be true, whatever the disk does.
                await bridge.round()
            await asyncio.sleep(_DISK_RETRY_S)
            return observed
        settling, self._settling = self._settling, []
        parting = set(self._parting)
        await switch.read_last(parting)
        self._parting -= parting
        if not observed:
            self.nats_known.set()
            await zones.observe()
            await bridge.observe()
        if self._replugged:  # A limit goes away with the interface it was on.
            self._replugged = False
            await shapes.observe()
        found = dict(bridge.actual) if not observed else {}
        await zones.round()  # A connection counts only from when its zone has a limit.
        await shapes.round()
        await bridge.round()
        if not observed:
            self._restored(found, bridge)
        self._enforced = loops
        failed = self._note_failures(loops)
        self._acknowledge(position, requests)
        await self._follow_up(switch)
        for done in settling:
            if not done.done():
                done.set_result(None)
        await self._next_work(self._pause_s(lapses_at_s, failed=failed))
        return True

    def _pause_s(self, lapses_at_s: float | None, *, failed: bool) -> float | None:
        """How long nothing is to be done by itself. The clock on the wall may be set: it is looked at now and then."""
        pauses_s = [_REFUSED_RETRY_S] if failed else []
        if lapses_at_s is not None:
            pauses_s.append(min(max(0.0, lapses_at_s - self.clock.now_s()), _CLOCK_LOOK_S))
        return min(pauses_s, default=None)

    def _note_failures(self, loops: _Loops) -> bool:
        refused = (*loops.failures.items(), *self._uncompiled.items())
        self.failures = {owner: failure for owner, failure in refused if owner is not None}
        for unmade in self._unmade.values():
            self.failures |= unmade
        return bool(loops.failures)

    def note_unmade(self, what: str, unmade: Mapping[Owner, Failure]) -> None:
        """Which things of a kind that is not flows could not be made; told as long as it is so."""
        if what == "namespaces":
            self.gateways.unmade = frozenset(owner.id for owner in unmade)
        before = self._unmade.get(what, {})
        if unmade != before:
            self._unmade[what] = dict(unmade)
            kept = {owner: failure for owner, failure in self.failures.items() if owner not in before}
            self.failures = kept | dict(unmade)
            self._tell()

    def _restored(self, found: Mapping[BridgeKey, BridgeEntry], bridge: _Bridge) -> None:
        """The switch is back after it was lost: say for how long, and what is not as it was left."""
        if self._lost_at is None:
            return
        gap_ms = round((time.monotonic() - self._lost_at) * 1000)
        repair = reconcile.plan(self._left, found)
        extra, changed = len(repair.delete), sum(key in found for key in repair.set)
        missing = len(repair.set) - changed
        counts = {"missing": missing, "changed": changed, "extra": extra, "now": len(bridge.actual)}
        log.info("switch_restored", gap_ms=gap_ms, **counts)
        if not repair.empty:
            how = "came back empty" if self._left and not found else "was reached again"
            words = f"Open vSwitch {how} after {gap_ms} ms"
            self._reporter.drifted([Drift(str(BRIDGE), missing, changed, extra, words)])
        self._lost_at, self._left = None, {}

    def _prepare(self, loops: _Loops) -> bool:
        """Compile what is marked, and want it once it is on disk. False if the disk won't have it: nothing is told."""
        try:
            self._outside.prepare()
            self._dirty |= self.world.take_dirty()
            programs = {owner: program for owner in self._dirty if (program := self._compiled(owner))}
            self._memory.write(self.guard.view, self.world.numbers)
            self._memory.write_gateways(self._known_gateways)
        except OSError as error:
            log.error("state_not_saved", reason=str(error), effect="the switch stays as it is until it can be")
            self.failures[BRIDGE] = Failure(f"the agent can't save its state, so nothing is changed: {error}")
            return False
        self._take_seats({owner.id for owner in self._dirty if owner.kind == "port"})
        self._dirty = set()
        for owner, program in programs.items():
            loops.bridge.want(owner, bridge_entries((*program.flows, *program.groups, *program.meters)))
            if program.shapes or program.zones or owner in self._limited:
                self._limit(loops, owner, program)
            self._note_nats(owner, program)
        return True

    def _limit(self, loops: _Loops, owner: Owner, program: Program) -> None:
        """From when the guest is plugged first, and as long as there is the port."""
        if owner not in self._limited and owner.id not in self.world.ofports:
            return
        self._limited.add(owner)
        loops.shapes.want(owner, {each.port_id: Shape(each.rate_kbps, each.burst_kbits) for each in program.shapes})
        # By another name, so that a limit that is refused doesn't make the port one that isn't ready.
        loops.zones.want(Owner("zone", str(owner)), dict.fromkeys((each.number for each in program.zones), True))
        if not program.shapes and not program.zones:
            self._limited.discard(owner)

    def _note_nats(self, owner: Owner, program: Program) -> None:
        if owner.kind == "router":
            self.nats.pop(device(owner.id), None)
            self.nats.update({device(nat.router_id): nat for nat in program.nats})
            self.nats_known.set()

    def _compiled(self, owner: Owner) -> Program | None:
        """None for an owner whose facts make no sense: what it has stays as it is, and the others go on."""
        self._uncompiled.pop(owner, None)
        try:
            return self.world.compile(owner)
        except (ValueError, OverflowError) as error:
            log.error("owner_not_compiled", owner=str(owner), reason=str(error))
            self._uncompiled[owner] = Failure(f"no flows can be made for it: {error}")
            return None

    def _take_requests(self) -> list[str]:
        """The API requests that led to what is about to be done, the first ones of many; asked for once."""
        taken, self._requests = list(self._requests)[:MOST_REQUESTS], {}
        return taken

    def _acknowledge(self, position: Position | None, requests: list[str]) -> None:
        moved, self.in_force = position != self.in_force, position
        judged, self._unjudged = self._unjudged, set()
        if moved:
            self._told_in_force.note(position, requests, here=bool(judged))
        if self._judged_failures != self.failures:
            self._judged_failures = dict(self.failures)
            judged |= self._seats.keys()
        if judged:
            seats = [seat for each in judged if (seat := self._seats.get(each))]
            self._reporter.ports(statuses(seats, self.failures), judged - self._seats.keys())
        self._tell()

    async def _follow_up(self, switch: Switch) -> None:
        """What had to wait for the flows, or for their end."""
        for packet in self._outside.take_ready():
            await switch.send(packet)
        await self._flush_zones(switch)
        self.round_done.set()
        if self.world.links:
            self.links_changed.set()

    async def _flush_zones(self, switch: Switch) -> None:
        """Of ports that are gone. What can't be forgotten now, the next round or the next agent tries again."""
        for number in sorted(self.world.numbers.unflushed):
            if await switch.flush_zone(number) and await switch.flush_zone(LOCAL_ZONES | number):
                self.world.numbers.flushed(number)

    async def _next_work(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            await self._wake.wait()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
        self._wake.clear()

    def _change(self, changes: Changes) -> None:
        self._memory.note(changes)
        self._parting |= {name for kind, name in changes.deleted if kind == "port"} & self.world.ofports.keys()
        for gone in changes.deleted:
            self.world.delete(gone)
            if gone[0] == "port":
                self._ports.pop(gone[1], None)
        self._set(changes.changed)
        self._wake.set()

    def _set(self, things: Iterable[Object]) -> None:
        for thing in things:
            self.world.set(thing)
            if isinstance(thing, Port):
                self._ports[thing.id] = thing
        if self._missing:
            self._miss(set(), self._ports.keys() & self._missing)

    def _miss(self, missing: Set[str], found: Set[str]) -> None:
        """The controller may keep the news of a port until its host misses it."""
        before, self._missing = self._missing, (self._missing - found) | missing
        if self._missing != before:
            self._reporter.missing(self._missing)

    def _take_seats(self, compiled: Set[str]) -> None:
        """Find the ports' seats that may be others now: a change costs by what it concerns, not by who is here.

        Of a port that is active elsewhere that host speaks.
        """
        moved, self._moved = self._moved | compiled, set()
        for port_id in moved:
            port = self._ports.get(port_id)
            if port and port.active:
                self._seats[port_id] = self._seat(port)
            else:
                self._seats.pop(port_id, None)
        self._unjudged |= moved

    def _seat(self, port: Port) -> Seat:
        network = self.world.network(port.network_id)
        plugged = port.parent or port.id
        ofport, error = self.world.ofports.get(port.id), self._plug_errors.get(plugged, "")
        return Seat(port, ofport, error, network is None or network.up, self._exported.get(plugged, _UNEXPORTED))

    def _tell(self) -> None:
        failures = {str(owner): failure.reason for owner, failure in self.failures.items()}
        self._reporter.facts(self.in_force, self.guard.held, failures)


def drift_told(drift: reconcile.Drift[Owner, Any], reason: str) -> Drift:
    """As the controller is told it; `reason` says why it isn't repaired."""
    counts = (drift.missing, drift.changed, drift.extra)
    return Drift(str(drift.owner or ""), *counts, _named(drift.example), not reason, reason)


def _named(key: object) -> str:
    if isinstance(key, BridgeKey):
        return named(key)
    return f"limit of connections in zone {key}" if isinstance(key, int) else f"limit on port {key}"
