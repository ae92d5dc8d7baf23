"""Random clouds on a real switch: the oracle, the simulated switch, `ofproto/trace` and real frames say the same.

The oracle is compared with the simulated hosts, and each packet's way through each of these with a real switch that has
the same flows: as it says (`tracing`), and as frames come out of it (`wire`). Which clouds is fixed by their seeds;
`make oracle` runs others, with `--switch` by real frames, too. `SUIMON_TEST_CLOUDS` says how many, where all is slow.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from suimon.dataplane.openflow.target import bridge_entries
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.simulate import Packet, Result
from suimon.reconcile import plan
from tests.oracle.cluster import HOSTS, opened
from tests.oracle.trial import Trial
from tests.system.openvswitch import OpenVSwitch
from tests.system.tracing import compare, connected, prepare, spread
from tests.system.wire import Wire

SEEDS = (7, 21, 33)[: int(os.environ.get("SUIMON_TEST_CLOUDS", "3"))]
CHANGES = ("delete_rule", "move_port", "update_port")
OFPORTS = (*range(1, 17), 101)
_ASKED_FIRST, _ASKED_AFTER = 30, 10
Ways = tuple[str, tuple[Flow | Group | Meter, ...], list[Result]]
"""A host at one moment, in words; what its switch held, and what that did with packets."""


@pytest.fixture(scope="module")
def prepared(kept_switch: OpenVSwitch) -> OpenVSwitch:
    prepare(kept_switch, OFPORTS)
    return kept_switch


def test_what_the_oracle_says_is_what_a_real_switch_does(prepared: OpenVSwitch) -> None:
    ways = [way for seed in SEEDS for way in _simulated(seed)]
    compared = asyncio.run(traced(prepared, ways))
    assert compared > 67 * len(SEEDS), f"only {compared} ways were compared"


def test_real_frames_come_out_where_the_oracle_says(prepared: OpenVSwitch) -> None:
    count = 0
    for seed in SEEDS:
        with opened(seed) as cluster:
            trial = Trial(cluster, seed)
            trial.ask(_ASKED_FIRST)
            count += asyncio.run(sent(prepared, list(taken(trial, f"seed {seed}"))))
    assert count > 34 * len(SEEDS), f"only {count} frames were sent"


async def sent(switch: OpenVSwitch, ways: list[Ways]) -> int:
    """How many frames went in, of a cloud where nothing was asked before, and came out as they should. Raises
    AssertionError where one doesn't.

    What is left out: what comes from a tunnel or a router's namespace, which are not there, what takes one of several
    next hops, since which one only the datapath's hash says, and whatever its addresses say to each other after that,
    because the connection tracker missed it.
    """
    count = 0
    async with connected(switch) as target:
        for when, installed, results in ways:
            assert await target.apply(plan(bridge_entries(installed), await target.observe())) == {}
            switch.appctl("dpctl/flush-conntrack")
            # What the datapath learnt of the flows before goes by and by, and later on a busy machine.
            switch.appctl("revalidator/purge")
            wire, missed = Wire(switch, OFPORTS), set[frozenset[int]]()
            try:
                begun: dict[tuple[int, frozenset[int]], Result] = {}
                for result in results:
                    first = result.steps[0].packet
                    talks = {_ends(packet) for packet in (first, *(p for _, p in result.outputs))}
                    if first.fields.get("ip_frag"):
                        # They wait for each other. Of a datagram that isn't allowed only the first one was asked about.
                        place = first.fields["in_port"], _ends(first)
                        if first.first is None:
                            begun[place] = result
                        elif place in begun and not talks & missed:
                            count += wire.send_fragments(begun.pop(place), result)
                    elif talks & missed or spread(result.steps) or not wire.send(result):
                        missed |= talks
                    else:
                        count += 1
                wrong = wire.wrong()
                assert not wrong, "\n".join([when, *wrong])
            finally:
                wire.close()
    return count


def _ends(packet: Packet) -> frozenset[int]:
    names = ("ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst", "arp_spa", "arp_tpa")
    return frozenset(packet.fields[name] for name in names if name in packet.fields)


def _simulated(seed: int) -> Iterator[Ways]:
    """Raises AssertionError where the oracle says otherwise."""
    with opened(seed) as cluster:
        trial = Trial(cluster, seed)
        trial.ask(_ASKED_FIRST)
        yield from taken(trial, f"seed {seed}")
        for name in CHANGES:
            if trial.change(name, seed):
                trial.ask(_ASKED_AFTER)
                yield from taken(trial, f"seed {seed} after {trial.history}")


def taken(trial: Trial, when: str) -> Iterator[Ways]:
    """What hosts did with what was asked since the last time."""
    legs = [leg for journey in trial.journeys for leg in journey.legs]
    trial.journeys.clear()
    for host in HOSTS:
        hypervisor = trial.cluster.underlay.hypervisors[host]
        yield f"{when}, on {host}", hypervisor.installed, [leg.result for leg in legs if leg.host == host]


async def traced(switch: OpenVSwitch, ways: list[Ways]) -> int:
    """How many ways through a host are as `ofproto/trace` says, all of them. Raises AssertionError where one isn't."""
    count = 0
    async with connected(switch) as target:
        for when, installed, results in ways:
            changes = plan(bridge_entries(installed), await target.observe())
            assert await target.apply(changes) == {}
            for result in results:
                count += await compare(switch, when, result)
    return count
