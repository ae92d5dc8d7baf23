"""The promise: a database put back to an older copy, or lost, takes no flow from anybody until an operator says so."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import openstack
import pytest
from openstack.connection import Connection

from suimon.lab.guests import Guest
from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig
from suimon.lab.tour.measure import Measure

pytestmark = pytest.mark.system


@pytest.fixture
def lab() -> Iterator[Lab]:
    with TemporaryDirectory(prefix="smt") as root:
        number = 100 + os.getpid() % 50
        lab = Lab(LabConfig(name="smtloss", hosts=2, number=number, api_port=9600 + number, root=f"{root}/labs"), print)
        try:
            lab.up()
            yield lab
        finally:
            lab.down()


@pytest.fixture
def cloud(lab: Lab) -> Connection:
    config = openstack.config.OpenStackConfig(config_files=[str(lab.layout.clouds_yaml)])
    return Connection(config=config.get_one("suimon"))


def test_an_older_database_is_held_and_followed_once_it_is_accepted(lab: Lab, cloud: Connection) -> None:
    network = cloud.network.create_network(name="kept")
    cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.20.0.0/24")
    one = guest(lab, cloud, network.id, "one", "hv1")
    old = lab.layout.directory / "old"
    lab.cloud.kill_controller()
    copy_database(lab.layout.controller_state, old)
    lab.cloud.start_controller()
    late = guest(lab, cloud, network.id, "late", "hv2")
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


def test_hosts_of_a_lost_database_go_on_without_it(lab: Lab, cloud: Connection) -> None:
    network = cloud.network.create_network(name="kept")
    cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.20.0.0/24")
    guest(lab, cloud, network.id, "one", "hv1")
    far = guest(lab, cloud, network.id, "far", "hv2")
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


def guest(lab: Lab, cloud: Connection, network_id: str, name: str, host: str) -> Guest:
    port = cloud.network.create_port(network_id=network_id, name=name, binding_host_id=host)
    return lab.guests.lease(lab.guests.add(name, host, port.id, port.mac_address))


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
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.2)
