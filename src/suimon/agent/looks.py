"""What a port does now: counted twice, a moment apart, from its device, its conntrack zone and the flows that drop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from suimon.agent.meter import Counting as Metering
from suimon.agent.meter import Meter
from suimon.dataplane.openflow.messages import Metered
from suimon.dataplane.switch import Plugged
from suimon.dataplane.unixctl import command, vswitchd
from suimon.dataplane.zones import Filled, Tracked
from suimon.model.counts import Activity, Count
from suimon.model.owner import Owner
from suimon.model.questions import Look
from suimon.model.view import Port
from suimon.pipeline.drops import Restraint, entrances, restraints
from suimon.pipeline.flow import FlowKey
from suimon.pipeline.numbers import LOCAL_ZONES
from suimon.pipeline.world import World

_SPANS_S: Final = (0.1, 5.0)
"""The shortest and the longest that it is looked for."""


class Config(msgspec.Struct, frozen=True):
    """Listing a zone keeps ovs-vswitchd from all else, so a fuller one is only counted."""

    rundir: Path
    most_connections: int = 4096


class Counting(Metering, Protocol):
    """What has counted: the connection to the bridge (dataplane.openflow.connection.Connection)."""

    async def packets_of(self, cookie: int) -> dict[FlowKey, int]: ...

    async def metered(self, meter_id: int) -> Metered: ...


class Tracking(Protocol):
    """The connection tracker, by zones (dataplane.zones.ZoneLimits)."""

    async def filled(self, zone: int) -> Filled | None: ...

    async def tracked(self, zone: int) -> frozenset[Tracked]: ...


class Counters(msgspec.Struct, frozen=True):
    """Where to read: of one session with the switch."""

    bridge: Counting
    zones: Tracking
    plugged: Callable[[], Mapping[str, Plugged]]


class _Seen(msgspec.Struct, frozen=True):
    """At one moment. `found` are the connections that were asked about. `let_on` of what the guest sent, and `let_in`
    of what goes to it, are by meter (0: before them all).
    """

    clock_s: float
    sent: Count
    received: Count
    connections: int | None
    found: frozenset[Tracked] | None
    dropped: dict[Restraint, int]
    let_on: dict[int, int]
    let_in: dict[int, int]


class Looks:
    """`look` answers one question. Nothing is remembered of it."""

    def __init__(self, config: Config, world: World, meter: Meter) -> None:
        self._config = config
        self._world = world
        self._meter = meter

    async def look(self, asked: Look, counters: Counters) -> Activity:
        """Raises ValueError for a port that can't be looked at, and what reading raises."""
        span_s = min(max(asked.span_s, _SPANS_S[0]), _SPANS_S[1])
        first = await self._seen(asked, counters)
        await asyncio.sleep(span_s)
        last = await self._seen(asked, counters)
        if not (_goes_on(first.sent, last.sent) and _goes_on(first.received, last.received)):
            raise ValueError("the port's counters began anew just now")
        new = last.found - first.found if last.found is not None and first.found is not None else None
        dropped = {what: max(last.dropped[what] - first.dropped.get(what, 0), 0) for what in last.dropped}
        return Activity(
            last.clock_s - first.clock_s,
            *(last.sent.packets - first.sent.packets, last.sent.bytes - first.sent.bytes),
            *(last.received.packets - first.received.packets, last.received.bytes - first.received.bytes),
            sessions=None if new is None else len(new),
            peers=len({each.peer(asked.direction) for each in new or ()}),
            connections=last.connections,
            restricted_out=dropped.get("out"),
            restricted_in=dropped.get("in"),
            forged=dropped.get("forged"),
            let_on=_through(first.let_on, last.let_on),
            let_in=_through(first.let_in, last.let_in),
        )

    async def _seen(self, asked: Look, counters: Counters) -> _Seen:
        port = self._world.port(asked.port_id)
        if port is None or asked.port_id not in self._world.ofports:
            raise ValueError("the port has no interface on its host")
        if asked.drops:
            # What the datapath counted comes to flows by and by; without this, as much as half a second late.
            await command(vswitchd(self._config.rundir), "revalidator/wait")
        restrained = await self._restrained(asked.port_id, counters.bridge) if asked.drops else ({}, {}, {})
        reading = await self._meter.read(counters.bridge, counters.plugged, youngest_s=0.0)
        counts = next((each for each in reading.ports if each.port_id == asked.port_id), None)
        if counts is None or counts.sent is None or counts.received is None:
            raise ValueError("the port's interface is just changing")
        connections, found = await self._connections(asked, port, counters.zones)
        return _Seen(reading.clock_s, counts.sent, counts.received, connections, found, *restrained)

    async def _connections(
        self, asked: Look, port: Port, zones: Tracking
    ) -> tuple[int | None, frozenset[Tracked] | None]:
        program = self._world.compile(Owner("port", port.id))
        zone = next((each.number for each in program.zones if each.number < LOCAL_ZONES), None)
        filled = await zones.filled(zone) if zone is not None else None
        if zone is None or filled is None or filled.connections > self._config.most_connections:
            return filled.connections if filled else None, None
        own = {fixed.ip for fixed in port.fixed_ips} | {ip for pair in port.pairs if (ip := pair.single)}
        found = await zones.tracked(zone)
        return len(found), frozenset(each for each in found if _is_asked(each, asked, own))

    async def _restrained(
        self, port_id: str, bridge: Counting
    ) -> tuple[dict[Restraint, int], dict[int, int], dict[int, int]]:
        """All that is counted since the port's flows are in the switch: what they dropped, let on, and let in.

        Each place is compared with what came to it by its own counters, which were read at once.
        """
        owner = Owner("port", port_id)
        program, counted = self._world.compile(owner), await bridge.packets_of(owner.cookie)
        dropped: dict[Restraint, int] = {"out": 0, "in": 0, "forged": 0}
        let_on, let_in = {0: sum(counted.get(key, 0) for key in entrances(program))}, dict[int, int]()
        for thing, what in restraints(program):
            if isinstance(thing, FlowKey):
                dropped[what] += counted.get(thing, 0)
                let_on[0] -= counted.get(thing, 0) if what != "in" else 0
            else:
                metered = await bridge.metered(thing)
                dropped[what] += metered.dropped
                (let_in if what == "in" else let_on)[thing] = metered.came - metered.dropped
        return dropped, let_on, let_in


def _through(first: Mapping[int, int], last: Mapping[int, int]) -> int | None:
    """What gets through all of them is no more than what gets through each. None where there is none."""
    return min((max(last[place] - first[place], 0) for place in last if place in first), default=None)


def _goes_on(first: Count, last: Count) -> bool:
    return first.counter == last.counter and first.packets <= last.packets and first.bytes <= last.bytes


def _is_asked(one: Tracked, asked: Look, own: Collection[str]) -> bool:
    inwards = one.destination in own
    return (
        inwards == (asked.direction == "ingress")
        and asked.protocol in (0, one.protocol)
        and asked.l4_port in (0, one.destination_port)
    )
