"""A controller whose own clock is off says so, as an alarm that goes on for as long as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from suimon.resources.incidents import get_incident
from suimon.response.clock import OwnClock
from tests.distribution.test_clock import HOUR_S, World
from tests.resources.world import ADMIN
from tests.response.cloud import Cloud


@pytest.mark.parametrize(
    ("hosts", "set_s", "words"),
    [
        ({"h1": 0.0}, 3 * HOUR_S, "is 10800 s ahead: it was set, and hosts go on as before"),
        ({"h1": HOUR_S, "h2": HOUR_S}, 0.0, "is 3600 s behind: most hosts say so"),
    ],
)
def test_it_is_told_once_and_of_which(
    cloud: Callable[..., Cloud], hosts: dict[str, float], set_s: float, words: str
) -> None:
    c, world = cloud(), World({})
    look = OwnClock(c.store, world.clock).look
    asyncio.run(look())
    assert c.incidents() == []
    world.hosts = hosts
    world.later(10.0)
    world.ahead_s = set_s
    for _ in range(2):
        asyncio.run(look())
    (alarm,) = c.incidents()
    assert (alarm.rule, alarm.subject_kind, alarm.state) == ("own-clock", "controller", "alarm")
    _, entries = c.read(lambda tx: get_incident(tx, ADMIN, alarm.id))
    assert words in entries[0].words and str(entries[0].details["runbook"]).endswith("#controller-clock-off")
