"""Reads what the switch has counted of each port, at every tenth second of the clock, for the controller to add up.

Totals are those of the interface, as its device counts them; a trunk's subport has none, so flows count them, as they
count the part of every port's that is from or to the outside (pipeline.count). Nothing of these is remembered here:
values are told as they are, with what they count since, so that neither a restart of the agent nor a report that got
lost changes any sum. A device that goes, and a port whose flows are about to go, are read once more: told at once, for
nobody else will know. What anti-spoofing drops is told as differences: a detector hears of it again while it goes on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, Never, Protocol

import msgspec

from suimon.dataplane.devices import Counted
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
_MOMENT_S: Final = 1e-6
_FEW: Final = 8
"""So many ports' flows are asked for by themselves: a host may have thousands of others'."""
_YOUNGEST_S: Final = 3.0
"""What counts only since then is read the next time: births are told apart by two seconds."""


class Config(msgspec.Struct, frozen=True):
    every_s: float = 10.0


class Counting(Protocol):
    """What has counted: the connection to the bridge (dataplane.openflow.connection.Connection)."""

    async def interface_counts(self) -> dict[int, InterfaceCount]: ...

    async def flow_counts(self, stage: Stage, cookie: int | None = None) -> list[FlowCount]: ...

    async def drops(self, stage: Stage) -> dict[tuple[int, FlowKey], int]: ...


class Telling(Protocol):
    """Who is told of readings (agent.reporter.Reporter)."""

    def read(self, reading: Reading) -> None:
        """All ports; a newer one says all that an older one would have."""
        ...

    def read_last(self, reading: Reading) -> None:
        """Some ports, of which nobody else may ever say it."""
        ...


class Kept(Protocol):
    """What devices have counted, also those that are gone (dataplane.devices.Devices)."""

    def counted(self, ifindex: int, name: str) -> Counted | None: ...


class _Device(NamedTuple):
    """Since when the port has had it, by the host's clock; 0: since before anybody looked."""

    plugged: Plugged
    since_s: float


class Meter:
    """`run` reads until cancelled, and tells. The wall's clock only says when: all hosts at once."""

    def __init__(self, config: Config, world: World, telling: Telling, kept: Kept, wall: Callable[[], float]) -> None:
        self._config = config
        self._world = world
        self._telling = telling
        self._kept = kept
        self._wall = wall
        self._devices: dict[str, _Device] = {}
        self._parted: dict[str, list[PortCounts]] = {}
        """What those counted that ports had, and nobody was told of."""
        self._drops: dict[tuple[int, FlowKey], int] | None = None
        self._drops_at_s = time.monotonic()
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""

    async def run(self, connection: Counting, plugged: Callable[[], Mapping[str, Plugged]]) -> Never:
        """Raises what the connection raises."""
        while True:
            await asyncio.sleep(self._config.every_s - self._wall() % self._config.every_s)
            reading = await self.read(connection, plugged)
            self._telling.read(msgspec.structs.replace(reading, dropped=await self.dropped(connection)))

    def plugged(self, port_id: str, device: Plugged | None, since_s: float) -> None:
        """What the port has now, and since when."""
        before = self._devices.pop(port_id, None)
        same = before is not None and device is not None and before.plugged.ifindex == device.ifindex
        # At once: a device that was unplugged may be deleted in a moment.
        if before is not None and not same and (counts := self._last_of(port_id, before)):
            self._parted.setdefault(port_id, []).append(counts)
        if device is not None:
            self._devices[port_id] = _Device(device, before.since_s if before is not None and same else since_s)

    async def read_last(self, connection: Counting, port_ids: Collection[str]) -> None:
        """Tell what these have counted, before their flows go, and what those had whose device is another one now.
        Raises what the connection raises.
        """
        if not (parting := {*port_ids, *self._parted}):
            return
        now_s = time.monotonic()
        cookies = [Owner("port", port_id).cookie for port_id in parting] if len(parting) <= _FEW else [None]
        counts = await asyncio.gather(*(connection.flow_counts(Stage.TALLY, each) for each in cookies))
        flows = _by_owner(chain.from_iterable(counts), now_s, _YOUNGEST_S)
        # What a subport had is known when its parent's device is read: that counted it, too.
        parents = {port_id: self._parent(port_id) for port_id in parting}
        for port_id in sorted(parting, key=lambda each: (not parents[each], each)):
            own = flows.get(Owner("port", port_id).cookie, {})
            read, device = self._parted.pop(port_id, []), self._devices.get(port_id)
            if device is not None and (last := self._last_of(port_id, device)):
                read.append(last)
            elif sent := own.get(SENT):
                read.append(PortCounts(port_id, sent.born_s, own.get(RECEIVED), sent))
            outside = {"received_outside": own.get(RECEIVED_OUTSIDE), "sent_outside": own.get(SENT_OUTSIDE)}
            for one in read:
                # Two readings of a port are never of one moment.
                now_s = max(now_s + _MOMENT_S, time.monotonic())
                told = msgspec.structs.replace(one, **outside) if one is read[-1] else one
                told = msgspec.structs.replace(told, parent=parents[port_id])
                self._telling.read_last(Reading(self._boot, now_s, (told,)))

    def _parent(self, port_id: str) -> str:
        """Whose interface it has, if it is a subport."""
        port = self._world.port(port_id)
        return port.parent or "" if port else ""

    def _last_of(self, port_id: str, device: _Device) -> PortCounts | None:
        """By the kernel, which counts a device of its own as the switch does, and one of the switch's the other way
        round.
        """
        plugged = device.plugged
        if plugged.ifindex is None or plugged.type not in ("", "system"):
            return None
        counted = self._kept.counted(plugged.ifindex, plugged.interface)
        return counted and PortCounts(port_id, device.since_s, *_of_device(plugged.ifindex, counted))

    async def read(
        self, connection: Counting, plugged: Callable[[], Mapping[str, Plugged]], youngest_s: float = _YOUNGEST_S
    ) -> Reading:
        """A port whose interface changes meanwhile is left out: its counters wait for the next time."""
        before = dict(plugged())
        interfaces = await connection.interface_counts()
        after = plugged()
        now_s = time.monotonic()
        flows = _by_owner(await connection.flow_counts(Stage.TALLY), now_s, youngest_s)
        ports = []
        for port_id in sorted(self._world.ofports):
            parent = self._parent(port_id)
            holder = parent or port_id
            interface = before.get(holder)
            counted = interfaces.get(interface.ofport) if interface and interface.ofport else None
            if interface is None or counted is None or interface != after.get(holder) or counted.age_s < youngest_s:
                continue
            own = flows.get(Owner("port", port_id).cookie, {})
            device = _of_device(interface.ifindex, counted) if holder == port_id else (own.get(RECEIVED), own.get(SENT))
            outside = own.get(RECEIVED_OUTSIDE), own.get(SENT_OUTSIDE)
            ports.append(PortCounts(port_id, now_s - counted.age_s, *device, *outside, parent))
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


def _of_device(ifindex: int | None, counted: InterfaceCount | Counted) -> tuple[Count, Count]:
    """Received by the guest, which is what the switch sent, and sent by it."""
    name = f"device {ifindex}"
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
