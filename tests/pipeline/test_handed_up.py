"""All that the switch hands to the agent is metered, and no guest's share of it is another's."""

from __future__ import annotations

from suimon.pipeline.fields import FROM_PROVIDER, ORIGIN, SOURCE, TARGET
from suimon.pipeline.flow import Flow, Group, Meter, ToController, UseMeter
from suimon.pipeline.meters import ARP
from suimon.pipeline.tables import Stage
from tests.pipeline import scenario
from tests.pipeline.scenario import Asked

MOST_FOR_A_PORT, MOST_FOR_AN_ADDRESS, MOST_FOR_A_ROUTER = 10, 20, 50
"""Packets a second."""


def test_every_flow_that_hands_up_does_so_by_the_meter_of_whom_it_is_for() -> None:
    seen: set[tuple[Stage, str]] = set()
    claims: set[int] = set()

    def notice(asked: Asked) -> None:
        for installed in asked.installed.values():
            meters = {one.meter_id: one for one in installed if isinstance(one, Meter)}
            for group in (one for one in installed if isinstance(one, Group)):
                for bucket in group.buckets:
                    if ToController() in bucket.actions:
                        # The last one: what is too much for the meter is a copy.
                        assert bucket == group.buckets[-1] and isinstance(bucket.actions[0], UseMeter)
                        meter = meters[bucket.actions[0].meter_id]
                        assert meter.owner == group.owner and meter.rate <= MOST_FOR_A_PORT
                        claims.add(group.group_id)
            for flow in (one for one in installed if isinstance(one, Flow)):
                for before, action in zip((None, *flow.actions), flow.actions, strict=False):
                    if isinstance(action, ToController):
                        assert isinstance(before, UseMeter), f"not metered: {flow}"
                        seen.add((flow.key.stage, whose(flow, meters[before.meter_id])))

    for file in scenario.files():
        scenario.replay(file.read_text(), notice)
    assert claims
    assert seen == {
        (Stage.BLOCK_OUT, "port"),
        (Stage.ANSWER, "port"),
        (Stage.DELIVER, "port"),
        (Stage.FIT, "port"),
        (Stage.FIT, "shared"),
        (Stage.FLOATING_IN, "address"),
        (Stage.LOCAL_BACK, "port"),
        (Stage.FLOATING_OUT, "port"),
        (Stage.NEIGHBOUR, "port"),
        (Stage.NEIGHBOUR, "router"),
        (Stage.NEIGHBOUR, "shared"),
        (Stage.ANSWER, "outside"),
        (Stage.TUNNEL, "shared"),
        (Stage.REMOTE, "shared"),
    }


def whose(flow: Flow, meter: Meter) -> str:
    """What a guest sends is counted for its port, or its router; only what no guest sent may be counted together."""
    matched = {name: value for name, value, _ in flow.key.match}
    assert meter.packets
    if number := matched.get(SOURCE) or matched.get(TARGET):
        assert meter.owner.kind == "port" and meter.meter_id & 0x7FFF == number, str(flow)
        assert meter.rate <= MOST_FOR_A_PORT
        return "port"
    if meter.meter_id == ARP:
        assert matched[ORIGIN] == FROM_PROVIDER, str(flow)
        return "outside"
    if flow.owner.kind == "router":
        assert meter.owner == flow.owner and meter.rate <= MOST_FOR_A_ROUTER
        return "router"
    if flow.key.stage is Stage.FLOATING_IN:
        assert meter.owner == flow.owner and meter.rate <= MOST_FOR_AN_ADDRESS
        return "address"
    assert flow.owner.kind in ("bridge", "network")
    return "shared"
