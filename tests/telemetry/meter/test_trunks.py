"""A trunk's ports together are what the device of their parent has counted, whatever flows tell late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suimon.model.counts import Count, Metered, PortCounts, Reading
from suimon.model.samples import Sample
from suimon.telemetry.meter.ledger import HostHead, Told, advance

WHOSE = {name: Metered(name, "net") for name in ("parent", "sub")}
SPAN_S = 10.0


class Trunk:
    """`own` and `tagged` are bytes that the guest sent without and with a tag; flows told of the latter but for `late`
    and counted `dropped` besides, which never came to the device.
    """

    def __init__(self) -> None:
        self.head, self.kept = HostHead(), list[Sample]()
        self.own = self.tagged = self.dropped = 0
        self.clock_s = 100.0
        self.read()

    def read(self, late: int = 0) -> None:
        flow, device = self.tagged + self.dropped - late, self.own + self.tagged
        self.tell(self.sub(flow), PortCounts("parent", 5.0, *(Count("device 7", 0.0, device, device // 10),) * 2))

    def sub(self, flow: int) -> PortCounts:
        return PortCounts("sub", 5.0, *(Count("flow", 5.0, flow, flow // 10),) * 2, parent="parent")

    def tell(self, *ports: PortCounts, last: bool = False) -> None:
        self.clock_s += SPAN_S
        told = Told("h1", Reading("b", self.clock_s, ports), 1000 + self.clock_s, WHOSE, last)
        self.head, samples = advance(self.head, told, 0.0)
        self.kept.extend(samples)

    def sums(self, name: str) -> tuple[int, int]:
        mine = [each for each in self.kept if each.port_id == name]
        assert all(min(each.in_bytes, each.in_packets, each.out_bytes, each.out_packets) >= 0 for each in mine)
        assert sum(each.out_bytes for each in mine) == self.head.ports[name].metered[2]
        assert sum(each.out_bytes for each in mine) == self.head.totals.get(name, (0,) * 10)[2]
        return sum(each.in_bytes for each in mine), sum(each.out_bytes for each in mine)


def test_what_a_subport_had_is_not_its_parent_s_as_well() -> None:
    trunk = Trunk()
    trunk.own, trunk.tagged = 1000, 50_000
    trunk.read()
    assert (trunk.sums("parent"), trunk.sums("sub")) == ((1000, 1000), (50_000, 50_000))


def test_what_flows_tell_late_is_taken_off_what_comes() -> None:
    trunk = Trunk()
    trunk.own, trunk.tagged = 1000, 50_000
    trunk.read(late=5000)
    assert trunk.sums("parent") == (6000, 6000)
    trunk.own += 2000
    trunk.read()
    assert (trunk.sums("parent"), trunk.sums("sub")) == ((6000, 6000), (50_000, 50_000)), "3000 are owed"
    trunk.own += 3500
    trunk.read()
    assert trunk.sums("parent") == (6500, 6500)


def test_what_is_read_of_a_subport_last_is_taken_off_its_parent_s_next() -> None:
    trunk = Trunk()
    trunk.own, trunk.tagged = 100, 700
    trunk.tell(trunk.sub(700), last=True)
    trunk.tell(PortCounts("parent", 5.0, *(Count("device 7", 0.0, 800, 80),) * 2))
    assert (trunk.sums("parent"), trunk.sums("sub")) == ((100, 100), (700, 700))


def test_what_limits_drop_takes_no_more_than_a_reading_s_from_the_parent() -> None:
    trunk = Trunk()
    for _ in range(50):
        trunk.tagged, trunk.dropped = trunk.tagged + 100, trunk.dropped + 900
        trunk.read()
    trunk.own = 10_000
    trunk.read()
    assert trunk.sums("parent") == (9000, 9000)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 0.1)), max_size=20))
def test_together_they_are_what_the_device_counted(story: list[tuple[int, int, float]]) -> None:
    trunk = Trunk()
    for own, tagged, late in story:
        trunk.own, trunk.tagged = trunk.own + own, trunk.tagged + tagged
        trunk.read(int(tagged * late))
    trunk.own += 10**6
    trunk.read()
    trunk.read()
    parent, sub = trunk.sums("parent")[1], trunk.sums("sub")[1]
    assert (parent, sub) == (trunk.own, trunk.tagged)
