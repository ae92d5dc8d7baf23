"""Engines agree with the store: after each change, after a start, for whoever asks; and what they forbid."""

from __future__ import annotations

import gc

import pytest

from suimon.enforcement import world
from suimon.enforcement.scope import Limits
from suimon.model.actor import SYSTEM
from suimon.model.identity import Project, Role, RoleAssignment, User
from suimon.model.policies import CLOUD
from suimon.resources import policies
from suimon.resources.identity import assign_role, create_named, unassign_role
from tests.enforcement.policed import OPEN, Policed
from tests.resources.world import ADMIN, ALICE, ANN, BOB, refused

SPACED = OPEN.replace("(rule)", "( rule )")
RULE = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}


def opened(world: Policed, prefix: str = "0.0.0.0/0") -> str:
    """A rule of a group that lets the world in."""
    group = world.create("security-groups", name="web")["id"]
    return str(world.create("security-group-rules", security_group_id=group, remote_ip_prefix=prefix, **RULE)["id"])


def test_violations_follow_the_store(policed: Policed) -> None:
    policed.policy("open", OPEN)
    assert policed.rows("open") == []
    rule = opened(policed)
    opened(policed, "10.0.0.0/8")
    assert policed.rows("open") == [(rule,)]
    policed.delete("security-group-rules", rule)
    assert policed.rows("open") == []


def test_news_tell_of_the_change_that_made_them(policed: Policed) -> None:
    policed.policy("open", OPEN)
    first = opened(policed)
    (there,) = policed.read(policed.engines.listen)
    assert (there.row, there.appeared) == ((first,), True) and "neutronv2:security_group_rules" in there.why
    rule = opened(policed)
    revision = policed.store.position()[2]
    policed.delete("security-group-rules", rule)
    policed.delete("security-group-rules", first)
    assert [(one.row, one.appeared) for one in policed.news()] == [((first,), False)]
    rule = opened(policed)
    policed.network()
    (told,) = policed.news()
    assert (told.policy, told.row, told.request_id) == ("open", (rule,), ALICE.request_id)
    assert revision < told.revision == policed.store.position()[2] - 1
    assert policed.news() == []


def test_what_the_first_clause_finds_is_news_to_a_controller_that_did_not_check_it(policed: Policed) -> None:
    rule = opened(policed)
    policed.read(policed.engines.listen)
    policed.store.guard(None)
    policed.policy("open", OPEN)
    assert [(one.row, one.appeared) for one in policed.news()] == [((rule,), True)]


