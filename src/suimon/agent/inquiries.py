"""Questions of the controller about what this host's switch would do with a packet, did with a port's packets, or does
with a probe: the switch itself answers.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Never, Protocol

import msgspec
import structlog

from suimon.agent.controller import ControllerError
from suimon.agent.looks import Counters, Looks
from suimon.agent.outside import PacketOut
from suimon.agent.probes import ProbeError, Probes
from suimon.dataplane.openflow.errors import Refused
from suimon.dataplane.trace import Trace, TraceError, trace
from suimon.dataplane.unixctl import CommandRefused, vswitchd
from suimon.model.owner import Owner
from suimon.model.questions import Asked, CountDrops, Look, Question, Traced
from suimon.pipeline.drops import reason
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.gateway import device
from suimon.pipeline.numbers import LOCAL_ZONES
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

log = structlog.get_logger()

_HEADERS: Final = ("eth_", "ip", "tcp_", "udp_", "icmp", "vlan_vid", "tun_")
_TRACKED: Final = ("ct_",)


Send = Callable[[PacketOut], Awaitable[None]]


class Config(msgspec.Struct, frozen=True):
    rundir: Path
    bridge: str = "br-int"
    most_waiting: int = 4
    """More questions than that are not answered: the controller's patience ends."""
    most_looks: int = 16
    """Looks last, so they are answered beside each other; of more than that, the same."""


class Answering(Protocol):
    """What is told the answers (agent.controller.Controller)."""

    async def answer(self, traced: Traced) -> None: ...


class Inquiries:
    """`ask` takes a question in, `run` answers one after the other, but for looks."""

    def __init__(self, config: Config, world: World, controller: Answering, probes: Probes, looks: Looks) -> None:
        self._config = config
        self._world = world
        self._controller = controller
        self._probes = probes
        self._looks = looks
        self._looking = 0
        """Begun and not answered."""
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue(config.most_waiting)
        self._looks_waiting: asyncio.Queue[Look] = asyncio.Queue()

    def ask(self, question: Asked) -> None:
        if isinstance(question, Look):
            # Many may come at once, before any is begun.
            if self._looking + self._looks_waiting.qsize() < self._config.most_looks:
                self._looks_waiting.put_nowait(question)
                return
        elif not self._waiting.full():
            self._waiting.put_nowait(question)
            return
        log.warning("question_dropped", id=question.id)

    async def run(self, counters: Counters, send: Send) -> Never:
        """Ends with what `send` raises, in a group."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_at_all(tasks, counters, send))
            while True:
                await self._answer(await self._waiting.get(), counters, send)

    async def _look_at_all(self, tasks: asyncio.TaskGroup, counters: Counters, send: Send) -> Never:
        self._looking = 0
        while True:
            look = await self._looks_waiting.get()
            self._looking += 1
            tasks.create_task(self._look(look, counters, send))

    async def _look(self, asked: Look, counters: Counters, send: Send) -> None:
        try:
            await self._answer(asked, counters, send)
        finally:
            self._looking -= 1

    async def _answer(self, question: Asked, counters: Counters, send: Send) -> None:
        traced = await self._answered(question, counters, send)
        try:
            await self._controller.answer(traced)
        except ControllerError as error:
            log.warning("answer_failed", reason=str(error))

    async def _answered(self, question: Asked, counters: Counters, send: Send) -> Traced:
        try:
            if isinstance(question, Look):
                return Traced(question.id, activity=await self._looks.look(question, counters))
            if isinstance(question, CountDrops):
                return await self._counted(question, counters)
            return await self._traced(question) if question.act == "trace" else await self._probed(question, send)
        except (TraceError, ProbeError, CommandRefused, Refused) as error:
            return Traced(question.id, error=str(error))
        except (OSError, ValueError, TimeoutError, struct.error) as error:
            return Traced(question.id, error=str(error) or type(error).__name__)

    async def _traced(self, question: Question) -> Traced:
        fields = _checked(question.fields, _HEADERS) | {"in_port": self._in_port(question.entry)}
        tracked = [_checked(each, _TRACKED) for each in question.tracked]
        found = await trace(vswitchd(self._config.rundir), self._config.bridge, fields, tracked, question.size)
        return self._told(question.id, found)

    async def _probed(self, question: Question, send: Send) -> Traced:
        sent: tuple[str, ...] = ()
        if question.act == "expect":
            await self._probes.expect(question)
        elif question.act == "send":
            await send(self._probes.made(question, _checked(question.fields, _HEADERS)))
        elif await self._probes.seen(question):
            sent = (question.entry,)
        return Traced(question.id, sent)

    async def _counted(self, question: CountDrops, counters: Counters) -> Traced:
        """Of a port that is plugged here."""
        if question.port_id not in self._world.ofports:
            raise ValueError("the port has no interface on its host")
        owner = Owner("port", question.port_id)
        bridge = counters.bridge
        program, counted = self._world.compile(owner), await bridge.packets_of(owner.cookie)
        found = Counter[str]()
        for flow in program.flows:
            if (why := reason(flow)) is not None:
                found[why] += counted.get(flow.key, 0)
        for meter in program.meters:
            if (why := reason(meter)) is not None:
                found[why] += (await bridge.metered(meter.meter_id)).dropped
        tracked = [zone.number for zone in program.zones if zone.number < LOCAL_ZONES]
        filled = await counters.zones.filled(tracked[0]) if tracked else None
        most = (filled.connections, filled.most) if filled else None
        return Traced(question.id, drops=dict(found), connections=most)

    def _told(self, id_: str, found: Trace) -> Traced:
        stage = Stage(found.table)
        return Traced(id_, tuple(self._way(each, found) for each in found.outputs), stage.label, found.actions)

    def _way(self, output: str, found: Trace) -> str:
        """As the controller calls it. Ports of a trunk share an interface: the flow that sends says which one it is."""
        if not output.isdigit():
            return "back" if output == "IN_PORT" else "agent"
        world, ofport = self._world, int(output)
        ways = {f"tunnel/{kind}": number for kind, number in world.tunnels.items()}
        ways |= {f"provider/{name}": number for name, number in world.physnets.items()}
        ways |= {f"nat/{name}": number for name, number in _namespaces(world).items()}
        ports = [name for name, number in world.ofports.items() if number == ofport]
        sender = next((name for name in ports if Owner("port", name).cookie == found.cookie), "")
        if sender or ports:
            return f"port/{sender or ports[0]}"
        return next((way for way, number in ways.items() if number == ofport), f"ofport {ofport}")

    def _in_port(self, entry: str) -> int:
        kind, _, name = entry.partition("/")
        world = self._world
        namespaces = _namespaces(world) if kind == "nat" else {}
        wires = {"port": world.ofports, "tunnel": world.tunnels, "provider": world.physnets, "nat": namespaces}
        known = wires.get(kind, {})
        if name not in known:
            raise ValueError(f"{entry} is not on this host")
        return known[name]


def _namespaces(world: World) -> dict[str, int]:
    """By router, where its namespace is on br-int."""
    routers = (name for kind, name in world.objects if kind == "router")
    return {name: world.nats[device(name)] for name in routers if device(name) in world.nats}


def _checked(fields: dict[str, int], beginnings: tuple[str, ...]) -> dict[str, int]:
    """Raises ValueError for a field that is none, or not of these."""
    for name, value in fields.items():
        if name not in FIELDS or not name.startswith(beginnings) or not 0 <= value < 1 << FIELDS[name].bits:
            raise ValueError(f"{name}={value} is no field to ask about")
    return fields
