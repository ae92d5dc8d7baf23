"""Judges the engine by case files: `python -m tests.policy.run_cases [FILE…]`; exits with 1 unless all pass.

A case (one line of JSON) has `policies` (name → kind), `sources` (source → table → columns) and `steps`. A step with
`expect` must find exactly these rows, in any order; one with `refused` must be refused; all others must be accepted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suimon.policy.changes import Call, Difference, Event, FactChange
from suimon.policy.engine import Engine
from suimon.policy.errors import PolicyError

CASES = Path(__file__).parent / "cases"


def main(files: list[str]) -> int:
    failed = total = 0
    for case in cases(map(Path, files) if files else sorted(CASES.glob("*.jsonl"))):
        total += 1
        if fault := judge(case):
            failed += 1
            print(f"{case['id']}: {fault}")
    print(f"{total - failed} of {total} cases pass")
    return 0 if total and not failed else 1


def cases(files: Any) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in file.read_text().splitlines():
            if line.strip():
                yield json.loads(line)


def judge(case: dict[str, Any]) -> str:
    """What the engine did otherwise than the case says; "" for nothing."""
    world = World(case)
    for number, step in enumerate(case["steps"]):
        try:
            answer = world.take(step)
        except PolicyError as refusal:
            if "refused" not in step:
                return f"step {number} was refused: {refusal}"
            continue
        if "refused" in step:
            return f"step {number} was accepted"
        if "expect" in step and in_order(answer) != in_order(step["expect"]):
            return f"step {number}: {answer} instead of {step['expect']}"
    return ""


def in_order(rows: list[Any]) -> list[str]:
    """As text, so that 1, 1.0 and true are different."""
    return sorted(map(json.dumps, rows))


class World:
    """An engine, and the calls since they were last asked for."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._engine = Engine(
            {name: {t: tuple(c) for t, c in tables.items()} for name, tables in case["sources"].items()}
        )
        self._calls: list[Call] = []
        for name, kind in case["policies"].items():
            self._engine.create_policy(name, kind)

    def take(self, step: dict[str, Any]) -> list[Any]:
        match step["op"]:
            case "insert" | "delete":
                event = Event(step["policy"], step["text"], insert=step["op"] == "insert")
                return self._note(self._engine.change([event]))
            case "load":
                return self._facts(step, put=tuple(map(tuple, step["rows"])), whole=True)
            case "put":
                return self._facts(step, put=(tuple(step["row"]),))
            case "drop":
                return self._facts(step, drop=(tuple(step["row"]),))
            case "select":
                return [list(row) for row in self._engine.select(step["policy"], step["query"])]
            case "simulate":
                question = (step["policy"], step["query"], step["sequence"], step["actions"], step["delta"])
                return [list(row) for row in self._engine.simulate(*question)]
            case "calls":
                calls, self._calls = self._calls, []
                return [[call.service, call.action, list(call.arguments)] for call in calls]
        raise ValueError(step["op"])

    def _facts(self, step: dict[str, Any], **change: Any) -> list[Any]:
        return self._note(self._engine.facts([FactChange(step["source"], step["table"], **change)]))

    def _note(self, difference: Difference) -> list[Any]:
        self._calls += difference.calls
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