def test_more_news_than_are_kept_are_none(policed: Policed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_MOST_NEWS", 1)
    policed.policy("open", OPEN)
    policed.read(policed.engines.listen)
    opened(policed)
    assert len(policed.news()) == 1
    opened(policed)
    opened(policed)
    policed.read(policed.engines.catch_up)
    assert policed.engines.news() is None


def test_an_engine_that_starts_late_agrees_with_one_that_followed(policed: Policed) -> None:
    policed.policy(
        "all",
        "p(x, y) :- neutronv2:ports(id=x, network_id=y)",
        "s(x) :- neutronv2:networks(id=x, shared=true)",
        "b(p, g) :- neutronv2:security_group_port_bindings(p, g)",
        "t(r) :- keystone:roles(id=r)",
    )
    network = policed.network(ADMIN)
    policed.subnet(network, by=ADMIN)
    policed.update("networks", network, {"shared": True}, ADMIN)
    port = policed.port(network)["id"]
    policed.update("ports", port, {"name": "x", "security_groups": []})
    late = policed.fresh()
    for table in "psbt":
        asked = policed.read(
            lambda tx, table=table: late.ask(tx, "", lambda scope: scope.engine.rows("all", table))  # type: ignore[misc]
        )
        assert asked == policed.rows("all", table), table
    assert policed.rows("all", "s") == [(network,)] and policed.rows("all", "p") == [(port, network)]
    policed.delete("ports", port)
    assert policed.rows("all", "p") == []


def test_what_is_not_committed_leaves_nothing_behind(policed: Policed) -> None:
    policed.policy("open", OPEN)
    policed.read(policed.engines.listen)

    def act(tx: object) -> None:
        policies.create_policy(tx, ADMIN, policies.Wanted(name="gone"))  # type: ignore[arg-type]
        policies.insert_clause(tx, ADMIN, "gone", policies.WantedClause(text="error(1)"))  # type: ignore[arg-type]
        policed.engines.check(tx)  # type: ignore[arg-type]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        policed.write(act)
    assert policed.news() == []
    policed.policy("gone", "error(2)")
    assert policed.rows("gone") == [(2,)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("error(x) :- not q(x)", "line 1, column "),
        ("p(x) :- neutronv2:ports(nothing=x)", "nothing"),
        ("error(x :- q(x)", "line 1, column "),
        ("p(1) p(2)", "one rule at a time"),
        (OPEN, "already exists"),
        (SPACED, "already exists"),
    ],
)
def test_clauses_that_cannot_be_in_force_are_refused(policed: Policed, text: str, words: str) -> None:
    policed.policy("open", OPEN)
    before = policed.store.position()
    kinds = {OPEN: "HTTPConflict", SPACED: "HTTPConflict", "p(1) p(2)": "HTTPBadRequest"}
    with refused(kinds.get(text, "PolicyError"), words):
        policed.insert("open", text + " ")
    assert policed.store.position() == before
    assert len(policed.read(lambda tx: policies.list_clauses(tx, ADMIN, "open"))) == 1


def test_a_policy_comes_with_all_its_clauses_or_not_at_all(policed: Policed) -> None:
    with refused("PolicyError"):
        policed.policy("half", "error(1)", "error(")
    assert policed.read(lambda tx: policies.list_policies(tx, ADMIN)) == []
    policed.policy("half", "error(1)", "error(2)")
    assert policed.rows("half") == [(1,), (2,)]
    policed.write(lambda tx: policies.delete_policy(tx, ADMIN, "half"))
    policed.policy("half", "error(3)")
    assert policed.rows("half") == [(3,)]


def test_a_proactive_policy_forbids_and_says_why(policed: Policed) -> None:
    policed.policy("open", OPEN, mode="enforced", proactive=True)
    group = policed.create("security-groups", name="web")["id"]
    with refused("PolicyForbids", "neutronv2:security_group_rules("):
        policed.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", **RULE)
    assert len(policed.list("security-group-rules", f"security_group_id={group}&direction=ingress")) == 0
    policed.create("security-group-rules", security_group_id=group, remote_ip_prefix="10.0.0.0/8", **RULE)


def test_a_check_costs_one_statement_and_nothing_where_nothing_forbids(policed: Policed) -> None:
    network = policed.network()
    policed.subnet(network)
    policed.port(network)

    def cost() -> int:
        heard: list[str] = []
        policed.store.trace(heard.append)
        policed.port(network)
        policed.store.trace(None)
        return len(heard)

    policed.store.guard(None)
    free = cost()
    policed.store.guard(policed.engines.check)
    policed.policy("open", OPEN)
    policed.rows("open")
    assert cost() == free
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "open", policies.Ways(mode="enforced", proactive=True)))
    policed.rows("open")
    assert cost() == free + 1


@pytest.mark.parametrize("mode", [{"mode": "staged", "proactive": True}, {"mode": "enforced"}, {"mode": "draft"}])
def test_others_forbid_nothing(policed: Policed, mode: dict[str, object]) -> None:
    policed.policy("open", OPEN, **mode)
    rule = opened(policed)
    assert policed.rows("open") == [(rule,)]


