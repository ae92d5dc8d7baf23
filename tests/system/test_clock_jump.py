"""Promise: a clock that is set by hours, on hypervisors, of the controller, or of both, and set back, costs nobody
anything: no flow is touched, no packet lost, no lease, no login, no host; restrictions end when they should, and what
was metered is metered once, when it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from suimon.lab.births import touched
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.openstack import OpenStack
from suimon.model.owner import Owner
from tests.system import often
from tests.system.clouds import connect, eventually, guest, network, two_hypervisors
from tests.system.pings import pinging
from tests.system.wall_clock import SetClocks

HOURS_S = 3 * 3600
SETTINGS = ((HOURS_S, 0), (0, HOURS_S), (HOURS_S, HOURS_S), (-HOURS_S, -HOURS_S), (0, -HOURS_S), (0, 0))
"""How far ahead the clocks of one hypervisor and of the controller are, one after the other; the first are on time."""
FIRST_S = 60
Json = dict[str, Any]


class Cloud:
    """Two guests that talk, one that is shut off for an hour, and one that is, for a moment, now and then."""

    def __init__(self, lab: Lab, client: OpenStack) -> None:
        self.lab, self._client = lab, client
        on = network(lab)
        self.one, self.shut, self.other = (guest(lab, on, name, "hv1") for name in ("one", "shut", "other"))
        self.far = guest(lab, on, "far", "hv2")
        self._hour = self.restrict(self.shut, 3600)

    def ask(self, path: str, method: str = "GET", body: Json | None = None) -> Json:
        """Always by the same token."""
        return self._client.ask(f"/operations/v1/{path}", method, body)

    def restrict(self, whom: Guest, seconds: int) -> str:
        wanted = {"kind": "quarantine", "target_kind": "port", "target": whom.port_id, "reason": "a test"}
        made = self.ask("restrictions", "POST", {"restriction": {**wanted, "duration_s": seconds}})
        return str(made["restriction"]["id"])

    def state(self, id_: str) -> str:
        return str(self.ask(f"restrictions/{id_}")["restriction"]["state"])

    def offset_s(self, host: str) -> float:
        return float(self.ask(f"hosts/{host}")["host"]["clock_offset_s"] or 0.0)

    def sent_bytes(self) -> int:
        """By the first guest, in the last hour."""
        asked = f"usage?port_id={self.one.port_id}&since={time.time() - 3600:.0f}&until={time.time() + 10:.0f}"
        return int(self.ask(asked)["usage"]["total"]["out_bytes"])

    def flows(self) -> dict[str, Any]:
        """But for those of who is restricted now and then."""
        cookie = f"{Owner('port', self.other.port_id).cookie:#x}"
        found = {host.name: self.lab.switch(host.name).flows("br-int") for host in self.lab.layout.hosts}
        return {f"{name} {flow}": at for name, each in found.items() for flow, at in each.items() if cookie not in flow}

    def is_well(self) -> None:
        """What has to be so at any time; it takes until what is restricted for a moment is free again."""
        sent = self.sent_bytes()
        began, moment = time.monotonic(), self.restrict(self.other, 2)
        assert self.state(moment) == "active"
        eventually(lambda: self.state(moment) == "expired", FIRST_S)
        assert time.monotonic() - began >= 2
        assert self.state(self._hour) == "active"
        eventually(lambda: self.sent_bytes() > sent, FIRST_S)
        assert all(each["up"] for each in self.ask("hosts")["hosts"])
        assert self.lab.guests.lease(self.other).lease["ip"] == self.other.lease["ip"]

    def alarms(self) -> set[str]:
        found = self.ask("incidents?state=alarm")["incidents"]
        return {str(one["rule"]) for one in found}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with two_hypervisors("jump", program=often.PROGRAM, make=SetClocks) as lab, OpenStack(lab.layout) as client:
        yield Cloud(lab, client)


@contextmanager
def nothing_lost(cloud: Cloud) -> Iterator[None]:
    address = cloud.far.lease["ip"].partition("/")[0]
    with pinging(cloud.lab.guests.inside(cloud.one, ["ping", "-i", "0.01", "-W", "1", address])) as counted:
        yield
    assert counted.sent > 50
    assert counted.lost <= 1, counted


def test_clocks_that_are_set_harm_nobody(cloud: Cloud) -> None:
    clocks = cloud.lab.cloud
    assert isinstance(clocks, SetClocks)
    with nothing_lost(cloud):
        cloud.is_well()
        before = cloud.flows()
        for host_s, controller_s in SETTINGS:
            clocks.ahead("controller", controller_s)
            clocks.ahead("hv1", host_s)
            eventually(lambda: abs(cloud.offset_s("hv1") - host_s) < 5, FIRST_S)  # noqa: B023 (asked at once)
            cloud.is_well()
            assert touched(before, cloud.flows()) == []
            assert abs(cloud.offset_s("hv2")) < 5
    assert "own-clock" in cloud.alarms()
    told = cloud.lab.guests.run(cloud.one, ["cat", "/sys/class/net/eth0/statistics/tx_bytes"])
    eventually(lambda: cloud.sent_bytes() >= int(told), FIRST_S)
    assert all(agent.is_alive for agent in connect(cloud.lab).network.agents())
