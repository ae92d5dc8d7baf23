"""Every table: one for each kind of struct, the indexes that make things unique or found from the other side, the
change log.

A new resource is one `_keep(…)` here and a migration; a test holds the migrations equal to this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

from suimon.model import fact_history, fact_tables, host_events, identity, incidents, policies, things
from suimon.store.columns import Codec

T = TypeVar("T", bound=msgspec.Struct)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Kept(NamedTuple, Generic[T]):
    """How one type of struct is kept."""

    codec: Codec[T]
    table: Table
    key: tuple[str, ...]


KEPT: dict[type[msgspec.Struct], Kept[Any]] = {}
"""Struct type → its table."""


def _keep(
    type_: type[msgspec.Struct],
    name: str,
    *indexes: Index,
    key: Sequence[str] = ("id",),
    foreign: dict[str, ForeignKey] | None = None,
) -> Table:
    codec = Codec(type_)
    table = Table(name, METADATA, *codec.columns(key, foreign or {}), *indexes)
    KEPT[type_] = Kept(codec, table, tuple(key))
    return table


def _to(column: str, on_delete: str | None = None) -> ForeignKey:
    return ForeignKey(column, ondelete=on_delete)


def _some(name: str, condition: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


def _unique_when(name: str, condition: str, *columns: str) -> Index:
    return Index(name, *columns, unique=True, sqlite_where=text(condition), postgresql_where=text(condition))


QOS_POLICIES = _keep(things.QosPolicy, "qos_policies", Index(None, "project_id"))
BANDWIDTH_LIMIT_RULES = _keep(
    things.BandwidthLimitRule,
    "bandwidth_limit_rules",
    Index(None, "policy_id", "direction", unique=True),
    foreign={"policy_id": _to("qos_policies.id")},
)
PACKET_RATE_LIMIT_RULES = _keep(
    things.PacketRateLimitRule,
    "packet_rate_limit_rules",
    Index(None, "policy_id", "direction", unique=True),
    foreign={"policy_id": _to("qos_policies.id")},
)
DSCP_MARKING_RULES = _keep(
    things.DscpMarkingRule,
    "dscp_marking_rules",
    Index(None, "policy_id", unique=True),
    foreign={"policy_id": _to("qos_policies.id")},
)
MINIMUM_BANDWIDTH_RULES = _keep(
    things.MinimumBandwidthRule,
    "minimum_bandwidth_rules",
    Index(None, "policy_id", "direction", unique=True),
    foreign={"policy_id": _to("qos_policies.id")},
)
MINIMUM_PACKET_RATE_RULES = _keep(
    things.MinimumPacketRateRule,
    "minimum_packet_rate_rules",
    Index(None, "policy_id", "direction", unique=True),
    foreign={"policy_id": _to("qos_policies.id")},
)
PORT_BLOCK_RULES = _keep(
    things.PortBlockRule, "port_block_rules", Index(None, "policy_id"), foreign={"policy_id": _to("qos_policies.id")}
)
NETWORKS = _keep(
    things.Network,
    "networks",
    Index(None, "project_id"),
    Index(None, "qos_policy_id"),
    _unique_when("uq_networks_vni", "network_type = 'vxlan'", "segment"),
    _unique_when("uq_networks_gre", "network_type = 'gre'", "segment"),
    _unique_when("uq_networks_geneve", "network_type = 'geneve'", "segment"),
    _unique_when("uq_networks_vlan", "network_type = 'vlan'", "physnet", "segment"),
    _unique_when("uq_networks_flat", "network_type = 'flat'", "physnet"),
    _unique_when("uq_networks_default", "is_default", "is_default"),
    foreign={"qos_policy_id": _to("qos_policies.id")},
)
ADDRESS_SCOPES = _keep(things.AddressScope, "address_scopes", Index(None, "project_id"))
SUBNET_POOLS = _keep(
    things.SubnetPool,
    "subnet_pools",
    Index(None, "project_id"),
    Index(None, "address_scope_id"),
    _unique_when("uq_subnet_pools_default", "is_default", "ip_version"),
    foreign={"address_scope_id": _to("address_scopes.id")},
)
SUBNETS = _keep(
    things.Subnet,
    "subnets",
    Index(None, "network_id"),
    Index(None, "project_id"),
    Index(None, "subnetpool_id"),
    foreign={"network_id": _to("networks.id"), "subnetpool_id": _to("subnet_pools.id")},
)
PORTS = _keep(
    things.Port,
    "ports",
    Index(None, "network_id", "mac_address", unique=True),
    Index(None, "project_id"),
    Index(None, "binding_host"),
    Index(None, "device_id"),
    Index(None, "qos_policy_id"),
    _some("ix_ports_router_legs", "device_owner = 'network:router_interface'", "network_id"),
    foreign={"network_id": _to("networks.id"), "qos_policy_id": _to("qos_policies.id")},
)
PORT_BINDINGS = _keep(
    things.PortBinding,
    "port_bindings",
    Index(None, "port_id", "host", unique=True),
    foreign={"port_id": _to("ports.id", "CASCADE")},
)
VIRTUAL_ADDRESSES = _keep(
    things.VirtualAddress,
    "virtual_addresses",
    Index(None, "holder_id"),
    key=("port_id", "ip"),
    foreign={"port_id": _to("ports.id"), "holder_id": _to("ports.id")},
)
TRUNKS = _keep(
    things.Trunk,
    "trunks",
    Index(None, "project_id"),
    Index(None, "port_id", unique=True),
    foreign={"port_id": _to("ports.id")},
)
SUBPORTS = _keep(
    things.Subport,
    "subports",
    Index(None, "trunk_id", "segmentation_type", "segmentation_id", unique=True),
    key=("port_id",),
    foreign={"port_id": _to("ports.id"), "trunk_id": _to("trunks.id", "CASCADE")},
)
NOVA_PORTS = _keep(things.NovaPort, "nova_ports", key=("port_id",))
NOVA_POSITION = _keep(things.NovaPosition, "nova_position", key=("one",))
SECURITY_GROUPS = _keep(
    things.SecurityGroup,
    "security_groups",
    Index(None, "project_id"),
    _unique_when("uq_security_groups_default", "is_default", "project_id"),
)
SECURITY_GROUP_RULES = _keep(
    things.SecurityGroupRule,
    "security_group_rules",
    Index(None, "security_group_id"),
    Index(None, "remote_group_id"),
    Index(None, "remote_address_group_id"),
    Index(None, "project_id"),
    foreign={
        "security_group_id": _to("security_groups.id"),
        "remote_group_id": _to("security_groups.id"),
        "remote_address_group_id": _to("address_groups.id"),
    },
)
DEFAULT_GROUP_RULES = _keep(
    things.DefaultGroupRule,
    "default_group_rules",
    Index(None, "remote_address_group_id"),
    foreign={"remote_address_group_id": _to("address_groups.id", "CASCADE")},
)
LOGS = _keep(
    things.Log,
    "logs",
    Index(None, "project_id"),
    Index(None, "resource_id"),
    Index(None, "target_id"),
    foreign={"resource_id": _to("security_groups.id", "CASCADE"), "target_id": _to("ports.id", "CASCADE")},
)
SERVICE_PROFILES = _keep(things.ServiceProfile, "service_profiles")
FLAVORS = _keep(things.Flavor, "flavors")
ROUTERS = _keep(
    things.Router,
    "routers",
    Index(None, "project_id"),
    Index(None, "gateway_network_id"),
    Index(None, "flavor_id"),
    Index(None, "gateway_qos_policy_id"),
    foreign={"flavor_id": _to("flavors.id"), "gateway_qos_policy_id": _to("qos_policies.id")},
)
CONNTRACK_HELPERS = _keep(
    things.ConntrackHelper,
    "conntrack_helpers",
    Index(None, "router_id", "protocol", "l4_port", "module", unique=True),
    foreign={"router_id": _to("routers.id")},
)
NDP_PROXIES = _keep(
    things.NdpProxy,
    "ndp_proxies",
    Index(None, "project_id"),
    Index(None, "router_id"),
    Index(None, "port_id"),
    foreign={"router_id": _to("routers.id"), "port_id": _to("ports.id")},
)
LOCAL_IPS = _keep(
    things.LocalIp,
    "local_ips",
    Index(None, "project_id"),
    Index(None, "local_port_id"),
    foreign={"local_port_id": _to("ports.id"), "network_id": _to("networks.id")},
)
LOCAL_IP_ASSOCIATIONS = _keep(
    things.LocalIpAssociation,
    "local_ip_associations",
    Index(None, "local_ip_id", "fixed_port_id", unique=True),
    Index(None, "fixed_port_id"),
    foreign={"local_ip_id": _to("local_ips.id"), "fixed_port_id": _to("ports.id")},
)
FLOATING_IPS = _keep(
    things.FloatingIp,
    "floating_ips",
    Index(None, "project_id"),
    Index(None, "router_id"),
    Index(None, "floating_port_id"),
    Index(None, "port_id", "fixed_ip_address", "floating_network_id", unique=True),
    Index(None, "holder_id"),
    Index(None, "qos_policy_id"),
    foreign={
        "floating_network_id": _to("networks.id"),
        "port_id": _to("ports.id"),
        "router_id": _to("routers.id"),
        "qos_policy_id": _to("qos_policies.id"),
    },
)
PORT_FORWARDINGS = _keep(
    things.PortForwarding,
    "port_forwardings",
    Index(None, "floatingip_id", "protocol", "external_first", unique=True),
    Index(
        "ix_port_forwardings_internal",
        "internal_port_id",
        "protocol",
        "internal_ip_address",
        "internal_first",
        unique=True,
    ),
    foreign={"floatingip_id": _to("floating_ips.id"), "internal_port_id": _to("ports.id")},
)
ADDRESS_GROUPS = _keep(things.AddressGroup, "address_groups", Index(None, "project_id"))
AUTO_ALLOCATED_TOPOLOGIES = _keep(
    things.AutoAllocatedTopology,
    "auto_allocated_topologies",
    Index(None, "network_id"),
    Index(None, "router_id"),
    key=("project_id",),
    foreign={"network_id": _to("networks.id", "CASCADE"), "router_id": _to("routers.id", "CASCADE")},
)
METERING_LABELS = _keep(things.MeteringLabel, "metering_labels", Index(None, "project_id"))
METERING_LABEL_RULES = _keep(
    things.MeteringLabelRule,
    "metering_label_rules",
    Index(None, "metering_label_id"),
    Index(None, "project_id"),
    foreign={"metering_label_id": _to("metering_labels.id")},
)
NETWORK_SEGMENTS = _keep(
    things.NetworkSegment,
    "network_segments",
    Index(None, "network_id", unique=True),
    foreign={"network_id": _to("networks.id", "CASCADE")},
)
NETWORK_SEGMENT_RANGES = _keep(things.NetworkSegmentRange, "network_segment_ranges", Index(None, "network_type"))
AGENTS = _keep(things.Agent, "agents", Index(None, "host"))
RBAC_POLICIES = _keep(
    things.RbacPolicy,
    "rbac_policies",
    Index(None, "object_id", "action", "target_project", unique=True),
    Index(None, "target_project", "object_type", "action"),
    Index(None, "project_id"),
)
RESTRICTIONS = _keep(
    things.Restriction,
    "restrictions",
    Index(None, "project_id"),
    Index(None, "target"),
    Index(None, "state", "expires_at"),
    Index(None, "created_at"),
)
QUOTAS = _keep(things.Quota, "quotas", key=("project_id", "resource"))
HOSTS = _keep(things.Host, "hosts", Index(None, "credential_hash"), key=("name",))
HOST_EVENTS = _keep(
    host_events.HostEvent, "host_events", Index(None, "host", "at"), Index(None, "at"), key=("host", "id")
)
COLLECTORS = _keep(things.Collector, "collectors", Index(None, "credential_hash"), key=("name",))
JOIN_TOKENS = _keep(things.JoinToken, "join_tokens", Index(None, "expires_at"))

PROJECTS = _keep(identity.Project, "projects", Index(None, "name", unique=True))
USERS = _keep(identity.User, "users", Index(None, "name", unique=True))
ROLES = _keep(identity.Role, "roles", Index(None, "name", unique=True))
ROLE_ASSIGNMENTS = _keep(
    identity.RoleAssignment,
    "role_assignments",
    Index(None, "project_id"),
    Index(None, "role_id"),
    key=("user_id", "project_id", "role_id"),
)
APPLICATION_CREDENTIALS = _keep(
    identity.ApplicationCredential,
    "application_credentials",
    Index(None, "user_id", "name", unique=True),
    Index(None, "project_id"),
)
TOKENS = _keep(
    identity.Token,
    "tokens",
    Index(None, "user_id"),
    Index(None, "project_id"),
    Index(None, "expires_at"),
    Index(None, "credential_id"),
)

FINDINGS = _keep(
    incidents.NotedFinding, "findings", Index(None, "noted_at"), Index(None, "seen_at"), Index(None, "project_id")
)
INCIDENTS = _keep(
    incidents.Incident,
    "incidents",
    Index(None, "state"),
    Index(None, "opened_at"),
    Index(None, "acted_at"),
    Index(None, "done_at"),
    Index(None, "rule", "subject_id"),
    Index(None, "project_id"),
    Index(None, "restriction_id"),
)
INCIDENT_ENTRIES = _keep(
    incidents.Entry,
    "incident_entries",
    Index(None, "at"),
    key=("incident_id", "number"),
    foreign={"incident_id": _to("incidents.id")},
)
KEPT_REPORTS = _keep(incidents.KeptReport, "kept_reports", key=("month",))
BREAKERS = _keep(incidents.Breaker, "breakers", key=("one",))
RULEBOOKS = _keep(incidents.RulebookVersion, "rulebooks", key=("version",))
SUBSCRIBERS = _keep(incidents.Subscriber, "subscribers", Index(None, "project_id"))
DELIVERIES = _keep(
    incidents.Delivery,
    "deliveries",
    Index(None, "next_at"),
    Index(None, "made_at"),
    foreign={"subscriber_id": _to("subscribers.id", "CASCADE")},
)

POLICIES = _keep(policies.Policy, "policies", Index(None, "project_id", "name", unique=True))
CLAUSES = _keep(
    policies.Clause,
    "clauses",
    Index(None, "policy_id"),
    foreign={"policy_id": _to("policies.id")},
)
LIBRARY_POLICIES = _keep(policies.LibraryPolicy, "library_policies", Index(None, "name", unique=True))
POLICY_CHANGES = _keep(policies.PolicyChange, "policy_changes", Index(None, "at"), Index(None, "project_id"))
VIOLATIONS = _keep(
    policies.Violation,
    "violations",
    Index(None, "digest"),
    Index(None, "appeared_at"),
    Index(None, "vanished_at"),
    Index(None, "project_id"),
)
CALLS = _keep(
    policies.Called,
    "calls",
    Index(None, "digest"),
    Index(None, "appeared_at"),
    Index(None, "vanished_at"),
    Index(None, "project_id"),
)
EVALUATIONS = _keep(policies.Evaluation, "evaluations", Index(None, "at"), key=("project_id", "number"))
TALLIES = _keep(policies.Tally, "tallies", key=("policy_id",), foreign={"policy_id": _to("policies.id", "CASCADE")})

FACT_SOURCES = _keep(fact_tables.FactSource, "fact_sources", key=("name",))
FACT_TABLES = _keep(fact_tables.FactTable, "fact_tables", Index(None, "source"))
FACT_ROWS = _keep(fact_tables.FactRows, "fact_rows", foreign={"id": _to("fact_tables.id")})
FACT_VERSIONS = _keep(
    fact_history.FactVersion,
    "fact_versions",
    Index(None, "revision"),
    Index(None, "until_revision"),
    key=("kind", "id", "revision"),
)
FACT_MOMENTS = _keep(fact_history.Moment, "fact_moments", Index(None, "at"), key=("revision",))

IP_ALLOCATIONS = Table(
    "ip_allocations",
    METADATA,
    Column("subnet_id", Text, _to("subnets.id"), primary_key=True),
    Column("ip", Text, primary_key=True, comment="hexadecimal digits of fixed width, so that they can be compared"),
    Column("port_id", Text, _to("ports.id", "CASCADE"), nullable=False),
    Index(None, "port_id"),
)
"""Which port has which address: the constraint that no address is given twice."""
IP_FREE = Table(
    "ip_free",
    METADATA,
    Column("subnet_id", Text, _to("subnets.id", "CASCADE"), primary_key=True),
    Column("first", Text, primary_key=True),
    Column("last", Text, nullable=False),
)
"""The addresses of the allocation pools that nobody has, as inclusive ranges that never touch one another."""
PORT_SECURITY_GROUPS = Table(
    "port_security_groups",
    METADATA,
    Column("port_id", Text, _to("ports.id", "CASCADE"), primary_key=True),
    Column("group_id", Text, _to("security_groups.id"), primary_key=True),
    Index(None, "group_id"),
)
"""A port's groups, found from the group's side."""
CHANGES = Table(
    "changes",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Index(None, "id", "revision"),
)
"""The change log: look again at (kind, id) for those who hold scope. What brought a thing is found by its id."""
HOST_STATES = Table(
    "host_states",
    METADATA,
    Column("host", Text, _to("hosts.name", "CASCADE"), primary_key=True),
    Column("state", Text, nullable=False, comment="JSON, as the controller that heard it last has it"),
)
"""How each host is, for the controllers that it doesn't speak to."""
PLUGS = Table(
    "plugs",
    METADATA,
    Column("port_id", Text, _to("ports.id", "CASCADE"), primary_key=True),
    Column("host", Text, nullable=False),
    Column("ifindex", BigInteger, nullable=False),
    Column("exporter", Text, nullable=False),
)
"""How a host's flow records name the interface of a port (`view.Exported`); no row where none are exported."""
LEASES = Table(
    "leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
)
"""What only one controller does at a time, and which one until when (`store.leases`)."""
META = Table(
    "meta",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("store", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
"""One row: which store this is."""
