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
        self.refuses = set()

    async def repair(self):
        found, self.drifts = self.drifts, []
        return found

    def foreign(self):
        return self.said

    def refused(self):
        return self.refuses

    def orphans(self):
        return list(self.left)

    async def remove(self, orphans):
        self.left = [each for each in self.left if each not in orphans]


class Desk:
    def __init__(self):
        self.drifts, self.findings = [], []

    def drifted(self, drifts):
        assert drifts, "nobody is told of nothing"
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


def test_foreign_things_are_logged_when_they_change():
    async def play():
        session, checks = Session(foreign="1 flows"), Checks(Config(), Desk(), lambda: 0.0)
        with capture_logs() as lines:
            for said in ("1 flows", "1 flows", "2 flows", ""):
                session.said = said
                await checks.check(session)
        assert [line["found"] for line in lines if line["event"] == "foreign_things"] == ["1 flows", "2 flows"]

    asyncio.run(play())


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
    (told,) = desk.drifts
    assert (told.kind, told.owner, told.example) == ("removal", "bridge/br-old", "bridge br-old of bridge/br-old")
    assert told.by == "the agent, as --remove-orphans says"


def test_each_orphan_that_was_removed_is_told():
    many = [Orphan("Bridge", f"br-{number}", "bridge/x", {}) for number in range(100)]
    desk, _, _ = checked(Session(orphans=many), remove_orphans=True)
    assert [each.example for each in desk.drifts] == [str(each) for each in many]


def test_what_could_not_be_put_right_is_told_once_when_it_is():
    async def play():
        desk, session = Desk(), Session([Drift("port/p", missing=1, example="flow", repaired=False, reason="full")])
        session.drifts += [Drift("port/q", missing=1)]
        checks = Checks(Config(), desk, lambda: 0.0)
        session.refuses = {"port/p"}
        await checks.check(session)
        assert [(each.owner, each.kind) for each in desk.drifts] == [("port/p", "drift"), ("port/q", "drift")]
        await checks.check(session)
        assert len(desk.drifts) == 2
        session.refuses = set()
        await checks.check(session)
        await checks.check(session)
        (told,) = desk.drifts[2:]
        assert (told.owner, told.kind, told.example, told.repaired) == ("port/p", "repair", "flow", True)

    asyncio.run(play())


def test_clean_removes_what_is_there_now_and_nothing_without_a_switch():
    async def play():
        session = Session(orphans=[ORPHAN])
        desk = Desk()
        checks = Checks(Config(every_s=3600, first_s=3600), desk, lambda: 0.5)
        assert await checks.clean("alice") is None
        running = asyncio.create_task(checks.run(session))
        await asyncio.sleep(0)
        assert await checks.clean("alice") == ["bridge br-old of bridge/br-old"]
        assert await checks.clean("alice") == []
        assert [(each.kind, each.by) for each in desk.drifts] == [("removal", "alice")]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert await checks.clean("alice") is None

    asyncio.run(play())
