"""`python -m tests.chaos --seconds 600`: exit status 1 when a promise was broken, 2 when the run says nothing."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path

from suimon.cli.database import FILE_NAME
from suimon.lab.lab import Lab
from tests.chaos import summary, verdict
from tests.chaos.churn import Churn
from tests.chaos.faults import (
    GATEWAY_BACK,
    GATEWAY_LOST,
    GATEWAY_RETURNS_S,
    KINDS,
    STORE_KILLED,
    VSWITCHD_KILLED,
    Faults,
)
from tests.chaos.scene import all_ways, build
from tests.chaos.several import SeveralControllers
from tests.chaos.stores import File, Server
from tests.chaos.streams import Outcome, Streams
from tests.chaos.turns import Turns
from tests.postgresql import PrivateCluster
from tests.system.clouds import two_hypervisors

_CONTROL_S = 3.0
_WORDS = ("every promise kept", "not every promise was kept", "inconclusive")


def main() -> int:
    options = _options()
    logging.getLogger("keystoneauth").setLevel(logging.CRITICAL)  # It tells of every controller that was killed.
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        files = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.store == "postgresql":
            # What a process has written stays when it is killed: to wait for a disk is against a machine that fails.
            server = Server(stack.enter_context(PrivateCluster()))
            make = partial(SeveralControllers, database=server.url, count=options.controllers)
            lab = stack.enter_context(two_hypervisors("chaos", hosts=options.hosts, make=make))
            return _run(lab, server, options, chance, files)
        lab = stack.enter_context(two_hypervisors("chaos", hosts=options.hosts))
        return _run(lab, File(lab.layout.controller_state / FILE_NAME), options, chance, files)


def _run(lab: Lab, store: File | Server, options: argparse.Namespace, chance: random.Random, directory: Path) -> int:
    cloud = build(lab)
    faults = Faults(lab, store, chance, cloud.gateways[0], options.only)
    ways = all_ways(cloud, options.pps)
    print(f"seed {options.seed}; {len(ways)} ways; {_CONTROL_S:g} s of control without faults")
    control, turns = Streams(lab, ways, directory), Turns(lab)
    with turns.running(), control.running():
        time.sleep(_CONTROL_S)
    if broken := list(verdict.lost(control.outcomes(), faults, turns.samples)):
        print("inconclusive: without any fault,", *broken, sep="\n  ")
        return 2

    streams, turns = Streams(lab, ways, directory), Turns(lab)
    churn = Churn(lab, cloud.network_id, cloud.outside_id, chance)
    before = verdict.flows(lab, cloud.outside_id)
    ends = time.monotonic() + options.seconds
    with turns.running(), streams.running(), churn.running():
        while (begun := time.monotonic()) < ends or faults.lacking:
            what = faults.one(ends - begun)
            print(f"  {begun:.3f} for {time.monotonic() - begun:.3f} s: {what}", flush=True)
            time.sleep(chance.uniform(0.2, options.pause))
    lab.cloud.await_hosts(timeout_s=60)
    outcomes = streams.outcomes()
    faults.note_returns()
    bounds_ms = {
        VSWITCHD_KILLED: options.longest_gap_ms,
        GATEWAY_LOST: options.longest_takeover_ms,
        GATEWAY_BACK: options.longest_return_ms,
    }
    kept = [guest.port_id for guest in cloud.guests.values()]
    unexplained = _touched(lab, lambda: verdict.touched(before, verdict.flows(lab, cloud.outside_id), kept, faults))
    promises = {
        "lost outside of every gap": verdict.lost(outcomes, faults, turns.samples),
        "gaps that were too long": verdict.too_long(outcomes, faults, bounds_ms),
        "wrong verdicts": verdict.mistaken(lab, outcomes),
        "unexplained changes": chain(unexplained, verdict.drifted(lab)),
        "orphans": verdict.orphaned(lab),
        "acknowledged writes lost": churn.ledger.lost,
    }
    broken_promises = {name: list(sentences) for name, sentences in promises.items()}
    if options.losses:
        options.losses.write_text("\n".join(summary.losses(outcomes, faults)) + "\n")
    status = _told(options, outcomes, faults, churn, broken_promises)
    if status == 0 and (unserved := list(verdict.unserved(outcomes, faults, turns.samples))):
        print("inconclusive:", *unserved, sep="\n  ")
        return 2
    print(_WORDS[status])
    return status


def _touched(lab: Lab, touched: Callable[[], Iterable[str]]) -> list[str]:
    """A gateway host that a gap was too long for serves again a minute later: until then, flows differ for that."""
    ends = time.monotonic() + GATEWAY_RETURNS_S
    while (found := list(touched())) and time.monotonic() < ends and lab.cloud.is_a_gateway_away():
        time.sleep(1)
    return found


def _told(
    options: argparse.Namespace, outcomes: list[Outcome], faults: Faults, churn: Churn, broken: dict[str, list[str]]
) -> int:
    """Print all of it; the exit status."""
    packets = sum(outcome.sent for outcome in outcomes)
    found = {
        "faults": faults.counts.total(),
        "changes": churn.count,
        "packets": packets,
        "migrations": churn.migrations,
    }
    print("", "lost in declared gaps:", *summary.gaps(outcomes, faults), "", sep="\n")
    print(summary.table(outcomes, faults, found, {name: len(sentences) for name, sentences in broken.items()}))
    for name, sentences in broken.items():
        for sentence in sentences[:20]:
            print(f"WRONG, {name}: {sentence}")
    if any(broken.values()):
        return 1
    lacking = summary.too_few(found, options.seconds)
    if lacking:
        print("; ".join(lacking))
    return 2 if lacking else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kill and cut under traffic and changes."
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", action="append", choices=KINDS, default=[], help="this fault; may be repeated")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--controllers", type=int, help="of --store postgresql; 3")
    parser.add_argument("--pps", type=float, default=400, help="packets a second on each of four ways")
    parser.add_argument("--pause", type=float, default=3, help="the longest pause between faults, seconds")
    parser.add_argument("--longest-gap-ms", type=float, default=400, help="that a killed ovs-vswitchd may cost")
    parser.add_argument("--longest-takeover-ms", type=float, default=2500, help="that a lost gateway host may cost")
    parser.add_argument("--longest-return-ms", type=float, default=30, help="that its return may cost")
    parser.add_argument("--losses", type=Path, metavar="FILE", help="put every lost packet and its gap in there")
    options = parser.parse_args()
    shared = options.store == "postgresql"
    options.controllers = options.controllers or (3 if shared else 1)
    if not shared and (options.controllers > 1 or STORE_KILLED in options.only):
        parser.error("several controllers, and a store to kill, need --store postgresql")
    return options


if __name__ == "__main__":
    sys.exit(main())
