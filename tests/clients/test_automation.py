"""Whole tenants made and unmade by the tools that operators write them in: openstacksdk, and Ansible's openstack.cloud.

What makes one is run twice, and the second run changes nothing. Ansible needs an older openstacksdk than our client, so
it lives in an environment of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
from openstack.connection import Connection

from tests.api.controller import Controller, started
from tests.environments import installed

ANSIBLE = Path(__file__).with_name("ansible")
PLAYBOOK = ANSIBLE / "tenant.yml"
REQUIREMENTS = ANSIBLE / "requirements.txt"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with started(tmp_path_factory.mktemp("cloud") / "state", "--log-level", "debug") as made:
        yield made
        assert not re.search("request_failed|Traceback", made.log()), made.log()


def test_ansible(controller: Controller) -> None:
    ansible = installed("ansible", REQUIREMENTS) / "bin"
    first = _play(ansible, controller, "present")
    assert first["changed"] >= 10
    assert _play(ansible, controller, "present")["changed"] == 0
    assert _play(ansible, controller, "absent")["changed"] == 8


def test_openstacksdk(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(controller.state / "clouds.yaml"))
    with openstack.connect(cloud="suimon") as cloud:
        before = _everything(cloud)
        made = _make(cloud)
        assert _make(cloud) == made
        _unmake(cloud)
        _unmake(cloud)
        assert _everything(cloud) == before


def _make(cloud: Connection) -> set[str]:
    """A tenant, each thing found or made; their ids."""
    net = cloud.network
    network = net.find_network("sdk") or net.create_network(name="sdk")
    outside = net.find_network("sdk-out") or net.create_network(name="sdk-out", is_router_external=True)
    for each, cidr in ((network, "10.42.0.0/24"), (outside, "172.24.5.0/24")):
        if not net.find_subnet(each.name):
            net.create_subnet(name=each.name, network_id=each.id, ip_version=4, cidr=cidr)
    subnet = net.find_subnet("sdk")
    group = net.find_security_group("sdk") or net.create_security_group(name="sdk")
    if not list(net.security_group_rules(security_group_id=group.id, direction="ingress")):
        net.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
    router = net.find_router("sdk")
    if not router:
        router = net.create_router(name="sdk", external_gateway_info={"network_id": outside.id})
        net.add_interface_to_router(router, subnet=subnet.id)
    port = net.find_port("sdk") or net.create_port(name="sdk", network_id=network.id, security_groups=[group.id])
    address = next(iter(net.ips(port_id=port.id)), None)
    address = address or net.create_ip(floating_network_id=outside.id, port_id=port.id)
    policy = net.find_qos_policy("sdk") or net.create_qos_policy(name="sdk")
    return {each.id for each in (network, outside, subnet, group, router, port, address, policy)}


def _unmake(cloud: Connection) -> None:
    net = cloud.network
    router, port = net.find_router("sdk"), net.find_port("sdk")
    if port:
        for address in net.ips(port_id=port.id):
            net.delete_ip(address)
        net.delete_port(port)
    if router:
        net.remove_interface_from_router(router, subnet=net.find_subnet("sdk").id)
        net.delete_router(router)
    for find, delete, name in (
        (net.find_security_group, net.delete_security_group, "sdk"),
        (net.find_qos_policy, net.delete_qos_policy, "sdk"),
        (net.find_network, net.delete_network, "sdk"),
        (net.find_network, net.delete_network, "sdk-out"),
    ):
        if found := find(name):
            delete(found)


def _everything(cloud: Connection) -> list[set[str]]:
    net = cloud.network
    lists = (net.networks, net.subnets, net.ports, net.routers, net.ips, net.security_groups, net.qos_policies)
    return [{each.id for each in listed()} for listed in lists]


def _play(ansible: Path, controller: Controller, state: str) -> dict[str, int]:
    """The closing counts of a run."""
    environment = {
        "PATH": f"{ansible}:{os.environ['PATH']}",
        "HOME": str(controller.state),
        "OS_CLIENT_CONFIG_FILE": str(controller.state / "clouds.yaml"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_PIPELINING": "True",  # Several processes a task fewer.
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "LC_ALL": "C.UTF-8",
    }
    interpreter = f"ansible_python_interpreter={ansible / 'python'}"
    command = [ansible / "ansible-playbook", PLAYBOOK, "-e", f"state={state}", "-e", interpreter]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.splitlines()[-2])}
