"""Things as rows of the tables that clauses ask: under Neutron's names, as Congress had them, and derived from the
attributes that the API declares; and the tables of what comes from elsewhere (`OUTSIDE`), whose rows others read.

A table has Congress's columns first and in Congress's order, for whoever counts them (neutronv2_driver.py and
keystonev3_driver.py of Congress 11), then what else the API shows of a thing. A colon in an attribute's name becomes an
underscore (`binding_host_id`), since a colon ends a source's name; what changes with every change is left out. Lists
are tables of their own, with the thing's id first. What is neither a text, a number nor a truth (`binding:profile`) is
in no table. Times are texts of RFC 3339.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from suimon.model import things
from suimon.model.attributes import Attribute, Spec, when
from suimon.model.identity import DOMAIN_ID, Project, Role, RoleAssignment, User
from suimon.model.incidents import Incident, NotedFinding
from suimon.model.specs import (
    address_groups,
    address_scopes,
    conntrack_helpers,
    flavors,
    local_ips,
    logs,
    metering,
    ndp_proxies,
    networks,
    ports,
    qos,
    rbac,
    restrictions,
    routers,
    security_groups,
    segments,
    subnet_pools,
    trunks,
)
from suimon.model.touches import ROUTER_GATEWAY
from suimon.model.view import AddressPair, DhcpOption, FixedIp, Route
from suimon.policy.changes import Row, Value

NEUTRON: Final = "neutronv2"
KEYSTONE: Final = "keystone"
OURS: Final = "suimon"
NOVA: Final = "nova"
CLOCK: Final = "clock"
OWNER: Final = "project_id"
"""The column of a table from elsewhere that says whose a row is. Without one, projects don't have the table."""
_OUTSIDE: Final = {
    NOVA: {
        "servers": "id name host_id status tenant_id user_id image_id flavor_id zone host_name created_at",
        "servers.addresses": "server_id network_name address version mac_address address_type",
        "tags": "server_id tag",
        "flavors": "id name vcpus ram disk ephemeral rxtx_factor",
        "hypervisors": "hypervisor_hostname id state status",
        "services": "service_id binary host zone status state updated_at disabled_reason",
        "availability_zones": "zone state",
    },
    CLOCK: {"now": "at date hour minute weekday month day"},
    OURS: {
        "usage": "port_id project_id in_bytes_today out_bytes_today in_bytes_month out_bytes_month in_kbps out_kbps",
        "project_usage": "project_id in_bytes_today out_bytes_today in_bytes_month out_bytes_month in_kbps out_kbps",
        "host_states": "host up linked held refused orphans",
        "drifts": "host found_at owner missing changed extra repaired",
        "alarms": "name subject_kind subject_id incident_id at words",
        "flows": "port_id project_id direction protocol destination_port peers records packets bytes",
        "flow_peers": "port_id project_id direction protocol destination_port address outside answered records packets "
        "bytes",
    },
}
OUTSIDE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    source: {name: tuple(columns.split()) for name, columns in tables.items()} for source, tables in _OUTSIDE.items()
}
"""Source → table → columns, of what is read elsewhere: Nova's as Congress had them (nova_driver.py of Congress 11)."""


_PARENTS: Final = {"qos_policies": "qos_policy"}
"""Table → what its things are called, where the API's word means too much."""
_UNSTEADY: Final = frozenset({"revision_number", "updated_at"})
"""They change with every change: a clause can't mean them."""
_NORMALIZED: Final = frozenset({"normalized_cidr"})
"""They say what another column says, as the API shows it: as there is but one way to write it."""


class Fact(NamedTuple):
    """One row of a table."""

    source: str
    table: str
    row: Row


class _Table(NamedTuple):
    """A table and how a thing becomes rows of it."""

    source: str
    name: str
    columns: tuple[str, ...]
    rows: Callable[[Any], Sequence[Row]]
    rights: tuple[str, ...] = ()
    """By column, the rule of the API that says who sees it, if there is one (`get_port:binding:host_id`)."""


