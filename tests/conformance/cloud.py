"""What the tests expect a cloud to have before they start, made as an operator would, and their tempest.conf."""

from __future__ import annotations

import re
from configparser import RawConfigParser
from pathlib import Path
from typing import Any, Final

import openstack
from openstack.connection import Connection

from tests.api.controller import Controller
from tests.conformance.controllers import PHYSICAL_NETWORK
from tests.conformance.hypervisors import join

HYPERVISORS: Final = {"hv1": "192.0.2.1", "hv2": "192.0.2.2"}
ROLES: Final = ("admin", "manager", "member", "reader", "service")
_PUBLIC: Final = {4: "172.24.4.0/24", 6: "2001:db8:ffff::/64"}
_POOLS: Final = {4: ("10.200.0.0/16", 26), 6: ("fd20::/48", 64)}


def prepare(controller: Controller, folder: Path) -> None:
    """Makes hypervisors, roles, the way outside and default pools, and `folder`/etc/tempest.conf, which names them."""
    for name, tunnel_ip in HYPERVISORS.items():
        join(controller, name, tunnel_ip)
    config = openstack.config.OpenStackConfig(config_files=[str(controller.state / "clouds.yaml")])
    cloud = Connection(config=config.get_one("suimon"))
    present = {role.name for role in cloud.identity.roles()}
    for name in ROLES:
        if name not in present:
            cloud.identity.create_role(name=name)
    extensions = sorted(extension.alias for extension in cloud.network.extensions())
    outside = cloud.network.create_network(name="public", is_router_external=True)
    for version, cidr in _PUBLIC.items():
        cloud.network.create_subnet(
            network_id=outside.id, name=f"public-v{version}", ip_version=version, cidr=cidr, is_dhcp_enabled=False
        )
    if "auto-allocated-topology" in extensions:
        cloud.network.update_network(outside, is_default=True)
        for version, (prefix, length) in _POOLS.items():
            cloud.network.create_subnet_pool(
                name=f"default-v{version}", prefixes=[prefix], default_prefixlen=length, is_default=True, shared=True
            )
    conf = RawConfigParser()
    conf.read_dict(_options(controller, folder, outside, extensions))
    (folder / "etc").mkdir()
    with (folder / "etc" / "tempest.conf").open("w") as file:
        conf.write(file)


def _options(controller: Controller, folder: Path, outside: Any, extensions: list[str]) -> dict[str, dict[str, object]]:
    return {
        "DEFAULT": {"log_dir": folder, "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": folder / "lock"},
        "auth": {
            "use_dynamic_credentials": True,
            "create_isolated_networks": False,
            "tempest_roles": "member",
            "default_credentials_domain_name": "Default",
            "admin_username": "admin",
            "admin_password": _password(controller),
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "admin_user_domain_name": "Default",
            "admin_project_domain_name": "Default",
        },
        "identity": {
            "uri_v3": f"{controller.url}/identity/v3",
            "auth_version": "v3",
            "region": "RegionOne",
            "v3_endpoint_type": "public",
        },
        "network": {
            "public_network_id": outside.id,
            "floating_network_name": outside.name,
            "endpoint_type": "public",
            "region": "RegionOne",
            "project_network_cidr": "10.100.0.0/16",
            "project_network_mask_bits": 26,
            "project_network_v6_cidr": "2001:db8::/48",
            "project_network_v6_mask_bits": 64,
            "build_timeout": 30,
            "build_interval": 1,
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(extensions),
            "ipv6": True,
            "ipv6_subnet_attributes": True,
            "floating_ips": True,
            "port_security": "port-security" in extensions,
        },
        "service_available": {
            "neutron": True,
            **dict.fromkeys(("nova", "glance", "cinder", "swift", "horizon"), False),
        },
        "enforce_scope": {"neutron": True},
        "neutron_plugin_options": {
            "available_type_drivers": "flat,vlan,vxlan,gre,geneve,local",
            "provider_vlans": PHYSICAL_NETWORK,
            "agent_availability_zone": "nova",
            "create_shared_resources": True,
            "max_networks_per_project": 10,
        },
    }


def _password(controller: Controller) -> str:
    found = re.search(r'password: "(.*)"', (controller.state / "clouds.yaml").read_text())
    assert found
    return found[1]
