"""The promise: a database put back to an older copy, or lost, takes no flow from anybody until an operator says so."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suimon.lab.lab import Lab
from suimon.lab.measure import Measure
from tests.patience import patient
from tests.system.clouds import guest, network, two_hypervisors


@pytest.fixture
def lab() -> Iterator[Lab]:
    with two_hypervisors("loss") as lab:
        yield lab


def test_an_older_database_is_held_and_followed_once_it_is_accepted(lab: Lab) -> None:
    kept = network(lab)
    one = guest(lab, kept, "one", "hv1")
    old = lab.layout.directory / "old"
    lab.cloud.kill_controller()
    copy_database(lab.layout.controller_state, old)
    lab.cloud.start_controller()
    late = guest(lab, kept, "late", "hv2")
    until(lambda: Measure(lab).ping("one", late.lease["ip"].split("/")[0])[0] == 0)  # Now hv1 knows of it, too.
    flows = all_flows(lab)

    lab.cloud.kill_controller()
    copy_database(old, lab.layout.controller_state)
    lab.cloud.start_controller()
    for host in lab.layout.hosts:
        until(lambda host=host: "HELD" in " ".join(lab.cloud.agent_status(host)))
    until(lambda: hosts(lab, "list").count("restored store") == 2)
    assert all_flows(lab) == flows
    assert Measure(lab).ping("one", late.lease["ip"].split("/")[0])[0] == 0
    assert Measure(lab).ping("late", one.lease["ip"].split("/")[0])[0] == 0

    for host in lab.layout.hosts:
        hosts(lab, "accept", host.name)
    until(lambda: all_flows(lab) != flows)
    until(lambda: Measure(lab).ping("one", late.lease["ip"].split("/")[0])[0] == 5)
    assert "restored store" not in hosts(lab, "list")


def test_hosts_of_a_lost_database_go_on_without_it(lab: Lab) -> None:
    kept = network(lab)
    guest(lab, kept, "one", "hv1")
    far = guest(lab, kept, "far", "hv2")
    flows = all_flows(lab)
    lab.cloud.kill_controller()
    for path in database(lab.layout.controller_state):
        path.unlink()
    lab.cloud.start_controller()
    lab.cloud.kill_agent(lab.layout.host("hv1"))
    lab.cloud.start_agent(lab.layout.host("hv1"))
    lab.cloud.await_agent(lab.layout.host("hv1"))
    until(lambda: "credential" in lab.cloud.log("hv1").read_text())
    assert all_flows(lab) == flows
    assert Measure(lab).ping("one", far.lease["ip"].split("/")[0])[0] == 0


def database(state: Path) -> list[Path]:
    return sorted(state.glob("suimon.db*"))


def copy_database(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in database(target):
        path.unlink()
    for path in database(source):
        shutil.copy(path, target / path.name)


def all_flows(lab: Lab) -> dict[str, list[str]]:
    return {host.name: sorted(lab.switch(host.name).flows("br-int")) for host in lab.layout.hosts}


def hosts(lab: Lab, *command: str) -> str:
    """What `suimon host …` prints."""
    suimon = Path(sys.executable).with_name("suimon")
    args = [suimon, "host", *command, "--state", lab.layout.controller_state]
    return subprocess.run(args, capture_output=True, text=True, check=True, timeout=30).stdout


def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + patient(timeout_s)
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.2)
