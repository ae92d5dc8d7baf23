"""`suimon lab swarm`: many agents on one machine, each with all of its code but the connection to Open vSwitch.

The command itself starts a controller and a few processes of agents (`lab.swarm`); the agents are put together here,
because the lab knows the cloud only as its users do.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Set
from pathlib import Path
from typing import Any, Never

import click
import msgspec
import uvloop

from suimon.agent import controller, follower, neighbours, reporter
from suimon.agent.enforcer import Enforcer
from suimon.agent.held_view import Guard
from suimon.agent.memory import Memory
from suimon.agent.outside import Outside, PacketOut
from suimon.agent.saved import HostIdentity, StateDirectory
from suimon.cli.logs import log_to_stderr
from suimon.cli.structs import make_ready
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey
from suimon.dataplane.shaping import Shape
from suimon.lab.error import LabError
from suimon.lab.swarm import Act, Figures, Swarm, SwarmConfig, verdicts
from suimon.lab.switches import MemoryTarget
from suimon.model.counts import Count, PortCounts, Reading
from suimon.model.view import (
    Delta,
    Frame,
    Join,
    Ping,
    Position,
    Report,
    Retry,
    Snapshot,
    Watch,
)
from suimon.pipeline.world import World

_COUNTERS_EVERY_S = 10.0


@click.command()
@click.option("--hosts", default=200, show_default=True, help="How many agents.")
@click.option("--ports", default=20_000, show_default=True, help="How many ports, spread over the hosts.")
@click.option("--layout", type=click.Choice(["a", "b"]), default="a", show_default=True, help="a: 50 networks; b: one.")
@click.option("--database", default="", help="PostgreSQL for the controller (a URL) instead of a SQLite file.")
@click.option("--processes", default=2, show_default=True, help="Processes that the agents share.")
@click.option("--fault-s", default=60.0, show_default=True, help="How long 30 % of the agents' calls fail; 0: not.")
def swarm(**said: Any) -> None:
    """Put a swarm of agents on one controller, make storms, and print what they cost.

    Ends with 1 when a goal isn't met.
    """
    try:
        phases = asyncio.run(Swarm(SwarmConfig(**said), click.echo).run())
    except LabError as error:
        raise click.ClickException(str(error)) from error
    found = verdicts(phases)
    for each in found:
        click.echo(each)
    if not all(each.met for each in found):
        sys.exit(1)


@click.command("swarm-part", hidden=True)
def swarm_part() -> None:
    """A process of agents: acts come on stdin, a line each, and each is answered with a line."""
    log_to_stderr("error")
    make_ready()
    uvloop.run(_Part().run())


class _Line:
    """The controller as an agent's parts see it: counts calls and frames, and fails a share of the calls.

    Half of those fail before they are sent, half when the controller has done the work.
    """

    def __init__(self, api: controller.Controller, figures: Counter[str], news: asyncio.Event) -> None:
        self.share = 0.0
        self.told = 0
        """The revision up to which the controller has told everything."""
        self._api = api
        self._figures = figures
        self._news = news

    async def report(self, report: Report) -> None:
        self._begin("reports")
        await self._api.report(report)
        self._fail(self.share / 2)

    async def watch(self, watch: Watch) -> AsyncIterator[Frame]:
        self._begin("watches")
        fails = random.random() < self.share / 2
        async for frame in self._api.watch(watch):
            if fails:
                self._fail(1.0)
            self._figures[type(frame).__name__.lower()] += 1
            match frame:
                case Snapshot() | Delta():
                    self._figures["objects"] += len(frame.objects)
                    self.told = frame.position.revision
                case Ping(revision):
                    self.told = revision
                case Retry():
                    pass
            yield frame
            self._news.set()

    def _begin(self, kind: str) -> None:
        self._figures[kind] += 1
        self._fail(self.share / 2)

    def _fail(self, share: float) -> None:
        if random.random() < share:
            self._figures["failed"] += 1
            raise controller.ControllerError("the swarm made this call fail")


class _Desk(reporter.Reporter):
    """Notes when a view came in force."""

    def __init__(self, line: _Line, news: asyncio.Event) -> None:
        super().__init__(reporter.Config(), line)
        self.in_force_at_s = 0.0
        self._position: Position | None = None
        self._swarm = news

    def facts(self, position: Position | None, held: str, failures: dict[str, str]) -> None:
        if position != self._position:
            self._position, self.in_force_at_s = position, time.monotonic()
        super().facts(position, held, failures)
        self._swarm.set()


class _Switch:
    """A bridge in memory: keeps what it is told, sends nothing."""

    def __init__(self) -> None:
        self.bridge: MemoryTarget[BridgeKey, BridgeEntry] = MemoryTarget()
        self.shapes: MemoryTarget[str, Shape] = MemoryTarget()
        self.zones: MemoryTarget[int, bool] = MemoryTarget()

    async def open_tunnels(self) -> None:
        pass

    async def read_last(self, _port_ids: Set[str]) -> None:
        pass

    async def flush_zone(self, _zone: int) -> bool:
        return True

    async def send(self, _packet: PacketOut) -> None:
        pass


class _Core:
    """One agent, from its state directory; its switch outlives it."""

    def __init__(self, folder: Path, switch: _Switch, figures: Counter[str], news: asyncio.Event) -> None:
        state = StateDirectory(folder)
        identity = state.host.load()
        assert identity is not None
        self.api = controller.Controller(controller.Config(identity.url), identity.credential)
        self.line = _Line(self.api, figures, news)
        self.switch = switch
        memory = Memory(state)
        world = World(identity.host, memory.load_numbers())
        guard = Guard(memory.load_view())
        self.desk = _Desk(self.line, news)
        outside = Outside(neighbours.Config(), memory, world, time.monotonic)
        self.enforcer = Enforcer(memory, guard, world, outside, self.desk)
        queue: asyncio.Queue[follower.News] = asyncio.Queue(follower.QUEUE_FRAMES)
        self._follower = follower.Follower(follower.Config(), self.line, lambda: self.enforcer.position, queue)
        self._plugged: set[str] = set()
        self._ofports = 10

    def in_force(self, revision: int) -> bool:
        """Whether all up to `revision` was told and is in the switch."""
        position = self.enforcer.position
        told = position is not None and max(self.line.told, position.revision) >= revision
        return told and self.enforcer.in_force == position and not self.enforcer.failures

    async def run(self) -> Never:
        await self.api.open()
        self._plug()
        self.enforcer.wire({"vxlan": 1}, {})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.desk.run())
                tasks.create_task(self._follower.run())
                tasks.create_task(self._take_news())
                tasks.create_task(self.enforcer.run(self.switch, random.random))
                tasks.create_task(self._count())
        finally:
            await self.api.close()
        raise AssertionError("none of the tasks ever ends")

    async def _take_news(self) -> Never:
        while True:
            news = await self._follower.news.get()
            self.enforcer.take(news)
            if isinstance(news, Snapshot | Delta):
                self._plug()
            self._follower.news.task_done()

    def _plug(self) -> None:
        """A guest for every port of this host, as soon as the host knows of it."""
        bound = self.enforcer.port_ids()
        for gone in self._plugged - bound:
            self.enforcer.plug(gone, None)
        for come in sorted(bound - self._plugged):
            self._ofports += 1
            self.enforcer.plug(come, self._ofports)
        self._plugged = set(bound)

    async def _count(self) -> Never:
        while True:
            await asyncio.sleep(_COUNTERS_EVERY_S)
            zero = Count("device 1", 0.0, 0, 0)
            ports = tuple(PortCounts(port_id, 0.0, zero, zero, zero, zero) for port_id in sorted(self._plugged))
            self.desk.read(Reading("", time.monotonic(), ports))


class _Part:
    """The agents of one process, and the acts on all of them."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._cores: list[_Core] = []
        self._switches: dict[Path, _Switch] = {}
        self._tasks: list[asyncio.Task[Never]] = []
        self._figures: Counter[str] = Counter()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Until stdin ends."""
        lines = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            figures = await self._answer(msgspec.json.decode(line, type=Act))
            sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
            sys.stdout.buffer.flush()
        await self._stop()

    async def _answer(self, act: Act) -> Figures:
        match act.act:
            case "join":
                await self._join(act)
            case "start":
                self._start()
            case "stop":
                await self._stop()
            case "fail":
                for core in self._cores:
                    core.line.share = act.share
            case "await":
                await self._await(act.revision, act.timeout_s)
        waiting = sum(1 for core in self._cores if not core.in_force(act.revision))
        last = max((core.desk.in_force_at_s for core in self._cores), default=0.0)
        flows = sum(len(core.switch.bridge.held) for core in self._cores)
        return Figures(dict(self._figures), last, flows, waiting)

    async def _join(self, act: Act) -> None:
        """Hosts join one after another, as those of a real cloud would."""
        api = controller.Controller(controller.Config(act.url))
        await api.open()
        for member in act.members:
            joined = await api.join(Join(member.token, member.host, member.tunnel_ip))
            folder = Path(act.folder) / member.host
            state = StateDirectory(folder)
            state.make()
            identity = HostIdentity(joined.host, act.url, joined.credential, joined.store, member.tunnel_ip)
            state.host.save(identity, durable=False)
            self._folders.append(folder)
        await api.close()

    def _start(self) -> None:
        for folder in self._folders:
            switch = self._switches.setdefault(folder, _Switch())
            self._cores.append(_Core(folder, switch, self._figures, self._news))
        self._tasks = [asyncio.create_task(core.run()) for core in self._cores]

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._cores, self._tasks = [], []

    async def _await(self, revision: int, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not all(core.in_force(revision) for core in self._cores):
                    self._news.clear()
                    ended = [task for task in self._tasks if task.done()]
                    if ended:
                        await ended[0]
                    await self._news.wait()
        except TimeoutError:
            pass
