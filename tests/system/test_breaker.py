"""Promise: whoever tells lies about every port of a cloud gets no more of them restricted than the limits allow, people
are asked about all others, and one command undoes it.

500 ports of 500, and limits as they are when nobody says anything: 5 an hour or 2 %, so ten. Twelve have guests that do
what is said of them, as far as a host can count; of the others no host counts anything, which keeps them from nothing
but the second look.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

from suimon.lab import processes
from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.measure import Probe
from suimon.pipeline.tables import Stage
from tests.system.clouds import connect, eventually, network, two_hypervisors
from tests.system.loop_scene import PATIENCE_S, SERVERS, Json, Scene

PORTS, TRUE, MOST = 500, 12, 10
RULES = """
rules:
  - {name: spam, detector: mass_mail, for: {everyone: true}, mode: MODE,
     do: {kind: port_block, protocol: tcp, port_min: 25, port_max: 25, lasts_h: 1}}
"""
_TOLD_AGAIN_S = 30


def test_forged_findings_of_500_ports_restrict_ten_and_one_command_undoes_them() -> None:
    with two_hypervisors("forged", hosts=1) as lab:
        scene = Scene(lab, RULES)
        guests = [scene.good, *(scene.guest(f"true-{number}") for number in range(1, TRUE))]
        liar = Liar(scene, [*bound(lab, PORTS - TRUE), *(one.port_id for one in guests)])
        with scene.serving(), ExitStack() as stack:
            for one in guests:
                stack.enter_context(spamming(scene, one))
            eventually(lambda: liar.told() and len(scene.ask("incidents?limit=1000")["incidents"]) > PORTS, 300)
        restricted = check_limits(scene, guests)
        eventually(lambda: len(blocking(lab)) == MOST, PATIENCE_S)
        said = suimon(lab, "release", "--all", "--since", "10m", "--why", "forged")
        assert said.startswith(f"{MOST} released.\n")
        assert scene.ask("restrictions?state=active")["restrictions"] == []
        eventually(lambda: not blocking(lab), PATIENCE_S)
        with scene.serving():
            assert {scene.seen(one, 25) for one in guests} == {"open"}
        # Whoever goes on lying about them comes no further: what is new is asked about, too.
        liar.tell()
        new = {**lie(restricted[0], time.time()), "id": "another-lie"}
        scene.ask("findings", "POST", {"findings": [new]})
        eventually(lambda: len(scene.ask("incidents?limit=1000&state=waiting")["incidents"]) > PORTS - MOST, PATIENCE_S)
        assert scene.ask("restrictions?state=active")["restrictions"] == []


def check_limits(scene: Scene, guests: list[Guest]) -> list[str]:
    """Ten are restricted, the others wait for an answer, and the breaker's alarm says why. Which ports they are."""
    active = scene.ask("restrictions?state=active")["restrictions"]
    assert len({one["target"] for one in active} & {one.port_id for one in guests}) == len(active) == MOST
    told = scene.ask("incidents?limit=1000")["incidents"]
    assert {one["id"] for one in told if one["restriction_id"]} == {one["id"] for one in told if one["acted_at"]}
    assert sum(one["state"] == "waiting" for one in told) == PORTS - MOST
    assert scene.ask("breaker")["breaker"]["is_open"]
    (alarm,) = scene.ask("incidents?rule=breaker")["incidents"]
    (line,) = scene.ask(f"incidents/{alarm['id']}")["incident"]["timeline"]
    assert f"{MOST} ports were restricted by rules within the hour, this would be 1 more" in line["words"]
    assert line["details"]["runbook"].endswith("#breaker-open")
    return [one["target"] for one in active]


class Liar:
    """A collector that somebody took over: it tells of each port what a detector would of one that sends mail."""

    def __init__(self, scene: Scene, port_ids: list[str]) -> None:
        self._scene, self._port_ids = scene, port_ids
        self._told_s = 0.0

    def told(self) -> bool:
        """True, and what is told is fresh."""
        if time.time() - self._told_s > _TOLD_AGAIN_S:
            self.tell()
        return True

    def tell(self) -> None:
        self._told_s = time.time()
        lies = [lie(port_id, self._told_s) for port_id in self._port_ids]
        assert self._scene.ask("findings", "POST", {"findings": lies})["noted"] == PORTS


def lie(port_id: str, now_s: float) -> Json:
    return {
        "id": f"lie-{port_id}",
        "detector": "mass_mail",
        "subject": {"kind": "port", "id": port_id},
        "role": "source",
        "project_id": None,
        "since_s": now_s - 30,
        "seen_s": now_s,
        "confidence": 0.95,
        "numbers": {"sessions": 150.0, "servers": 100.0, "window_s": 30.0, "l4_port": 25.0, "sampling": 1.0},
        "words": "It opened 150 sessions to 100 servers on tcp/25 in 30 s.",
        "evidence": [],
    }


def bound(lab: Lab, count: int) -> list[str]:
    """Ports on the lab's host that no guest has."""
    cloud, network_id = connect(lab).network, network(lab)
    project_id = cloud.get_network(network_id).project_id
    cloud.update_quota(project_id, ports=2 * count)
    wanted = {"network_id": network_id, "binding_host_id": "hv1", "device_owner": "compute:nova"}
    return [str(each.id) for each in cloud.create_ports([wanted] * count)]


def spamming(scene: Scene, of: Guest) -> Probe:
    """More than is said, and all the time."""
    paced = ("--per-second", "15", "--seconds", "600", "--patience", "2")
    return scene.measure.probe(of.name, "sessions", str(SERVERS), "25", *paced)


def blocking(lab: Lab) -> set[str]:
    """The owners of flows in the switch that block mail on its way out."""
    flows = lab.switch("hv1").ofctl("dump-flows", "br-int", f"table={Stage.BLOCK_OUT:d},tcp,tp_dst=25")
    return {
        found[1]
        for line in flows.splitlines()
        if "tp_dst=25" in line and (found := re.search("cookie=(0x[0-9a-f]+)", line))
    }


def suimon(lab: Lab, *args: str) -> str:
    return processes.run([*lab.cloud.program, *args, "--state", str(lab.layout.controller_state)], timeout_s=60)
