"""Every table: one for each kind of struct, the indexes that make things unique or found from the other side, the
change log.

A new resource is one `_keep(…)` here and a migration; a test holds the migrations equal to this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

from suimon.model import identity, things
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


def _unique_when(name: str, condition: str, *columns: str) -> Index:
    return Index(name, *columns, unique=True, sqlite_where=text(condition), postgresql_where=text(condition))


QOS_POLICIES = _keep(things.QosPolicy, "qos_policies", Index(None, "project_id"))
BANDWIDTH_LIMIT_RULES = _keep(
    things.BandwidthLimitRule,
    "bandwidth_limit_rules",
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
    _unique_when("uq_networks_vlan", "network_type = 'vlan'", "physnet", "segment"),
    _unique_when("uq_networks_flat", "network_type = 'flat'", "physnet"),
    foreign={"qos_policy_id": _to("qos_policies.id")},
)
SUBNETS = _keep(
    things.Subnet,
    "subnets",
    Index(None, "network_id"),
    Index(None, "project_id"),
    foreign={"network_id": _to("networks.id")},
)
PORTS = _keep(
    things.Port,
    "ports",
    Index(None, "network_id", "mac_address", unique=True),
    Index(None, "project_id"),
    Index(None, "binding_host"),
    Index(None, "device_id"),
    Index(None, "qos_policy_id"),
    foreign={"network_id": _to("networks.id"), "qos_policy_id": _to("qos_policies.id")},
)
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
    Index(None, "project_id"),
    foreign={"security_group_id": _to("security_groups.id"), "remote_group_id": _to("security_groups.id")},
)
ROUTERS = _keep(things.Router, "routers", Index(None, "project_id"), Index(None, "gateway_network_id"))
FLOATING_IPS = _keep(
    things.FloatingIp,
    "floating_ips",
    Index(None, "project_id"),
    Index(None, "router_id"),
    Index(None, "floating_port_id"),
    Index(None, "port_id", "fixed_ip_address", "floating_network_id", unique=True),
    foreign={"floating_network_id": _to("networks.id"), "port_id": _to("ports.id"), "router_id": _to("routers.id")},
)
RBAC_POLICIES = _keep(
    things.RbacPolicy,
    "rbac_policies",
    Index(None, "object_id", "action", "target_project", unique=True),
    Index(None, "target_project", "object_type", "action"),
    Index(None, "project_id"),
)
HOSTS = _keep(things.Host, "hosts", Index(None, "credential_hash"), key=("name",))
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
TOKENS = _keep(identity.Token, "tokens", Index(None, "user_id"), Index(None, "project_id"), Index(None, "expires_at"))

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
)
"""The change log: look again at (kind, id) for those who hold scope."""
META = Table(
    "meta",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("store", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
"""One row: which store this is."""
