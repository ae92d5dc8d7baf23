"""A packet that a router doesn't carry on goes nowhere else."""

from __future__ import annotations

import pytest

from suimon.model import view
from suimon.pipeline.fields import COMPLAINT, EXPIRED, NET, NO_ROUTE, ROUTER, SOURCE, TOO_BIG
from suimon.pipeline.simulate import Ends, udp
from suimon.pipeline.tables import Stage
from tests.pipeline.underlay import Hypervisor

LEGS = (
    view.RouterInterface("l1", "n1", "s1", "10.0.0.0/24", "10.0.0.1", "fa:16:3e:00:00:01"),
    view.RouterInterface("l2", "n2", "s2", "10.1.0.0/24", "10.1.0.1", "fa:16:3e:00:00:02"),
)
CLOUD = (
    view.Network("n1", "vxlan", 7, None, 1500),
    view.Network("n2", "vxlan", 8, None, 1400),
    view.Router("r", True, LEGS),
)


@pytest.mark.parametrize("complaint", [TOO_BIG, EXPIRED, NO_ROUTE])
@pytest.mark.parametrize("source", [0, 77])
def test_it_is_told_once_though_its_guest_is_gone(source: int, complaint: int) -> None:
    """What waited for the tracker still names the guest: the flows of that one are away, the router's are not."""
    host = Hypervisor("h1")
    host.follow({view.key(thing): thing for thing in CLOUD}, {})
    at_router = {ROUTER: host.world.number("router", "r"), NET: host.world.number("network", "n1")}
    packet = udp(Ends("fa:16:3e:00:00:09", LEGS[0].mac, "10.0.0.9", "10.1.0.9"), 9)
    waiting = packet.with_fields({**at_router, SOURCE: source, COMPLAINT: complaint})
    result = host.switch.process(waiting, Stage.FIT)
    assert [step.stage for step in result.steps] == [Stage.FIT]
    assert len(result.to_controller) == 1
    (carried_on,) = (
        step.flow for step in host.switch.process(waiting.with_fields({COMPLAINT: 0}), Stage.FIT).steps[:1]
    )
    assert carried_on is not None, "the same packet, if it fits"
