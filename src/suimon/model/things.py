"""The resources as the store keeps them: one frozen struct each, one row each.

Field names are the store's columns; `model.attributes` says for each how the API spells it, who may set and see it,
and how it is checked. Lists and mappings are kept whole in the row; what must be unique or found from the other side
(addresses, group membership) has an index table in the store besides. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from suimon.model.view import AddressPair, FixedIp, Route


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """What every resource has (Neutron's standard attributes)."""

    id: str
    project_id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    revision_number: int = 0
    created_at: datetime
    updated_at: datetime


class Network(Thing, frozen=True, kw_only=True):
    """An Ethernet of its own. `segment` is the VNI or the VLAN id; `vlan` and `flat` ones are on a `physnet`."""

    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    mtu: int = 1450
    port_security: bool = True
    network_type: str = "vxlan"
    segment: int | None = None
    physnet: str | None = None
    qos_policy_id: str | None = None


class Pool(msgspec.Struct, frozen=True):
    """An inclusive range of addresses."""

    start: str
    end: str


class Subnet(Thing, frozen=True, kw_only=True):
    """A range of addresses on a network; `allocation_pools` are where ports get theirs from."""

    network_id: str
    ip_version: int = 4
    cidr: str
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    allocation_pools: tuple[Pool, ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[Route, ...] = ()
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None


class Port(Thing, frozen=True, kw_only=True):
    """An attachment to a network. `status` is what its host reported last, `status_reason` why it is `DOWN`."""

    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...] = ()
    admin_state_up: bool = True
    status: str = "DOWN"
    status_reason: str = ""
    device_id: str = ""
    device_owner: str = ""
    security_groups: tuple[str, ...] = ()
    port_security: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    binding_host: str = ""
    binding_vnic_type: str = "normal"
    binding_profile: dict[str, object] = {}
    qos_policy_id: str | None = None


class SecurityGroup(Thing, frozen=True, kw_only=True):
    """What may pass to and from the ports that are in it. Each project has one default group."""

    is_default: bool = False


class SecurityGroupRule(Thing, frozen=True, kw_only=True):
    """One thing that is allowed; for ICMP the port range is type and code."""

    security_group_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None


class Router(Thing, frozen=True, kw_only=True):
    """Joins subnets: its interfaces are ports whose device it is, and so is its gateway port on an external network."""

    admin_state_up: bool = True
    gateway_network_id: str | None = None
    gateway_port_id: str | None = None
    enable_snat: bool = True
    routes: tuple[Route, ...] = ()


class FloatingIp(Thing, frozen=True, kw_only=True):
    """An address on an external network, held by `floating_port_id`, that stands for one fixed IP of `port_id`."""

    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    port_id: str | None = None
    fixed_ip_address: str | None = None
    router_id: str | None = None
    status: str = "DOWN"


class QosPolicy(Thing, frozen=True, kw_only=True):
    """A set of limits and blocks for the ports, or the networks, that name it."""

    shared: bool = False
    is_default: bool = False


class BandwidthLimitRule(Thing, frozen=True, kw_only=True):
    """A rate; at most one for each direction of a policy."""

    policy_id: str
    max_kbps: int
    max_burst_kbps: int = 0
    direction: str = "egress"


class PortBlockRule(Thing, frozen=True, kw_only=True):
    """L4 ports that nothing may be sent to."""

    policy_id: str
    direction: str = "egress"
    protocol: str
    port_range_min: int
    port_range_max: int
    remote_ip_prefix: str | None = None


class RbacPolicy(Thing, frozen=True, kw_only=True):
    """Lets a project (`*`: all of them) do `action` with somebody else's object: `access_as_shared`, or, for a network,
    `access_as_external`.
    """

    object_type: str
    object_id: str
    action: str
    target_project: str


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A hypervisor that joined.

    `credential_hash` is what is kept of its credential. `accepted_epoch` is the store's epoch in which an operator
    accepted a snapshot that the host held back, until the host acknowledged it; otherwise 0.
    """

    name: str
    tunnel_ip: str | None
    physnets: tuple[str, ...] = ()
    credential_hash: str = ""
    schema: int = 1
    joined_at: datetime
    accepted_epoch: int = 0


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """Lets one hypervisor join, once: its row is gone afterwards. `id` is the token's SHA-256, never the token itself.

    With `host` it is good for that name only, also for a host that has joined before; without, for any new name.
    """

    id: str
    host: str = ""
    expires_at: datetime
