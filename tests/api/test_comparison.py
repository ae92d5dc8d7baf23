"""What a host's switch says of a leg is compared with the lookup that decided it, not with those that only count."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from suimon.api.operations.comparison import Comparer
from suimon.api.operations.reachability import Told
from suimon.model.questions import Question, Traced
from suimon.pipeline.simulate.journey import Leg
from suimon.pipeline.simulate.packet import Packet
from suimon.pipeline.simulate.switch import Result, Step
from suimon.pipeline.tables import Stage

PACKET = Packet({"eth_type": 0x0800})


@pytest.mark.parametrize("stage, findings", [("deliver", 0), ("lookup", 1)])
def test_a_leg_ends_where_it_is_dropped(stage: str, findings: int) -> None:
    class Switch:
        async def ask(self, _host: str, question: Question) -> Traced:
            return Traced(question.id, stage=stage)

    steps = tuple(Step(each, PACKET, None) for each in (Stage.LOOKUP, Stage.DELIVER, Stage.COUNT, Stage.TALLY))
    leg = Leg("h1", "port/p", PACKET, Result((), (), steps))
    verdict = SimpleNamespace(there=SimpleNamespace(legs=[leg]), back=SimpleNamespace(legs=[]))
    told = cast(Told, SimpleNamespace(verdict=verdict))
    compared: dict[str, Any] = asyncio.run(Comparer(Switch()).compare(told))
    assert len(compared["findings"]) == findings
