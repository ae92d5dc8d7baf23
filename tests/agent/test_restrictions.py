"""A restriction ends on time, whoever is away and whatever restarts meanwhile: by the controller's clock once it has
spoken, before by the host's own.
"""

import asyncio

from suimon.model.restriction import Restriction
from suimon.model.view import Delta, Ping
from tests.agent.parts import FakeSwitch, Parts, at, port, snapshot
from tests.agent.test_enforcer import flows_of

DAY_S = 86_400.0


def blocked(expires_s=DAY_S):
    block = {"protocol": 6, "port_min": 25, "port_max": 25, "direction": "egress"}
    return Restriction("r", "port_block", "port", "p1", host="h1", reason="spam", expires_s=expires_s, **block)


def restricting(switch):
    return [key for key in flows_of(switch, "port/p1") if key.priority in (105, 55)]


async def round_at(parts, utc_s):
    parts.utc_s = utc_s
    parts.enforcer.round_done.clear()
    parts.enforcer.plug("other", None)
    async with asyncio.timeout(5):
        await parts.enforcer.round_done.wait()


def test_it_is_lifted_by_the_hosts_clock_and_after_a_restart_it_stays_lifted(tmp_path):
    async def play():
        switch = FakeSwitch()
        first = Parts(tmp_path)
        async with first.enforcing(switch):
            first.enforcer.plug("p1", 1)
            first.take(snapshot(1, port(1), blocked()))
            await first.in_force(1)
            assert restricting(switch)
        second = Parts(tmp_path)
        second.utc_s = DAY_S - 60
        async with second.enforcing(switch):
            second.enforcer.plug("p1", 1)
            await second.in_force(1)
            assert restricting(switch)
            await round_at(second, DAY_S + 60)
            assert not restricting(switch)
        third = Parts(tmp_path)
        third.utc_s = DAY_S + 120
        async with third.enforcing(switch):
            third.enforcer.plug("p1", 1)
            await third.in_force(1)
            assert not restricting(switch)

    asyncio.run(play())


def test_nobody_has_to_come_by_when_it_ends(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1), blocked(expires_s=0.05)))
            await parts.in_force(1)
            assert restricting(switch)
            parts.enforcer.round_done.clear()
            parts.utc_s = 0.05
            async with asyncio.timeout(5):
                await parts.enforcer.round_done.wait()
            assert not restricting(switch)

    asyncio.run(play())


def test_one_that_is_told_anew_with_another_end_is_in_force_again(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        parts.utc_s = DAY_S
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(snapshot(1, port(1), blocked()))
            await parts.in_force(1)
            assert not restricting(switch)
            parts.take(Delta(at(2), objects=(blocked(2 * DAY_S),)))
            await parts.in_force(2)
            assert restricting(switch)
            parts.take(Delta(at(3), deleted=(("restriction", "r"),)))
            await parts.in_force(3)
            assert not restricting(switch)

    asyncio.run(play())


def test_the_controllers_clock_counts_wherever_the_hosts_own_is_set(tmp_path):
    async def play():
        parts, switch = Parts(tmp_path), FakeSwitch()
        async with parts.enforcing(switch):
            parts.enforcer.plug("p1", 1)
            parts.take(Ping(1), snapshot(1, port(1), blocked()))
            await parts.in_force(1)
            await round_at(parts, 2 * DAY_S)
            assert not restricting(switch), "nobody said what time it is"
            parts.enforcer.round_done.clear()
            parts.take(Ping(1, DAY_S - 60))
            async with asyncio.timeout(5):
                await parts.enforcer.round_done.wait()
            assert restricting(switch), "at once"
            parts.passed_s = 59.0
            for utc_s in (0.0, 9 * DAY_S):
                await round_at(parts, utc_s)
                assert restricting(switch)
            parts.passed_s = 61.0
            await round_at(parts, 0.0)
            assert not restricting(switch), "also when the controller says nothing any more"

    asyncio.run(play())
