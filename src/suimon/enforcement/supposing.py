"""What each step of a sequence that is only supposed would make of an answer."""

from __future__ import annotations

from typing import Final

from suimon.enforcement.words import atom
from suimon.policy.changes import Row
from suimon.policy.engine import Engine
from suimon.policy.syntax import read

_MOST_STEPS: Final = 20
"""Each is done with all before it."""


def steps(engine: Engine, policy: str, query: str, sequence: str, actions: str) -> str:
    """A line for each of the first 20 steps, below it the rows that would appear (+) and vanish (-) with it. Raises
    PolicyError, TooMuch.
    """
    texts = [statement.text for statement in read(sequence)][:_MOST_STEPS]
    before = _rows(engine, policy, query, "", actions)
    lines = []
    for number, text in enumerate(texts, 1):
        after = _rows(engine, policy, query, "\n".join(texts[:number]), actions)
        lines.append(" ".join(text.split()))
        lines += [f"  + {row}" for row in after if row not in before]
        lines += [f"  - {row}" for row in before if row not in after]
        before = after
    return "\n".join(lines)


def _rows(engine: Engine, policy: str, query: str, sequence: str, actions: str) -> dict[str, Row]:
    found = engine.simulate(policy, query, sequence, actions)
    return {atom(("", str(row[0])), row[1:]): row for row in found}
