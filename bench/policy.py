"""The policy engine beside clingo and DuckDB: twenty clauses over 50,000 ports and 100,000 rules.

`make bench-policy`; `ARGS="--scale 0.1 --changes 2000 --only suimon"`. Each engine says which rows violate what, first
of the whole cloud, then after each change of one row. Suimon is told the change and says what it made of the
violations; the others are asked for all of them again, as they know no other way. All must agree, before and after.
At the end, what policies that forbid add to a call (bench/policy_check.py).
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Protocol

from bench import policy_check
from bench.policy_world import COLUMNS, DERIVED, NAMES, SOURCE, VIOLATIONS, Row, World
from suimon.policy.engine import Engine, Event, FactChange

GOALS_MS = {"median": 0.03, "p99": 0.2, "max": 5.0}
GOAL_FULL_S = 0.7
LEAST_ALTERING = 0.3

Answer = dict[str, int]
"""How many rows each table of violations has."""


class Peer(Protocol):
    def load(self, rows: dict[str, list[Row]]) -> None: ...

    def change(self, table: str, row: Row, comes: bool) -> None: ...

    def violations(self) -> Answer: ...


def main() -> int:
    asking = argparse.ArgumentParser(prog="bench/policy.py", description=(__doc__ or "").splitlines()[0])
    asking.add_argument("--scale", type=float, default=1.0, metavar="X", help="of the cloud (1)")
    asking.add_argument("--changes", type=int, default=5000, metavar="N", help="of one row each (5,000)")
    asking.add_argument("--peer-seconds", type=float, default=15, metavar="S", help="of changes for each peer (15)")
    asking.add_argument("--only", choices=["suimon"], help="no peers")
    options = asking.parse_args()
    print(
        f"{'':10} {'load s':>7} {'all s':>7} {'median ms':>10} {'p99 ms':>9} {'max ms':>9} {'changes':>8}  violations"
    )
    missed, answers = of_suimon(options.scale, options.changes)
    if not options.only:
        from bench import policy_peers  # After Suimon's turn, so that their libraries don't count as its memory.

        for name, peer in policy_peers.PEERS.items():
            missed += of_peer(name, peer(), options, answers)
    missed += policy_check.measured(round(10_000 * options.scale))
    print("all goals are met" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0


def of_suimon(scale: float, count: int) -> tuple[list[str], list[Answer]]:
    world = World(scale)
    rows = {table: tuple(found) for table, found in world.rows.items()}
    engine = Engine({SOURCE: COLUMNS}, time.monotonic)
    engine.create_policy("main")
    gc.collect()
    gc.disable()
    load_s = timed(lambda: engine.facts([FactChange(SOURCE, table, put=found) for table, found in rows.items()]))
    full_s = timed(lambda: engine.change([Event("main", DERIVED + VIOLATIONS)]))
    first = {name: len(engine.rows("main", name)) for name in NAMES}
    changes = world.changes(count)
    # What is there for long needs no looking at by the collector, which would stop everything for a while now and
    # then: who holds an engine fills it without, and freezes it, in the same way.
    gc.collect()
    gc.freeze()
    gc.enable()
    altering, times = 0, []
    for table, row, comes in changes:
        change = [FactChange(SOURCE, table, put=(row,)) if comes else FactChange(SOURCE, table, drop=(row,))]
        began = time.perf_counter()
        difference = engine.facts(change)
        times.append(time.perf_counter() - began)
        altering += any(name in NAMES for _, name in difference.tables())
    last = {name: len(engine.rows("main", name)) for name in NAMES}
    told = report("suimon", (load_s, full_s), times, first)
    print(f"{'':10} {altering / len(times):.0%} of the changes altered a violation; {peak_mib()} MiB at most")
    missed = [f"{name} of a change" for name, goal in GOALS_MS.items() if told[name] > goal]
    missed += ["full evaluation"] if full_s > GOAL_FULL_S else []
    missed += ["share of changes that alter a violation"] if altering < LEAST_ALTERING * len(times) else []
    missed += ["incremental is not from scratch"] if last != from_scratch(world) else []
    return missed, [first, last]


def from_scratch(world: World) -> Answer:
    engine = Engine({SOURCE: COLUMNS})
    engine.create_policy("main")
    engine.facts([FactChange(SOURCE, table, put=tuple(found)) for table, found in world.rows.items()])
    engine.change([Event("main", DERIVED + VIOLATIONS)])
    return {name: len(engine.rows("main", name)) for name in NAMES}


def of_peer(name: str, peer: Peer, options: argparse.Namespace, answers: list[Answer]) -> list[str]:
    world = World(options.scale)
    load_s = timed(lambda: peer.load(world.rows))
    first: Answer = {}
    full_s = timed(lambda: first.update(peer.violations()))
    times: list[float] = []
    changes = world.changes(options.changes)
    began = time.monotonic()
    for change in changes:
        started = time.perf_counter()
        peer.change(*change)
        if len(times) < 3 or time.monotonic() - began < options.peer_seconds:
            peer.violations()
            times.append(time.perf_counter() - started)
    report(name, (load_s, full_s), times, first)
    return [] if [first, peer.violations()] == answers else [f"{name} says otherwise"]


def report(name: str, whole: tuple[float, float], times: list[float], found: Answer) -> dict[str, float]:
    ordered = sorted(times)
    told = {"median": statistics.median(ordered), "p99": ordered[int(0.99 * (len(ordered) - 1))], "max": ordered[-1]}
    told = {key: value * 1000 for key, value in told.items()}
    figures = f"{told['median']:10.4f} {told['p99']:9.4f} {told['max']:9.3f} {len(times):8}"
    print(f"{name:10} {whole[0]:7.2f} {whole[1]:7.2f} {figures}  {sum(found.values())}")
    return told


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())
