"""Every refusal: what it names, where, and that nothing of what was asked stays."""

from __future__ import annotations

import pytest

from suimon.policy.changes import Event, FactChange
from suimon.policy.engine import Engine
from suimon.policy.errors import PolicyError
from tests.policy.programs import held

SOURCES = {"net": {"ports": ("id", "network", "up"), "rules": ("port", "low")}}
SEVENTEEN = ", ".join(["q(x)"] * 17)


def engine(kind: str = "nonrecursive") -> Engine:
    made = Engine(SOURCES)
    made.create_policy("main", kind)
    made.create_policy("act", "action")
    made.create_policy("two")
    made.change([Event("main", "z(1) d(x) :- z(x)"), Event("act", 'action("set") kv+(k, v) :- set(k, v)')])
    made.change([Event("two", "b(x) :- main:a(x)")])
    return made


TEXTS = [
    ("p(x) :- q(x),", 1, 14, "a table's name expected, found the end"),
    (":- q(x)", 1, 1, "a table's name expected, found :-"),
    ("p(x) :-\n q(x), x = 1", 2, 10, "builtin:equal"),
    ("p(x) :- q(x), x < 1", 1, 17, "builtin:lt"),
    ("p(x) :- q(x", 1, 12, "')' is missing"),
    ("p(x :- q(x)", 1, 5, "')' is missing"),
    ("p(1,)", 1, 5, "a term expected, found )"),
    ("p(1,) 2)", 1, 5, "a term expected, found )"),
    ("p(-)", 1, 4, "a term expected"),
    ("p(a:b)", 1, 3, "a:b is no variable"),
    ("p(12abc)", 1, 3, "a name begins with a letter"),
    ("p(9223372036854775808)", 1, 3, "integer too large"),
    ("p(1e999)", 1, 3, "not a number"),
    ("z(2)\n  p('a", 2, 5, "close it with '"),
    ("p(1) /* x", 1, 6, "close it with */"),
    ("execute[p(1)", 1, 13, "']' expected"),
    ("p(1), q(1)", 1, 11, "side by side"),
    (f"p({', '.join('1' * 101)})", 1, 304, "more than 100 arguments"),
    (", ".join(["p :- q"] + ["r"] * 100), 1, 307, "more than 100 literals"),
    ("p(x) :- net:ports(up=x, 1)", 1, 25, "positions come first"),
    ("p(count(1)) :- q(1)", 1, 3, "such as count(x)"),
    # Heads.
    ("p(x), q(x) :- r(x)", 1, 7, "one clause for each"),
    ("not p(x) :- q(x)", 1, 5, "a head is not negated"),
    ("two:p(x) :- q(x)", 1, 1, "two:p is not this policy's"),
    ("two:p(1)", 1, 1, "a head names no policy"),
    ("insert[p(x)] :- q(x)", 1, 8, "only execute[service:action(…)]"),
    ("delete[p(x)] :- q(x)", 1, 8, "delete[…] can't be concluded"),
    ("lt(1, 2)", 1, 1, "lt is a builtin"),
    ("builtin:p(1)", 1, 1, "is a builtin"),
    ("p+(x) :- q(x)", 1, 1, "kind action"),
    ("true(1)", 1, 1, "true is not a table"),
    ("p(a=1)", 1, 1, "by position"),
    ("execute[vm:stop(server=x)] :- q(x)", 1, 9, "by position"),
    ('execute[vm:stop("s")]', 1, 9, "an action is called for by a clause"),
    ("p(x)", 1, 1, "text stands in quotes"),
    ("p(True)", 1, 1, "write true"),
    ("p(x) :- q(x) and q(x)", 1, 18, "between commas"),
    # Safety.
    ("p(x) :- true", 1, 1, "x is in the head, and nowhere in the body"),
    ("p(x, y) :- q(x)", 1, 1, "y is in the head"),
    ("p(_) :- q(_)", 1, 1, "_ is in the head"),
    ("p(x) :- q(x), not r(y)", 1, 19, "nothing gives y a value"),
    ("p(x) :- not q(x)", 1, 13, "some table in the body must"),
    ("p(x) :- q(x), builtin:plus(x, y, w)", 1, 15, "nothing gives y a value"),
    ("p(x) :- q(x), not builtin:plus(x, 1, w)", 1, 19, "nothing gives w a value"),
    # What stands in a body.
    ("p(x) :- execute[q(x)]", 1, 17, "only in a head"),
    ("p(x) :- q(x, count(y))", 1, 9, "count(…) stands only in a head"),
    ("p(x) :- q(x), p+(x)", 1, 15, "outside a policy of kind action"),
    ("p(1) :- not true", 1, 13, "true is not a table"),
    (f"p(x) :- {SEVENTEEN}", 1, 1, "more than 16 tables"),
    # Builtins.
    ("p(x) :- q(x), builtin:lenn(x, y)", 1, 15, "is it len?"),
    ("p(x) :- q(x), builtin:len(x)", 1, 15, "1 in, 1 out"),
    ("p(x) :- q(x), len(a=x)", 1, 15, "no names"),
    ("p(y) :- q(x), builtin:len(5, y)", 1, 15, "len takes text there"),
    ("p(y) :- q(x), builtin:plus(x, 'a', y)", 1, 15, "plus takes a number there"),
    ("p(x) :- q(x), lt(x, null)", 1, 15, "lt takes text or a number there"),
    ("p(x) :- q(x), now(x)", 1, 15, "a table of the source clock"),
    # Tables and columns.
    ("p(x) :-\n  net:prots(x, y, w)", 2, 3, "is it ports?"),
    ("p(x) :- net:ports(x, y, w, v)", 1, 9, "its columns are id, network, up"),
    ("p(x) :- net:ports(x, y, w, v, id=1)", 1, 9, "has 3 columns, not 4"),
    ("p(x) :- net:ports(idd=x)", 1, 9, "is it id?"),
    ("p(x) :- net:ports(color=x)", 1, 9, "its columns are id, network, up"),
    ("p(x) :- net:ports(3=x)", 1, 9, "no column 3"),
    ("p(x) :- net:ports(9999999=x)", 1, 9, "no column 9999999"),
    ("p(x) :- net:ports(id=x, id=x)", 1, 9, "the column id of net:ports is given twice"),
    ("p(x) :- net:ports(x, id=x)", 1, 9, "given twice"),
    ("p(x) :- q(a=x)", 1, 9, "by position"),
    ("p(x) :- q(x)\np(x) :- q(x, y)", 2, 1, "main:q has 1 columns elsewhere, line 1, not 2"),
    ("p(1)\np(1, 2)", 2, 1, "main:p has 1 columns elsewhere, line 1, not 2"),
    ("z(1, 2)", 1, 1, "main:z has 1 columns elsewhere, not 2"),
    ("p(x) :- z(x, y)", 1, 1, "main:z has 1 columns elsewhere, not 2"),
    # Recursion.
    ("p(x) :- p(x)", 1, 1, "main:p: the table depends on itself (recursion needs policies of kind recursive)"),
    ("z(1)\np(x) :- q(x)\nq(x) :- p(x)", 2, 1, "main:p → main:q"),
    ("a(x) :- two:b(x)", 1, 1, "main:a → two:b"),
    ("p(x) :- z(x), not p(x)", 1, 1, "their own absence (in p(x) :- z(x), not p(x))"),
]


