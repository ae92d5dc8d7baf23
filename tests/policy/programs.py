"""Random programs and changes, what clingo says of them, and what an engine holds, as text that can be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import clingo
from hypothesis import strategies as st

from suimon.policy.builtins import BUILTINS
from suimon.policy.changes import Event, FactChange
from suimon.policy.checks import Scope
from suimon.policy.engine import Engine
from suimon.policy.errors import PolicyError
from suimon.policy.program import evaluated
from suimon.policy.syntax import read
from suimon.policy.terms import Aggregate, Atom, Clause, Fact, Term, Test, Variable
from suimon.policy.values import FALSE, TRUE, Real, Stored, shown

SOURCES = {"net": {"e": ("a", "b"), "n": ("a",)}}
TABLES = {"net:e": 2, "net:n": 1, "p": 1, "q": 2, "r": 2, "s": 1, "t": 1}
OWN = [name for name in TABLES if ":" not in name]
VALUES = ["0", "1", "2", "-1", '"a"', '"1"', "1.0", "2.5", "true", "null"]
VARIABLES = ["x", "y", "z"]

POOL = (
    *("q(x, y) :- net:e(x, y)", "q(x, z) :- net:e(x, y), q(y, z)", "q(x, z) :- q(x, y), q(y, z)", "p(x) :- q(x, x)"),
    *(
        "r(x, y) :- net:e(x, y), not net:e(y, x)",
        "p(x) :- net:n(x), not s(x), not q(x, x)",
        "s(x) :- net:n(x), r(x, _)",
    ),
    *("t(x) :- net:n(x), not net:e(x, _)", "t(x) :- net:e(x, y), not net:n(x), not net:n(y)", "s(x) :- p(x), not t(x)"),
    *(
        "r(x, y) :- net:e(x, z), net:e(y, z), builtin:lt(x, y)",
        "p(y) :- net:n(x), builtin:max(x, 1, y)",
        "t(1) :- s(_)",
    ),
    *("p(x) :- net:e(x, y), net:e(y, z), net:e(z, x)", "s(x) :- net:e(x, 1)", "r(x, x) :- net:e(x, y), r(y, y)"),
    *("r(x, count(y)) :- net:e(x, y)", "t(count(x)) :- q(x, y)", "s(x) :- net:n(x), not builtin:equal(x, 1)"),
    *(
        "r(y, x) :- r(x, y)",
        "q(y, x) :- r(x, y), net:n(y)",
        "s(x) :- r(x, 2)",
        "p(x) :- s(x), net:n(x)",
        "t(x) :- p(x)",
    ),
)
MORE = (
    "r(x, sum(y)) :- net:e(x, y)",
    "t(min(x)) :- net:n(x)",
    "p(max(y)) :- net:e(x, y)",
    "r(x, avg(y)) :- net:e(x, y)",
)

values = st.sampled_from(VALUES)
plain_values = st.sampled_from([0, 1, 2, 3, "a", "1", 1.0, 2.5, True, None])
terms = st.one_of(st.sampled_from(VARIABLES), st.sampled_from(VARIABLES), values, st.just("_"))


@st.composite
def atoms(draw: Any, tables: Sequence[str] = tuple(TABLES)) -> str:
    name = draw(st.sampled_from(tables))
    return f"{name}({', '.join(draw(terms) for _ in range(TABLES[name]))})"


@st.composite
def clauses(draw: Any, functions: Sequence[str] = ("count", "sum", "min", "max", "avg")) -> str:
    """Many are refused; those that aren't have joins, negation, recursion, builtins and aggregates."""
    body = draw(st.lists(atoms(), min_size=1, max_size=3))
    for atom in draw(st.lists(atoms(), max_size=1)):
        body.append(f"not {atom}")
    if draw(st.integers(0, 3)) == 0:
        no = draw(st.sampled_from(["", "not "]))
        name = draw(st.sampled_from(["lt", "equal", "gteq"]))
        body.append(f"{no}builtin:{name}({draw(st.sampled_from(VARIABLES))}, {draw(terms)})")
    if draw(st.integers(0, 3)) == 0:
        body.append(f"builtin:max({draw(st.sampled_from(VARIABLES))}, 1, {draw(st.sampled_from(VARIABLES))})")
    head = draw(st.sampled_from(OWN))
    used = [v for v in VARIABLES if re.search(rf"\b{v}\b", " ".join(body))] or ["0"]
    arguments = [draw(st.sampled_from([*used, *used, "1"])) for _ in range(TABLES[head])]
    if used != ["0"] and draw(st.integers(0, 4)) == 0:
        of = draw(st.sampled_from(functions))
        arguments[-1] = f"{of}({draw(st.sampled_from(used))})"
    return f"{head}({', '.join(arguments)}) :- {', '.join(draw(st.permutations(body)))}"