def test_what_is_wrong_already_and_what_suimon_does_itself_is_not_forbidden(policed: Policed) -> None:
    rule = opened(policed)
    policed.policy("open", OPEN, mode="enforced", proactive=True)
    network = policed.network()
    policed.update("networks", network, {"name": "still"})
    group = policed.create("security-groups", name="web")["id"]
    policed.create("security-group-rules", security_group_id=group, remote_ip_prefix="0.0.0.0/0", by=SYSTEM, **RULE)
    assert len(policed.rows("open")) == 2
    policed.delete("security-group-rules", rule)


def test_what_becomes_too_much_stands_still_and_stops_nobody() -> None:
    policed = Policed(Limits(max_rows=50, max_s=60))
    policed.policy("pairs", "error(x, y) :- neutronv2:networks(id=x), neutronv2:networks(id=y)", mode="enforced")
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "pairs", policies.Ways(proactive=True)))
    policed.create_many("networks", [{} for _ in range(10)], SYSTEM)
    network = policed.network()
    with refused("ServiceUnavailable", "stand still since revision"):
        policed.rows("pairs")
    told = policed.read(lambda tx: policed.engines.status(tx, CLOUD))
    assert "stand still" in str(told["last_error"])
    (clause,) = policed.read(lambda tx: policies.list_clauses(tx, ADMIN, "pairs"))
    policed.write(lambda tx: policies.delete_clause(tx, ADMIN, "pairs", clause.id))
    policed.insert("pairs", "error(x) :- neutronv2:networks(id=x)")
    assert len(policed.rows("pairs")) == 11 and (network,) in policed.rows("pairs")
    policed.close()


def test_who_stands_still_tells_nothing_and_foresees_nothing() -> None:
    policed = Policed(Limits(max_rows=50, max_s=60))
    assert policed.foreseen("any") == []
    policed.policy("pairs", "error(x, y) :- neutronv2:networks(id=x), neutronv2:networks(id=y)")
    policed.policy("bad", 'error(n) :- neutronv2:networks(name=n), equal(n, "bad")')
    assert policed.foreseen("bad")[0] == 'error("bad") of bad appears'
    policed.read(policed.engines.listen)
    policed.create_many("networks", [{} for _ in range(10)], SYSTEM)
    policed.network(name="bad")
    assert (policed.news(), policed.foreseen("bad")) == ([], [])
    policed.close()


def test_who_has_a_role_is_a_fact_of_its_three_parts(policed: Policed) -> None:
    policed.policy("roles", "has(u, p, r) :- keystone:role_assignments(user_id=u, project_id=p, role_id=r)")
    before = policed.rows("roles", "has")
    project = policed.write(lambda tx: create_named(tx, ADMIN, Project, {"name": "lab"}))
    user = policed.write(lambda tx: create_named(tx, ADMIN, User, {"name": "carol", "password_hash": "x"}))
    roles = [policed.write(lambda tx, name=name: create_named(tx, ADMIN, Role, {"name": name})) for name in "ab"]
    given = [RoleAssignment(user_id=user.id, project_id=project.id, role_id=role.id) for role in roles]
    for one in given:
        policed.write(lambda tx, one=one: assign_role(tx, ADMIN, one))
    had = [(user.id, project.id, role.id) for role in roles]
    assert policed.rows("roles", "has") == sorted([*before, *had])
    policed.write(lambda tx: unassign_role(tx, ADMIN, given[0]))
    assert policed.rows("roles", "has") == sorted([*before, had[1]])


def test_projects_have_their_own_facts_and_policies(policed: Policed) -> None:
    policed.policy("mine", "error(x) :- neutronv2:ports(id=x)", by=ALICE)
    own = policed.network()
    policed.subnet(own)
    other = policed.network(BOB)
    policed.subnet(other, by=BOB)
    policed.port(other, BOB)
    port = policed.port(own)["id"]
    assert policed.rows("mine", project="red") == [(port,)]
    for text in ("p(x) :- keystone:users(id=x)", "p(x) :- neutronv2:ports(binding_host_id=x)"):
        with refused("PolicyError"):
            policed.insert("mine", text, ALICE)
    with refused("HTTPNotFound"):
        policed.insert("mine", "error(1)", BOB)
    with refused("PolicyNotAuthorized"):
        policed.insert("mine", "error(1)", ANN)
    policed.write(
        lambda tx: policies.change_policy(tx, ALICE, "mine", policies.Ways(mode="enforced", proactive=True)), ALICE
    )
    policed.port(other, BOB)
    with refused("PolicyForbids"):
        policed.port(own)


