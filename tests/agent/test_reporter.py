"""Reports: only what changed, all again after a break, nothing lost when a report fails."""

import asyncio
from contextlib import asynccontextmanager

from suimon.agent.controller import ControllerError
from suimon.agent.reporter import Config, Reporter
from suimon.model.counts import Reading
from suimon.model.view import AddressPair, Claim, Drift, PortReport, Position

UP, DOWN = PortReport("p", "ACTIVE"), PortReport("p", "DOWN", "not plugged")
OTHER = PortReport("q", "ACTIVE")


class Desk:
    """Takes reports; fails as often as it is told."""

    def __init__(self):
        self.reports = asyncio.Queue()
        self.failures = 0
        self.meanwhile = lambda: None

    async def report(self, report):
        if self.failures:
            self.failures -= 1
            raise ControllerError("away")
        self.meanwhile()
        await self.reports.put(report)

    async def next(self):
        return await asyncio.wait_for(self.reports.get(), 5)

    async def silent(self):
        await asyncio.sleep(0.05)
        return self.reports.empty()


@asynccontextmanager
async def running(position_pause_s=0.002, first_pause_s=0.001):
    desk = Desk()
    reporter = Reporter(Config(first_pause_s, 2 * first_pause_s, position_pause_s), desk)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter, desk
    finally:
        task.cancel()


def at(revision):
    return Position("s", 1, revision)


def test_a_port_is_told_once_and_again_when_it_changes():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            reporter.ports({"p": UP, "q": OTHER})
            first = await desk.next()
            assert (first.position, set(first.ports)) == (at(1), {UP, OTHER})
            reporter.ports({"p": UP, "q": OTHER})
            assert await desk.silent()
            reporter.ports({"p": DOWN, "q": OTHER})
            assert (await desk.next()).ports == (DOWN,)
            reporter.facts(at(2), "", {})
            assert (await desk.next()).ports == ()

    asyncio.run(scene())


def test_everything_is_told_again_after_a_break():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            reporter.ports({"p": UP})
            await desk.next()
            reporter.tell_all_again()
            again = await desk.next()
            assert (again.position, again.ports) == (at(1), (UP,))

    asyncio.run(scene())


def test_nothing_is_told_before_there_is_a_position():
    async def scene():
        async with running() as (reporter, desk):
            reporter.ports({"p": UP})
            assert await desk.silent()
            reporter.facts(at(1), "", {})
            assert (await desk.next()).ports == (UP,)

    asyncio.run(scene())


def test_a_failed_report_is_told_again_with_what_came_meanwhile():
    async def scene():
        async with running() as (reporter, desk):
            desk.failures = 3
            reporter.facts(at(1), "a reason", {"port/p": "refused"})
            reporter.ports({"p": UP})
            await asyncio.sleep(0)
            reporter.read(Reading("boot", 10.0, ()))
            reporter.read(Reading("boot", 20.0, ()))
            told = await desk.next()
            assert (told.ports, told.held, told.failures) == ((UP,), "a reason", {"port/p": "refused"})
            assert told.reading is not None and told.reading.clock_s == 20.0
            assert await desk.silent()

    asyncio.run(scene())


def test_a_new_stream_ends_the_pause_after_a_failure():
    async def scene():
        async with running(first_pause_s=3600) as (reporter, desk):
            desk.failures = 1
            reporter.facts(at(1), "", {})
            reporter.ports({"p": UP})
            assert await desk.silent()
            assert desk.failures == 0
            reporter.tell_all_again()
            assert (await desk.next()).ports == (UP,)

    asyncio.run(scene())


def test_a_port_that_is_as_it_was_again_when_a_report_arrives_is_told():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            reporter.ports({"p": DOWN})
            await desk.next()
            desk.meanwhile = lambda: reporter.ports({"p": DOWN})
            reporter.ports({"p": UP})
            assert [(await desk.next()).ports for _ in range(2)] == [(UP,), (DOWN,)]

    asyncio.run(scene())


def test_a_port_that_left_and_came_back_is_told_again():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            reporter.ports({"p": UP})
            await desk.next()
            reporter.ports({}, {"p"})
            reporter.facts(at(2), "", {})
            await desk.next()
            reporter.ports({"p": UP})
            assert (await desk.next()).ports == (UP,)

    asyncio.run(scene())


def test_drift_is_told_once_with_its_age_also_when_the_controller_was_away():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            desk.failures = 2
            reporter.drifted([Drift("port/p", missing=3)])
            (drift,) = (await desk.next()).drifts
            assert (drift.owner, drift.missing) == ("port/p", 3)
            assert 0 < drift.age_s < 5
            reporter.tell_all_again()
            assert (await desk.next()).drifts == ()

    asyncio.run(scene())


