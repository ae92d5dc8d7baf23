"""A swarm: one controller and many agents on this machine, the storms they can make, and what those cost.

The controller is `suimon serve` as it is. The agents run in a few processes (`suimon lab swarm-part`), each with a
switch in memory and a guest on every port that is bound to its host. What is printed are counts and CPU time; times of
day say something on an idle machine only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from suimon.lab.error import LabError
from suimon.lab.swarm_cloud import SwarmCloud

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_FAILING_SHARE: Final = 0.3
_CHURN_PER_S: Final = 5
_PATIENCE_S: Final = 1200.0
_FIRST: Final = "all start with nothing"
_CHURN: Final = "churn"
_FAILING: Final = "churn, 30 % fail"
_HEAD: Final = ("phase", "s", "converged s", "snapshots", "deltas", "objects", "requests", "requests/s", "failed",
                "server CPU s", "CPU ms/agent", "MiB", "MiB/agent")  # fmt: skip


class SwarmConfig(msgspec.Struct, frozen=True):
    """Layout a: 50 networks, ten of which are on each host; b: one network and one security group for all."""

    hosts: int = 200
    ports: int = 20_000
    layout: Literal["a", "b"] = "a"
    database: str = ""
    processes: int = 2
    fault_s: float = 60.0
    quiet_s: float = 20.0
    """How long nothing changes, and then how long a little does."""


class Member(msgspec.Struct, frozen=True):
    """A host that is to join."""

    host: str
    token: str
    tunnel_ip: str


class Act(msgspec.Struct, frozen=True):
    """What a process of agents is told to do with all of them."""

    act: Literal["join", "start", "stop", "fail", "await", "tell"]
    url: str = ""
    folder: str = ""
    members: tuple[Member, ...] = ()
    share: float = 0.0
    revision: int = 0
    timeout_s: float = _PATIENCE_S


class Figures(msgspec.Struct, frozen=True):
    """What its agents counted since the process began; `in_force_at_s` is the monotonic time of the last news that
    came in force; `waiting` are the agents that lack something of the revision that the act named."""

    counts: dict[str, int] = {}
    in_force_at_s: float = 0.0
    flows: int = 0
    waiting: int = 0


class Use(msgspec.Struct, frozen=True):
    """CPU seconds so far and MiB in memory."""

    cpu_s: float
    rss_mib: float


class Phase(msgspec.Struct, frozen=True):
    """What happened between two moments."""

    name: str
    took_s: float
    converged_s: float
    counts: dict[str, int]
    server: Use
    agents: Use

    @property
    def requests(self) -> int:
        return self.counts.get("watches", 0) + self.counts.get("reports", 0)

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.took_s


class Swarm:
    """`run()` makes it, storms and takes it away again; `say` gets the lines for people. Raises LabError."""

    def __init__(self, config: SwarmConfig, say: Callable[[str], None]) -> None:
        self._config = config
        self._say = say
        self._parts: list[asyncio.subprocess.Process] = []
        self._server: subprocess.Popen[bytes] | None = None
        self._server_spent_s = 0.0

    async def run(self) -> list[Phase]:
        with tempfile.TemporaryDirectory(prefix="suimon-swarm-") as folder:
            where = Path(folder)
            ports = _free_ports(2)
            try:
                self._start_server(where, ports)
                async with SwarmCloud.at(f"http://127.0.0.1:{ports[0]}", where) as cloud:
                    await self._fill(cloud)
                    await self._join(cloud, where, f"http://127.0.0.1:{ports[1]}")
                    self._say(_row(_HEAD))
                    return [phase async for phase in self._storms(cloud, where, ports)]
            finally:
                await self._end()

    async def _storms(self, cloud: SwarmCloud, where: Path, ports: Sequence[int]) -> AsyncIterator[Phase]:
        async with self._phase(cloud, _FIRST) as made:
            await self._all(Act("start"))
        yield made[0]
        async with self._phase(cloud, "nothing changes") as made:
            await asyncio.sleep(self._config.quiet_s)
        yield made[0]
        async with self._phase(cloud, _CHURN) as made:
            await self._churn(cloud, self._config.quiet_s)
        yield made[0]
        if self._config.fault_s:
            async with self._phase(cloud, _FAILING) as made:
                await self._all(Act("fail", share=_FAILING_SHARE))
                await self._churn(cloud, self._config.fault_s)
                await self._all(Act("fail"))
            yield made[0]
        async with self._phase(cloud, "controller killed") as made:
            await asyncio.to_thread(self._restart_server, where, ports)
        yield made[0]
        async with self._phase(cloud, "all agents restart") as made:
            await self._all(Act("stop"))
            await cloud.churn(1)
            await self._all(Act("start"))
        yield made[0]

    @contextlib.asynccontextmanager
    async def _phase(self, cloud: SwarmCloud, name: str) -> AsyncIterator[list[Phase]]:
        """What the body does, and until all of it is in force everywhere. The list gets the phase at its end."""
        made: list[Phase] = []
        before, server, agents, began = await self._tell(), self._server_use(), self._agents_use(), time.monotonic()
        yield made
        acted = time.monotonic()
        after = await self._tell(Act("await", revision=await cloud.revision()))
        if after.waiting:
            raise LabError(f"{after.waiting} agents did not get there within {_PATIENCE_S:g} s ({name}).")
        ended = time.monotonic()
        counts = {key: count - before.counts.get(key, 0) for key, count in after.counts.items()}
        server = Use(self._server_use().cpu_s - server.cpu_s, self._server_use().rss_mib)
        agents = Use(self._agents_use().cpu_s - agents.cpu_s, self._agents_use().rss_mib)
        converged_s = max(0.0, after.in_force_at_s - acted)
        if name.startswith("all"):
            converged_s = max(0.0, after.in_force_at_s - began)
        made.append(Phase(name, ended - began, converged_s, counts, server, agents))
        self._show(made[0])

    async def _churn(self, cloud: SwarmCloud, for_s: float) -> None:
        """A port made or removed some times a second."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            await asyncio.gather(cloud.churn(1), asyncio.sleep(1 / _CHURN_PER_S))

    async def _fill(self, cloud: SwarmCloud) -> None:
        config, began, used = self._config, time.monotonic(), self._server_use().cpu_s
        await cloud.prepare(config.layout)
        async for made in cloud.fill([host_name(number) for number in range(config.hosts)], config.ports):
            if made % 5000 == 0 or made == config.ports:
                cpu_ms = (self._server_use().cpu_s - used) * 1000 / made
                took_s = time.monotonic() - began
                self._say(f"{made} ports after {took_s:.0f} s, {cpu_ms:.2f} ms of the controller's CPU time each")

    async def _join(self, cloud: SwarmCloud, where: Path, url: str) -> None:
        """Each process of agents gets its share of the hosts."""
        config = self._config
        names = [host_name(number) for number in range(config.hosts)]
        members = [
            Member(name, await cloud.join_token(name), f"10.250.{number >> 8}.{number & 255}")
            for number, name in enumerate(names)
        ]
        for number in range(config.processes):
            part = await asyncio.create_subprocess_exec(
                *_suimon("lab", "swarm-part"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 24
            )
            self._parts.append(part)
            share = tuple(members[number :: config.processes])
            await _ask(part, Act("join", url=url, folder=str(where), members=share))

    async def _tell(self, act: Act | None = None) -> Figures:
        told = await self._all(act or Act("tell"))
        counts: Counter[str] = Counter()
        for each in told:
            counts.update(each.counts)
        waiting, flows = sum(each.waiting for each in told), sum(each.flows for each in told)
        return Figures(dict(counts), max(each.in_force_at_s for each in told), flows, waiting)

    async def _all(self, act: Act) -> list[Figures]:
        return await asyncio.gather(*(_ask(part, act) for part in self._parts))

    def _start_server(self, where: Path, ports: Sequence[int]) -> None:
        listen = ["--listen", f"127.0.0.1:{ports[0]}", "--hosts-listen", f"127.0.0.1:{ports[1]}"]
        env = {**os.environ, **({"SUIMON_DATABASE": self._config.database} if self._config.database else {})}
        serve = _suimon("serve", "--state", str(where), *listen, "--log-level", "warning")
        self._server = subprocess.Popen(serve, stdout=subprocess.PIPE, env=env)  # noqa: S603
        assert self._server.stdout is not None
        if b"is ready" not in self._server.stdout.readline():
            raise LabError("The controller did not start; see what it said above.")

    def _restart_server(self, where: Path, ports: Sequence[int]) -> None:
        self._server_spent_s = self._server_use().cpu_s
        assert self._server is not None
        self._server.kill()
        self._server.wait(timeout=30)
        self._start_server(where, ports)

    def _server_use(self) -> Use:
        assert self._server is not None
        now = use(self._server.pid)
        return Use(now.cpu_s + self._server_spent_s, now.rss_mib)

    def _agents_use(self) -> Use:
        uses = [use(part.pid) for part in self._parts]
        return Use(sum(use.cpu_s for use in uses), sum(use.rss_mib for use in uses))

    async def _end(self) -> None:
        for part in self._parts:
            if part.returncode is None:
                part.kill()
            await part.wait()
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._server.wait, 30)
            if self._server.poll() is None:
                self._server.kill()

    def _show(self, phase: Phase) -> None:
        hosts, counts = self._config.hosts, phase.counts
        said = (phase.name, f"{phase.took_s:.1f}", f"{phase.converged_s:.1f}")
        told = tuple(str(counts.get(kind, 0)) for kind in ("snapshot", "delta", "objects"))
        asked = (str(phase.requests), f"{phase.requests_per_s:.1f}", str(counts.get("failed", 0)))
        used = (f"{phase.server.cpu_s:.2f}", f"{phase.agents.cpu_s * 1000 / hosts:.1f}")
        memory = (f"{phase.server.rss_mib:.0f}", f"{phase.agents.rss_mib / hosts:.1f}")
        self._say(_row((*said, *told, *asked, *used, *memory)))


