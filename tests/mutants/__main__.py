"""The command: choose the mutants, try two at a time, print what became of each."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.kinds import EQUIVALENT, KINDS, Mutant
from tests.mutants.trial import ROOT, Copy, Outcome

SAMPLE_LIMIT_S = 60


def main() -> int:
    options = _options()
    found = {name: list(kind.find(ROOT / "src")) for name, kind in KINDS.items()}
    if empty := [name for name, mutants in found.items() if not mutants]:
        print(f"no mutants of kind {', '.join(empty)}: tests/mutants/kinds.py no longer finds its place in src/")
        return 1
    sample = [_spread(mutants, name) for name, mutants in found.items()]
    # Of each kind in turn: the time may be over before the sample is.
    chosen = [m for turn in zip_longest(*(sample if options.sample else found.values())) for m in turn if m]
    if options.only:
        chosen = [m for mutants in found.values() for m in mutants if fnmatch(m.name, options.only)]
    if options.list:
        print(*(f"{m.name:60} {m.path}" for m in chosen), sep="\n")
        return 0
    if not chosen:
        print(f"there is no mutant {options.only}; --list names them")
        return 1
    return _report(list(_outcomes(chosen, SAMPLE_LIMIT_S if options.sample else None)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Does any test notice?")
    parser.add_argument("--sample", action="store_true", help=f"a few of each kind, for at most {SAMPLE_LIMIT_S} s")
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    parser.add_argument("--only", metavar="PATTERN", help="try this one, or all that match: gate:*")
    return parser.parse_args()


def _spread(mutants: list[Mutant], kind: str) -> list[Mutant]:
    """Every k-th, so that each run of a sample takes the same ones."""
    step = max(1, len(mutants) // KINDS[kind].sample)
    return mutants[::step][: KINDS[kind].sample]


def _outcomes(chosen: list[Mutant], limit_s: int | None) -> Iterator[Outcome]:
    workers = min(2, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="suimon-mutants-") as folder:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(workers):
            copies.put(Copy(Path(folder) / str(number)))
        deadline = time.monotonic() + limit_s if limit_s else float("inf")

        def judge(mutant: Mutant) -> Outcome:
            if mutant.name in EQUIVALENT:
                return Outcome(mutant, "equivalent", EQUIVALENT[mutant.name])
            if time.monotonic() > deadline:
                return Outcome(mutant, "not run", f"the sample's {limit_s} s were over")
            copy = copies.get()
            try:
                return copy.judge(mutant)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(workers) as pool:
            for outcome in pool.map(judge, chosen):
                print(f"{outcome.verdict:10} {outcome.mutant.name:60} {outcome.by}", flush=True)
                yield outcome


def _report(outcomes: list[Outcome]) -> int:
    for kind in dict.fromkeys(outcome.mutant.kind for outcome in outcomes):
        verdicts = Counter(outcome.verdict for outcome in outcomes if outcome.mutant.kind == kind)
        print(f"{kind:10} {', '.join(f'{count} {verdict}' for verdict, count in sorted(verdicts.items()))}")
    judged = {outcome.verdict for outcome in outcomes}
    if "survived" in judged:
        print("a mutant survived: write the test that notices, or say in EQUIVALENT why none can")
    return 1 if judged & {"survived", "undecided"} or "killed" not in judged else 0


sys.exit(main())