_PARTS: Final[Mapping[type, Mapping[str, str]]] = {
    FixedIp: {"ip_address": "ip", "subnet_id": "subnet_id"},
    AddressPair: {"ip_address": "cidr", "mac_address": "mac"},
    DhcpOption: {"opt_name": "name", "opt_value": "value", "ip_version": "ip_version"},
    Route: {"destination": "destination", "nexthop": "nexthop"},
    things.Pool: {"start": "start", "end": "end"},
}
"""Column → field of what lists are made of."""
_LISTS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("port", "fixed_ips"): ("fixed_ips", ""),
    ("port", "security_groups"): ("security_group_port_bindings", "security_group_id"),
    ("subnet", "allocation_pools"): ("allocation_pools", ""),
    ("subnet", "dns_nameservers"): ("dns_nameservers", "dns_nameserver"),
    ("subnet", "host_routes"): ("host_routes", ""),
    ("subnetpool", "prefixes"): ("subnetpool_prefixes", "prefix"),
    ("address_group", "addresses"): ("address_group_addresses", "address"),
}
"""(kind, list) → what Congress calls its table, and the column beside the id. Others are `port_tags(port_id, tag)`."""


def rows_of(thing: msgspec.Struct, *, shared: bool = False) -> tuple[Fact, ...]:
    """All rows that come of a thing, each once. `shared`: everybody may see it, which isn't in its row.

    A thing of a kind that is in no table gives none.
    """
    return tuple(
        dict.fromkeys(
            Fact(table.source, table.name, _with_shared(table, row, shared))
            for table in _TABLES.get(type(thing), ())
            for row in table.rows(thing)
        )
    )


def seen_columns(hidden: Collection[str]) -> dict[tuple[str, str], tuple[int, ...]]:
    """(source, table) → the places of the columns that whoever may not see what the `hidden` rules are about sees.

    They are of the tables that a project's own policies have.
    """
    return {
        (table.source, table.name): tuple(
            place for place in range(len(table.columns)) if not table.rights or table.rights[place] not in hidden
        )
        for type_ in TENANTS_TYPES
        for table in _TABLES[type_]
    }


def _with_shared(table: _Table, row: Row, shared: bool) -> Row:
    return tuple(shared if value is _SHARED else value for value in row) if shared or _SHARED in row else row


def _of(spec: Spec, name: str, first: str = "", source: str = NEUTRON) -> Iterator[_Table]:
    """The tables of what a spec declares; `first` are Congress's columns."""
    hints = {field: _kind(hint) for field, hint in get_type_hints(spec.type).items()}
    attributes = {one.name: one for one in spec.attributes if one.shown and one.name not in _UNSTEADY}
    columns = {"tenant_id": "project_id"} if "tenant_id" in first.split() else {}
    columns |= {each: each for each in attributes}
    ordered = [*first.split(), *(each for each in columns if each not in first.split())]
    taken: dict[str, Callable[[Any], Value]] = {}
    for column in ordered:
        attribute = attributes[columns[column]]
        kind = hints.get(attribute.field)
        if attribute.field.startswith("constant ") and isinstance(attribute.default, str | bool):
            taken[column] = _always(attribute.default)
        elif column == "shared" and kind is None:
            taken[column] = _always(_SHARED)
        elif column in _NORMALIZED:
            taken[column] = _shown(attribute)
        elif kind in (str, int, bool, datetime):
            taken[column] = _value(attribute.field, kind)
        elif get_origin(kind) is tuple:
            yield _list_table(source, _PARENTS.get(name, spec.singular), attribute, get_args(kind)[0])
    rights = [f"get_{spec.singular}:{columns[column]}" for column in taken]
    yield _plain(source, name, taken, rights)


