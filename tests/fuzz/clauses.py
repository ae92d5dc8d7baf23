"""Policies' texts: those of the cases and those that are refused, and what mutation makes of them."""

from __future__ import annotations

from suimon.policy import checks, syntax
from suimon.policy.engine import Engine, Event, PolicyError, TooMuch
from tests.fuzz.parsers import Parser
from tests.policy.run_cases import CASES, cases
from tests.policy.test_refusals import TEXTS

SOURCES = {"vm": {"servers": ("id", "name", "tenant", "status"), "tags": ("server", "tag")}}
STRANGE = (
    "/* all */ p(x) :- vm:tags(x, 0x1F), !q(x, -1.5e3); # and",
    "q('a', .5, null, true). p(x) :- vm:tags(server=x, 1='b'), not vm:servers(x, _, _, _)",
    "n(s, count(t)) :- vm:tags(s, t) execute[vm:stop(s)] :- n(s, 2)",
    *("p(1), q(2)", "p(", "p(x=1, 2)", "p(:)", "p(-)", "p(a:b)", "p(count(1))", "p(1e999)", "p(123456789012345678901)"),
    *("p(12abc)", "p('a", "/* x", "x < 1", "execute[p(1)", "p(0x" + "f" * 80 + ")", f"p({', '.join('1' * 120)})"),
    *(
        "p(x), q(x) :- r(x)",
        "not p(1)",
        "lt(1, 2)",
        "p+(1)",
        "a:p(1)",
        "true",
        "insert[p(1)]",
        "p(a=1)",
        "p(x) :- true",
    ),
    *(
        "p(x)",
        "p(x) :- execute[q(x)]",
        "p(x) :- q(count(x))",
        "p(x) :- q+(x)",
        "p(x) :- vm:none(x)",
        "p(x) :- vm:tags(x)",
    ),
    *("p(x) :- vm:tags(1, 2, x, server=1)", "p(x) :- q(y)", "p(x) :- q(x), not r(y)", "p(x) :- q(x), lt(x)"),
    *("p(x) :- q(x), now(x)", "p(x) :- q(x), len(x=1)", "p(x) :- q(x), len(5, x)", "p(x) :- q(a=x)", "p() q p(1,)"),
    *(
        "p(x) :- q(x), not len(x, 3)",
        "p(x) :- len(x, 3)",
        ", ".join(["p :- q"] + ["r"] * 120),
        "p(x) :- q(x), r",
        "p(_) :- q(_)",
    ),
    *("p(x) :- vm:tags(9999999=x)", ", ".join(["p(x) :- q(x)"] + ["q(x)"] * 20), "p(1) :- true, q(1)"),
    "p(x) :- builtin:plus(1, 2, x), NOT builtin:lt(x, 5)",
    "p(x) :- vm:tags(server=x, server=y)",
    "p(x) :- vm:servers(9=x), builtin:nothing(x)",
)


def policy_parser() -> Parser:
    texts = {step["text"] for case in cases(sorted(CASES.glob("*.jsonl"))) for step in case["steps"] if "text" in step}
    functions = [
        member
        for owner in (syntax._Reader, checks.Scope)
        for name, member in vars(owner).items()
        if callable(member) and name != "query"
    ]
    functions += [checks._test, checks._builtin_name, checks._needs]
    valid = [text.encode() for text in (*STRANGE, *(refused[0] for refused in TEXTS), *sorted(texts))]
    return Parser("policy", valid, _take, (PolicyError, TooMuch), tuple(functions), most_bytes=100_000)


def _take(raw: bytes) -> object:
    """All that becomes of a text: read, checked, compiled, evaluated."""
    engine = Engine(SOURCES)
    engine.limits(max_rows=1000, max_s=60)
    engine.create_policy("main")
    engine.change([Event("main", raw.decode(errors="replace"))])
    return b"taken"