class Verdict(NamedTuple):
    """A goal of a storm: at most so much."""

    what: str
    figure: float
    goal: float

    @property
    def met(self) -> bool:
        return self.figure <= self.goal

    def __str__(self) -> str:
        return f"{self.what}: {self.figure:.1f} (goal: at most {self.goal}) {'met' if self.met else 'NOT MET'}"


def verdicts(phases: Sequence[Phase]) -> list[Verdict]:
    """Times say something on an idle machine only."""
    by_name = {phase.name: phase for phase in phases}
    told = []
    if _FAILING in by_name:
        failing, steady = by_name[_FAILING], by_name[_CHURN]
        times = failing.requests_per_s / steady.requests_per_s
        told.append(Verdict(f"{_FAILING}: times the requests of {_CHURN}", times, 2))
        told.append(Verdict(f"{_FAILING}: seconds until all is in force", failing.converged_s, 10))
    after = [phase for phase in phases if phase.name != _FIRST]
    snapshots = sum(phase.counts.get("snapshot", 0) for phase in after)
    return [*told, Verdict(f"snapshots after '{_FIRST}'", snapshots, 0)]


def host_name(number: int) -> str:
    return f"swarm{number}"


async def _ask(part: asyncio.subprocess.Process, act: Act) -> Figures:
    assert part.stdin is not None and part.stdout is not None
    part.stdin.write(msgspec.json.encode(act) + b"\n")
    await part.stdin.drain()
    async with asyncio.timeout(_PATIENCE_S + 60):
        line = await part.stdout.readline()
    if not line:
        raise LabError("A process of agents ended; see what it said above.")
    return msgspec.json.decode(line, type=Figures)


def _suimon(*args: str) -> list[str]:
    return [str(Path(sys.executable).with_name("suimon")), *args]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def use(pid: int) -> Use:
    """proc(5): fields 14, 15 and 24 of /proc/PID/stat."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return Use((int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE / 2**20)


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    return f"{first:<24}" + "".join(f"{cell:>13}" for cell in others)
