"""Random clouds on a real switch: the oracle, the simulated switch and `ofproto/trace` say the same of each packet.

The oracle is compared with the simulated hosts, and each packet's way through each of these with a real switch that has
the same flows (`tracing`). Which clouds is fixed by their seeds; `make oracle` runs others, without a real switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from suimon.dataplane.openflow.target import bridge_entries
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.simulate import Result
from suimon.reconcile import plan
from tests.oracle.cluster import HOSTS, opened
from tests.oracle.trial import Trial
from tests.system.openvswitch import OpenVSwitch
from tests.system.tracing import compare, connected, prepare

SEEDS = (7, 21, 33)
CHANGES = ("delete_rule", "move_port", "update_port")
OFPORTS = (*range(1, 17), 101)
_ASKED_FIRST, _ASKED_AFTER = 30, 10
Ways = tuple[str, tuple[Flow | Group | Meter, ...], list[Result]]
"""A host at one moment, in words; what its switch held, and what that did with packets."""


def test_what_the_oracle_says_is_what_a_real_switch_does(kept_switch: OpenVSwitch) -> None:
    prepare(kept_switch, OFPORTS)
    ways = [way for seed in SEEDS for way in _simulated(seed)]
    asyncio.run(_traced(kept_switch, ways))
    compared = sum(len(results) for _, _, results in ways)
    assert compared > 200, f"only {compared} ways were compared"


def _simulated(seed: int) -> Iterator[Ways]:
    """Raises AssertionError where the oracle says otherwise."""
    with opened(seed) as cluster:
        trial = Trial(cluster, seed)
        trial.ask(_ASKED_FIRST)
        yield from _taken(trial, f"seed {seed}")
        for name in CHANGES:
            if trial.change(name, seed):
                trial.ask(_ASKED_AFTER)
                yield from _taken(trial, f"seed {seed} after {trial.history}")


def _taken(trial: Trial, when: str) -> Iterator[Ways]:
    legs = [leg for journey in trial.journeys for leg in journey.legs]
    trial.journeys.clear()
    for host in HOSTS:
        hypervisor = trial.cluster.underlay.hypervisors[host]
        yield f"{when}, on {host}", hypervisor.installed, [leg.result for leg in legs if leg.host == host]


async def _traced(switch: OpenVSwitch, ways: list[Ways]) -> None:
    async with connected(switch) as target:
        for when, installed, results in ways:
            changes = plan(bridge_entries(installed), await target.observe())
            assert await target.apply(changes) == {}
            for result in results:
                await compare(switch, when, result)
