"""What an engine promises beside what is derived: explanations, limits, what-ifs, and errors that say where."""

from __future__ import annotations

import gc
import itertools
import tracemalloc

import pytest

from suimon.policy.changes import Call, Event, Explanation, FactChange
from suimon.policy.engine import Engine
from suimon.policy.errors import PolicyError, TooMuch
from tests.policy.programs import held

SOURCES = {"net": {"ports": ("id", "network", "up"), "rules": ("port", "low")}}


def engine(*clauses: str, kind: str = "nonrecursive") -> Engine:
    made = Engine(SOURCES)
    made.create_policy("main", kind)
    made.change([Event("main", clause) for clause in clauses])
    return made


def put(made: Engine, table: str, *rows: tuple[object, ...]) -> None:
    made.facts([FactChange("net", table, put=rows)])  # type: ignore[arg-type]


def test_an_explanation_names_the_clauses_and_the_facts() -> None:
    made = engine("open(p) :- net:rules(p, 22)", "error(p) :- open(p), not allowed(p)")
    put(made, "rules", ("p1", 22))
    fact = Explanation(("net", "rules"), ("p1", 22))
    opened = Explanation(("main", "open"), ("p1",), "open(p) :- net:rules(p, 22)", (fact,))
    why = "error(p) :- open(p), not allowed(p)"
    said = Explanation(("main", "error"), ("p1",), why, (opened,), ('not main:allowed("p1")',))
    assert made.explain("main", "error", ("p1",)) == said
    assert made.explain("main", "error", ("p2",)) is None


def test_a_row_never_explains_itself() -> None:
    made = engine("r(x, y) :- r(y, x)", "r(x, y) :- e(x, y)", "e(1, 2)", kind="recursive")
    said = made.explain("main", "r", (2, 1))
    assert said is not None
    assert said.because[0].because[0] == Explanation(("main", "e"), (1, 2))


def test_an_aggregate_is_explained_by_its_group() -> None:
    made = engine("many(n, count(p)) :- net:ports(id=p, network=n)")
    put(made, "ports", ("p1", "n1", True), ("p2", "n1", False), ("p3", "n2", True))
    said = made.explain("main", "many", ("n1", 2))
    assert said is not None
    assert [one.row for one in said.because] == [("p1", "n1", True), ("p2", "n1", False)]


def test_negation_in_a_cycle_is_refused_also_where_recursion_is_not() -> None:
    made = engine("p(x) :- e(x), not q(x)", "e(1)", kind="recursive")
    with pytest.raises(PolicyError, match="their own absence"):
        made.change([Event("main", "q(x) :- e(x), p(x)")])
    assert made.select("main", "p(x)") == [(1,)]


def test_a_cross_product_is_stopped_and_leaves_nothing() -> None:
    made = engine()
    put(made, "rules", *((f"p{i}", i) for i in range(1000)))
    made.limits(max_rows=50_000, max_s=60)
    before = held(made)
    with pytest.raises(TooMuch, match="50000 rows"):
        made.change([Event("main", "all(a, b) :- net:rules(port=a), net:rules(port=b)")])
    assert held(made) == before


def test_a_clause_without_end_is_stopped_by_its_rows_and_by_time() -> None:
    seconds = itertools.count()
    for clock in (None, lambda: float(next(seconds))):
        made = Engine(clock=clock)
        made.create_policy("main", "recursive")
        made.limits(max_rows=1000 if clock is None else 10**9, max_s=100)
        with pytest.raises(TooMuch):
            made.change([Event("main", "n(0) n(y) :- n(x), builtin:plus(x, 1, y)")])
        assert made.clauses("main") == []


@pytest.mark.parametrize(
    "clause",
    [
        "p(a) :- net:rules(a, x), net:rules(b, y), net:rules(c, z), lt(x, y), lt(y, z), lt(z, x)",
        "p(a) :- net:rules(a, x), net:rules(b, y), net:rules(c, z), max(x, y, u), max(u, z, v), lt(v, 0)",
    ],
)
@pytest.mark.parametrize("rows_first", [True, False])
def test_work_that_gives_nothing_is_stopped_by_time(clause: str, rows_first: bool) -> None:
    """27,000,000 ways are open; a look at the clock is due after 20,000 of them at the latest."""
    seconds = itertools.count()
    made = Engine(SOURCES, lambda: float(next(seconds)))
    made.create_policy("main")
    rows = FactChange("net", "rules", put=tuple((f"p{i}", i) for i in range(300)))
    if rows_first:
        made.facts([rows])
    else:
        made.change([Event("main", clause)])
    before = held(made)
    made.limits(max_rows=10**9, max_s=5)
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(TooMuch, match="longer than 5 s"):
            made.change([Event("main", clause)]) if rows_first else made.facts([rows])
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held(made) == before
    assert left < 100_000 and most < 10_000_000