@pytest.mark.parametrize(("text", "line", "column", "part"), TEXTS, ids=[text[0][:40] for text in TEXTS])
def test_a_clause_is_refused(text: str, line: int, column: int, part: str) -> None:
    made = engine()
    before = held(made)
    with pytest.raises(PolicyError) as refused:
        made.change([Event("main", "ok(1)"), Event("main", text)])
    assert (refused.value.line, refused.value.column, part in refused.value.message) == (line, column, True), refused
    assert held(made) == before


@pytest.mark.parametrize(
    ("query", "column", "part"),
    [
        ("p(x) q(x)", 1, "a question is one atom"),
        ("not p(x)", 5, "a question is one atom"),
        ("", 1, "such as error(x)"),
        ("p(", 3, "a term expected"),
        ("insert[p(x)]", 8, "insert[…] is no table"),
        ("builtin:plus(x, 2, 3)", 1, "plus needs values for what goes in"),
        ("net:nosuch(x)", 1, "net has no table nosuch"),
        ("p(count(x))", 1, "only in a head"),
    ],
)
def test_a_question_is_refused(query: str, column: int, part: str) -> None:
    with pytest.raises(PolicyError) as refused:
        engine().select("main", query)
    assert (refused.value.line, refused.value.column, part in refused.value.message) == (1, column, True), refused