def test_many_drifts_come_in_several_reports_each_once():
    async def scene():
        async with running() as (reporter, desk):
            desk.failures = 1
            reporter.drifted([Drift(f"port/{number}") for number in range(250)])
            reporter.facts(at(1), "", {})
            told = [(await desk.next()).drifts for _ in range(3)]
            assert [len(each) for each in told] == [100, 100, 50]
            assert len({drift.owner for each in told for drift in each}) == 250
            assert await desk.silent()

    asyncio.run(scene())


def test_what_a_check_found_is_told_when_it_changes():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            reporter.found("1 flows", ("bridge br-old",))
            told = await desk.next()
            assert (told.foreign, told.orphans) == ("1 flows", ("bridge br-old",))
            reporter.found("1 flows", ("bridge br-old",))
            assert await desk.silent()

    asyncio.run(scene())


def test_a_position_alone_waits_for_others_and_for_whatever_else_there_is():
    async def scene():
        async with running(position_pause_s=60) as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            for revision in range(2, 100):
                reporter.facts(at(revision), "", {})
                await asyncio.sleep(0)
            assert await desk.silent()
            reporter.ports({"p": UP})
            told = await desk.next()
            assert (told.position, told.ports) == (at(99), (UP,))
            assert await desk.silent()

    asyncio.run(scene())


def test_a_port_that_was_never_up_waits_until_it_is():
    async def scene():
        async with running(position_pause_s=3600) as (reporter, desk):
            reporter.facts(at(1), "", {})
            reporter.ports({"q": OTHER})
            await desk.next()
            reporter.ports({"q": OTHER, "p": DOWN})
            assert await desk.silent()
            reporter.ports({"q": OTHER, "p": UP})
            assert (await desk.next()).ports == (UP,)
            reporter.ports({"q": OTHER, "p": DOWN})
            assert (await desk.next()).ports == (DOWN,)

    asyncio.run(scene())


def test_a_port_that_is_missed_is_told_at_once_and_that_it_came_with_what_else_there_is():
    async def scene():
        async with running(position_pause_s=3600) as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            reporter.missing({"q", "p"})
            assert (await desk.next()).missing == ("p", "q")
            reporter.missing({"q"})
            assert await desk.silent()
            reporter.missing({"q", "r"})
            assert (await desk.next()).missing == ("q", "r")
            reporter.missing(())
            reporter.tell_all_again()
            assert (await desk.next()).missing == ()

    asyncio.run(scene())


def test_a_reading_is_told_once_with_its_age():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            reporter.read(Reading("boot", 10.0, ()))
            told = (await desk.next()).reading
            assert told is not None and told.clock_s == 10.0 and 0 <= told.age_s < 60
            assert await desk.silent()
            reporter.tell_all_again()
            assert (await desk.next()).reading is None

    asyncio.run(scene())


def test_last_readings_are_told_once_and_in_turn_also_when_the_controller_was_away():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            desk.failures = 10**6
            reporter.read_last(Reading("boot", 10.0, ()))
            await asyncio.sleep(0.01)
            reporter.read(Reading("boot", 20.0, ()))
            reporter.read_last(Reading("boot", 11.0, ()))
            desk.failures = 0
            told = await desk.next()
            assert told.reading is not None and [each.clock_s for each in told.last_readings] == [10.0, 11.0]
            assert told.last_readings[0].age_s > told.last_readings[1].age_s > 0
            assert await desk.silent()

    asyncio.run(scene())


def test_last_readings_that_nobody_takes_are_bounded():
    async def scene():
        reporter = Reporter(Config(), desk := Desk())
        for number in range(1500):
            reporter.read_last(Reading("boot", float(number), ()))
        task = asyncio.create_task(reporter.run())
        reporter.facts(at(1), "", {})
        told = (await desk.next()).last_readings
        task.cancel()
        assert (len(told), told[0].clock_s, told[-1].clock_s) == (1000, 500.0, 1499.0)

    asyncio.run(scene())


def test_a_claim_is_told_once_with_its_age_and_again_when_it_is_made_again():
    async def scene():
        async with running() as (reporter, desk):
            reporter.facts(at(1), "", {})
            await desk.next()
            desk.failures = 2
            claim = Claim("p", AddressPair("02:00:00:00:00:01", "10.0.0.100"))
            reporter.claimed(claim)
            (told,) = (await desk.next()).claims
            assert (told.port_id, told.pair) == (claim.port_id, claim.pair) and told.age_s > 0
            assert await desk.silent()
            reporter.claimed(claim)
            assert len((await desk.next()).claims) == 1

    asyncio.run(scene())
