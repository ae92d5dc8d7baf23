"""Things as rows: Congress's columns come first, and nothing secret is among them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from suimon.model import identity, things
from suimon.model.touches import KIND_OF, ROUTER_GATEWAY
from suimon.model.view import FixedIp, Route
from suimon.policy.facts import SOURCES, TYPES, rows_of, seen_columns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONGRESS = {
    "networks": "id tenant_id name status admin_state_up shared",
    "ports": "id tenant_id name network_id mac_address admin_state_up status device_id device_owner",
    "fixed_ips": "port_id ip_address subnet_id",
    "security_group_port_bindings": "port_id security_group_id",
    "subnets": "id tenant_id name network_id ip_version cidr gateway_ip enable_dhcp ipv6_ra_mode ipv6_address_mode",
    "allocation_pools": "subnet_id start end",
    "dns_nameservers": "subnet_id dns_nameserver",
    "host_routes": "subnet_id destination nexthop",
    "routers": "id tenant_id status admin_state_up name distributed",
    "external_gateway_infos": "router_id network_id enable_snat",
    "external_fixed_ips": "router_id subnet_id ip_address",
    "security_groups": "id tenant_id name description",
    "security_group_rules": "security_group_id id tenant_id remote_group_id direction ethertype protocol "
    "port_range_min port_range_max remote_ip_prefix",
    "floating_ips": "id router_id tenant_id floating_network_id fixed_ip_address floating_ip_address port_id status",
}
"""What clauses written for Congress count by place."""


def make(type_: type[Any], **fields: Any) -> Any:
    return type_(**{"id": "i", "project_id": "p", "created_at": NOW, "updated_at": NOW} | fields)


def told(thing: Any, **more: bool) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for source, table, row in rows_of(thing, **more):
        found.setdefault(table, []).append(dict(zip(SOURCES[source][table], row, strict=True)))
    return found


@pytest.mark.parametrize("table", CONGRESS)
def test_congress_columns_are_where_congress_had_them(table: str) -> None:
    columns = tuple(CONGRESS[table].split())
    assert SOURCES["neutronv2"][table][: len(columns)] == columns


def test_a_port_and_its_lists() -> None:
    port = make(
        things.Port, network_id="n", mac_address="fa:16:3e:00:00:01", security_groups=("g1", "g2"), tags=("pci",),
        fixed_ips=(FixedIp("s", "10.0.0.9"),), binding_host="h1", binding_profile={"secret": 1},
    )  # fmt: skip
    rows = told(port)
    assert rows["security_group_port_bindings"] == [
        {"port_id": "i", "security_group_id": "g1"},
        {"port_id": "i", "security_group_id": "g2"},
    ]
    assert rows["fixed_ips"] == [{"port_id": "i", "ip_address": "10.0.0.9", "subnet_id": "s"}]
    assert rows["port_tags"] == [{"port_id": "i", "tag": "pci"}]
    (row,) = rows["ports"]
    assert (row["tenant_id"], row["binding_host_id"], row["port_security_enabled"]) == ("p", "h1", True)
    assert row["created_at"] == "2026-01-01T00:00:00Z"
    assert not {"revision_number", "updated_at", "binding_profile"} & row.keys()


@pytest.mark.parametrize(
    ("written", "normal"),
    [("10.1.2.3/8", "10.0.0.0/8"), ("1.2.3.4/0", "0.0.0.0/0"), ("2001:DB8:0::9/32", "2001:db8::/32"), (None, None)],
)
def test_a_prefix_is_there_as_written_and_in_one_way_only(written: str | None, normal: str | None) -> None:
    rule = make(things.SecurityGroupRule, security_group_id="g", direction="ingress", ethertype="IPv4",
                remote_ip_prefix=written)  # fmt: skip
    (row,) = told(rule)["security_group_rules"]
    assert (row["remote_ip_prefix"], row["normalized_cidr"]) == (written, normal)


def test_what_is_beside_the_row() -> None:
    network = make(things.Network)
    assert [told(network, shared=shared)["networks"][0]["shared"] for shared in (False, True)] == [False, True]
    assert told(network)["networks"][0]["status"] == "ACTIVE"
    leg = make(things.Port, network_id="n", mac_address="m", device_owner=ROUTER_GATEWAY, device_id="r",
               fixed_ips=(FixedIp("s", "192.0.2.9"),))  # fmt: skip
    assert told(leg)["external_fixed_ips"] == [{"router_id": "r", "subnet_id": "s", "ip_address": "192.0.2.9"}]
    router = make(things.Router, gateway_network_id="out", routes=(Route("10.0.0.0/8", "10.1.0.1"),) * 2)
    assert told(router)["external_gateway_infos"] == [{"router_id": "i", "network_id": "out", "enable_snat": True}]
    assert len(told(router)["router_routes"]) == 1
    assert told(msgspec.structs.replace(leg, infrastructure=True))["infrastructure"] == [{"port_id": "i"}]
    assert "infrastructure" not in told(leg), "whatever its owner is called"
    over = make(things.Restriction, kind="quarantine", target_kind="port", target="t", reason="x", state="released")
    assert told(over) == {}


def test_no_password_is_a_fact() -> None:
    user = identity.User(id="u", name="ann", password_hash="secret")
    assert "secret" not in str(rows_of(user))


def test_projects_see_no_operators_columns() -> None:
    places = seen_columns({"get_port:binding:host_id"})["neutronv2", "ports"]
    seen = [SOURCES["neutronv2"]["ports"][place] for place in places]
    assert "binding_host_id" not in seen and "device_owner" in seen
    assert all(
        source == "neutronv2" or table.startswith(("restriction", "infrastructure"))
        for source, table in seen_columns(())
    )


def test_the_log_tells_of_everything_there_are_facts_of() -> None:
    assert not set(TYPES) - KIND_OF.keys()


def test_every_resource_is_a_fact() -> None:
    """But agents and segments, of which the store has only what somebody said of them."""
    resources = {one for one in vars(things).values() if isinstance(one, type) and issubclass(one, things.Thing)}
    assert resources - set(TYPES) == {things.Thing, things.Agent, things.NetworkSegment}


def test_what_is_below_another_resource_says_of_which() -> None:
    ftp = make(things.ConntrackHelper, router_id="r", protocol="tcp", l4_port=21, module="ftp")
    block = make(things.PortBlockRule, policy_id="q", protocol="tcp", port_range_min=25, port_range_max=25)
    row = {"id": "i", "protocol": "tcp", "port": 21, "helper": "ftp", "router_id": "r"}
    assert told(ftp) == {"conntrack_helpers": [row]}
    assert told(block)["qos_port_block_rules"][0]["policy_id"] == "q"


def test_projects_have_no_operators_tables() -> None:
    tables = {table for _, table in seen_columns(())}
    assert not {"flavors", "logs", "network_segment_ranges", "subports", "inactive_bindings"} & tables
    assert {"conntrack_helpers", "ndp_proxies", "qos_port_block_rules"} <= tables
