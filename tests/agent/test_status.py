"""A port is ACTIVE when all that it needs is in the switch, and DOWN with the switch's words when some of it isn't."""

import pytest

from suimon.agent.status import Seat, statuses
from suimon.model.owner import Owner
from suimon.model.view import Port
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World
from suimon.reconcile import Failure

PORT = Port("vm", "h1", "blue", "02:00:00:00:00:01", (), groups=("a", "b"))


def needed() -> list[Owner]:
    """Whose flows and groups are made because the port is plugged."""
    world = World("h1", Numbers())
    world.set(PORT)
    world.plug(PORT.id, 1)
    return sorted(owner for owner in world.take_dirty() if owner.kind != "bridge")


def test_a_port_is_active_when_nothing_that_it_needs_was_refused() -> None:
    assert statuses([Seat(PORT, 1)], {Owner("port", "other"): Failure("no")})[PORT.id].status == "ACTIVE"


@pytest.mark.parametrize("owner", needed(), ids=str)
def test_a_port_is_down_while_the_switch_refuses_what_it_needs(owner: Owner) -> None:
    status = statuses([Seat(PORT, 1)], {owner: Failure("table full")})[PORT.id]
    assert (status.status, status.reason) == ("DOWN", f"the switch refused {owner}: table full")
