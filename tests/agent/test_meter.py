"""What the agent reads of its switch: what counts since when, and nothing of what changes while it looks."""

import asyncio
import time

import msgspec

from suimon.agent.meter import Config, Meter
from suimon.dataplane.devices import Counted
from suimon.dataplane.openflow.messages import FlowCount, InterfaceCount
from suimon.dataplane.switch import Plugged
from suimon.model import view
from suimon.model.counts import Count, PortCounts, Reading
from suimon.model.owner import Owner
from suimon.pipeline.drops import reason
from suimon.pipeline.fields import COUNTING, RECEIVED, RECEIVED_OUTSIDE, SENT, SENT_OUTSIDE
from suimon.pipeline.flow import FlowKey
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World

PARENT, SUB = Owner("port", "vm").cookie, Owner("port", "sub").cookie


class Counts:
    """A switch that has one interface; `during` is called when it is asked for what that counted."""

    def __init__(self) -> None:
        self.plugged = {"vm": Plugged("vm", "tap0", 1, up=True, ifindex=7)}
        self.interfaces = {1: InterfaceCount(90.0, 11, 22, 1100, 2200)}
        self.flows = [
            FlowCount(PARENT, {COUNTING: SENT_OUTSIDE, "reg1": 1}, 500, 5, 80.0),
            FlowCount(PARENT, {COUNTING: RECEIVED_OUTSIDE, "reg2": 1}, 600, 6, 80.0),
            FlowCount(SUB, {COUNTING: SENT, "reg1": 2}, 70, 7, 40.0),
            FlowCount(SUB, {COUNTING: RECEIVED, "reg2": 2}, 80, 8, 40.0),
            FlowCount(SUB, {COUNTING: SENT_OUTSIDE, "reg1": 2}, 10, 1, 2.0),
        ]
        self.asked: list[int | None] = []
        self.dropped: dict[tuple[int, FlowKey], int] = {}
        self.replug = False

    async def interface_counts(self) -> dict[int, InterfaceCount]:
        if self.replug:
            self.plugged = {"vm": Plugged("vm", "tap0", 1, up=True, ifindex=8)}
        return self.interfaces

    async def flow_counts(self, stage: Stage, cookie: int | None = None) -> list[FlowCount]:
        assert stage is Stage.TALLY
        self.asked.append(cookie)
        return [each for each in self.flows if cookie in (None, each.cookie)]

    async def drops(self, stage: Stage) -> dict[tuple[int, FlowKey], int]:
        assert stage is Stage.ANTISPOOF
        return dict(self.dropped)


class Told:
    """Last readings, as they are told."""

    def __init__(self) -> None:
        self.last: list[Reading] = []

    def read(self, reading: Reading) -> None:
        raise AssertionError(reading)

    def read_last(self, reading: Reading) -> None:
        self.last.append(reading)


class Kernel:
    """What devices have counted, whether they are there or not."""

    def __init__(self) -> None:
        self.devices: dict[tuple[int, str], Counted] = {}

    def counted(self, ifindex: int, name: str) -> Counted | None:
        return self.devices.get((ifindex, name))


def trunk() -> World:
    world = World("h1", Numbers())
    world.set(view.Network("a", "vxlan", 1, None, 1450))
    world.set(view.Port("vm", "h1", "a", "02:00:00:00:00:01", ()))
    world.set(view.Port("sub", "h1", "a", "02:00:00:00:00:02", (), parent="vm", vlan=20))
    world.plug("vm", 1)
    return world


def read(counts: Counts) -> dict[str, PortCounts]:
    world = trunk()
    meter = Meter(Config(), world, Told(), Kernel(), lambda: 0.0)
    reading = asyncio.run(meter.read(counts, lambda: counts.plugged))
    assert reading.boot and abs(reading.clock_s - time.monotonic()) < 60
    return {each.port_id: each for each in reading.ports}


def test_a_device_counts_its_port_and_flows_the_rest() -> None:
    counted = read(Counts())
    vm, sub = counted["vm"], counted["sub"]
    assert vm.received and vm.sent and vm.received_outside and vm.sent_outside
    assert (vm.received.bytes, vm.received.packets, vm.sent.bytes, vm.sent.packets) == (2200, 22, 1100, 11)
    assert vm.received.counter == vm.sent.counter == "device 7"
    assert (vm.received_outside.bytes, vm.sent_outside.bytes) == (600, 500)
    assert abs(vm.sent_outside.born_s - (time.monotonic() - 80)) < 60
    assert sub.received and sub.sent and (sub.received.bytes, sub.sent.bytes) == (80, 70)
    assert sub.sent_outside is None, "a flow so young waits for the next time"
    assert (vm.parent, sub.parent) == ("", "vm")


