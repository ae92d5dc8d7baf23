"""The loop that keeps br-int equal to the world: take in what changed, compile the owners it touches, apply, tell.

Facts come in at any time (`take`, `plug`, `learn` …) and only mark owners; a round compiles whatever is marked by
then, so what came while a bundle was under way shares the next one. In a round everything that a restart needs is on
disk before the switch is told. The loop lives as long as one connection to the switch; starting it again observes the
switch and compiles everything: there is no second path.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Never, Protocol

import structlog

from suimon import reconcile
from suimon.agent.follower import Connected, News
from suimon.agent.held_view import Changes, Guard
from suimon.agent.memory import Memory
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.status import Seat, statuses
from suimon.dataplane.openflow.messages import PacketIn
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, bridge_entries
from suimon.dataplane.shaping import Shape
from suimon.model.owner import Owner
from suimon.model.view import MOST_REQUESTS, Delta, Object, Ping, Port, PortReport, Position, Snapshot
from suimon.pipeline.facts import BRIDGE
from suimon.pipeline.program import Program
from suimon.pipeline.world import World
from suimon.reconcile import Failure, Reconciler, Target

log = structlog.get_logger()


_Bridge = Reconciler[Owner, BridgeKey, BridgeEntry]
_Shapes = Reconciler[Owner, str, Shape]

_BACK_OFF: Final = reconcile.Config()
_REFUSED_RETRY_S: Final = 0.25
"""How often to look whether a refused owner's pause is over, while there is one."""
_DISK_RETRY_S: Final = 1.0


class Switch(Protocol):
    """One life of the connections to Open vSwitch, as the enforcer needs it."""

    @property
    def bridge(self) -> Target[BridgeKey, BridgeEntry]: ...

    @property
    def shapes(self) -> Target[str, Shape]: ...

    async def flush_zone(self, zone: int) -> None: ...

    async def send(self, packet: PacketOut) -> None: ...


class Telling(Protocol):
    """What the enforcer tells the controller through (agent.reporter.Reporter)."""

    def facts(self, position: Position | None, held: str, failures: dict[str, str]) -> None: ...

    def ports(self, statuses: dict[str, PortReport]) -> None: ...

    def tell_all_again(self) -> None: ...


class Enforcer:
    """Holds the world, and by `guard` the view in force: one for the agent's life, `run` for each connection."""

    def __init__(self, memory: Memory, guard: Guard, world: World, outside: Outside, reporter: Telling) -> None:
        self.world = world
        self.guard = guard
        self.failures: dict[Owner, Failure] = {}
        """What is not in force, and why, after the last round."""
        self.in_force: Position | None = None
        self._memory = memory
        self._outside = outside
        self._reporter = reporter
        self._plug_errors: dict[str, str] = {}
        self._ports: dict[str, Port] = {}
        self._dirty: set[Owner] = set()
        self._uncompiled: dict[Owner, Failure] = {}
        self._requests: dict[str, None] = {}
        self._replugged = False
        self._wake = asyncio.Event()
        self._set(guard.view.objects.values())

    @property
    def position(self) -> Position | None:
        """What the view stands for, in the switch or on its way there."""
        return self.guard.view.position

    def take(self, news: News) -> None:
        """Take in what the controller said."""
        held_before = self.guard.held
        match news:
            case Connected():
                self.guard.connected()
                self._reporter.tell_all_again()
            case Ping():
                self.guard.alive()
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

    def plug(self, port_id: str, ofport: int | None, error: str = "") -> None:
        """A guest's interface is there as `ofport`, or is not (None), because of `error` if that is known."""
        self._plug_errors.pop(port_id, None)
        if error:
            self._plug_errors[port_id] = error
        self.world.plug(port_id, ofport)
        self._replugged = True
        self._wake.set()

    def wire(self, tunnel_ofport: int | None, physnets: dict[str, int]) -> None:
        """Where the tunnels and the provider networks leave br-int."""
        self.world.wire(tunnel_ofport, physnets)
        self._wake.set()

    def answered(self, packet: PacketIn) -> None:
        """An ARP reply came from outside."""
        if self._outside.answered(packet):
            self._wake.set()

    async def run(self, switch: Switch, jitter: Callable[[], float]) -> Never:
        """Ends with the switch's exception when it is lost. Before there is a view, the bridge is left as it is."""
        bridge: _Bridge = Reconciler(_BACK_OFF, switch.bridge, jitter)
        shapes: _Shapes = Reconciler(_BACK_OFF, switch.shapes, jitter)
        while self.position is None:
            await self._next_work(None)
        self._dirty.update(self.world.owners())
        observed, self._replugged = False, True
        while True:
            position, seats, requests = self.position, self._seats(), self._take_requests()
            if not self._prepare(bridge, shapes):
                self._tell()
                await asyncio.sleep(_DISK_RETRY_S)
                continue
            if not observed:
                await bridge.observe()
                observed = True
            if self._replugged:  # A limit goes away with the interface it was on.
                self._replugged = False
                await shapes.observe()
            await shapes.round()
            await bridge.round()
            refused = (*shapes.failures.items(), *bridge.failures.items(), *self._uncompiled.items())
            self.failures = {owner: failure for owner, failure in refused if owner is not None}
            self._acknowledge(position, seats, requests)
            await self._follow_up(switch)
            await self._next_work(_REFUSED_RETRY_S if shapes.failures or bridge.failures else None)

    def _prepare(self, bridge: _Bridge, shapes: _Shapes) -> bool:
        """Compile what is marked, and want it once it is on disk. False if the disk won't have it: nothing is told."""
        try:
            self._outside.prepare()
            self._dirty |= self.world.take_dirty()
            programs = {owner: program for owner in self._dirty if (program := self._compiled(owner))}
            self._memory.write(self.guard.view, self.world.numbers)
        except OSError as error:
            log.error("state_not_saved", reason=str(error), effect="the switch stays as it is until it can be")
            self.failures[BRIDGE] = Failure(f"the agent can't save its state, so nothing is changed: {error}")
            return False
        self._dirty = set()
        for owner, program in programs.items():
            bridge.want(owner, bridge_entries((*program.flows, *program.groups, *program.meters)))
            shapes.want(owner, {each.port_id: Shape(each.rate_kbps, each.burst_kbits) for each in program.shapes})
        return True

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

    def _acknowledge(self, position: Position | None, seats: list[Seat], requests: list[str]) -> None:
        if position != self.in_force:
            log.info("view_in_force", revision=position.revision if position else None, requests=requests)
        self.in_force = position
        self._reporter.ports(statuses(seats, self.failures))
        self._tell()

    async def _follow_up(self, switch: Switch) -> None:
        """What had to wait for the flows, or for their end."""
        for packet in self._outside.take_ready():
            await switch.send(packet)
        for zone in self.world.take_freed_zones():
            await switch.flush_zone(zone)

    async def _next_work(self, timeout_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        self._wake.clear()

    def _change(self, changes: Changes) -> None:
        self._memory.note(changes)
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

    def _seats(self) -> list[Seat]:
        """As they are before a round: what is plugged during it, is acknowledged by the next."""
        return [self._seat(port) for port in self._ports.values()]

    def _seat(self, port: Port) -> Seat:
        network = self.world.network(port.network_id)
        ofport, error = self.world.ofports.get(port.id), self._plug_errors.get(port.id, "")
        return Seat(port, ofport, error, network is None or network.up)

    def _tell(self) -> None:
        failures = {str(owner): failure.reason for owner, failure in self.failures.items()}
        self._reporter.facts(self.in_force, self.guard.held, failures)
