"""The history of violations: what the component writes down, and makes good after it was away."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from suimon.enforcement.enforcement import Enforcement, EnforcementConfig
from suimon.enforcement.scope import Limits
from suimon.model.errors import Unavailable
from suimon.model.policies import Called, Violation
from suimon.resources import policies, violations
from suimon.resources.registry import RESOURCES
from tests.enforcement.policed import OPEN, Policed
from tests.enforcement.test_world import opened
from tests.patience import patient
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, refused


class Recorded(Policed):
    """With a component that writes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.restart()

    def restart(self) -> None:
        self.component = Enforcement(EnforcementConfig(Limits(max_s=60)), self.store, ())

    def note(self) -> None:
        self.loop.run_until_complete(self.component.round())

    def history(self, *, ended: bool = True) -> list[Violation]:
        return self.read(lambda tx: violations.list_violations(tx, ADMIN, ended=ended))


def test_a_violation_from_its_cause_to_its_end(recorded: Recorded) -> None:
    recorded.policy("open", OPEN)
    recorded.note()
    rule = opened(recorded)
    recorded.note()
    (one,) = recorded.history(ended=False)
    assert (one.policy, json.loads(one.row), one.request_id) == ("open", [rule], ALICE.request_id)
    assert one.appeared_revision == recorded.store.position()[2]
    assert one.why.splitlines()[0].startswith(f'error("{rule}")') and "security_group_rules(" in one.why
    recorded.clock_ahead(timedelta(hours=1))
    recorded.delete("security-group-rules", rule)
    recorded.note()
    assert recorded.history(ended=False) == []
    (over,) = recorded.history()
    assert over.vanished_revision == recorded.store.position()[2]
    at = one.appeared_at + timedelta(minutes=30)
    for moment, there in ((at, 1), (at - timedelta(hours=1), 0), (at + timedelta(hours=1), 0)):
        asked = recorded.read(lambda tx, moment=moment: violations.violations_at(tx, ADMIN, moment))  # type: ignore[misc]
        assert len(asked) == there, moment


def test_what_happened_while_nobody_wrote_is_made_good(recorded: Recorded) -> None:
    recorded.policy("open", OPEN)
    first = opened(recorded)
    recorded.note()
    recorded.restart()
    second = opened(recorded)
    recorded.delete("security-group-rules", first)
    recorded.note()
    recorded.note()
    assert [(json.loads(one.row), one.vanished_at is None) for one in recorded.history()] == [
        ([second], True), ([first], False)
    ]  # fmt: skip


def test_projects_see_their_own_history(recorded: Recorded) -> None:
    recorded.policy("mine", "error(x) :- neutronv2:networks(id=x)", by=ALICE)
    recorded.network()
    recorded.note()
    (one,) = recorded.read(lambda tx: violations.list_violations(tx, ALICE))
    assert recorded.read(lambda tx: violations.list_violations(tx, BOB)) == []
    assert recorded.read(lambda tx: violations.get_violation(tx, ALICE, one.id)) == one
    for id_, by in ((one.id, BOB), (NOBODY, ADMIN)):
        with refused("HTTPNotFound"):
            recorded.read(lambda tx, id_=id_, by=by: violations.get_violation(tx, by, id_))  # type: ignore[misc]
    assert recorded.read(lambda tx: policies.list_changes(tx, BOB)) == []
    words = [(change.words, change.diff) for change in recorded.read(lambda tx: policies.list_changes(tx, ALICE))]
    assert ("clause inserted", "+error(x) :- neutronv2:networks(id=x)") in words


def test_what_is_long_over_is_forgotten(recorded: Recorded) -> None:
    recorded.policy("open", OPEN)
    opened(recorded)
    over = opened(recorded)
    recorded.note()
    recorded.delete("security-group-rules", over)
    recorded.note()
    recorded.write(lambda tx: violations.forget_violations(tx, tx.now + timedelta(days=1)))
    assert [one.vanished_at for one in recorded.history()] == [None]


