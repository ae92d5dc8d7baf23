"""Promise: what guests send on a real Open vSwitch comes to the collector as records of the right port, and as much.

Every packet is sampled, so that sums are exact: between guests of a host, through a router, and to nobody; by each
protocol that hosts may export.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Never

import msgspec
import numpy as np
import pytest

from suimon.agent.session import exported_as
from suimon.dataplane.exports import Export, Protocol
from suimon.dataplane.layout import Layout
from suimon.dataplane.switch import Config as SwitchConfig
from suimon.dataplane.switch import Plugged, Switch
from suimon.detection.engine import Fault, Tally
from suimon.model.collectors import MapAnswer, MappedPort, MapRequest, Question
from suimon.model.findings import Finding
from suimon.model.records import FROM_GUEST, Batch, some
from suimon.telemetry.collecting import Collecting, Config
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.exporters import Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.segments import Config as SegmentsConfig
from suimon.telemetry.history.segments import Segments
from tests.patience import patient
from tests.system.live import LiveCloud
from tests.system.namespaces import inside
from tests.system.openvswitch import OpenVSwitch

MAC = "02:00:00:00:00:"
WORLD = f"""
host h1
network blue vxlan 100
network red vxlan 101
subnet blue4 blue 10.0.0.0/24 gateway=10.0.0.1
subnet red4 red 10.1.0.0/24 gateway=10.1.0.1
group open egress:any ingress:any
port a h1 blue {MAC}01 10.0.0.11 groups=open
port b h1 blue {MAC}02 10.0.0.12 groups=open
port c h1 red {MAC}03 10.1.0.13 groups=open
router r blue4=10.0.0.1@{MAC}f1 red4=10.1.0.1@{MAC}f2
"""
ADDRESSES = {"a": "10.0.0.11", "b": "10.0.0.12", "c": "10.1.0.13"}
PROJECTS = {"a": "p", "b": "q", "c": "p"}
TARGETS = {8000: "10.0.0.12", 8001: "10.1.0.13", 8002: "192.0.2.77"}
"""By port: a guest beside, one through a router, nobody."""
SENT, PAYLOAD, MARKER = 40, 300, 9999
PACKET = PAYLOAD + 8 + 20
FRAME = PACKET + 14
"""Without its checksum, as every counter of ours has it."""
BYTES: dict[Protocol, int] = {"sflow": FRAME, "ipfix": PACKET, "netflow": FRAME}
"""Of each packet, as Open vSwitch counts them."""


@pytest.fixture(scope="module")
def live(kept_switch: OpenVSwitch) -> Iterator[LiveCloud]:
    made = LiveCloud(kept_switch, WORLD)
    kept_switch.vsctl("set", "bridge", "br-int", "external_ids:suimon-owner=bridge/br-int")
    yield made


class Map:
    """The ports as hosts report them to the controller."""

    def __init__(self, plugged: dict[str, Plugged], export: Export) -> None:
        numbers = {name: exported_as(plugged[name], export).ifindex for name in ADDRESSES}
        self.answer = MapAnswer("s", 1, 1, True, tuple(_mapped(*each) for each in numbers.items()))

    async def ports(self, asked: MapRequest) -> MapAnswer:
        if asked.store:
            await asyncio.Event().wait()
        return self.answer

    async def findings(self, found: Sequence[Finding]) -> None:
        raise AssertionError(found)


class Heard:
    """In the detectors' place: hears of the last packet, and of how many others."""

    def __init__(self) -> None:
        self.all = asyncio.Event()
        self.last = False
        self.packets = 0

    def take(self, batch: Batch, tags: Sequence[MappedPort], now_s: float) -> list[Finding]:
        sent = some(batch, batch["direction"] == FROM_GUEST)
        self.packets += int(sent["packets"][np.isin(sent["destination_port"], [*TARGETS])].sum())
        self.last = self.last or MARKER in sent["destination_port"]
        if self.last and self.packets >= SENT * len(TARGETS):
            self.all.set()
        return []

    @property
    def tallies(self) -> dict[str, Tally]:
        return {}

    @property
    def faults(self) -> dict[str, Fault]:
        return {}

    def look(self, now_s: float) -> list[Finding]:
        return []


