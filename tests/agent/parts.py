"""An agent's parts around a switch that exists in memory, and a controller's desk that remembers what it was told."""

import asyncio
from contextlib import asynccontextmanager

from suimon.agent.clock import Clock
from suimon.agent.enforcer import Enforcer
from suimon.agent.follower import News
from suimon.agent.held_view import Guard
from suimon.agent.memory import Memory
from suimon.agent.neighbours import Config as NeighboursConfig
from suimon.agent.outside import Outside
from suimon.agent.saved import StateDirectory
from suimon.model.view import FixedIp, Network, Port, Position, SecurityGroup, SecurityGroupRule, Snapshot, Subnet
from suimon.pipeline.world import World
from suimon.reconcile import Failure

NETWORK = Network("net", "vxlan", 100, None, 1450)
SUBNET = Subnet("sub", "net", "10.0.0.0/24", "10.0.0.1", True)
GROUP = SecurityGroup("group", (SecurityGroupRule("out", "egress", "IPv4"),))


def port(number, **more):
    fixed = (FixedIp("sub", f"10.0.0.{10 + number}"),)
    given = {"groups": ("group",), "fixed_ips": fixed, **more}
    return Port(f"p{number}", "h1", "net", f"fa:16:3e:00:00:{number:02x}", **given)


def at(revision, store="store"):
    return Position(store, 1, revision)


def snapshot(revision, *things):
    return Snapshot(at(revision), (NETWORK, SUBNET, GROUP, *things))


class FakeTarget:
    """All or nothing, as a bridge is; `refuses(key)` says which keys it won't have."""

    def __init__(self):
        self.held = {}
        self.applied = []
        self.refuses = lambda key: False
        self.before_apply = lambda: None

    async def observe(self):
        return dict(self.held)

    async def apply(self, changes):
        self.before_apply()
        await asyncio.sleep(0)
        failed = {key: Failure("bad action") for key in changes.set if self.refuses(key)}
        if failed:
            return dict.fromkeys(changes.keys, Failure("held back", blamed=False)) | failed
        self.applied.append(changes)
        self.held.update(changes.set)
        for key in changes.delete:
            del self.held[key]
        return {}


class FakeSwitch:
    def __init__(self):
        self.bridge, self.shapes, self.zones = FakeTarget(), FakeTarget(), FakeTarget()
        self.flushed, self.sent, self.flushes = [], [], True
        self.parting = lambda _: None

    async def open_tunnels(self):
        pass

    async def read_last(self, port_ids):
        self.parting(port_ids)

    async def flush_zone(self, zone):
        self.flushed.append(zone)
        return self.flushes

    async def send(self, packet):
        self.sent.append(packet)


class Desk:
    """What the controller was told last; `until` waits for it."""

    def __init__(self):
        self.position, self.held, self.failures, self.statuses = None, "", {}, {}
        self.told_again, self.drifts, self.leads_out, self.missed = 0, [], None, set()
        self._news = asyncio.Event()

    def facts(self, position, held, failures):
        self.position, self.held, self.failures = position, held, failures
        self._news.set()

    def lead(self, *, able):
        self.leads_out = able

    def ports(self, statuses, gone):
        kept = {name: status for name, status in self.statuses.items() if name not in gone}
        self.statuses = kept | statuses
        self._news.set()

    def missing(self, port_ids):
        self.missed = set(port_ids)
        self._news.set()

    def drifted(self, drifts):
        self.drifts += drifts

    def tell_all_again(self):
        self.told_again += 1

    async def until(self, fits):
        async with asyncio.timeout(5):
            while not fits(self):
                self._news.clear()
                await self._news.wait()


class Parts:
    """One life of an agent on the state directory at `path`."""

    def __init__(self, path):
        state = StateDirectory(path)
        state.make()
        self.memory = Memory(state)
        self.world = World("h1", self.memory.load_numbers())
        self.desk = Desk()
        self.now = 0.0
        self.utc_s = self.passed_s = 0.0
        guard = Guard(self.memory.load_view())
        self.outside = Outside(NeighboursConfig(), self.memory, self.world, lambda: self.now)
        self.enforcer = Enforcer(self.memory, guard, self.world, self.outside, self.desk)
        self.enforcer.clock = Clock(lambda: self.utc_s, lambda: self.passed_s)

    def take(self, *news: News):
        for each in news:
            self.enforcer.take(each)

    @asynccontextmanager
    async def enforcing(self, switch):
        task = asyncio.create_task(self.enforcer.run(switch, lambda: 0.0))
        try:
            yield self
        finally:
            task.cancel()

    async def in_force(self, revision):
        await self.desk.until(lambda desk: desk.position == at(revision))
