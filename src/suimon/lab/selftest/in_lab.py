"""The limits measured in a lab of two hypervisors and an internet host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from suimon.lab.lab import INTERNET, Lab
from suimon.lab.layout import PHYSNET, PUBLIC_GATEWAY, PUBLIC_NETWORK
from suimon.lab.openstack import OpenStack
from suimon.lab.selftest.ground import Hypervisor, Outside, PortGround, port_ground
from suimon.lab.selftest.matrix import Limit


@contextmanager
def lab_ground(lab: Lab, limits: Sequence[Limit]) -> Iterator[PortGround]:
    """On a lab that is up, without networks on its provider network. LabError for what the API refuses."""
    with OpenStack(lab.layout) as cloud:
        flat = {"provider:network_type": "flat", "provider:physical_network": PHYSNET, "router:external": True}
        network_id = cloud.ask("/v2.0/networks", "POST", {"network": {"name": "outside", **flat}})["network"]["id"]
        subnet = {"network_id": network_id, "ip_version": 4, "cidr": str(PUBLIC_NETWORK), "gateway_ip": PUBLIC_GATEWAY}
        pool = {"allocation_pools": [{"start": str(PUBLIC_NETWORK[100]), "end": str(PUBLIC_NETWORK[120])}]}
        cloud.ask("/v2.0/subnets", "POST", {"subnet": {**subnet, **pool, "enable_dhcp": False}})
        hypervisors = [
            Hypervisor(
                host.name,
                lab.switch(host.name).database,
                ("ip", "netns", "exec", host.namespace),
                lab.layout.config.name,
            )
            for host in lab.layout.hosts
        ]
        outside = Outside(network_id, lab.namespace(INTERNET), PUBLIC_GATEWAY)
        with port_ground(
            lambda method, path, body: cloud.ask(path, method, body), hypervisors, limits, outside
        ) as made:
            yield made
