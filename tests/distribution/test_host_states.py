"""Operators learn how a host is from any controller, also one that the host never spoke to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete

from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.distribution.links import Link
from suimon.distribution.presence import HostState
from suimon.model import things, view
from suimon.model.counts import Metered, PortCounts, Reading
from suimon.model.errors import BadRequest
from suimon.resources import hosts
from suimon.store.store import Store
from suimon.store.tables import HOST_STATES
from tests.distribution.test_dispatch import make_network, on
from tests.distribution.world import NOW, make, make_host, open_store, put, write

PATIENCE_S = 20
HV1, HV2 = make_host("hv1", "192.0.2.1"), make_host("hv2", "192.0.2.2")
Body = Callable[[Store, Distribution, Distribution], Awaitable[None]]


class Clocks:
    """Of the second controller: on its wall, and of time that passes."""

    def __init__(self) -> None:
        self.wall, self.passed_s = NOW, 1000.0


def on_two_controllers(
    folder: Path, body: Body, note_hosts_every_s: float, clocks: Clocks | None = None, *, silent_after_s: float = 120
) -> None:
    """The first runs; the second is another process's."""
    told = clocks or Clocks()

    async def run() -> None:
        async with open_store(folder) as store, asyncio.timeout(PATIENCE_S):
            config = DistributionConfig(note_hosts_every_s=note_hosts_every_s, silent_after_s=silent_after_s)
            here = Distribution(config, store, hosts, lambda: NOW)
            there = Distribution(config, store, hosts, lambda: told.wall, lambda: told.passed_s)
            await put(store, HV1)
            following = asyncio.create_task(here.run())
            try:
                await body(store, here, there)
            finally:
                following.cancel()

    asyncio.run(run())


def report(store: Store, held: str = "") -> view.Report:
    return view.Report(position=view.Position(*store.position(), ()), held=held)


async def noted(store: Store, host: str = "hv1") -> str:
    """Once it is."""
    while host not in (states := await store.read(hosts.noted_states)):  # noqa: ASYNC110 (within the test's patience)
        await asyncio.sleep(0.01)
    return states[host]


def test_what_one_heard_the_other_tells(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, report(store))
        told = there.state("hv1", await noted(store))
        assert (told.up, told.linked, told.reported_at, told.revision) == (True, False, NOW, store.position()[2])
        assert not there.state("hv1").up
        assert not there.state("hv1", "what another version says").up

    on_two_controllers(tmp_path, body, 0.01)