@st.composite
def facts(draw: Any) -> str:
    name = draw(st.sampled_from(OWN))
    return f"{name}({', '.join(draw(values) for _ in range(TABLES[name]))})"


rows = {"e": st.tuples(plain_values, plain_values), "n": st.tuples(plain_values)}
fact_changes = st.sampled_from(sorted(rows)).flatmap(
    lambda table: st.builds(
        lambda put, drop, whole: FactChange("net", table, tuple(put), tuple(drop), whole),
        st.lists(rows[table], max_size=3),
        st.lists(rows[table], max_size=3),
        st.sampled_from([False] * 5 + [True]),
    )
)


def changes(functions: Sequence[str] = ("count", "sum", "min", "max", "avg")) -> st.SearchStrategy[list[Any]]:
    pool = st.sampled_from(POOL if functions == ("count",) else POOL + MORE)
    texts = st.one_of(pool, pool, pool, clauses(functions), facts())
    events = st.builds(lambda text, insert: Event("main", text, insert), texts, st.sampled_from([True, True, False]))
    return st.one_of(st.lists(events, min_size=1, max_size=2), st.lists(fact_changes, min_size=1, max_size=2))


def engine() -> Engine:
    made = Engine(SOURCES)
    made.limits(max_rows=20_000, max_s=60)
    made.create_policy("main", "recursive")
    return made


def apply(to: Engine, change: Sequence[Any]) -> bool:
    """False if it was refused."""
    try:
        to.change(change) if isinstance(change[0], Event) else to.facts(change)
    except PolicyError:
        return False
    return True


def held(by: Engine) -> str:
    """All that an engine holds, down to counts of derivations, in one order."""
    lines = [f"clauses {by.clauses('main')}"]
    for table, relation in sorted(by._evaluation.relations.items()):
        counts = sorted(f"{row!r}*{count}" for row, count in relation.rows.items())
        if counts or relation.asserted or relation.gains or relation.losses:
            lines.append(f"{table} {counts} asserted {sorted(map(repr, relation.asserted))}")
            assert not relation.gains and not relation.losses and not relation.queued
        for columns, (index, key_of) in relation.indexes.items():
            assert sorted(map(repr, (row for found in index.values() for row in found))) == sorted(
                map(repr, relation.rows)
            )
            assert all(key_of(row) == key for key, found in index.items() for row in found), columns
    for clause, aggregator in sorted(by._evaluation.wiring.aggregators.items(), key=repr):
        found: dict[Any, int] = {}
        aggregator.whole(found, 1)
        lines.append(f"{clause.text} {sorted(map(repr, found))}")
    return "\n".join(lines)


def shown_rows(of: Engine) -> dict[str, list[Any]]:
    return {name: of.rows("main", name) for name in OWN}


