"""Every packet of every scenario takes the same way through a real switch as through the simulated one (`tracing`)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest

from suimon.dataplane.openflow.target import bridge_entries
from suimon.pipeline.flow import Flow, Group, Meter
from suimon.pipeline.simulate import Result
from suimon.reconcile import plan
from tests.pipeline.scenario import Asked, files, replay
from tests.system.openvswitch import OpenVSwitch
from tests.system.tracing import compare, connected, prepare


@pytest.fixture(scope="module")
def prepared(kept_switch: OpenVSwitch) -> OpenVSwitch:
    """One for all scenarios: the flows of the next take the place of the last one's."""
    prepare(kept_switch)
    return kept_switch


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_the_simulated_switch_agrees_with_a_real_one(path: Path, prepared: OpenVSwitch) -> None:
    cases: defaultdict[tuple[str, str], list[tuple[str, Result]]] = defaultdict(list)
    installed: dict[tuple[str, str], tuple[Flow | Group | Meter, ...]] = {}

    def notice(asked: Asked) -> None:
        for leg in asked.answer.legs:
            place = (asked.step, leg.host)
            installed[place] = asked.installed[leg.host]
            cases[place].append((f"{asked.step}: {asked.question}, on {leg.host}", leg.result))

    replay(path.read_text(), notice)
    assert cases

    async def scenario() -> None:
        async with connected(prepared) as target:
            for place, results in cases.items():
                changes = plan(bridge_entries(installed[place]), await target.observe())
                assert await target.apply(changes) == {}
                for name, result in results:
                    await compare(prepared, name, result)

    asyncio.run(scenario())