def _fields(type_: type[Any], source: str, name: str, columns: str, **others: Value) -> _Table:
    """A table of these fields of a struct that no spec declares; `others` are the same in all rows."""
    hints = {field: _kind(hint) for field, hint in get_type_hints(type_).items()}
    taken = {each: _always(others[each]) if each in others else _value(each, hints[each]) for each in columns.split()}
    return _plain(source, name, taken)


def _plain(source: str, name: str, taken: Mapping[str, Callable[[Any], Value]], rights: Sequence[str] = ()) -> _Table:
    getters = tuple(taken.values())
    columns = tuple(column.replace(":", "_") for column in taken)
    return _Table(source, name, columns, lambda thing: [tuple([get(thing) for get in getters])], tuple(rights))


def _list_table(source: str, parent: str, attribute: Attribute, kind: Any) -> _Table:
    field, called = attribute.field, (parent, attribute.name)
    table, column = _LISTS.get(called, (f"{parent}_{attribute.name}", attribute.name.removesuffix("s")))
    key = f"{parent}_id"
    if kind not in _PARTS:
        return _Table(source, table, (key, column), lambda thing: [(thing.id, one) for one in getattr(thing, field)])
    fields = tuple(_PARTS[kind].values())

    def rows(thing: Any) -> Sequence[Row]:
        return [(thing.id, *(getattr(one, each) for each in fields)) for one in getattr(thing, field)]

    return _Table(source, table, (key, *_PARTS[kind]), rows)


