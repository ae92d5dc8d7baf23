"""`python -m tests.oracle --examples 500 --seed 7`: that many clouds, each changed a few times, each packet judged.

With `--switch` (as root), each host of a cloud is put on a real switch besides: `ofproto/trace` says the same of all
its packets, and those of the cloud as it began come out of it as frames. Interrupted (Ctrl-C), it says what it has.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from tests.oracle.cluster import opened
from tests.oracle.topology import ACTS
from tests.oracle.trial import Trial
from tests.system.openvswitch import OpenVSwitch
from tests.system.test_random import OFPORTS, sent, taken, traced
from tests.system.tracing import prepare

_CHANGES = 6
_ASKED_FIRST, _ASKED_AFTER = 60, 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first example; each is the seed of its own cloud")
    parser.add_argument("--switch", action="store_true", help="ask a real Open vSwitch as well")
    wanted = parser.parse_args()
    asked, wrong, started, clouds = Counter[str](), [], time.monotonic(), 0
    with _switch(real=wanted.switch) as switch, suppress(KeyboardInterrupt):
        for seed in range(wanted.seed, wanted.seed + wanted.examples):
            try:
                asked += _example(seed, switch)
            except AssertionError as error:
                wrong.append(seed)
                print(f"\nseed {seed}: {error}", flush=True)
            clouds += 1
            if sys.stderr.isatty():
                print(f"\r{clouds} clouds", end="", file=sys.stderr, flush=True)
    counts = ", ".join(f"{count} {fate}" for fate, count in sorted(asked.items()))
    took = f"{clouds} clouds in {time.monotonic() - started:.0f} s"
    print(f"{took}: packets {counts}, as the oracle says; {len(wrong)} clouds where not: {wrong}")
    return 1 if wrong or clouds < wanted.examples else 0


@contextmanager
def _switch(*, real: bool) -> Iterator[OpenVSwitch | None]:
    if not real:
        yield None
        return
    switch = OpenVSwitch()
    try:
        switch.start()
        prepare(switch, OFPORTS)
        yield switch
    finally:
        switch.stop()


def _example(seed: int, switch: OpenVSwitch | None) -> Counter[str]:
    with opened(seed) as cluster:
        trial, random = Trial(cluster, seed), Random(seed)
        trial.ask(_ASKED_FIRST)
        ways = list(taken(trial, f"seed {seed}"))
        if switch:
            trial.asked["sent as frames"] += asyncio.run(sent(switch, ways))
        for _ in range(_CHANGES):
            if trial.change(random.choice(sorted(ACTS)), random.getrandbits(30)):
                trial.ask(_ASKED_AFTER)
                ways += taken(trial, f"seed {seed} after {trial.history}")
        if switch:
            trial.asked["traced"] += asyncio.run(traced(switch, ways))
        return trial.asked


if __name__ == "__main__":
    sys.exit(main())