def test_congress_policies_are_there(recorded: Recorded) -> None:
    recorded.store.guard(None)

    async def run() -> None:
        running = asyncio.ensure_future(recorded.component.run())
        with recorded.store.subscribe() as changed:
            await asyncio.wait_for(changed.wait(), 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    recorded.loop.run_until_complete(run())
    there = recorded.read(lambda tx: policies.list_policies(tx, ADMIN))
    assert [(policy.name, policy.kind) for policy in there] == [
        ("action", "action"),
        ("classification", "nonrecursive"),
    ]
    with refused("HTTPConflict"):
        recorded.write(lambda tx: policies.delete_policy(tx, ADMIN, "action"))


def test_who_had_nothing_to_look_at_looks_when_there_are_clauses(recorded: Recorded) -> None:
    recorded.store.guard(None)
    noted = asyncio.Event()

    def said(statement: str) -> None:
        if statement.startswith("INSERT INTO violations"):
            recorded.loop.call_soon_threadsafe(noted.set)

    def wait_for_violations(there: int) -> None:
        recorded.loop.run_until_complete(asyncio.wait_for(noted.wait(), 30))
        noted.clear()
        # As a writer, who comes after the one that was just heard at work.
        assert len(recorded.write(lambda tx: violations.list_violations(tx, ADMIN))) == there

    running = recorded.loop.create_task(recorded.component.run())
    recorded.store.trace(said)
    opened(recorded)
    recorded.read(recorded.component.world.catch_up)
    assert recorded.component.world.idle
    recorded.policy("open", OPEN)
    wait_for_violations(1)
    assert not recorded.component.world.idle
    opened(recorded)
    wait_for_violations(2)
    running.cancel()
    recorded.loop.run_until_complete(asyncio.gather(running, return_exceptions=True))


def test_what_is_done_of_it_is_tried_after_each_round_and_may_have_to_wait(recorded: Recorded) -> None:
    rounds = []

    async def tried() -> None:
        rounds.append(recorded.component.world.revision)
        raise Unavailable("the database is away")

    recorded.component.after_round = tried
    recorded.note()
    recorded.policy("open", OPEN)
    recorded.note()
    assert len(set(rounds)) == len(rounds) == 2


def test_where_nobody_has_clauses_only_policies_wake(recorded: Recorded) -> None:
    recorded.store.guard(None)
    networks, wanted = RESOURCES["networks"], policies.Wanted(name="open")

    async def scene() -> None:
        with recorded.store.subscribe() as changed:
            waiting = asyncio.ensure_future(recorded.component._change(changed))
            await asyncio.sleep(0)
            made = networks.spec.for_create({"name": "any"}, ALICE)
            await recorded.store.write(lambda tx: networks.create(tx, ALICE, made), ALICE)
            assert not changed.is_set()
            await recorded.store.write(lambda tx: policies.create_policy(tx, ADMIN, wanted), ADMIN)
            await asyncio.wait_for(waiting, patient(30))

    recorded.loop.run_until_complete(scene())


def test_what_is_called_for_is_kept_apart(recorded: Recorded) -> None:
    recorded.policy("open", OPEN, "execute[suimon:close(rule)] :- error(rule)")
    rule = opened(recorded)
    recorded.note()
    (called,) = recorded.read(lambda tx: tx.select(Called))
    assert (called.action, json.loads(called.row), called.decided) == ("suimon:close", [rule], "")
    assert called.why.startswith(f'execute[suimon:close("{rule}")]')
    assert len(recorded.history()) == 1
    recorded.restart()
    recorded.delete("security-group-rules", rule)
    recorded.note()
    (over,) = recorded.read(lambda tx: tx.select(Called))
    assert (over.id, over.vanished_revision) == (called.id, recorded.store.position()[2])
    recorded.write(lambda tx: violations.forget_violations(tx, tx.now + timedelta(days=1)))
    assert recorded.read(lambda tx: tx.select(Called)) == []