def test_rows_that_come_to_be_are_counted_change_by_change() -> None:
    made = engine("all(p) :- net:rules(port=p)")
    made.limits(max_rows=100, max_s=60)
    for first in (0, 50):
        put(made, "rules", *((f"p{i}", i) for i in range(first, first + 50)))
    before = held(made)
    with pytest.raises(TooMuch, match="100 rows"):
        put(made, "rules", *((f"p{i}", i) for i in range(100, 151)))
    assert held(made) == before


def test_a_small_change_looks_at_no_clock_and_rows_that_meet_each_other_at_each() -> None:
    looks: list[float] = []

    def clock() -> float:
        looks.append(0.0)
        return 0.0

    made = Engine(SOURCES, clock)
    made.create_policy("main")
    made.change([Event("main", "pair(a, b) :- net:rules(a, x), net:rules(b, x), lt(a, b)")])
    put(made, "rules", ("p0", 1))
    assert made.select("main", "pair(a, b)") == []
    looks.clear()
    put(made, "rules", ("p1", 1))
    made.facts([FactChange("net", "rules", drop=(("p1", 1),))])
    assert not looks
    put(made, "rules", *((f"q{i}", 2) for i in range(20)))
    assert len(looks) >= 20


def test_clauses_are_compiled_anew_when_what_they_read_has_grown() -> None:
    made = engine("met(a) :- net:ports(id=a, network=n), net:rules(port=n)")
    ports = made._evaluation.relation(("net", "ports"))
    put(made, "ports", *((f"p{i}", f"n{i}", True) for i in range(1000)))
    assert ports.planned_rows == 0
    put(made, "ports", ("p", "n", True))
    assert ports.planned_rows == 1001
    put(made, "rules", ("n", 22))
    assert made.rows("main", "met") == [("p",)]


def test_a_trial_shows_what_would_be_and_leaves_nothing() -> None:
    made = engine("error(p) :- net:rules(port=p, low=25)", "execute[nova:stop(p)] :- error(p)")
    before = held(made)
    with made.trial([FactChange("net", "rules", put=(("p1", 25),))]) as difference:
        assert difference.appeared[("main", "error")] == [("p1",)]
        assert difference.calls == [Call("main", "nova", "stop", ("p1",))]
        assert made.explain("main", "error", ("p1",)) is not None
    assert held(made) == before
    assert made.select("main", "error(p)") == []


def test_a_trial_of_clauses_leaves_nothing() -> None:
    made = engine("error(p) :- net:rules(port=p, low=25)")
    made.facts([FactChange("net", "rules", put=(("p1", 25),))])
    before = held(made)
    new, gone = Event("main", "worse(p) :- error(p)"), Event("main", "error(p) :- net:rules(port=p, low=25)", False)
    with made.trial(events=[new]) as difference:
        assert difference.appeared == {("main", "worse"): [("p1",)]} and len(made.clauses("main")) == 2
    with made.trial(events=[new, gone]) as difference:
        assert made.select("main", "error(p)") == made.select("main", "worse(p)") == []
    assert held(made) == before and len(made.clauses("main")) == 1


def test_an_action_s_result_leads_to_the_next() -> None:
    made = engine("has(v) :- p(x, v)")
    made.create_policy("act", "action")
    described = 'p+(i, v) :- create(v) p+(i, v) :- update(i, v) p-(i, o) :- update(i, v), p(i, o) action("create")'
    made.change([Event("act", described + ' action("update") result(x) :- create(v), p+(x, v)')])
    before = held(made)
    assert made.simulate("main", "has(x)", "create(0) update(x, 1) :- result(x)", "act") == [("has", 1)]
    assert held(made) == before


def test_an_action_is_done_if_its_body_holds_and_may_change_a_source() -> None:
    made = engine("error(p) :- net:rules(port=p, low=25)", "closed(p) :- net:ports(id=p, up=false)")
    put(made, "ports", ("p1", "n1", False))
    made.create_policy("act", "action")
    made.change([Event("act", 'action("open") net:rules+(p, 25) :- open(p) net:rules-(p, 22) :- open(p)')])
    before = held(made)
    assert made.simulate("main", "error(p)", "open(p) :- closed(p)", "act") == [("error", "p1")]
    assert made.simulate("main", "error(p)", 'open(p) :- net:ports(id=p, network="n2")', "act") == []
    assert held(made) == before


def test_calls_and_columns_by_number_can_be_asked_for() -> None:
    made = engine("execute[nova:stop(p)] :- net:rules(0=p, 1=25)")
    put(made, "rules", ("p1", 25), ("p2", 22))
    assert made.select("main", "execute[nova:stop(x)]") == [("p1",)]
    assert made.select("main", "net:rules(1=22, port=p)") == [("p2", 22)]


def test_integers_floats_and_booleans_are_apart_and_compare_by_size() -> None:
    made = engine("same(x, y) :- v(x), w(y), builtin:equal(x, y)", "joined(x) :- v(x), w(x)")
    made.change([Event("main", "v(1) v(true) w(1.0) w(true)")])
    assert list(map(repr, made.select("main", "joined(x)"))) == ["(True,)"]
    assert list(map(repr, made.select("main", "same(x, y)"))) == ["(True, True)", "(1, 1.0)"]


