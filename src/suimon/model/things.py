"""The resources as the store keeps them: one frozen struct each, one row each.

Field names are the store's columns; `model.attributes` says for each how the API spells it, who may set and see it,
and how it is checked. Lists and mappings are kept whole in the row; what must be unique or found from the other side
(addresses, group membership) has an index table in the store besides. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from suimon.model.view import AddressPair, DhcpOption, FixedIp, Route


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
    external: bool = False
    mtu: int = 1450
    port_security: bool = True
    network_type: str = "vxlan"
    segment: int | None = None
    physnet: str | None = None
    qos_policy_id: str | None = None
    is_default: bool = False
    availability_zone_hints: tuple[str, ...] = ()
    dns_domain: str = ""


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
    subnetpool_id: str | None = None
    segment_id: str | None = None
    service_types: tuple[str, ...] = ()
    dns_publish_fixed_ip: bool = False


class AddressScope(Thing, frozen=True, kw_only=True):
    """Where every address means one thing: the subnet pools in it never overlap."""

    ip_version: int


class SubnetPool(Thing, frozen=True, kw_only=True):
    """Prefixes of one IP version that subnets are cut from. `default_quota` counts addresses, in IPv6 /64 prefixes."""

    ip_version: int
    prefixes: tuple[str, ...]
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None = None
    is_default: bool = False
    address_scope_id: str | None = None


class AddressGroup(Thing, frozen=True, kw_only=True):
    """A set of prefixes that security group rules may name."""

    addresses: tuple[str, ...] = ()


class AutoAllocatedTopology(msgspec.Struct, frozen=True, kw_only=True):
    """What was made for a project that asked for some network."""

    project_id: str
    network_id: str
    router_id: str


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
    extra_dhcp_opts: tuple[DhcpOption, ...] = ()
    dns_name: str = ""
    dns_domain: str = ""
    ip_allocation: str = "immediate"
    data_plane_status: str | None = None
    propagate_uplink_status: bool = True
    trusted: bool | None = None
    hints: dict[str, object] | None = None
    numa_affinity_policy: str | None = None
    device_profile: str | None = None
    hardware_offload_type: str | None = None
    infrastructure: bool = False
    """It is the cloud's own, as its `device_owner` says: the text alone means nothing, since a tenant may write it."""


class PortBinding(Thing, frozen=True, kw_only=True):
    """Another host that a port may move to: an inactive binding. The active one is in the port itself."""

    port_id: str
    host: str
    vnic_type: str = "normal"
    profile: dict[str, object] = {}


class VirtualAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The address `ip` of an unbound port is where the guest of the port `holder_id` said last that it is."""

    port_id: str
    ip: str
    holder_id: str
    mac: str
    claimed_at: datetime


class Trunk(Thing, frozen=True, kw_only=True):
    """A parent port that carries the networks of its subports, each under a VLAN id of its own."""

    port_id: str
    admin_state_up: bool = True
    status: str = "DOWN"


class Subport(msgspec.Struct, frozen=True, kw_only=True):
    """A port that is reached by way of a trunk; a port is in one trunk only."""

    port_id: str
    trunk_id: str
    segmentation_type: str
    segmentation_id: int


class NovaPort(msgspec.Struct, frozen=True, kw_only=True):
    """What Nova was told last of the port of an instance. `addresses` is a digest of all that an instance is shown."""

    port_id: str
    server_id: str
    host: str
    status: str
    addresses: str


class NovaPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Up to which revision of the change log Nova has been told; one row, `only`."""

    one: str = "only"
    revision: int


class SecurityGroup(Thing, frozen=True, kw_only=True):
    """What may pass to and from the ports that are in it. Each project has one default group.

    What a `stateful` group lets pass may be answered; in one that isn't, answers need rules of their own.
    """

    is_default: bool = False
    stateful: bool = True


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
    remote_address_group_id: str | None = None


class DefaultGroupRule(Thing, frozen=True, kw_only=True):
    """What new groups start with: a rule of each project's default group, of all others, or of both.

    The remote group `PARENT` is the new group itself.
    """

    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None
    used_in_default_sg: bool
    used_in_non_default_sg: bool


class Log(Thing, frozen=True, kw_only=True):
    """A wish to log what the security group `resource_id` does with packets of the port `target_id`; None: of all."""

    resource_type: str
    resource_id: str | None = None
    target_id: str | None = None
    event: str = "ALL"
    enabled: bool = True


