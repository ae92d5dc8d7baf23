"""A small share of what `python -m tests.fuzz` does: enough to take the branches of each parser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.__main__ import LEAST_SHARE
from tests.fuzz.branches import Branches
from tests.fuzz.clauses import policy_parser
from tests.fuzz.flows import flow_parsers
from tests.fuzz.parsers import Parser, parsers
from tests.fuzz.run import run
from tests.fuzz.texts import text_parsers


@pytest.mark.parametrize(
    "parser", [*parsers(), *flow_parsers(), policy_parser(), *text_parsers()], ids=lambda parser: parser.name
)
def test_any_bytes_give_a_value_or_a_declared_error(parser: Parser) -> None:
    ran = run(parser, inputs=parser.in_suite, seed=7, watched=min(1500, parser.in_suite))
    assert ran.share >= LEAST_SHARE, ran.untaken
    assert ran.outcomes["value"], "the valid ones"


def test_a_branch_that_is_never_taken_is_told() -> None:
    def parity(number: int) -> str:
        return "odd" if number % 2 else "even"

    branches = Branches([parity])
    with branches.watched():
        parity(1)
    assert branches.share == 0.5 and len(branches.untaken()) == 1
    with branches.watched():
        parity(2)
    assert branches.share == 1 and not branches.untaken()


def test_a_loop_with_a_long_body_is_told_as_a_short_one() -> None:
    lines = "".join(f"\n        total += each * {number}" for number in range(100))
    made: dict[str, Callable[[list[int]], int]] = {}
    exec(f"def long(numbers):\n    total = 0\n    for each in numbers:{lines}\n    return total", made)
    branches = Branches([made["long"]])
    with branches.watched():
        made["long"]([1])
    assert branches.share == 1
