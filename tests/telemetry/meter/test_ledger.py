"""Sums over whatever hosts, switches and reports do: nothing negative, nothing twice, and what is unknown is told."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.samples import Sample
from suimon.telemetry.meter.ledger import FIGURES, HostHead, Told, advance, figures

WHOSE = {"p": Metered("project", "net")}
BEGAN_S = 1000.0


class Host:
    """A host with one port whose guest sends: what its devices and flows count, and what was told of each of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock_s = 50.0
        self.boot = 0
        self.device = self.flow = 0
        self.flow_born_s = self.plugged_s = self.clock_s
        self.sent = self.outside = 0
        self.told: dict[tuple[str, object], int] = {}
        self.outside_on_device = 0
        self.true_outside: dict[object, int] = {}

    def traffic(self, inside: int, outside: int) -> None:
        self.sent += inside + outside
        self.outside += outside
        self.outside_on_device += outside

    def replug(self) -> None:
        self.device += 1
        self.sent = self.outside_on_device = 0
        self.kill_switch()
        self.plugged_s = self.clock_s

    def kill_switch(self) -> None:
        """The device counts on, the flow is a new one."""
        self.clock_s += 5
        self.flow += 1
        self.outside, self.flow_born_s = 0, self.clock_s

    def reboot(self) -> None:
        self.boot += 1
        self.clock_s = 20.0
        self.replug()

    def read(self) -> Reading:
        self.clock_s += 10
        device = Count(f"device {self.device}", 0.0, self.sent, self.sent // 10)
        flow = Count("flow", self.flow_born_s + 0.01, self.outside, self.outside // 10)
        idle = Count(device.counter, 0.0, 0, 0)
        counts = PortCounts("p", self.plugged_s, idle, device, Count("flow", flow.born_s, 0, 0), flow)
        return Reading(f"boot {self.boot}", self.clock_s, (counts,))

    def deliver(self) -> None:
        self.told["sent", (self.boot, self.device)] = self.sent
        self.told["outside", (self.boot, self.flow)] = self.outside
        self.true_outside[self.boot, self.device] = self.outside_on_device

    def expected(self, what: str) -> int:
        return sum(count for (kind, _), count in self.told.items() if kind == what)


ACTS = st.one_of(
    st.tuples(st.just("traffic"), st.integers(0, 10**6), st.integers(0, 10**6)),
    st.sampled_from(
        [(name,) for name in ("read", "lose", "twice", "late", "replug", "kill", "reboot", "forget", "end")]
    ),
)


@given(st.lists(st.tuples(st.sampled_from([0, 1]), ACTS), max_size=25))
def test_sums_are_what_the_counters_said_whatever_happens(story: list) -> None:
    """Of two hosts, between which the port moves, too: two series, one sum."""
    hosts = [Host("h1"), Host("h2")]
    heads = {host.name: HostHead() for host in hosts}
    last: dict[str, Told] = {}
    kept: list[Sample] = []
    now_s = BEGAN_S + 100

    def tell(told: Told) -> None:
        heads[told.host], samples = advance(heads[told.host], told, BEGAN_S)
        kept.extend(samples)

    for at, act in story:
        host, now_s = hosts[at], now_s + 10
        match act:
            case ("traffic", inside, outside):
                host.traffic(inside, outside)
            case ("replug",):
                host.replug()
            case ("kill",):
                host.kill_switch()
            case ("reboot",):
                host.reboot()
            case ("lose",):
                host.read()
            case ("late",):  # One that was told already comes again after newer ones.
                if host.name in last:
                    tell(last[host.name])
            case ("forget",):  # The controller was restarted: what it knows is what it wrote.
                heads = msgspec.msgpack.decode(msgspec.msgpack.encode(heads), type=dict[str, HostHead])
            case (name,):
                last[host.name] = Told(host.name, host.read(), now_s, WHOSE, last=name == "end")
                host.deliver()
                for _ in range(2 if name == "twice" else 1):
                    tell(last[host.name])
    sums = dict(zip(FIGURES, map(sum, zip(*map(figures, kept), strict=True)), strict=True)) if kept else {}
    assert all(figure >= 0 for sample in kept for figure in figures(sample))
    assert sums.get("out_bytes", 0) == sum(host.expected("sent") for host in hosts)
    outside, unsplit = sums.get("out_outside_bytes", 0), sums.get("out_unsplit_bytes", 0)
    assert outside == sum(host.expected("outside") for host in hosts)
    assert outside <= sum(sum(host.true_outside.values()) for host in hosts) <= outside + unsplit
    assert sums.get("in_bytes", 0) == sums.get("in_unsplit_bytes", 0) == 0
    assert all(
        head.totals.get("project", (0,) * 10)[2] == host.expected("sent")
        for host, head in zip(hosts, heads.values(), strict=True)
    )
    spans = sorted((each.host, each.begun_s, each.ended_s) for each in kept)
    assert all(one[2] <= other[1] for one, other in pairwise(spans) if one[0] == other[0])


def reading(clock_s: float, sent: int, outside: int | None, born_s: float = 5.0, plugged_s: float = 5.0) -> Reading:
    flow = None if outside is None else Count("flow", born_s, outside, outside // 10)
    zero = Count("device 7", 0.0, 0, 0)
    return Reading(
        "b", clock_s, (PortCounts("p", plugged_s, zero, Count("device 7", 0.0, sent, sent // 10), None, flow),)
    )


def fold(*readings: Reading, at_s: float = 2000.0, whose: dict[str, Metered] = WHOSE) -> list[Sample]:
    head, kept = HostHead(), []
    for each in readings:
        head, samples = advance(head, Told("h", each, at_s + each.clock_s, whose), BEGAN_S)
        kept += samples
    return kept


def test_the_first_report_after_a_gap_covers_it_and_says_so() -> None:
    one, other = fold(reading(10, 500, 100), reading(3610, 90_500, 40_100))
    assert (one.begun_s, one.ended_s, one.out_bytes) == (2005.0, 2010.0, 500)
    assert (other.begun_s, other.ended_s) == (2010.0, 5610.0)
    assert (other.out_bytes, other.out_outside_bytes, other.out_unsplit_bytes) == (90_000, 40_000, 0)


def test_what_was_counted_before_there_was_metering_is_nobodys() -> None:
    early = reading(10, 10**12, 10**11, plugged_s=-2000.0)
    assert fold(early) == []
    (only,) = fold(early, reading(20, 10**12 + 7000, 10**11 + 3000, plugged_s=-2000.0))
    assert (only.out_bytes, only.out_outside_bytes) == (7000, 3000)


def test_a_flow_that_tells_a_second_late_loses_nothing_and_what_was_dropped_is_not_delivered() -> None:
    late = fold(reading(10, 9000, 6000), reading(20, 9000, 9000))
    assert [each.out_outside_bytes for each in late] == [6000, 3000]
    flood = fold(reading(10, 1000, 50_000), reading(20, 2000, 100_000), reading(30, 2000, 100_000))
    assert [each.out_outside_bytes for each in flood] == [1000, 1000, 0]


def test_a_switch_that_died_leaves_a_total_whose_split_is_unknown() -> None:
    kept = fold(reading(10, 1000, 500), reading(20, 3000, None), reading(30, 6000, 2000, born_s=15.0))
    assert [(each.out_bytes, each.out_outside_bytes, each.out_unsplit_bytes) for each in kept] == [
        (1000, 500, 0),
        (2000, 0, 2000),
        (3000, 2000, 0),
    ]
    at_once = fold(reading(10, 1000, 500), reading(20, 4000, 800, born_s=17.0))
    assert (at_once[1].out_bytes, at_once[1].out_outside_bytes, at_once[1].out_unsplit_bytes) == (3000, 800, 2200)


@pytest.mark.parametrize(("born_s", "unsplit"), [(17.0, 1500), (11.0, 0)])
def test_a_first_flow_that_came_late_did_not_count_all(born_s: float, unsplit: int) -> None:
    _, other = fold(reading(10, 1000, None), reading(20, 3000, 500, born_s=born_s))
    assert (other.out_bytes, other.out_outside_bytes, other.out_unsplit_bytes) == (2000, 500, unsplit)


def test_what_flows_of_another_life_of_the_host_counted_may_not_be_all() -> None:
    reborn = msgspec.structs.replace(reading(20, 700, 100, born_s=8.0), boot="another")
    (_, other) = fold(reading(10, 1000, 500), reborn)
    assert (other.out_bytes, other.out_outside_bytes, other.out_unsplit_bytes) == (700, 100, 600)


@pytest.mark.parametrize("jitter_s", [-1.5, 0.0, 1.5])
def test_an_age_that_is_told_a_little_late_is_the_same_birth(jitter_s: float) -> None:
    kept = fold(reading(10, 1000, 500), reading(20, 2000, 900, born_s=5.0 + jitter_s))
    assert kept[1].out_outside_bytes == 400


def test_a_port_of_another_host_is_believed_only_if_it_was_here() -> None:
    left = {"p": Metered("project", "net", bound=False)}
    assert fold(reading(10, 500, 100), whose=left) == []
    assert fold(reading(10, 500, 100), whose={}) == []
    head, _ = advance(HostHead(), Told("h", reading(10, 500, 100), 2010.0, WHOSE), BEGAN_S)
    _, (after,) = advance(head, Told("h", reading(20, 700, 150), 2020.0, left), BEGAN_S)
    assert (after.out_bytes, after.out_outside_bytes) == (200, 50)


def test_a_deleted_port_is_whose_it_was_and_by_last_readings_alone() -> None:
    head, _ = advance(HostHead(), Told("h", reading(10, 500, 100), 2010.0, WHOSE), BEGAN_S)
    assert advance(head, Told("h", reading(15, 700, 150), 2015.0, {}), BEGAN_S)[1] == ()
    told = Told("h", reading(15, 700, 150), 2015.0, {}, last=True)
    after, (last,) = advance(head, told, BEGAN_S)
    assert (last.project_id, last.network_id, last.begun_s, last.ended_s) == ("project", "net", 2010.0, 2015.0)
    assert (last.out_bytes, last.out_outside_bytes, last.out_unsplit_bytes) == (200, 50, 150)
    assert after.totals["project"][2] == 700 and after.ports["p"].gone
    assert advance(after, told, BEGAN_S) == (after, ())
    when_it_was = Told("h", reading(15, 700, 150), 2015.0, WHOSE, last=True)
    assert advance(after, when_it_was, BEGAN_S) == (after, ()), "another controller was told before it was deleted"
    again = Told("h", reading(16, 900, 150), 2016.0, {}, last=True)
    assert advance(after, again, BEGAN_S)[1] == (), "its device counts on, for nobody"
    forgotten, _ = advance(after, Told("h", Reading("b", 4000, ()), 6000.0, {}), BEGAN_S)
    assert forgotten.ports == {} and forgotten.totals == after.totals
    other = Told("h", reading(16, 900, 150), 2016.0, {"p": Metered("project", "net", bound=False)}, last=True)
    assert advance(HostHead(), other, BEGAN_S)[1] == (), "nor is it of a port that was never here"
    assert advance(HostHead(), msgspec.structs.replace(other, ports={}), BEGAN_S)[1] == ()


def test_a_last_reading_says_of_no_more_than_flows_told_where_it_went() -> None:
    head, _ = advance(HostHead(), Told("h", reading(10, 1000, 500), 2010.0, WHOSE), BEGAN_S)
    last = Told("h", reading(12, 3000, 900), 2012.0, WHOSE, last=True)
    head, (ended,) = advance(head, last, BEGAN_S)
    assert (ended.out_bytes, ended.out_outside_bytes, ended.out_unsplit_bytes) == (2000, 400, 1600)
    made_before = reading(11, 2000, 700)
    assert advance(head, Told("h", made_before, 2012.1, WHOSE), BEGAN_S)[1] == ()
    _, (after,) = advance(head, Told("h", reading(20, 3500, 1000), 2020.0, WHOSE), BEGAN_S)
    assert (after.out_bytes, after.out_outside_bytes, after.out_unsplit_bytes) == (500, 100, 0)


def test_what_half_a_pair_of_devices_forgot_at_its_end_is_no_new_counter() -> None:
    head, _ = advance(HostHead(), Told("h", reading(10, 1000, None), 2010.0, WHOSE), BEGAN_S)
    forgot = Told("h", reading(12, 300, None), 2012.0, WHOSE, last=True)
    _, (ended,) = advance(head, forgot, BEGAN_S)
    assert ended.out_bytes == ended.out_packets == 0


def test_a_reading_that_is_overtaken_by_a_newer_one_is_no_news() -> None:
    first, second, third = reading(10, 500, 100), reading(20, 900, 200), reading(30, 1000, 200)
    assert [each.out_bytes for each in fold(first, second, first, second, third)] == [500, 400, 100]


def test_a_counter_that_is_smaller_began_again() -> None:
    kept = fold(reading(10, 5000, 400), reading(20, 700, 300))
    assert [(each.out_bytes, each.out_outside_bytes) for each in kept] == [(5000, 400), (700, 300)]


class Moved:
    """A port whose devices come, go and return, and what an agent tells of them: now and then all that counts, and of
    each device a last reading when it goes.
    """

    def __init__(self) -> None:
        self.clock_s, self.flow_born_s = 50.0, 50.0
        self.now = 0
        self.devices = {0: 0}
        self.flow = 0
        self.sent = self.outside = 0
        self.messages: list[Told] = []

    def traffic(self, inside: int, outside: int) -> None:
        self.devices[self.now] += inside + outside
        self.flow += outside
        self.sent, self.outside = self.sent + inside + outside, self.outside + outside

    def tell(self, *, last: bool = False) -> None:
        self.clock_s += 5
        device = Count(f"device {self.now}", 0.0, self.devices[self.now], self.devices[self.now] // 10)
        flow = Count("flow", self.flow_born_s, self.flow, self.flow // 10)
        counts = PortCounts("p", 45.0, None, device, None, flow)
        read = Reading("boot", self.clock_s, (counts,))
        self.messages.append(Told("h", read, 2000.0 + self.clock_s, WHOSE, last=last))

    def plug(self, device: int, *, new_flow: bool) -> None:
        self.tell(last=True)
        new_flow = new_flow or device in self.devices
        self.now = device
        self.devices.setdefault(device, 0)
        if new_flow:
            self.clock_s += 5
            self.flow, self.flow_born_s = 0, self.clock_s


STEPS = st.one_of(
    st.tuples(st.just("traffic"), st.integers(0, 10**6), st.integers(0, 10**6)),
    st.tuples(st.just("plug"), st.integers(0, 3), st.booleans()),
    st.just(("tell",)),
)


@given(st.lists(STEPS, max_size=20), st.data())
def test_what_passed_counts_once_whoever_is_told_and_in_whatever_order(story: list, data: st.DataObject) -> None:
    """Each message comes once or twice, any before any other; at the end there is one more reading."""
    port = Moved()
    for step in story:
        match step:
            case ("traffic", inside, outside):
                port.traffic(inside, outside)
            case ("plug", device, new_flow):
                port.plug(device, new_flow=new_flow)
            case _:
                port.tell()
    twice = [each for each in port.messages if data.draw(st.booleans())]
    come = data.draw(st.permutations([*port.messages, *twice]))
    port.tell()
    head, kept = HostHead(), []
    for told in [*come, port.messages[-1]]:
        head, samples = advance(head, told, BEGAN_S)
        kept += samples
    assert all(figure >= 0 for sample in kept for figure in figures(sample))
    sums = dict(zip(FIGURES, map(sum, zip(*map(figures, kept), strict=True)), strict=True))
    assert sums["out_bytes"] == port.sent
    assert sums["out_outside_bytes"] <= port.outside <= sums["out_outside_bytes"] + sums["out_unsplit_bytes"]
    spans = [(each.begun_s, each.ended_s) for each in kept]
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_a_last_reading_that_newer_ones_overtook_is_compared_with_its_own_device() -> None:
    head, _ = advance(HostHead(), Told("h", reading(10, 500, 100), 2010.0, WHOSE), BEGAN_S)
    idle = Count("device 8", 0.0, 0, 0)
    replaced = PortCounts("p", 16.0, idle, Count("device 8", 0.0, 300, 30), None, Count("flow", 16.0, 0, 0))
    head, (newer,) = advance(head, Told("h", Reading("b", 20, (replaced,)), 2020.0, WHOSE), BEGAN_S)
    late = Told("h", reading(15, 700, 150), 2015.0, WHOSE, last=True)
    head, (last,) = advance(head, late, BEGAN_S)
    assert (newer.out_bytes, last.out_bytes, last.out_outside_bytes, last.out_unsplit_bytes) == (300, 200, 50, 150)
    assert (head.clock_s, head.boot) == (20, "b")
    assert advance(head, late, BEGAN_S) == (head, ())
    more = msgspec.structs.replace(replaced, sent=Count("device 8", 0.0, 350, 35))
    _, (after,) = advance(head, Told("h", Reading("b", 30, (more,)), 2030.0, WHOSE), BEGAN_S)
    assert after.out_bytes == 50


def test_what_was_forgotten_of_a_port_does_not_count_again() -> None:
    """Of more devices than are known, which came and went faster than their last readings."""
    head = HostHead()
    for number in range(6):
        counts = PortCounts("p", 5.0 + number, None, Count(f"device {number}", 0.0, 100, 1))
        head, _ = advance(head, Told("h", Reading("b", 10 + number, (counts,)), 2010.0 + number, WHOSE), BEGAN_S)
    assert head.totals["project"][2] == 600
    first = Reading("b", 10.5, (PortCounts("p", 5.0, None, Count("device 0", 0.0, 120, 2)),))
    assert advance(head, Told("h", first, 2010.5, WHOSE, last=True), BEGAN_S)[0].totals["project"][2] == 600


def test_a_last_reading_of_the_life_before_counts_and_the_host_stays_in_this_one() -> None:
    head, _ = advance(HostHead(), Told("h", reading(500, 500, 100), 2010.0, WHOSE), BEGAN_S)
    reborn = msgspec.structs.replace(reading(20, 50, 10, born_s=15.0), boot="another")
    head, _ = advance(head, Told("h", reborn, 2040.0, WHOSE), BEGAN_S)
    late = Told("h", reading(505, 700, 150), 2015.0, WHOSE, last=True)
    head, (last,) = advance(head, late, BEGAN_S)
    assert (last.out_bytes, head.boot, head.clock_s) == (200, "another", 20)
    assert advance(head, late, BEGAN_S) == (head, ())


def test_a_late_reading_of_a_device_from_before_there_was_metering_is_nobodys() -> None:
    head, _ = advance(HostHead(), Told("h", reading(20, 50, 0, plugged_s=15.0), 2020.0, WHOSE), BEGAN_S)
    old = PortCounts("p", -2000.0, None, Count("device 1", 0.0, 10**12, 10**9))
    head, (last,) = advance(head, Told("h", Reading("b", 15, (old,)), 2015.0, WHOSE, last=True), BEGAN_S)
    assert last.out_bytes == 0