@pytest.mark.parametrize(
    ("sequence", "column", "part"),
    [
        ("nothing(1)", 1, 'actions are declared by action("nothing")'),
        ("set(1)", 1, "set has 2 columns elsewhere, not 1"),
        ("set(1, 2", 9, "')' is missing"),
        ("set(1, x)", 1, "a fact has no variables: x"),
        ("not set(1, 2)", 5, "can't be done in a sequence"),
        ("execute[set(1, 2)]", 9, "can't be done in a sequence"),
        ("kv+(x, 1)", 1, "a fact has no variables: x"),
        ('z+(1) net:rules+("p", 1, 2)', 7, "net:rules has 2 columns, not 3"),
        ('net:rules+("p")', 1, "its rows have no variables"),
        ('net:rules+(port="p")', 1, "its rows have no variables"),
        ('net:rule+("p", 1)', 1, "is it rules?"),
        ("z+(1, 1)", 1, "main:z has 1 columns elsewhere, not 2"),
        ("z+(x) :- d(x)", 1, "main:d → main:z: the table depends on itself"),
        (" ".join(["z+(1)"] * 1001), 0, "more than 1000 steps"),
    ],
)
def test_a_what_if_is_refused(sequence: str, column: int, part: str) -> None:
    made = engine()
    before = held(made)
    with pytest.raises(PolicyError) as refused:
        made.simulate("main", "z(x)", sequence, "act")
    assert (refused.value.column, part in refused.value.message) == (column, True), refused
    assert held(made) == before


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (FactChange("net", "no", put=((1,),)), "there is no table no of a source net"),
        (FactChange("no", "rules", put=((1, 2),)), "there is no table rules of a source no"),
        (FactChange("net", "rules", put=((1, 2), (1,))), "net:rules has 2 columns, not 1"),
        (FactChange("net", "rules", drop=((1, 2, 3),)), "net:rules has 2 columns, not 3"),
        (FactChange("net", "rules", put=((1, []),)), "holds text, numbers, booleans and null, not list"),  # type: ignore[arg-type]
        (FactChange("net", "rules", put=((1, float("nan")),)), "a row of net:rules: not a number"),
        (FactChange("net", "rules", put=((1, 2**63),)), "integer too large"),
        (FactChange("net", "rules", put=((1, "x" * 65_537),)), "text too long"),
    ],
)
def test_a_row_is_refused(change: FactChange, part: str) -> None:
    made = engine()
    before = held(made)
    with pytest.raises(PolicyError) as refused:
        made.facts([FactChange("net", "rules", put=(("p", 1),)), change])
    assert part in refused.value.message
    assert held(made) == before


def test_names_are_refused() -> None:
    made = engine()
    for name, kind, part in (
        ("main", "action", "already something called main"),
        ("net", "action", "already something called net"),
        ("builtin", "action", "already something called builtin"),
        ("a b", "action", "letters, digits and _"),
        ("é", "action", "letters, digits and _"),
        ("new", "odd", "there is no kind 'odd' of policy"),
    ):
        with pytest.raises(PolicyError, match=part):
            made.create_policy(name, kind)
    for ask in (made.clauses, made.tables, made.drop_policy, lambda name: made.select(name, "p(x)")):
        with pytest.raises(PolicyError, match="there is no policy new"):
            ask("new")
    with pytest.raises(PolicyError, match="already something called main"):
        made.create_source("main", {"t": ("a",)})


def test_a_policy_of_facts_holds_no_clauses_and_only_recursive_ones_recurse() -> None:
    with pytest.raises(PolicyError, match="line 1, column 6: a policy of kind database holds facts only"):
        engine("database")
    for kind in ("recursive", "materialized", "z3"):
        made = engine(kind)
        made.change([Event("main", "r(x) :- z(x) r(x) :- r(x)")])
        for text in ("r(x) :- z(x), not r(x)", "r(count(x)) :- r(x)"):
            with pytest.raises(PolicyError, match="line 1, column 1: main:r: rows would depend on their own absence"):
                made.change([Event("main", text)])
