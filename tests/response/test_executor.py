"""What policies call for, from the change that makes it to what was done, and undone."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from suimon.model.policies import Called
from suimon.resources import calls, policies, remedies
from suimon.resources.subscribers import add_subscriber
from suimon.response.executor import Executor, ExecutorConfig
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.resources.world import ADMIN, ALICE, refused
from tests.response.acting import CLOSE, OPEN, Acting

GUESTS = 'execute[suimon:quarantine(port)] :- neutronv2:ports(id=port, name="bad")'


@pytest.fixture
def acting() -> Iterator[Callable[..., Acting]]:
    made: list[Acting] = []

    def make(ports: int = 1) -> Acting:
        made.append(Acting(ports))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Acting]


def test_done_seen_and_undone_by_hand(acting: Make) -> None:
    c = acting()
    c.policy(OPEN, CLOSE)
    c.enforce()
    c.opened()
    c.enforce()
    assert c.open_rules() == []
    one = c.incident()
    assert (one.rule, one.state, one.bites, one.weight) == ("policy:open", "closed", True, 1)
    assert c.timeline(one.id) == ["finding", "evidence", "decision", "action", "verification"]
    assert "is deleted" in c.words(one.id, "action")[0]
    assert "security_group_rules(" in c.words(one.id, "evidence")[0]
    c.write(lambda tx: remedies.undo(tx, ADMIN, one.id, "Ann says it is fine"), ADMIN)
    (back,) = c.open_rules()
    assert (back.port_range_min, back.protocol, back.project_id) == (22, "tcp", "red")
    c.enforce()
    asked = c.incidents(state="waiting")
    assert len(asked) == 1, "what a person undid is not done again without asking"
    assert "undone" in c.words(asked[0].id, "decision")[0]
    assert "what would follow" in c.words(asked[0].id, "evidence")[1]
    with refused("HTTPConflict", "nothing to undo"):
        c.write(lambda tx: remedies.undo(tx, ADMIN, one.id, "again"), ADMIN)


@pytest.mark.parametrize(
    ("ways", "states"),
    [
        ({"mode": "draft"}, []),
        ({"mode": "staged"}, ["noted"]),
        ({"acts": "never"}, []),
        ({"acts": "ask"}, ["waiting"]),
        ({}, ["closed"]),
    ],
)
def test_what_comes_of_it(acting: Make, ways: dict[str, str], states: list[str]) -> None:
    c = acting()
    c.policy(OPEN, CLOSE, **ways)
    c.opened()
    c.enforce()
    c.enforce()
    assert [one.state for one in c.incidents()] == states
    assert len(c.open_rules()) == (states != ["closed"])


def test_stopping_stops_actions_and_going_on_does_them(acting: Make) -> None:
    c = acting()
    c.policy(OPEN, CLOSE)
    c.write(lambda tx: policies.stop_enforcing(tx, ADMIN), ADMIN)
    c.opened()
    c.enforce()
    assert [one.state for one in c.incidents()] == ["noted"]
    c.change(mode="enforced")
    c.enforce()
    assert c.open_rules() == []


def test_what_vanished_is_not_done(acting: Make) -> None:
    c = acting()
    c.policy(OPEN, CLOSE, acts="ask")
    rule = c.opened()
    c.enforce()
    asked = c.incident()
    c.delete("security-group-rules", rule)
    again = c.opened()
    c.delete("security-group-rules", again)
    c.enforce()
    assert c.incident().state == "closed"
    with refused("HTTPConflict"):
        c.write(lambda tx: remedies.approve(tx, ADMIN, asked.id, "yes"), ADMIN)


def test_the_world_counts_and_not_only_what_is_written(acting: Make) -> None:
    """The row goes between the record and the act."""
    c = acting()
    c.policy('execute[suimon:add_tag("port", port, "seen")] :- neutronv2:ports(id=port, name="new")')
    port = c.port(c.net, name="new")["id"]
    executor, c.enforcement.after_round = c.enforcement.after_round, None
    c.enforce()
    c.update("ports", port, {"name": "old"})
    assert executor
    c.loop.run_until_complete(executor())  # type: ignore[arg-type]
    assert (c.get("ports", port)["tags"], c.incidents()) == ([], [])


def test_asked_with_what_would_follow_approved_and_not_answered(acting: Make) -> None:
    c = acting()
    c.policy(OPEN, CLOSE, acts="ask")
    first = c.opened()
    c.enforce()
    one = c.incident()
    assert f'what would follow: error("{first}") of open vanishes' in c.words(one.id, "evidence")
    assert (one.wanted["action"], one.answer_by is not None) == ("neutronv2:delete_security_group_rule", True)
    assert len(c.open_rules()) == 1, "trying leaves nothing"
    c.write(lambda tx: remedies.approve(tx, ADMIN, one.id, "yes"), ADMIN)
    c.enforce()
    assert (c.open_rules(), c.incident().bites) == ([], True)
    assert c.incident().acted_at is None, "what people do isn't counted"
    c.opened()
    c.enforce()
    c.clock_ahead(timedelta(hours=1, seconds=1))
    c.round()
    assert c.incidents(state="waiting") == []
    assert len(c.open_rules()) == 1


def test_approved_too_late_is_not_done(acting: Make) -> None:
    c = acting()
    c.policy(OPEN, CLOSE, acts="ask")
    rule = c.opened()
    c.enforce()
    c.enforcement.after_round = None
    c.delete("security-group-rules", rule)
    c.enforce()
    asked = c.incident()
    assert asked.state == "waiting"
    with refused("HTTPConflict", "calls for this no more"):
        c.write(lambda tx: remedies.approve(tx, ADMIN, asked.id, "yes"), ADMIN)


def test_what_ends_nothing_is_not_looked_at(acting: Make) -> None:
    c = acting()
    c.write(lambda tx: add_subscriber(tx, ADMIN, "https://pager.example/", "0" * 64), ADMIN)
    c.policy('execute[suimon:webhook("https://pager.example/", "wake up")] :- true')
    made = c.write(lambda tx: remedies.execute(tx, ADMIN, "suimon:set_port_state", (c.ports[0], False)), ADMIN)
    c.enforce()
    assert {(one.rule, one.state, one.bites) for one in c.incidents()} == {
        ("policy:open", "closed", None), ("by-hand", "closed", None)
    }  # fmt: skip
    c.write(lambda tx: remedies.mark(tx, ADMIN, made.id, "wrong port", false_positive=True), ADMIN)
    assert c.get("ports", c.ports[0])["admin_state_up"] is True


def test_too_much_opens_the_breaker(acting: Make) -> None:
    c = acting(ports=500)
    c.policy("execute[suimon:quarantine(port)] :- neutronv2:ports(id=port)")
    c.enforce()
    assert len(c.active()) == 10, "2 % of 500 ports"
    assert c.breaker_open()
    assert len(c.incidents(state="waiting")) == 490
    (why, *_) = [line for one in c.incidents(rule="breaker") for line in c.words(one.id, "breaker")]
    assert "10 are allowed" in why


def test_a_group_counts_as_all_its_ports(acting: Make) -> None:
    c = acting(ports=8)
    c.policy(OPEN, CLOSE)
    for port in c.ports[1:]:
        c.update("ports", port, {"security_groups": []})
        group = c.get("ports", c.ports[0])["security_groups"][0]
        c.update("ports", port, {"security_groups": [group]})
    c.opened()
    c.enforce()
    assert len(c.open_rules()) == 1
    (asked,) = c.incidents(state="waiting")
    assert (asked.weight, c.breaker_open()) == (8, True)


def test_whom_nobody_touches(acting: Make) -> None:
    c = acting(ports=2)
    c.write_rules(f"never: {{ports: ['{c.ports[0]}']}}\n")
    c.policy(GUESTS)
    for port in c.ports:
        c.update("ports", port, {"name": "bad"})
    c.enforce()
    assert [each.target for each in c.active()] == [c.ports[1]]


def test_a_quarantine_lasts_while_it_is_called_for(acting: Make) -> None:
    c = acting()
    c.policy(GUESTS)
    c.update("ports", c.ports[0], {"name": "bad"})
    c.enforce()
    (made,) = c.active()
    assert (made.author, made.kind, made.target) == ("policy:open", "quarantine", c.ports[0])
    c.clock_ahead(timedelta(hours=1, seconds=-1))
    c.round()
    c.clock_ahead(timedelta(seconds=2))
    c.round()
    assert len(c.active()) == 1
    c.update("ports", c.ports[0], {"name": "good"})
    c.enforce()
    c.clock_ahead(timedelta(hours=1))
    c.round()
    assert c.active() == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('nova:pause("x")', "no action nova:pause"),
        ("suimon:quarantine(1)", "is a text"),
        ('suimon:quarantine("x", 1, 2)', "3 were given"),
        ('suimon:quarantine("x")', "nothing of it"),
        ('suimon:add_tag("host", "x", "y")', "can be tagged"),
        ('neutronv2:delete_security_group_rule("x")', "nothing of it"),
        ('suimon:webhook("https://nobody.example/", "x")', "No subscriber"),
    ],
)
def test_what_cannot_be_done_is_told_once(acting: Make, call: str, words: str) -> None:
    c = acting()
    c.policy("execute[CALL] :- true".replace("CALL", call))
    for _ in range(2):
        c.enforce()
    assert c.incident().state == "closed"
    assert words in c.words(c.incident().id, "decision")[0]


def test_what_does_not_bite_is_an_alarm(acting: Make) -> None:
    c = acting()
    c.policy('execute[suimon:add_tag("port", port, "seen")] :- neutronv2:ports(id=port)')
    c.enforce()
    assert c.incident().bites is False
    assert "does not bite" in c.words(c.incident().id, "alarm")[0]
    c.enforce()
    assert len(c.incidents()) == 1


class Dying:
    """A store whose user is killed at its n-th write, before or after the commit."""

    def __init__(self, store: Store, dies_at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, dies_at, after
        self.read = store.read

    async def write(self, act: Callable[[Tx], Any], *more: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise KeyboardInterrupt
        done = await self._store.write(act, *more)
        if self._left == 0:
            raise KeyboardInterrupt
        return done


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
def test_killed_at_any_moment_each_is_done_once(acting: Make, dies_at: int, after: bool) -> None:
    c = acting()
    c.policy(OPEN, CLOSE)
    c.enforce()
    c.opened()
    c.policy('execute[suimon:add_tag("port", port, "seen")] :- neutronv2:ports(id=port, name="new")', name="tags")
    c.update("ports", c.ports[0], {"name": "new"})
    dying: Any = Dying(c.store, dies_at, after=after)
    c.enforcement.after_round = Executor(ExecutorConfig(), dying, c.enforcement.world).round
    with pytest.raises(KeyboardInterrupt):
        c.enforce()
    c.restart()
    c.enforce()
    c.enforce()
    assert c.open_rules() == []
    assert [c.timeline(one.id).count("action") for one in c.incidents()] == [1, 1]
    assert {one.state for one in c.incidents()} == {"closed"}
    assert sorted(one.bites is True for one in c.incidents()) == [False, True]


def test_only_so_many_wait(acting: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_WAITING", 2)
    c = acting()
    c.policy("execute[suimon:quarantine(port)] :- neutronv2:ports(id=port)", acts="ask")
    c.enforce()
    for _ in range(4):
        c.port(c.net)
        c.enforce()
    assert len(c.incidents(state="waiting")) == 2


def test_projects_policies_do_nothing(acting: Make) -> None:
    c = acting()
    wanted = policies.Wanted(name="mine", clauses=(policies.WantedClause(text=GUESTS),))
    c.write(lambda tx: policies.create_policy(tx, ALICE, wanted), ALICE)
    c.write(lambda tx: policies.change_policy(tx, ALICE, "mine", policies.Ways(mode="enforced")), ALICE)
    c.update("ports", c.ports[0], {"name": "bad"})
    c.enforce()
    assert (c.read(lambda tx: tx.select(Called)), c.active()) == ([], [])