def by_clingo(of: Engine) -> dict[str, list[Any]]:
    """What the clauses of the engine's policy and the rows of its sources say, by clingo."""
    statements = [Scope("main", "recursive", SOURCES).resolved(s) for text in of.clauses("main") for s in read(text)]
    program = [_rule(clause) for clause in evaluated(s for s in statements if isinstance(s, Clause))]
    program += [f"{_name(fact.table)}({_arguments(fact.row)})." for fact in statements if isinstance(fact, Fact)]
    for table in SOURCES["net"]:
        for relation in [of._evaluation.relations.get(("net", table))]:
            program += [f"{_name(('net', table))}({_arguments(row)})." for row in (relation.rows if relation else ())]
    control = clingo.Control(["-Wnone"])
    control.add("base", [], "\n".join(program))
    control.ground([("base", [])], context=_Builtins())
    models = []
    with control.solve(yield_=True) as solving:
        models = [model.symbols(atoms=True) for model in solving]
    assert len(models) == 1, "stratified programs have one model"
    found: dict[str, list[Any]] = {name: [] for name in OWN}
    for symbol in models[0]:
        if symbol.name.startswith("t_main_"):
            name = symbol.name.removeprefix("t_main_")
            found[name].append(tuple(shown(_value(argument)) for argument in symbol.arguments))
    return found


def _rule(clause: Clause) -> str:
    body = ", ".join(_part(part) for part in clause.body)
    if not any(isinstance(term, Aggregate) for term in clause.head.arguments):
        return f"{_name(clause.head.table)}({_arguments(clause.head.arguments)}) :- {body}."
    return _counted(clause)


def _counted(clause: Clause) -> str:
    """`count(x)` in clingo's words; what else it has are sums of integers, and another order of values."""
    solution = clause.atoms[0]
    group = {t for t in clause.head.arguments if isinstance(t, Variable)}
    outer = ", ".join(_term(v) if v in group else "_" for v in solution.arguments)
    inner = ", ".join(_term(v) if v in group else f"I{i}" for i, v in enumerate(solution.arguments))
    head, counts = [], []
    for number, term in enumerate(clause.head.arguments):
        if isinstance(term, Aggregate):
            assert term.function == "count"
            value = _term(term.variable) if term.variable in group else f"I{solution.arguments.index(term.variable)}"
            counts.append(f"R{number} = #count{{ {value} : {_name(solution.table)}({inner}) }}")
        head.append(f"R{number}" if isinstance(term, Aggregate) else _term(term))
    body = ", ".join([f"{_name(solution.table)}({outer})", *counts])
    return f"{_name(clause.head.table)}({', '.join(head)}) :- {body}."


def _part(part: Atom | Test) -> str:
    if isinstance(part, Atom):
        return ("not " if part.negated else "") + f"{_name(part.table)}({_arguments(part.arguments)})"
    outputs = "".join(f"{_term(term)}," for term in part.outputs)
    if part.negated:
        return f"({outputs}) != @{part.builtin}({_arguments(part.inputs)})"
    return f"({outputs}) = @{part.builtin}({_arguments(part.inputs)})"


def _name(table: tuple[str, str]) -> str:
    return re.sub(r"\W", lambda found: f"_{ord(found.group())}_", f"t_{table[0]}_{table[1]}")


def _arguments(of: Sequence[Term]) -> str:
    return ", ".join(map(_term, of))


def _term(term: Term) -> str:
    if isinstance(term, Variable):
        return "_" if term.anonymous else f"V{term.name}"
    return str(_symbol(term))


def _symbol(value: Stored) -> clingo.Symbol:
    if type(value) is int:
        return clingo.Number(value)
    if isinstance(value, str):
        return clingo.String(value)
    return clingo.Function("other", [clingo.String(repr(value))])


_OTHERS: dict[str, Stored] = {"true": TRUE, "false": FALSE, "None": None}


def _value(symbol: clingo.Symbol) -> Stored:
    if symbol.type == clingo.SymbolType.Number:
        return symbol.number
    if symbol.type == clingo.SymbolType.String:
        return symbol.string
    written = symbol.arguments[0].string
    return _OTHERS[written] if written in _OTHERS else Real(written)


class _Builtins:
    """What clingo calls for `@name(…)`: a tuple of outputs, or one that equals none."""

    def __getattr__(self, name: str) -> Callable[..., clingo.Symbol]:
        if name not in BUILTINS:
            raise AttributeError(name)

        def ask(*inputs: clingo.Symbol) -> clingo.Symbol:
            answer = BUILTINS[name].answer(*map(_value, inputs))
            return (
                clingo.Function("none", []) if answer is None else clingo.Tuple_([_symbol(value) for value in answer])
            )

        return ask