class Router(Thing, frozen=True, kw_only=True):
    """Joins subnets: its interfaces are ports whose device it is, and so is its gateway port on an external network."""

    admin_state_up: bool = True
    gateway_network_id: str | None = None
    gateway_port_id: str | None = None
    enable_snat: bool = True
    routes: tuple[Route, ...] = ()
    ha: bool = False
    distributed: bool = False
    availability_zone_hints: tuple[str, ...] = ()
    flavor_id: str | None = None
    enable_ndp_proxy: bool = False
    gateway_qos_policy_id: str | None = None


class FloatingIp(Thing, frozen=True, kw_only=True):
    """An address on an external network, held by `floating_port_id`, that stands for one fixed IP of `port_id`."""

    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    port_id: str | None = None
    fixed_ip_address: str | None = None
    router_id: str | None = None
    status: str = "DOWN"
    qos_policy_id: str | None = None
    dns_name: str = ""
    dns_domain: str = ""
    holder_id: str | None = None
    """The port that holds the fixed IP, if that is virtual."""


class FloatingIpPool(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet outside that floating IPs may be taken from; `project_id` is the one that asks."""

    subnet_id: str
    subnet_name: str
    network_id: str
    cidr: str
    project_id: str


class PortForwarding(Thing, frozen=True, kw_only=True):
    """L4 ports of a floating IP that lead to those of one fixed IP of `internal_port_id`, as many, or all to one."""

    floatingip_id: str
    protocol: str
    external_first: int
    external_last: int
    internal_port_id: str
    internal_ip_address: str
    internal_first: int
    internal_last: int


class ConntrackHelper(Thing, frozen=True, kw_only=True):
    """A router's connections to this L4 port are looked into by a module of conntrack (`ftp`)."""

    router_id: str
    protocol: str
    l4_port: int
    module: str


class NdpProxy(Thing, frozen=True, kw_only=True):
    """A router answers outside for this IPv6 address of a port behind it."""

    router_id: str
    port_id: str
    ip_address: str


class LocalIp(Thing, frozen=True, kw_only=True):
    """An address that means, on each host, the associated port on that host. `local_port_id` holds it."""

    local_port_id: str
    network_id: str
    local_ip_address: str
    ip_mode: str = "translate"


class LocalIpAssociation(Thing, frozen=True, kw_only=True):
    """A port that a local IP means, by one of its fixed IPs."""

    local_ip_id: str
    fixed_port_id: str
    fixed_ip: str


class ServiceProfile(Thing, frozen=True, kw_only=True):
    """How a service is provided; what `driver` names is Neutron's."""

    driver: str = ""
    metainfo: str = ""
    enabled: bool = True


class Flavor(Thing, frozen=True, kw_only=True):
    """What tenants choose instead of a profile: the first of its profiles is taken."""

    service_type: str
    enabled: bool = True
    service_profiles: tuple[str, ...] = ()


class QosPolicy(Thing, frozen=True, kw_only=True):
    """A set of limits, marks, guarantees and blocks for the ports, networks, floating IPs or gateways that name it."""

    is_default: bool = False


class BandwidthLimitRule(Thing, frozen=True, kw_only=True):
    """A rate; at most one for each direction of a policy."""

    policy_id: str
    max_kbps: int
    max_burst_kbps: int = 0
    direction: str = "egress"


class PacketRateLimitRule(Thing, frozen=True, kw_only=True):
    """A rate in thousands of packets a second; at most one for each direction of a policy."""

    policy_id: str
    max_kpps: int
    max_burst_kpps: int = 0
    direction: str = "egress"


class DscpMarkingRule(Thing, frozen=True, kw_only=True):
    """What is written into the DSCP field (RFC 2474) of what a port sends; at most one in a policy."""

    policy_id: str
    dscp_mark: int


class MinimumBandwidthRule(Thing, frozen=True, kw_only=True):
    """A rate that a port should be able to count on; at most one for each direction of a policy."""

    policy_id: str
    min_kbps: int
    direction: str = "egress"


class MinimumPacketRateRule(Thing, frozen=True, kw_only=True):
    """The same in thousands of packets a second; either for each direction, or one for `any`."""

    policy_id: str
    min_kpps: int
    direction: str = "egress"


class PortBlockRule(Thing, frozen=True, kw_only=True):
    """L4 ports that nothing may be sent to."""

    policy_id: str
    direction: str = "egress"
    protocol: str
    port_range_min: int
    port_range_max: int
    remote_ip_prefix: str | None = None


class MeteringLabel(Thing, frozen=True, kw_only=True):
    """A name under which traffic is counted."""

    shared: bool = False


class MeteringLabelRule(Thing, frozen=True, kw_only=True):
    """Which traffic counts under a label, or, `excluded`, doesn't."""

    metering_label_id: str
    direction: str
    excluded: bool = False
    remote_ip_prefix: str | None = None
    source_ip_prefix: str | None = None
    destination_ip_prefix: str | None = None


class NetworkSegment(Thing, frozen=True, kw_only=True):
    """The one segment of a network; there is a row when somebody named or described it."""

    network_id: str
    network_type: str = ""
    physnet: str | None = None
    segment: int | None = None


class ServiceProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Who does a kind of service; Suimon does it itself."""

    service_type: str
    name: str
    default: bool = True


class AvailabilityZone(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which networks or routers may ask to be placed; the installation is one."""

    name: str
    resource: str
    state: str = "available"


class NetworkIpAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """How many addresses of a network's allocation pools there are, and how many ports have."""

    network_id: str
    network_name: str
    project_id: str
    total_ips: int
    used_ips: int
    subnets: tuple[dict[str, object], ...] = ()

    @property
    def id(self) -> str:
        return self.network_id


class NetworkSegmentRange(Thing, frozen=True, kw_only=True):
    """Segment ids set aside by an operator: for one project, or, `shared`, for all."""

    shared: bool = True
    network_type: str
    physnet: str = ""
    minimum: int
    maximum: int


class Agent(Thing, frozen=True, kw_only=True):
    """One of the agents that Neutron's API knows a hypervisor by; `id` follows from the host's name and the type.

    There is a row when an operator said something of it; `unserved` are the ids of routers or networks that he took
    away from it.
    """

    host: str
    agent_type: str
    admin_state_up: bool = True
    unserved: tuple[str, ...] = ()


class RbacPolicy(Thing, frozen=True, kw_only=True):
    """Lets a project (`*`: all of them) do `action` with somebody else's object: `access_as_shared`, or, for a network,
    `access_as_external`.
    """

    object_type: str
    object_id: str
    action: str
    target_project: str


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How much a project has of something, and the most that it may have; None is the installation's default."""

    project_id: str
    resource: str
    used: int = 0
    most: int | None = None


class Restriction(Thing, frozen=True, kw_only=True):
    """What an operator, or a rule of his, takes from a target for a while, whatever the tenant's own rules allow.

    `project_id` is whom it binds: the target's project, empty of an outside address. `target` is an id, or an address.
    A direction is None when both are meant. `allowed` are the addresses that a quarantine leaves. Of a `rule`, `author`
    is the rule's name. It stays when it is over, as what was done; `state` says how it ended.
    """

    kind: str
    target_kind: str
    target: str
    direction: str | None = None
    rate_kbps: int | None = None
    rate_kpps: int | None = None
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    allowed: tuple[str, ...] = ()
    reason: str
    finding_id: str = ""
    evidence: tuple[str, ...] = ()
    author: str = ""
    author_kind: str = "person"
    expires_at: datetime | None = None
    state: str = "active"
    released_at: datetime | None = None
    released_by: str = ""
    release_reason: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A hypervisor that joined.

    `credential_hash` is what is kept of its credential. `accepted_epoch` is the store's epoch in which an operator
    accepted a snapshot that the host held back, until the host acknowledged it; otherwise 0. `seen_at` is when some
    controller last heard of it, give or take half a minute. A `drained` host is being taken out of service. Of a
    `silent` one nothing was heard for a while: others stand by for what it does for others.
    """

    name: str
    tunnel_ip: str | None
    physnets: tuple[str, ...] = ()
    credential_hash: str = ""
    schema: int = 1
    joined_at: datetime
    accepted_epoch: int = 0
    seen_at: datetime | None = None
    drained: bool = False
    silent: bool = False


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """A collector of flow records that joined: it is told of all ports, and asked at `url` by who shows `key`."""

    name: str
    url: str
    key: str
    credential_hash: str
    joined_at: datetime
    heard_at: datetime | None = None
    """When it asked where ports are for the last time, to half a minute; None: not yet."""


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """Lets one hypervisor join, once: its row is gone afterwards. `id` is the token's SHA-256, never the token itself.

    With `host` it is good for that name only, also for a host that has joined before; without, for any new name. With
    `collector/<name>`, which no host is called, it lets that collector of flow records join.
    """

    id: str
    host: str = ""
    expires_at: datetime
