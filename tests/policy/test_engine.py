"""What an engine promises beside what is derived: explanations, limits, what-ifs, and errors that say where."""

from __future__ import annotations

import itertools

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


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("p(x) :-\n  net:prots(x, y, z)", 2, 3, "is it ports?"),
        ("p(x) :- net:ports(idd=x)", 1, 9, "is it id?"),
        ("p(x) :- net:ports(x)", 1, 9, "has 3 columns, not 1"),
        ("p(x) :- net:ports(id=x), builtin:lenn(x, y)", 1, 26, "is it len?"),
        ("p(x) :- net:ports(id=x), builtin:len(5, y)", 1, 26, "len takes text there"),
        ("p(x) :- net:ports(id=x), not q(y)", 1, 30, "nothing gives y a value"),
        ("p(x) :- q(x)\np(x) :- q(x, y)", 2, 1, "has 1 columns elsewhere, line 1, not 2"),
        ("p(x) :- net:ports(id=x), builtin:now(x)", 1, 26, "a table of the source clock"),
        ("p(x) :- q(x, count(y))", 1, 9, "only in a head"),
    ],
)
def test_a_refusal_says_where_and_what_to_do(text: str, line: int, column: int, part: str) -> None:
    made = engine("z(1)")
    before = held(made)
    with pytest.raises(PolicyError) as refused:
        made.change([Event("main", "ok(1)"), Event("main", text)])
    assert (refused.value.line, refused.value.column) == (line, column)
    assert part in refused.value.message
    assert held(made) == before


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


def test_groups_that_lose_their_last_row_vanish() -> None:
    made = engine("many(n, count(p)) :- net:ports(id=p, network=n)")
    put(made, "ports", ("p1", "n1", True))
    gone = made.facts([FactChange("net", "ports", whole=True)])
    assert gone.vanished[("main", "many")] == [("n1", 1)]
    assert made.select("main", "many(n, c)") == []
