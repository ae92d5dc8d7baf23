"""Freeze what this version writes: `python -m tests.frozen VERSION`, as root, when a version is released.

A lab makes a small cloud with one of everything, through the API and a real agent; then the controller's database is
kept as SQL and the agent's files as they are. A frozen version is never made again: tests/store/test_frozen.py holds
the next ones to it.
"""

import shutil
import sqlite3
import sys
import time
from pathlib import Path

import openstack
from openstack.connection import Connection

from suimon.lab.lab import Lab
from suimon.lab.layout import LabConfig

HERE = Path(__file__).parent
AGENT_FILES = ("view.json", "numbers.json", "neighbours.json")


def main(version: str) -> None:
    kept = HERE / version
    kept.mkdir()
    lab = Lab(LabConfig(name="smtfroze", hosts=2, number=99, api_port=9799), print)
    lab.up()
    try:
        build(lab)
        lab.cloud.kill_agent(lab.layout.host("hv1"))
        lab.cloud.kill_controller()
        for name in AGENT_FILES:
            shutil.copy(lab.layout.host("hv1").agent_state / name, kept / name)
        with sqlite3.connect(lab.layout.controller_state / "suimon.db") as database:
            (kept / "store.sql").write_text("\n".join(database.iterdump()) + "\n")
    finally:
        lab.down()


def build(lab: Lab) -> None:
    config = openstack.config.OpenStackConfig(config_files=[str(lab.layout.clouds_yaml)])
    cloud = Connection(config=config.get_one("suimon")).network
    blue = cloud.create_network(name="blue", provider_network_type="vxlan", provider_segmentation_id=100)
    green = cloud.create_network(name="green")
    wire = cloud.create_network(
        name="wire", provider_network_type="vlan", provider_physical_network="public", provider_segmentation_id=7
    )
    outside = cloud.create_network(
        name="outside", is_router_external=True, provider_network_type="flat", provider_physical_network="public"
    )
    subnets = {
        network.name: cloud.create_subnet(network_id=network.id, ip_version=4, cidr=cidr, name=network.name)
        for network, cidr in [(blue, "10.0.0.0/24"), (green, "10.0.1.0/24"), (wire, "198.51.100.0/24")]
    }
    cloud.create_subnet(network_id=outside.id, ip_version=4, cidr="203.0.113.0/24", is_dhcp_enabled=False)
    web = cloud.create_security_group(name="web")
    rules = [{"protocol": "tcp", "port_range_min": 80, "port_range_max": 89, "remote_ip_prefix": "0.0.0.0/0"}]
    for rule in [*rules, {"remote_group_id": web.id}, {"protocol": "icmp"}]:
        cloud.create_security_group_rule(security_group_id=web.id, direction="ingress", **rule)
    tight = cloud.create_qos_policy(name="tight")
    for direction in ("egress", "ingress"):
        cloud.create_qos_bandwidth_limit_rule(tight, max_kbps=10_000, direction=direction)
    block = {"protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
    cloud.post(f"/qos/policies/{tight.id}/port_block_rules", json={"port_block_rule": block}).raise_for_status()
    pair = [{"ip_address": "10.0.0.200", "mac_address": "00:00:5e:00:01:01"}]
    here = {"binding_host_id": "hv1", "security_group_ids": [web.id], "network_id": blue.id}
    one = cloud.create_port(name="one", **here, qos_policy_id=tight.id, allowed_address_pairs=pair)
    two = cloud.create_port(name="two", **here)
    cloud.create_port(name="far", **(here | {"binding_host_id": "hv2"}))
    cloud.create_port(name="side", network_id=green.id, binding_host_id="hv2")
    cloud.create_port(name="wired", network_id=wire.id, binding_host_id="hv1")
    router = cloud.create_router(name="r1", external_gateway_info={"network_id": outside.id})
    for name in ("blue", "green"):
        cloud.add_interface_to_router(router, subnet=subnets[name].id)
    cloud.create_ip(floating_network_id=outside.id, port_id=one.id)
    for port in (one, two):
        lab.guests.add(port.name, "hv1", port.id, port.mac_address)
    while cloud.get_port(one.id).status != "ACTIVE" or cloud.get_port(two.id).status != "ACTIVE":
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