async def noted_by(store: Store, writer: Distribution, right: Callable[[HostState], bool]) -> str:
    """The first note on hv1 after `writer` began that is right."""
    following = asyncio.create_task(writer.run())
    try:
        while not right(msgspec.json.decode(text := await noted(store), type=HostState)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    finally:
        following.cancel()
    return text


def test_how_far_a_host_is_behind_is_known_where_its_stream_is_and_told_by_all(tmp_path: Path) -> None:
    """What happened since, and doesn't concern it, is no lag; what does, is."""

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        net, sub = make_network(1)
        await put(store, net, sub)
        link = await here.watch(HV1, view.Watch(view.SCHEMA, None))
        assert isinstance(link, Link)
        await here.report(HV1, report(store))
        before = store.position()[2]
        await put(store, HV2, on(sub, "hv2"))
        after = store.position()[2]
        while not (told := there.state("hv1", await noted(store))).has(after):
            assert not told.lag_revisions and told.has(before)
            await asyncio.sleep(0.01)
        assert (told.linked, told.lag_revisions, told.lag_as_of, told.revision) == (True, 0, after, before)
        await put(store, on(sub, "hv1"))
        newest = store.position()[2]
        while not (told := there.state("hv1", await noted(store))).lag_revisions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert told.lag_as_of == newest and not told.has(newest)
        here.left(link)
        assert here.state("hv1").lag_revisions and not here.state("hv1").linked

    on_two_controllers(tmp_path, body, 0.01)


def test_a_report_to_one_and_a_stream_to_another_are_one_host(tmp_path: Path) -> None:
    """Neither takes the other's part back by what it notes later."""

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        link = await here.watch(HV1, view.Watch(view.SCHEMA, None))
        assert isinstance(link, Link)
        await here.report(HV1, report(store))
        net, sub = make_network(1)
        await put(store, net, sub, on(sub, "hv1"))
        await there.report(HV1, report(store, held="later"))
        text = await noted_by(store, there, lambda note: note.held == "later")
        for told in (here.state("hv1", text), there.state("hv1", text), msgspec.json.decode(text, type=HostState)):
            assert (told.held, told.linked, told.lag_revisions) == ("later", True, 0)
        followed = msgspec.json.decode(text, type=HostState).lag_as_of
        await put(store, HV2)
        text = await noted_by(store, there, lambda note: note.lag_as_of > followed)
        assert there.state("hv1", text).held == here.state("hv1", text).held == "later"

    on_two_controllers(tmp_path, body, 0.01)


def test_what_a_host_misses_is_known_to_its_stream_within_bounds(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        link = await here.watch(HV1, view.Watch(view.SCHEMA, None))
        assert isinstance(link, Link)
        many = tuple(str(number) for number in range(5_000))
        await here.report(HV1, msgspec.structs.replace(report(store), missing=many))
        assert link.missing == set(many[:1_000])
        await there.report(HV1, report(store))
        assert link.missing == set(many[:1_000])
        await here.report(HV1, report(store))
        assert link.missing == set()

    on_two_controllers(tmp_path, body, 3600)


def test_what_a_host_holds_back_is_known_soon(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, report(store, held="too much"))
        assert there.state("hv1", await noted(store)).held == "too much"

    on_two_controllers(tmp_path, body, 3600)


def test_what_was_heard_last_counts_and_not_for_ever(tmp_path: Path) -> None:
    clocks = Clocks()

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, report(store))
        before = await noted(store)
        clocks.wall += timedelta(seconds=5)
        await there.report(HV1, report(store, held="later"))
        assert there.state("hv1", before).held == "later"
        clocks.passed_s += 600
        assert not there.state("hv1", before).up

    on_two_controllers(tmp_path, body, 0.01, clocks)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_declares_nobody_lost_and_nobody_alive(tmp_path: Path, hours: int) -> None:
    """Of a host that speaks to this controller, and of one that speaks to the other."""
    clocks = Clocks()

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, report(store))
        first = await noted(store)
        await there.report(HV2, report(store))
        assert there.state("hv1", first).up and there.state("hv2").up
        clocks.wall += timedelta(hours=hours)
        assert there.state("hv1", first).up and there.state("hv2").up
        clocks.passed_s += 20
        again = msgspec.json.decode(first, type=HostState)
        later = msgspec.structs.replace(again, reported_at=NOW + timedelta(seconds=20))
        second = msgspec.json.encode(later).decode()
        assert there.state("hv1", second).up and there.state("hv2").up
        clocks.passed_s += 40
        assert not there.state("hv1", second).up and not there.state("hv2").up

    on_two_controllers(tmp_path, body, 0.01, clocks)


def test_a_note_that_is_new_to_a_controller_is_as_old_as_it_says(tmp_path: Path) -> None:
    clocks = Clocks()

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, report(store))
        clocks.wall += timedelta(hours=1)
        assert not there.state("hv1", await noted(store)).up

    on_two_controllers(tmp_path, body, 0.01, clocks)