def test_a_project_may_conclude_less_than_the_cloud_and_what_was_too_much_leaves_nothing(policed: Policed) -> None:
    numbers, cube = [f"n({number})" for number in range(50)], "t(a, b, c) :- n(a), n(b), n(c)"
    policed.policy("ours", *numbers, cube)
    assert len(policed.rows("ours", "t")) == 125_000
    policed.policy("mine", *numbers, by=ALICE)
    with refused("PolicyTooMuch", "than"):
        policed.insert("mine", cube, ALICE)
    assert policed.rows("mine", "t", "red") == []
    policed.insert("mine", "t(a) :- n(a)", ALICE)
    assert len(policed.rows("mine", "t", "red")) == 50


def test_a_draft_is_nobodys_news(policed: Policed) -> None:
    rule = opened(policed)
    policed.policy("open", OPEN, mode="draft")
    assert policed.read(policed.engines.listen) == []
    for mode, appeared in (("staged", True), ("enforced", None), ("draft", False)):
        policed.write(lambda tx, mode=mode: policies.change_policy(tx, ADMIN, "open", policies.Ways(mode=mode)))  # type: ignore[misc]
        told = [(one.row, one.appeared) for one in policed.news()]
        assert told == ([] if appeared is None else [((rule,), appeared)]), mode


def test_calls_come_and_go_with_what_they_follow_from(policed: Policed) -> None:
    policed.policy("open", OPEN, "execute[suimon:close(rule)] :- error(rule)", "execute[tell(rule)] :- error(rule)")
    policed.policy("mine", "execute[suimon:close(x)] :- neutronv2:networks(id=x)", by=ALICE)
    policed.read(policed.engines.listen)
    rule = opened(policed)
    policed.network()
    told = [(one.action, one.row, one.appeared) for one in policed.news()]
    assert sorted(told) == [(action, (rule,), True) for action in ("", "open:tell", "suimon:close")]
    for action, called in (("suimon:close", True), ("open:tell", True), ("suimon:tell", False)):
        asked = policed.read(
            lambda tx, action=action: policed.engines.ask(tx, CLOUD, lambda of: of.calls_for("open", action, (rule,)))  # type: ignore[misc]
        )
        assert asked is called, action
    policed.delete("security-group-rules", rule)
    assert {(one.action, one.appeared) for one in policed.news()} == {
        ("", False), ("open:tell", False), ("suimon:close", False)
    }  # fmt: skip
    again = opened(policed)
    policed.news()
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "open", policies.Ways(mode="draft")))
    assert ("suimon:close", (again,), False) in [(one.action, one.row, one.appeared) for one in policed.news()]


def test_only_the_clouds_policies_act(policed: Policed) -> None:
    policed.policy("mine", "error(x) :- neutronv2:networks(id=x)", by=ALICE)
    with refused("PolicyNotAuthorized", "Only the cloud"):
        policed.write(lambda tx: policies.change_policy(tx, ALICE, "mine", policies.Ways(acts="act")), ALICE)


def test_the_collector_leaves_a_large_engine_alone(policed: Policed, monkeypatch: pytest.MonkeyPatch) -> None:
    policed.policy("open", OPEN)
    opened(policed)
    gc.unfreeze()
    monkeypatch.setattr(world, "_MANY", 0)
    try:
        late = policed.fresh()
        policed.read(late.catch_up)
        assert policed.read(lambda tx: late.ask(tx, "", lambda scope: scope.size)) > 0
        assert gc.get_freeze_count() > 0 and gc.isenabled()
    finally:
        gc.freeze()