def _mapped(name: str, number: int) -> MappedPort:
    mac = f"{MAC}0{1 + list(ADDRESSES).index(name)}"
    return MappedPort(name, PROJECTS[name], "n", "h1", "127.0.0.1", number, mac, (ADDRESSES[name],))


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, Never]) -> AsyncIterator[None]:
    started = asyncio.ensure_future(work)
    try:
        yield
    finally:
        started.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await started


@pytest.mark.parametrize("protocol", BYTES)
def test_each_record_is_its_port_s_and_the_sums_are_right(live: LiveCloud, tmp_path: Path, protocol: Protocol) -> None:
    asyncio.run(_scenario(live, tmp_path, protocol))


async def _scenario(live: LiveCloud, directory: Path, protocol: Protocol) -> None:
    decoder, heard = Collector(Exporters()), Heard()
    switch = Switch(SwitchConfig(rundir=live.switch.rundir))
    async with asyncio.timeout(patient(60)), running(switch.run()):
        await switch.ready()
        while not all(name in switch.plugged and switch.plugged[name].ifindex for name in ADDRESSES):
            await switch.changed()
        segments = Segments(SegmentsConfig(directory), time.time)
        export = Export("", protocol=protocol, sampling=1, every_s=1)
        collecting = Collecting(Config(freshen_s=0.0), decoder, segments, Map(switch.plugged, export))
        collecting.detection = heard
        receiver = Receiver(ReceiverConfig((("127.0.0.1", 0),)), collecting.take, time.time)
        inside(live.switch.namespace, receiver.open)
        export = msgspec.structs.replace(export, collector=f"127.0.0.1:{receiver.addresses[0][1]}")
        async with running(collecting.run(receiver)):
            await collecting.mapped.wait()
            await switch.ensure(Layout(export=export))
            for l4_port, target in TARGETS.items():
                await asyncio.to_thread(_send, live, l4_port, target)
            await heard.all.wait()
            await _judge(collecting, (SENT, SENT * BYTES[protocol]))
        await switch.ensure(Layout())


def _send(live: LiveCloud, l4_port: int, target: str) -> None:
    """As much as a tap's queue holds while the switch is busy elsewhere; then what tells that all was heard of."""
    with live.socket("a", socket.SOCK_DGRAM) as sender:
        for _ in range(SENT):
            sender.sendto(bytes(PAYLOAD), (target, l4_port))
        if l4_port == [*TARGETS][-1]:
            sender.sendto(b"marker", ("10.0.0.12", MARKER))


async def _judge(collecting: Collecting, exact: tuple[int, int]) -> None:
    async def found(filter_: str, project_id: str = "") -> dict[tuple[str | None, str, str], tuple[int, int]]:
        answer = await collecting.ask(Question(filter_, limit=1000, project_id=project_id))
        sums: Counter[tuple[tuple[str | None, str, str], str]] = Counter()
        for row in answer.rows:
            key = row["port_id"], row["project_id"], row["direction"]
            sums[key, "packets"] += row["packets"]
            sums[key, "bytes"] += row["bytes"]
        return {key: (sums[key, "packets"], sums[key, "bytes"]) for key, _ in sums}

    beside = {("a", "p", "out"): exact, ("b", "q", "in"): exact}
    assert await found("protocol udp destination_port 8000") == beside
    assert await found("protocol udp destination_port 8001") == {("a", "p", "out"): exact, ("c", "p", "in"): exact}
    assert await found("protocol udp destination_port 8002") == {("a", "p", "out"): exact}
    assert await found("destination_port 8000", "q") == {("b", "q", "in"): exact}
    assert {row["host"] for row in (await collecting.ask(Question("port a"))).rows} == {"h1"}