def _kind(hint: Any) -> Any:
    """A field's type, without None."""
    if get_origin(hint) in (UnionType, Union):
        rest = [each for each in get_args(hint) if each is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _value(field: str, kind: Any) -> Callable[[Any], Value]:
    if kind is datetime:
        return lambda thing: None if (at := getattr(thing, field)) is None else when(at)
    return attrgetter(field)


def _shown(attribute: Attribute) -> Callable[[Any], Value]:
    return lambda thing: attribute.show(getattr(thing, attribute.field))  # type: ignore[return-value]


def _infrastructure(port: things.Port) -> Sequence[Row]:
    return [(port.id,)] if port.infrastructure else []


def _always(value: Any) -> Callable[[Any], Value]:
    return lambda _thing: value


def _gateway(router: things.Router) -> Sequence[Row]:
    return [(router.id, router.gateway_network_id, router.enable_snat)] if router.gateway_network_id else []


def _gateway_addresses(port: things.Port) -> Sequence[Row]:
    if port.device_owner != ROUTER_GATEWAY:
        return []
    return [(port.device_id, fixed.subnet_id, fixed.ip) for fixed in port.fixed_ips]


def _below(spec: Spec, name: str, parent: str = "policy_id") -> tuple[_Table, ...]:
    """What it belongs to is in its path, not among its attributes."""
    tables = tuple(_of(spec, name))
    whole = tables[-1]

    def rows(thing: Any) -> Sequence[Row]:
        return [(*row, getattr(thing, parent)) for row in whole.rows(thing)]

    return (*tables[:-1], whole._replace(columns=(*whole.columns, parent), rights=(*whole.rights, ""), rows=rows))


def _until_over(tables: Iterable[_Table]) -> tuple[_Table, ...]:
    """What is over is history, and forgotten some time."""

    def rows(table: _Table, thing: things.Restriction | Incident) -> Sequence[Row]:
        over = thing.state == "closed" if isinstance(thing, Incident) else thing.state != "active"
        return () if over else table.rows(thing)

    return tuple(table._replace(rows=partial(rows, table)) for table in tables)


_SHARED: Final[Any] = object()
"""Stands for what `rows_of` is told."""
_GROUP: Final = "id tenant_id name description"
_RULE: Final = (
    "security_group_id id tenant_id remote_group_id direction ethertype protocol port_range_min port_range_max "
    "remote_ip_prefix"
)
_SUBNET: Final = "id tenant_id name network_id ip_version cidr gateway_ip enable_dhcp ipv6_ra_mode ipv6_address_mode"
_FLOATING: Final = "id router_id tenant_id floating_network_id fixed_ip_address floating_ip_address port_id status"
_PORT: Final = "id tenant_id name network_id mac_address admin_state_up status device_id device_owner"
_FORWARDING: Final = (
    "id floatingip_id protocol external_first external_last internal_port_id internal_ip_address internal_first "
    "internal_last description"
)
_TABLES: Final[Mapping[type[msgspec.Struct], tuple[_Table, ...]]] = {
    things.Network: tuple(_of(networks.NETWORK, "networks", "id tenant_id name status admin_state_up shared")),
    things.Subnet: tuple(_of(networks.SUBNET, "subnets", _SUBNET)),
    things.Port: (
        *_of(ports.PORT, "ports", _PORT),
        _Table(NEUTRON, "external_fixed_ips", ("router_id", "subnet_id", "ip_address"), _gateway_addresses),
        _Table(OURS, "infrastructure", ("port_id",), _infrastructure),
    ),
    things.Router: (
        *_of(routers.ROUTER, "routers", "id tenant_id status admin_state_up name distributed"),
        _Table(NEUTRON, "external_gateway_infos", ("router_id", "network_id", "enable_snat"), _gateway),
    ),
    things.FloatingIp: tuple(_of(routers.FLOATING_IP, "floating_ips", _FLOATING)),
    things.SecurityGroup: tuple(_of(security_groups.SECURITY_GROUP, "security_groups", _GROUP)),
    things.SecurityGroupRule: tuple(_of(security_groups.SECURITY_GROUP_RULE, "security_group_rules", _RULE)),
    things.AddressGroup: tuple(_of(address_groups.ADDRESS_GROUP, "address_groups", "id tenant_id name")),
    things.AddressScope: tuple(_of(address_scopes.ADDRESS_SCOPE, "address_scopes", "id tenant_id name")),
    things.SubnetPool: tuple(_of(subnet_pools.SUBNET_POOL, "subnet_pools", "id tenant_id name")),
    things.RbacPolicy: tuple(_of(rbac.RBAC_POLICY, "rbac_policies", "id tenant_id object_type object_id action")),
    things.Trunk: tuple(_of(trunks.TRUNK, "trunks", "id tenant_id name port_id")),
    things.Subport: (
        _fields(things.Subport, NEUTRON, "subports", "trunk_id port_id segmentation_type segmentation_id"),
    ),
    things.PortBinding: (_fields(things.PortBinding, NEUTRON, "inactive_bindings", "port_id host vnic_type"),),
    things.LocalIp: tuple(_of(local_ips.LOCAL_IP, "local_ips", "id tenant_id name")),
    things.LocalIpAssociation: (
        _fields(things.LocalIpAssociation, NEUTRON, "local_ip_associations", "local_ip_id fixed_port_id fixed_ip"),
    ),
    things.NdpProxy: tuple(_of(ndp_proxies.NDP_PROXY, "ndp_proxies", "id tenant_id name")),
    things.ConntrackHelper: _below(conntrack_helpers.CONNTRACK_HELPER, "conntrack_helpers", "router_id"),
    things.PortForwarding: (_fields(things.PortForwarding, NEUTRON, "port_forwardings", _FORWARDING),),
    things.QosPolicy: tuple(_of(qos.QOS_POLICY, "qos_policies", "id tenant_id name")),
    things.BandwidthLimitRule: _below(qos.BANDWIDTH_LIMIT_RULE, "qos_bandwidth_limit_rules"),
    things.PacketRateLimitRule: _below(qos.PACKET_RATE_LIMIT_RULE, "qos_packet_rate_limit_rules"),
    things.DscpMarkingRule: _below(qos.DSCP_MARKING_RULE, "qos_dscp_marking_rules"),
    things.MinimumBandwidthRule: _below(qos.MINIMUM_BANDWIDTH_RULE, "qos_minimum_bandwidth_rules"),
    things.MinimumPacketRateRule: _below(qos.MINIMUM_PACKET_RATE_RULE, "qos_minimum_packet_rate_rules"),
    things.PortBlockRule: _below(qos.PORT_BLOCK_RULE, "qos_port_block_rules"),
    things.MeteringLabel: tuple(_of(metering.METERING_LABEL, "metering_labels", "id tenant_id name")),
    things.MeteringLabelRule: tuple(_of(metering.METERING_LABEL_RULE, "metering_label_rules", "id tenant_id")),
    things.Log: tuple(_of(logs.LOG, "logs", "id tenant_id name")),
    things.DefaultGroupRule: tuple(_of(security_groups.DEFAULT_SECURITY_GROUP_RULE, "default_security_group_rules")),
    things.NetworkSegmentRange: tuple(_of(segments.NETWORK_SEGMENT_RANGE, "network_segment_ranges", "id tenant_id")),
    things.Flavor: tuple(_of(flavors.FLAVOR, "flavors")),
    things.ServiceProfile: tuple(_of(flavors.SERVICE_PROFILE, "service_profiles")),
    things.Restriction: _until_over(
        _of(restrictions.RESTRICTION, "restrictions", "id kind target_kind target", OURS)
    ),
    things.Host: (_fields(things.Host, OURS, "hosts", "name tunnel_ip schema drained joined_at"),
                  _Table(OURS, "host_physnets", ("host", "physnet"),
                         lambda host: [(host.name, each) for each in host.physnets])),
    Incident: _until_over(
        [_fields(Incident, OURS, "incidents",
                 "id rule finding_id subject_kind subject_id project_id state mode opened_at")]
    ),
    NotedFinding: (
        _fields(NotedFinding, OURS, "findings", "id detector subject_kind subject_id project_id since ended"),
    ),
    Project: (_fields(Project, KEYSTONE, "projects", "enabled description name domain_id id", domain_id=DOMAIN_ID),),
    User: (
        _fields(User, KEYSTONE, "users", "id name enabled default_project_id domain_id email", domain_id=DOMAIN_ID),
    ),
    Role: (_fields(Role, KEYSTONE, "roles", "id name description"),),
    RoleAssignment: (_fields(RoleAssignment, KEYSTONE, "role_assignments", "user_id project_id role_id"),),
}  # fmt: skip
"""What becomes of each type. A password's hash is in none of them."""
TYPES: Final = tuple(_TABLES)
"""Of what there are facts."""
TENANTS_TYPES: Final = frozenset(type_ for type_, tables in _TABLES.items() if tables[0].source == NEUTRON) - {
    things.Subport,
    things.PortBinding,
    things.Log,
    things.DefaultGroupRule,
    things.NetworkSegmentRange,
    things.Flavor,
    things.ServiceProfile,
} | {things.Restriction}
"""Of what a project's own policies have facts: those of its own things, where these say whose they are, and where they
are no operators' things.
"""
SOURCES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    source: {table.name: table.columns for tables in _TABLES.values() for table in tables if table.source == source}
    | dict(OUTSIDE.get(source, {}))
    for source in (NEUTRON, KEYSTONE, OURS, NOVA, CLOCK)
}
"""Source → table → columns."""


def types_of(source: str, table: str) -> list[type[msgspec.Struct]]:
    """The things whose rows are in a table; none of one that is read elsewhere."""
    return [type_ for type_, tables in _TABLES.items() if any(each[:2] == (source, table) for each in tables)]


def own_rows(source: str, columns: Sequence[str], rows: Sequence[Row], project_id: str) -> Sequence[Row] | None:
    """What a project has of a table from elsewhere: its own rows; but time is everybody's. None: no table."""
    if source == CLOCK:
        return rows
    if OWNER not in columns:
        return None
    place = columns.index(OWNER)
    return [row for row in rows if row[place] == project_id]
