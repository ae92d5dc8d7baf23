"""The continuous check: what it tells of what it found, and what it removes on whose word."""

import asyncio

from structlog.testing import capture_logs

from suimon.agent.checks import Checks, Config
from suimon.dataplane.orphans import Orphan
from suimon.model.view import Drift

ORPHAN = Orphan("Bridge", "br-old", "bridge/br-old", {"op": "delete"})


class Session:
    def __init__(self, drifts=(), foreign="", orphans=()):
        self.drifts, self.said, self.left = list(drifts), foreign, list(orphans)

    async def repair(self):
        found, self.drifts = self.drifts, []
        return found

    def foreign(self):
        return self.said

    def orphans(self):
        return list(self.left)

    async def remove(self, orphans):
        self.left = [each for each in self.left if each not in orphans]


class Desk:
    def __init__(self):
        self.drifts, self.findings = [], []

    def drifted(self, drifts):
        self.drifts += drifts

    def found(self, foreign, orphans):
        self.findings.append((foreign, orphans))


def checked(session, **config):
    desk = Desk()
    checks = Checks(Config(**config), desk, lambda: 0.0)
    with capture_logs() as lines:
        asyncio.run(checks.check(session))
    return desk, checks, [line["event"] for line in lines]


def test_nothing_wrong_says_nothing():
    desk, checks, events = checked(Session())
    assert (desk.drifts, desk.findings, events, checks.count) == ([], [("", ())], [], 1)


def test_many_drifts_are_told_as_some_and_a_sum():
    desk, _, events = checked(Session([Drift(f"port/{number}", missing=2) for number in range(100)]))
    assert len(desk.drifts) == 21
    assert sum(each.missing for each in desk.drifts) == 200
    assert len(events) < 30


def test_orphans_wait_for_an_operators_word_unless_policy_says_otherwise():
    session = Session(orphans=[ORPHAN])
    desk, _, events = checked(session)
    assert desk.findings == [("", ("bridge br-old of bridge/br-old",))]
    assert events == ["orphans"]
    assert session.left == [ORPHAN]
    desk, _, events = checked(session, remove_orphans=True)
    assert desk.findings == [("", ())]
    assert (session.left, events) == ([], ["orphans_removed"])


def test_clean_removes_what_is_there_now_and_nothing_without_a_switch():
    async def play():
        session = Session(orphans=[ORPHAN])
        checks = Checks(Config(every_s=3600, first_s=3600), Desk(), lambda: 0.5)
        assert await checks.clean() is None
        running = asyncio.create_task(checks.run(session))
        await asyncio.sleep(0)
        assert await checks.clean() == ["bridge br-old of bridge/br-old"]
        assert await checks.clean() == []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert await checks.clean() is None

    asyncio.run(play())
