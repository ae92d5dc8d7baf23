"""Promise: who uses more than a rule allows is throttled for 24 hours, to the minute, by what the meter counted, and
let go by itself, although controller and agent die meanwhile.

Their processes are the real ones, and so is the switch; only the clock on the wall is another's when they come back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest

from suimon.lab.guests import Guest
from suimon.lab.layout import PUBLIC_GATEWAY
from tests.system import often
from tests.system.clouds import connect, two_hypervisors
from tests.system.loop_scene import Scene

LIMIT_KBPS = 2000
DAY_S, MINUTE_S = 86_400, 60
RULES = """
usage:
  - {name: heavy, more_than_gb: 0.002, within_h: 1, for: {tags: ['operator:metered']}, mode: MODE,
     do: {kind: rate_limit, rate_kbps: 2000, direction: both, lasts_h: 24}}
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with two_hypervisors("used", hosts=1, program=often.PROGRAM) as lab:
        yield Scene(lab, RULES)


def test_who_used_too_much_is_throttled_for_a_day_over_restarts_of_all(scene: Scene) -> None:
    heavy = scene.guest("heavy")
    cloud = connect(scene.lab).network
    cloud.set_tags(cloud.get_port(heavy.port_id), ["operator:metered"])
    assert upload_kbps(scene, heavy) > 2 * LIMIT_KBPS
    begun_s = time.time()
    scene.await_act(heavy, "heavy")
    acted_s = time.time()
    scene.restart(DAY_S - MINUTE_S - math.ceil(acted_s - begun_s))
    assert upload_kbps(scene, heavy) < 1.1 * LIMIT_KBPS
    (limit,) = scene.active(heavy)
    assert limit["kind"] == "rate_limit"
    scene.restart(DAY_S + MINUTE_S - math.floor(time.time() - acted_s))
    assert upload_kbps(scene, heavy) > 2 * LIMIT_KBPS
    incident = scene.await_act(heavy, "heavy", lambda one: one["state"] == "closed")
    assert len(scene.acted(heavy)) == 1 and scene.active(heavy) == [] and incident["closed_at"]


def upload_kbps(scene: Scene, of: Guest) -> float:
    return float(scene.measure.tcp(of.name, "internet", PUBLIC_GATEWAY, seconds=2)["rate_kbps"])