def test_an_interface_that_is_new_or_changes_meanwhile_waits_for_the_next_time() -> None:
    counts = Counts()
    counts.replug = True
    assert read(counts) == {}
    counts.replug = False
    assert read(counts)["vm"].sent.counter == "device 8"  # type: ignore[union-attr]
    counts.interfaces = {1: InterfaceCount(1.0, 1, 1, 1, 1)}
    assert read(counts) == {}
    counts.interfaces = {}
    assert read(counts) == {}


def test_what_goes_is_read_once_more_by_the_kernel_and_by_flows() -> None:
    told, kernel, counts = Told(), Kernel(), Counts()
    kernel.devices[7, "tap0"] = Counted(11, 22, 1100, 2200)
    kernel.devices[8, "tap0"] = Counted(1, 2, 100, 200)
    meter = Meter(Config(), trunk(), told, kernel, lambda: 0.0)

    def last(*port_ids: str) -> list[PortCounts]:
        told.last.clear()
        asyncio.run(meter.read_last(counts, port_ids))
        assert [each.clock_s for each in told.last] == sorted({each.clock_s for each in told.last})
        return [each for reading in told.last for each in reading.ports]

    device = counts.plugged["vm"]
    meter.plugged("vm", device, 5.0)
    meter.plugged("vm", msgspec.structs.replace(device, up=False), 6.0)
    sub, vm = last("sub", "vm")
    assert sub.received and sub.sent and (sub.port_id, sub.received.bytes, sub.sent.bytes) == ("sub", 80, 70)
    assert (sub.parent, vm.parent) == ("vm", "")
    assert sub.sent_outside is None and sub.plugged_s == sub.sent.born_s
    assert (vm.plugged_s, vm.sent, vm.received) == (
        5.0,
        Count("device 7", 0.0, 1100, 11),
        Count("device 7", 0.0, 2200, 22),
    )
    assert vm.sent_outside and vm.received_outside
    assert (vm.sent_outside.bytes, vm.received_outside.bytes) == (500, 600)
    assert sorted(map(bool, counts.asked)) == [True, True], "of few ports no others' flows are read"
    counts.asked.clear()
    assert [each.port_id for each in last("sub", "vm", *map(str, range(20)))] == ["sub", "vm"]
    assert counts.asked == [None]
    meter.plugged("vm", msgspec.structs.replace(device, ifindex=8), 7.0)
    old, new = last()
    assert old.sent and new.sent and (old.sent.counter, new.sent.counter) == ("device 7", "device 8")
    assert (old.plugged_s, new.plugged_s, old.sent_outside is None, new.sent_outside is None) == (5.0, 7.0, True, False)
    meter.plugged("vm", None, 8.0)
    (gone,) = last("vm")
    assert gone.sent == Count("device 8", 0.0, 100, 1)
    assert last("vm") == last() == [], "nobody reads it twice"
    meter.plugged("vm", msgspec.structs.replace(device, type="internal"), 9.0)
    assert last("vm") == [], "whose counters have it the other way round"


def test_what_is_dropped_is_told_as_it_grows() -> None:
    world = World("h1", Numbers())
    world.set(view.Network("a", "vxlan", 1, None, 1450))
    world.set(view.Port("vm", "h1", "a", "02:00:00:00:00:01", ()))
    world.plug("vm", 1)
    compiled = [each for each in world.compile(Owner("port", "vm")).flows if each.key.stage is Stage.ANTISPOOF]
    forged, as_a_server = (
        next((PARENT, each.key) for each in compiled if reason(each) == why) for why in ("spoofed", "rogue_dhcp")
    )
    counts, meter = Counts(), Meter(Config(), world, Told(), Kernel(), lambda: 0.0)

    def told(**dropped: int) -> dict[str, int]:
        counts.dropped = {
            at: dropped[name] for at, name in ((forged, "forged"), (as_a_server, "dhcp")) if name in dropped
        }
        counts.dropped[1, forged[1]] = 1000 * len(counts.dropped)
        found = asyncio.run(meter.dropped(counts))
        assert all(each.port_id == "vm" and 0 <= each.span_s < 60 for each in found)
        return {each.reason: each.packets for each in found}

    assert told(forged=70) == {}, "who knows since when"
    assert told(forged=70) == {}
    assert told(forged=100, dhcp=3) == {"spoofed": 30, "rogue_dhcp": 3}
    assert told(forged=20, dhcp=3) == {"spoofed": 20}, "the switch began anew"
