"""What policies decided is kept: with the transaction that goes on, and without the one that is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from suimon.model.actor import SYSTEM
from suimon.model.policies import Evaluation, Tally
from suimon.resources import evaluations, policies, violations
from suimon.resources.registry import RESOURCES
from suimon.store import Tx
from tests.enforcement.policed import OPEN, Policed
from tests.enforcement.test_enforcement import Recorded
from tests.enforcement.test_world import RULE, opened
from tests.resources.world import ADMIN, ALICE, BOB, refused


def kept(world: Policed, **where: str) -> list[Evaluation]:
    return world.read(lambda tx: evaluations.list_evaluations(tx, ADMIN, where))


def tally(world: Policed, name: str) -> Tally:
    policy = world.read(lambda tx: policies.find_policy(tx, ADMIN, name))
    return world.read(lambda tx: evaluations.tallies(tx, [policy.id]))[policy.id]


def closed(world: Policed) -> str:
    """A group that nobody is let into."""
    return str(world.create("security-groups", name="web")["id"])


def denied(world: Policed, group: str) -> None:
    with refused("PolicyForbids"):
        world.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", **RULE)


def test_a_staged_policy_counts_and_keeps_what_it_would_deny(policed: Policed) -> None:
    policed.policy("open", OPEN, proactive=True)
    rule = opened(policed)
    opened(policed, "10.0.0.0/8")
    (one,) = kept(policed)
    assert (one.policy, one.outcome, one.row) == ("open", "would_deny", f'error("{rule}")')
    assert (one.user_id, one.request_id, one.clause) == ("alice", ALICE.request_id, OPEN)
    assert "neutronv2:security_group_rules(" in one.why
    assert (tally(policed, "open").would_deny, tally(policed, "open").denied) == (1, 0)
    assert policed.engines.refused() == []


def test_what_is_not_committed_was_not_let_through(policed: Policed) -> None:
    policed.policy("open", OPEN, proactive=True)
    group = closed(policed)

    def check(tx: Tx) -> None:
        policed.engines.check(tx)
        raise RuntimeError

    policed.store.guard(check)
    with pytest.raises(RuntimeError):
        policed.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", **RULE)
    assert (kept(policed), policed.engines.refused()) == ([], [])


def test_a_denial_is_kept_though_its_transaction_is_not(recorded: Recorded) -> None:
    recorded.policy("open", OPEN, mode="enforced", proactive=True)
    recorded.policy("too", OPEN, proactive=True)
    recorded.store.guard(recorded.component.world.check)
    denied(recorded, closed(recorded))
    assert kept(recorded) == []
    recorded.loop.run_until_complete(recorded.component.note_refusals())
    recorded.loop.run_until_complete(recorded.component.note_refusals())
    assert [(one.policy, one.outcome) for one in kept(recorded)] == [("too", "would_deny"), ("open", "denied")]
    assert [one.user_id for one in kept(recorded, policy="open")] == ["alice"]
    assert (tally(recorded, "open").denied, tally(recorded, "too").would_deny) == (1, 1)


def test_the_component_writes_denials_down_by_itself(recorded: Recorded) -> None:
    recorded.policy("naming", 'error(x) :- neutronv2:networks(id=x, name="bad")', mode="enforced", proactive=True)
    networks = RESOURCES["networks"]
    wanted = networks.spec.for_create({"name": "bad"}, ALICE)

    async def run() -> None:
        running = asyncio.ensure_future(recorded.component.run())
        with recorded.store.subscribe() as changed:
            await asyncio.wait_for(changed.wait(), 30)
        noted, loop = asyncio.Event(), asyncio.get_running_loop()
        recorded.store.trace(lambda said: said.startswith("UPDATE tallies") and loop.call_soon_threadsafe(noted.set))
        with refused("PolicyForbids"):
            await recorded.store.write(lambda tx: networks.create(tx, ALICE, wanted), ALICE)
        await asyncio.wait_for(noted.wait(), 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    recorded.loop.run_until_complete(run())
    # As a writer, who comes after the one that was just heard at work.
    found = recorded.write(lambda tx: evaluations.list_evaluations(tx, ADMIN, {}))
    assert [one.outcome for one in found] == ["denied"]


def test_another_mode_counts_anew(policed: Policed) -> None:
    policed.policy("open", OPEN, proactive=True)
    opened(policed)
    before = tally(policed, "open")
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "open", policies.Ways(mode="enforced")))
    after = tally(policed, "open")
    assert (before.would_deny, after.would_deny) == (1, 0) and before.since < after.since
    policed.write(lambda tx: policies.delete_policy(tx, ADMIN, "open"))
    assert len(kept(policed)) == 1


def test_the_oldest_go_and_projects_see_their_own(policed: Policed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "MOST_OF_PROJECT", 3)
    policed.policy("mine", "error(x) :- neutronv2:networks(id=x)", by=ALICE)
    policed.write(lambda tx: policies.change_policy(tx, ALICE, "mine", policies.Ways(proactive=True)), ALICE)
    made = [policed.network() for _ in range(5)]
    found = policed.read(lambda tx: evaluations.list_evaluations(tx, ALICE, {}))
    assert [one.row for one in found] == [f'error("{id_}")' for id_ in reversed(made[2:])]
    assert policed.read(lambda tx: evaluations.list_evaluations(tx, BOB, {})) == []
    assert tally(policed, "mine").would_deny == 5


def test_suimons_own_changes_are_no_news(policed: Policed) -> None:
    policed.policy("open", OPEN, proactive=True)
    group = closed(policed)
    policed.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", by=SYSTEM, **RULE)
    assert kept(policed) == []


def test_actions_that_a_policy_calls_for_are_counted_since_it_is_in_its_mode(recorded: Recorded) -> None:
    recorded.policy("acting", "execute[suimon:alarm(x)] :- neutronv2:networks(id=x)")
    policy = recorded.read(lambda tx: policies.find_policy(tx, ADMIN, "acting"))
    recorded.note()
    recorded.network()
    recorded.note()
    assert recorded.read(lambda tx: evaluations.called(tx, [policy.id])) == {policy.id: 1}
    (one,) = recorded.read(lambda tx: violations.list_calls(tx, ADMIN))
    assert (one.policy, one.action, one.request_id) == ("acting", "suimon:alarm", ALICE.request_id)
    recorded.clock_ahead(timedelta(hours=1))
    recorded.write(lambda tx: policies.change_policy(tx, ADMIN, "acting", policies.Ways(proactive=True)))
    assert recorded.read(lambda tx: evaluations.called(tx, [policy.id])) == {}
