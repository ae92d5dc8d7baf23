"""What an instance is told about itself where no Nova knows better: the documents that cloud-init reads.

Paths and formats are those of OpenStack's metadata service (docs.openstack.org/nova, "Metadata service") and of the
Amazon EC2 one that it speaks besides. All of it follows from the view; pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final

import msgspec

from suimon.agent.services.names import unnamed
from suimon.model.view import FixedIp, Network, Port, Subnet

OPENSTACK_VERSIONS: Final = ("2012-08-10", "2013-10-17", "2015-10-15", "2016-10-06", "2018-08-27", "latest")
EC2_VERSIONS: Final = ("1.0", "2009-04-04", "latest")
Tree = Mapping[str, Any]
"""Folders (mappings) and documents (bytes)."""


class Facts(msgspec.Struct, frozen=True):
    """What is known: the instance's ports here (the one that asks first), and what they are on."""

    ports: tuple[Port, ...]
    networks: Mapping[str, Network]
    subnets: Mapping[str, Subnet]
    public_ips: tuple[str, ...] = ()

    @property
    def port(self) -> Port:
        return self.ports[0]

    @property
    def hostname(self) -> str:
        ips = [fixed.ip for fixed in self.port.fixed_ips]
        return self.port.dns_name.strip(".") or (unnamed(ips[0]) if ips else f"host-{self.port.id[:8]}")

    @property
    def instance_id(self) -> str:
        return self.port.device_id or self.port.id


def document(facts: Facts, path: str) -> bytes | None:
    """What stands at `path`; for a folder the names in it, a line each. None if there is nothing."""
    found: Any = _tree(facts)
    for name in filter(None, path.split("/")):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return _listing(found) if isinstance(found, Mapping) else bytes(found)


def network_data(facts: Facts) -> dict[str, Any]:
    """`network_data.json`: every port as a link, every address as a network on it."""
    networks = [each for port in facts.ports for each in _networks(facts, port)]
    servers = dict.fromkeys(service["address"] for network in networks for service in network["services"])
    return {
        "links": [_link(facts, port) for port in facts.ports],
        "networks": networks,
        "services": [{"type": "dns", "address": address} for address in servers],
    }


def _listing(folder: Tree) -> bytes:
    return "\n".join(f"{name}/" if isinstance(each, Mapping) else name for name, each in folder.items()).encode()


def _tree(facts: Facts) -> Tree:
    openstack = {
        "meta_data.json": msgspec.json.encode(_meta_data(facts)),
        "network_data.json": msgspec.json.encode(network_data(facts)),
        "vendor_data.json": b"{}",
        "vendor_data2.json": b"{}",
    }
    ec2 = {"meta-data": _ec2(facts)}
    return {**dict.fromkeys(EC2_VERSIONS, ec2), "openstack": dict.fromkeys(OPENSTACK_VERSIONS, openstack)}


def _meta_data(facts: Facts) -> dict[str, Any]:
    domain = _domain(facts)
    return {
        "uuid": facts.instance_id,
        "name": facts.port.name or facts.hostname,
        "hostname": f"{facts.hostname}.{domain}" if domain else facts.hostname,
        "project_id": facts.port.project_id,
        "launch_index": 0,
        "meta": {},
        "devices": [],
    }


def _ec2(facts: Facts) -> Tree:
    local = next((fixed.ip for fixed in facts.port.fixed_ips if ":" not in fixed.ip), "")
    told = {
        "instance-id": facts.instance_id,
        "hostname": facts.hostname,
        "local-hostname": facts.hostname,
        "local-ipv4": local,
        "mac": facts.port.mac,
        "public-ipv4": facts.public_ips[0] if facts.public_ips else "",
        "ami-id": "none",
        "ami-launch-index": "0",
    }
    return {name: text.encode() for name, text in told.items()}


def _domain(facts: Facts) -> str:
    network = facts.networks.get(facts.port.network_id)
    return network.dns_domain.strip(".") if network else ""


def _link(facts: Facts, port: Port) -> dict[str, Any]:
    network = facts.networks.get(port.network_id)
    mtu = network.mtu if network else None
    return {"id": _link_id(port), "vif_id": port.id, "type": "ovs", "mtu": mtu, "ethernet_mac_address": port.mac}


def _networks(facts: Facts, port: Port) -> Iterator[dict[str, Any]]:
    for number, fixed in enumerate(port.fixed_ips):
        subnet = facts.subnets.get(fixed.subnet_id)
        if subnet is not None:
            yield {"id": f"{_link_id(port)}-{number}", "link": _link_id(port), **_network(port, fixed, subnet)}


def _network(port: Port, fixed: FixedIp, subnet: Subnet) -> dict[str, Any]:
    """An address by DHCP is left to DHCP; any other is told here, for there is nobody else to tell it."""
    cidr = ip_network(subnet.cidr)
    servers = [{"type": "dns", "address": address} for address in subnet.dns]
    family = f"ipv{cidr.version}"
    told = {"network_id": port.network_id, "services": servers}
    if subnet.dhcp and cidr.version == 4:
        return {"type": "ipv4_dhcp", **told, "routes": []}
    routes = [(route.destination, route.nexthop) for route in subnet.routes]
    if subnet.gateway_ip:
        routes.insert(0, ("0.0.0.0/0" if cidr.version == 4 else "::/0", subnet.gateway_ip))
    address = {"ip_address": fixed.ip, "netmask": str(cidr.netmask)}
    return {"type": family, **address, **told, "routes": [_route(*route) for route in routes]}


def _route(destination: str, nexthop: str) -> dict[str, str]:
    cidr = ip_network(destination, strict=False)
    return {"network": str(cidr.network_address), "netmask": str(cidr.netmask), "gateway": nexthop}


def _link_id(port: Port) -> str:
    return f"tap{port.id[:11]}"
