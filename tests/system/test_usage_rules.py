"""Promise: who uses more than a rule allows is throttled, by what the meter counted, and let go when the time is over,
although the controller dies meanwhile.

That it is 24 hours to the minute when a rule says so, tests/response/test_usage.py shows with a clock that it moves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from suimon.lab.guests import Guest
from suimon.lab.layout import PUBLIC_GATEWAY
from tests.system.clouds import connect, two_hypervisors
from tests.system.loop_scene import Scene

LIMIT_KBPS = 2000
RULES = """
usage:
  - {name: heavy, more_than_gb: 0.002, within_h: 1, for: {tags: [metered]}, mode: MODE,
     do: {kind: rate_limit, rate_kbps: 2000, direction: both, lasts_h: 0.005}}
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with two_hypervisors("used", hosts=1) as lab:
        yield Scene(lab, RULES)


def test_who_used_too_much_is_throttled_and_let_go_although_the_controller_dies(scene: Scene) -> None:
    heavy = scene.guest("heavy")
    cloud = connect(scene.lab).network
    cloud.set_tags(cloud.get_port(heavy.port_id), ["metered"])
    assert upload_kbps(scene, heavy) > 2 * LIMIT_KBPS
    scene.await_act(heavy, "heavy")
    scene.lab.cloud.kill_controller()
    assert upload_kbps(scene, heavy) < 1.1 * LIMIT_KBPS
    scene.lab.cloud.start_controller()
    incident = scene.await_act(heavy, "heavy", lambda one: one["state"] == "closed")
    assert len(scene.acted(heavy)) == 1 and scene.active(heavy) == [] and incident["closed_at"]
    assert upload_kbps(scene, heavy) > 2 * LIMIT_KBPS


def upload_kbps(scene: Scene, of: Guest) -> float:
    return float(scene.measure.tcp(of.name, "internet", PUBLIC_GATEWAY, seconds=2)["rate_kbps"])