@pytest.mark.parametrize(
    ("head", "row"),
    [("count(v)", 2), ("sum(v)", 0.30000000000000004 + 0.3), ("min(v)", 0.1), ("max(v)", 0.2), ("avg(v)", 0.15)],
)
def test_aggregates(head: str, row: float) -> None:
    """`sum` adds once a solution: 0.1 twice, for p1 and p2."""
    made = engine(f"a({head}) :- w(p, v)", 'w("p1", 0.1) w("p2", 0.1) w("p3", 0.2)')
    expected = {"sum(v)": 0.4, "avg(v)": 0.4 / 3}.get(head, row)
    assert made.select("main", "a(x)") == [(pytest.approx(expected),)]


@pytest.mark.parametrize(
    ("head", "values", "found"),
    [
        ("sum(v)", (1, 2), 3),
        ("sum(v)", (1, 0.5), 1.5),
        ("sum(v)", (2**63 - 1, 1), None),
        ("sum(v)", (1, "text", True, None), 1),
        ("sum(v)", ("text",), None),
        ("avg(v)", (1, 2), 1.5),
        ("avg(v)", (1, "text"), 1.0),
        ("avg(v)", ("text",), None),
        ("min(v)", (2, "text", None), None),
        ("max(v)", (2, "text", True), "text"),
        ("count(v)", (1, 1.0, True, "1", None), 5),
    ],
)
def test_aggregates_of_integers_and_of_what_is_no_number(head: str, values: tuple[object, ...], found: object) -> None:
    """A row that comes and goes leaves them as they were."""
    made = engine(f"a({head}) :- net:rules(p, v)")
    put(made, "rules", *((f"p{i}", value) for i, value in enumerate(values)))
    expected = [] if found is None and not head.startswith("min") else [(found,)]
    assert repr(made.select("main", "a(x)")) == repr(expected)
    for other in (7, 7.5, "x", None):
        before = held(made)
        put(made, "rules", ("other", other))
        made.facts([FactChange("net", "rules", drop=(("other", other),))])
        assert held(made) == before


def test_tables_that_no_longer_read_each_other_settle_as_others_do() -> None:
    """Losses that were kept apart from gains are counted when the last clause that made them recursive goes."""
    made = engine("p(x) :- e(x)", "q(x) :- p(x)", "p(x) :- q(x)", "e(1) e(2)", kind="recursive")
    gone = [Event("main", "p(x) :- q(x)", insert=False), Event("main", "e(1)", insert=False)]
    said = made.change(gone)
    assert said.vanished["main", "p"] == said.vanished["main", "q"] == [(1,)]
    assert made.rows("main", "p") == made.rows("main", "q") == [(2,)]
    made.change([Event("main", "p(3) p(x) :- q(x)")])
    made.change([Event("main", "p(3)", insert=False)])
    assert made.rows("main", "q") == [(2,)]


def test_groups_that_lose_their_last_row_vanish() -> None:
    made = engine("many(n, count(p)) :- net:ports(id=p, network=n)")
    put(made, "ports", ("p1", "n1", True))
    gone = made.facts([FactChange("net", "ports", whole=True)])
    assert gone.vanished[("main", "many")] == [("n1", 1)]
    assert made.select("main", "many(n, c)") == []


def test_rows_that_come_and_go_together_meet_each_other_once() -> None:
    made = engine("pair(x, y) :- net:rules(port=x, low=z), net:rules(port=y, low=z)")
    before = held(made)
    came = made.facts([FactChange("net", "rules", put=(("a", 1), ("b", 1)))])
    assert sorted(came.appeared["main", "pair"]) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert list(came.tables()) == [("main", "pair")], "sources' changes are known to who makes them"
    made.facts([FactChange("net", "rules", drop=(("a", 1),))])
    assert made.rows("main", "pair") == [("b", "b")]
    made.facts([FactChange("net", "rules", whole=True)])
    assert held(made) == before


def test_many_rows_at_once_are_told_but_a_source_s() -> None:
    made = engine(kind="recursive")
    assert not made.facts([FactChange("net", "rules", put=tuple((f"p{i}", i) for i in range(300)))])
    said = made.change([Event("main", "all(p) :- net:rules(port=p) r(p) :- all(p) r(p) :- r(p)")])
    assert len(said.appeared["main", "all"]) == len(said.appeared["main", "r"]) == 300
    said = made.facts([FactChange("net", "rules", drop=(("p7", 7),))])
    assert dict(said.vanished) == {("main", "all"): [("p7",)], ("main", "r"): [("p7",)]} and not said.appeared


def test_the_collector_goes_on_knowing_the_rows() -> None:
    """Those that it forgot would be looked through as new ones at each change."""
    made = engine("all(p) :- net:rules(p, low)")
    put(made, "rules", ("p1", "22"), ("p2", "22"))
    gc.collect()
    assert all(gc.is_tracked(relation.rows) for relation in made._evaluation.relations.values())