class Counting:
    """Who is told what hosts counted: whose each port is."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Metered]]] = []

    def take(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None:
        self.told.append(("all", ports))

    def take_last(self, host: str, reading: Reading, ports: Mapping[str, Metered]) -> None:
        self.told.append(("last", ports))


def test_a_last_reading_may_be_of_a_port_that_waits_here_and_comes_before_the_newest(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        here.metering = counting = Counting()
        net, sub = make_network(1)
        mine, waiting, others = (on(sub, host) for host in ("hv1", "hv2", "hv2"))
        await put(store, HV2, net, sub, mine, waiting, others)
        await put(store, make(things.PortBinding, port_id=waiting.id, host="hv1"))
        ports = tuple(PortCounts(each, 0.0) for each in (mine.id, waiting.id, others.id, "gone"))
        last = tuple(Reading("boot", float(number), (each,)) for number, each in enumerate(ports))
        told = msgspec.structs.replace(report(store), reading=Reading("boot", 9.0, ports[:1]), last_readings=last)
        await here.report(HV1, told)
        assert [what for what, _ in counting.told] == ["last"] * 4 + ["all"]
        whose = counting.told[0][1]
        assert {id_: each.bound for id_, each in whose.items()} == {mine.id: True, waiting.id: True, others.id: False}
        many = tuple(PortCounts(f"port{number}", 0.0) for number in range(10_001))
        with pytest.raises(BadRequest, match="10000 ports at most"):
            await here.report(HV1, msgspec.structs.replace(told, last_readings=(Reading("boot", 10.0, many),)))

    on_two_controllers(tmp_path, body, 0.01)


def test_a_host_that_is_gone_has_no_state(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await write(store, lambda tx: hosts.note_states(tx, {"hv1": "{}", "stranger": "{}"}))
        assert await store.read(hosts.noted_states) == {"hv1": "{}"}
        await write(store, lambda tx: tx.delete(tx.get(type(HV1), "hv1")))
        assert await store.read(hosts.noted_states) == {}

    on_two_controllers(tmp_path, body, 3600)


@pytest.mark.parametrize(("silent_after_s", "silent"), [(0, True), (3600, False)])
def test_who_was_not_heard_of_is_silent_unless_the_controller_just_began(
    tmp_path: Path, silent_after_s: float, silent: bool
) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        gateway = make_host("gw", "192.0.2.9", "public")
        await put(store, msgspec.structs.replace(gateway, joined_at=NOW - timedelta(days=1)))
        await here.report(HV1, report(store))
        await noted(store)
        told = await store.read(lambda tx: tx.select(things.Host, {"silent": True}))
        assert [host.name for host in told] == ["gw"] * silent

    on_two_controllers(tmp_path, body, 0.01, silent_after_s=silent_after_s)


def test_who_stands_by_for_a_host_does_so_until_it_says_that_it_leads_out(tmp_path: Path) -> None:
    """Not when it is heard of again, nor by what it said before it died."""

    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        gateway = make_host("gw", "192.0.2.9", "public")
        await put(store, gateway)
        await here.report(gateway, report(store))
        link = await here.watch(gateway, view.Watch(view.SCHEMA, view.Position(*store.position(), ())))
        assert isinstance(link, Link)
        await write(store, lambda tx: tx.update(gateway, msgspec.structs.replace(gateway, silent=True)))

        async def silent(told: view.Report | None) -> bool:
            if told:
                await here.report(gateway, told)
            await write(store, lambda tx: tx.run(delete(HOST_STATES), {}))
            await noted(store, "gw")
            (found,) = await store.read(lambda tx: tx.select(things.Host, {"name": "gw"}))
            return bool(found.silent)

        said = msgspec.structs.replace(report(store), leads_out=False)
        assert [await silent(told) for told in (None, said, report(store))] == [True, True, False]
        here.left(link)

    on_two_controllers(tmp_path, body, 0.01, silent_after_s=0)


def drifted(store: Store, owner: str, age_s: float = 5.0) -> view.Report:
    position = view.Position(*store.position(), ())
    return view.Report(position, drifts=(view.Drift(owner, missing=2, example="bad\x1bword", age_s=age_s),))


def test_what_drifted_is_kept_also_by_a_controller_that_began_later(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, drifted(store, "port/a"))
        (first,) = there.state("hv1", await noted(store)).drifts
        assert (first.owner, first.found_at, first.example) == ("port/a", NOW - timedelta(seconds=5), "bad word")
        await there.report(HV1, drifted(store, "port/b", age_s=1))
        following = asyncio.create_task(there.run())
        try:
            while "port/b" not in await noted(store):  # noqa: ASYNC110 (within the patience of the test)
                await asyncio.sleep(0.01)
        finally:
            following.cancel()
        kept = there.state("hv1", await noted(store)).drifts
        assert [drift.owner for drift in kept] == ["port/a", "port/b"]

    on_two_controllers(tmp_path, body, 0.01)


def test_drifts_are_bounded_and_so_are_their_ages(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        for number in range(100):
            await here.report(HV1, drifted(store, f"port/{number}", age_s=1e300))
        assert len(here.state("hv1").drifts) == 50

    on_two_controllers(tmp_path, body, 3600)


def test_how_far_a_host_s_clock_is_off_is_known_to_all(tmp_path: Path) -> None:
    async def body(store: Store, here: Distribution, there: Distribution) -> None:
        await here.report(HV1, msgspec.structs.replace(report(store), clock_s=NOW.timestamp() - 45.0))
        await noted(store)
        assert await here.clock_offsets() == await there.clock_offsets() == {"hv1": -45.0}
        await here.report(HV1, report(store))
        assert await here.clock_offsets() == {}, "an older agent doesn't tell"

    on_two_controllers(tmp_path, body, 0.01)
