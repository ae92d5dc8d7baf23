"""Reads what the switch has counted of each port, at every tenth second of the clock, for the controller to add up.

Totals are those of the interface, as its device counts them; a trunk's subport has none, so flows count them, as they
count the part of every port's that is from or to the outside (pipeline.count). Nothing of these is remembered here:
values are told as they are, with what they count since, so that neither a restart of the agent nor a report that got
lost changes any sum. What anti-spoofing drops is told as differences: a detector hears of it again while it goes on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Never, Protocol

import msgspec

from suimon.dataplane.openflow.messages import FlowCount, InterfaceCount
from suimon.dataplane.switch import Plugged
from suimon.model.counts import Count, Drops, PortCounts, Reading
from suimon.model.owner import Owner
from suimon.pipeline.drops import reason
from suimon.pipeline.fields import COUNTING, RECEIVED, RECEIVED_OUTSIDE, SENT, SENT_OUTSIDE
from suimon.pipeline.flow import Flow, FlowKey
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_YOUNGEST_S: Final = 3.0
"""What counts only since then is read the next time: births are told apart by two seconds."""


class Config(msgspec.Struct, frozen=True):
    every_s: float = 10.0


class Counting(Protocol):
    """What has counted: the connection to the bridge (dataplane.openflow.connection.Connection)."""

    async def interface_counts(self) -> dict[int, InterfaceCount]: ...

    async def flow_counts(self, stage: Stage) -> list[FlowCount]: ...

    async def drops(self, stage: Stage) -> dict[tuple[int, FlowKey], int]: ...


class Meter:
    """`run` reads until cancelled; `tell` gets each reading. The wall's clock only says when: all hosts at once."""

    def __init__(
        self, config: Config, world: World, tell: Callable[[Reading], None], wall: Callable[[], float]
    ) -> None:
        self._config = config
        self._world = world
        self._tell = tell
        self._wall = wall
        self._drops: dict[tuple[int, FlowKey], int] | None = None
        self._drops_at_s = time.monotonic()
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""

    async def run(self, connection: Counting, plugged: Callable[[], Mapping[str, Plugged]]) -> Never:
        """Raises what the connection raises."""
        while True:
            await asyncio.sleep(self._config.every_s - self._wall() % self._config.every_s)
            reading = await self.read(connection, plugged)
            self._tell(msgspec.structs.replace(reading, dropped=await self.dropped(connection)))

    async def read(
        self, connection: Counting, plugged: Callable[[], Mapping[str, Plugged]], youngest_s: float = _YOUNGEST_S
    ) -> Reading:
        """A port whose interface changes meanwhile is left out: its counters wait for the next time."""
        before = plugged()
        interfaces = await connection.interface_counts()
        after = plugged()
        now_s = time.monotonic()
        flows = _by_owner(await connection.flow_counts(Stage.TALLY), now_s, youngest_s)
        ports = []
        for port_id in sorted(self._world.ofports):
            port = self._world.port(port_id)
            holder = port.parent or port_id if port else port_id
            interface = before.get(holder)
            counted = interfaces.get(interface.ofport) if interface and interface.ofport else None
            if interface is None or counted is None or interface != after.get(holder) or counted.age_s < youngest_s:
                continue
            own = flows.get(Owner("port", port_id).cookie, {})
            device = _of_device(interface, counted) if holder == port_id else (own.get(RECEIVED), own.get(SENT))
            outside = own.get(RECEIVED_OUTSIDE), own.get(SENT_OUTSIDE)
            ports.append(PortCounts(port_id, now_s - counted.age_s, *device, *outside))
        return Reading(self._boot, now_s, tuple(ports))

    async def dropped(self, connection: Counting) -> tuple[Drops, ...]:
        """What anti-spoofing dropped since this was asked last; nothing the first time."""
        counted, now_s = await connection.drops(Stage.ANTISPOOF), time.monotonic()
        before, span_s = counted if self._drops is None else self._drops, now_s - self._drops_at_s
        self._drops, self._drops_at_s = counted, now_s
        # A flow that counted more before is another one by now, and has counted all that it holds.
        news = {at: now - was if (was := before.get(at, 0)) <= now else now for at, now in counted.items()}
        owners = {owner.cookie: owner for owner in (Owner("port", name) for name in self._world.ofports)}
        found = Counter[tuple[str, str]]()
        for (cookie, key), packets in news.items():
            if packets and (owner := owners.get(cookie)) and (why := reason(Flow(key, owner, ()))):
                found[owner.id, why] += packets
        return tuple(Drops(*about, packets, span_s) for about, packets in found.items())


def _of_device(interface: Plugged, counted: InterfaceCount) -> tuple[Count, Count]:
    """Received by the guest, which is what the switch sent, and sent by it."""
    name = f"device {interface.ifindex}"
    received = Count(name, 0.0, counted.sent_bytes, counted.sent_packets)
    return received, Count(name, 0.0, counted.received_bytes, counted.received_packets)


def _by_owner(counts: Iterable[FlowCount], now_s: float, youngest_s: float) -> dict[int, dict[int, Count]]:
    """By cookie, and by what is counted."""
    found: dict[int, dict[int, Count]] = {}
    for each in counts:
        if each.age_s >= youngest_s:
            count = Count("flow", now_s - each.age_s, each.bytes, each.packets)
            found.setdefault(each.cookie, {})[each.matched.get(COUNTING, 0)] = count
    return found
