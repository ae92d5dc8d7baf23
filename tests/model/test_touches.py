"""Which log entries a write makes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from suimon.model import things, view
from suimon.model.things import Quota
from suimon.model.touches import FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE, touches

NOW = datetime(2026, 1, 1, tzinfo=UTC)
replace = msgspec.structs.replace


def make(type_: type[Any], **fields: Any) -> Any:
    return type_(**{"id": "i", "project_id": "p", "created_at": NOW, "updated_at": NOW} | fields)


PORT = make(things.Port, network_id="n", mac_address="fa:16:3e:00:00:01", security_groups=("g1", "g2"))
BOUND = replace(PORT, binding_host="h1")
MEMBERS = {("member", "g1/i", "members:g1"), ("member", "g2/i", "members:g2")}
ITSELF = ("port", "i", "")


def test_a_new_port_joins_its_groups_and_its_host() -> None:
    assert touches(None, PORT) == {ITSELF} | MEMBERS
    assert touches(None, BOUND) == {ITSELF, ("port", "i", "host:h1"), ("peer", "i", "peers:n")} | MEMBERS
    assert touches(BOUND, None) == touches(None, BOUND) | {("parted", "i", "host:h1")}


def test_a_move_touches_both_hosts_and_the_peers_and_no_group() -> None:
    assert touches(BOUND, replace(BOUND, binding_host="h2")) == {
        ITSELF, ("peer", "i", "peers:n"),
        ("port", "i", "host:h1"), ("parted", "i", "host:h1"), ("port", "i", "host:h2"),
    }  # fmt: skip


@pytest.mark.parametrize("fields", [{"status": "ACTIVE"}, {"description": "x"}, {"revision_number": 9}])
def test_what_no_host_is_told_touches_no_host(fields: dict[str, Any]) -> None:
    assert touches(BOUND, replace(BOUND, **fields)) == {ITSELF}


def test_leaving_a_group_touches_its_members_and_the_host() -> None:
    after = replace(BOUND, security_groups=("g1",))
    left = {("parted", "i", "host:h1"), ("member", "g2/i", "members:g2")}
    assert touches(BOUND, after) == {ITSELF, ("port", "i", "host:h1")} | left
    assert touches(after, BOUND) == {ITSELF, ("port", "i", "host:h1"), ("member", "g2/i", "members:g2")}


@pytest.mark.parametrize("fields", [{"port_security": False}, {"qos_policy_id": "q"}, {"device_owner": FLOATING_IP}])
def test_a_host_may_need_less_when_a_port_no_longer_leads_there(fields: dict[str, Any]) -> None:
    assert ("parted", "i", "host:h1") in touches(BOUND, replace(BOUND, **fields))


def test_a_new_address_touches_whoever_knows_the_old_one() -> None:
    after = replace(BOUND, fixed_ips=(view.FixedIp("s", "10.0.0.9"),))
    assert touches(BOUND, after) == {ITSELF, ("port", "i", "host:h1"), ("peer", "i", "peers:n")} | MEMBERS


def test_a_router_port_touches_its_router_and_its_network() -> None:
    leg = make(
        things.Port, network_id="n", mac_address="x", device_owner=ROUTER_INTERFACE, device_id="r", binding_host="h1"
    )
    to_its_own = {("router", "r", "router:r"), ("router", "r", "network:n")}
    assert touches(None, leg) == {ITSELF, ("leg", "i", "peers:n")} | to_its_own
    outside = replace(leg, device_owner=ROUTER_GATEWAY)
    assert touches(None, outside) == {ITSELF, ("router", "r", "router:r"), ("way_out", "r", "network:n")}


def test_the_port_of_a_floating_ip_is_no_peer() -> None:
    assert touches(None, replace(BOUND, device_owner=FLOATING_IP, security_groups=())) == {ITSELF}


def test_a_floating_ip_touches_the_port_it_had_and_the_one_it_has() -> None:
    before = make(
        things.FloatingIp, floating_network_id="n", floating_ip_address="a", floating_port_id="f", port_id="p1"
    )
    assert touches(before, replace(before, port_id="p2")) == {
        ("floating_ip", "i", ""), ("floating_ip", "i", "port:p1"), ("floating_ip", "i", "port:p2"),
    }  # fmt: skip
    assert touches(before, replace(before, status="ACTIVE")) == {("floating_ip", "i", "")}


def test_a_rule_touches_its_group_and_says_when_a_remote_group_may_come_or_go() -> None:
    rule = make(things.SecurityGroupRule, security_group_id="g", direction="ingress")
    assert touches(None, rule) == {("group_rule", "i", ""), ("group", "g", "group:g")}
    remote = replace(rule, remote_group_id="g2")
    assert touches(None, remote) == touches(None, rule) | {("remote_group", "g2", "group:g")}
    addresses = replace(rule, remote_address_group_id="a")
    assert touches(None, addresses) == touches(None, rule) | {("remote_group", "a", "group:g")}
    assert touches(rule, replace(rule, description="x")) == {("group_rule", "i", "")}


def test_a_group_that_becomes_stateless_touches_those_who_hold_it() -> None:
    group = make(things.SecurityGroup)
    assert touches(group, replace(group, stateful=False)) == {("group", "i", ""), ("group", "i", "group:i")}
    assert touches(group, replace(group, name="x")) == {("group", "i", "")}


def test_an_address_group_touches_whoever_holds_its_addresses() -> None:
    group = make(things.AddressGroup)
    after = replace(group, addresses=("10.0.0.0/8",))
    assert touches(group, after) == {("address_group", "i", ""), ("member", "i/i", "members:i")}
    assert touches(group, replace(group, name="x")) == {("address_group", "i", "")}


def test_networks_subnets_routers_and_policies_touch_their_own_scope() -> None:
    network = make(things.Network)
    assert touches(network, replace(network, mtu=1400)) == {("network", "i", ""), ("network", "i", "network:i")}
    assert touches(network, replace(network, name="x")) == {("network", "i", "")}
    subnet = make(things.Subnet, network_id="n", cidr="10.0.0.0/24")
    assert touches(None, subnet) == {("subnet", "i", ""), ("subnet", "i", "network:n")}
    router = make(things.Router)
    assert touches(router, replace(router, admin_state_up=False)) == {("router", "i", ""), ("router", "i", "router:i")}
    limit = make(things.BandwidthLimitRule, policy_id="q", max_kbps=1)
    assert touches(limit, replace(limit, max_kbps=2)) == {("bandwidth_limit_rule", "i", ""), ("qos", "q", "qos:q")}
    for type_, kind, field in (
        (things.PacketRateLimitRule, "packet_rate_limit_rule", "max_kpps"),
        (things.DscpMarkingRule, "dscp_marking_rule", "dscp_mark"),
    ):
        rule = make(type_, policy_id="q", **{field: 8})
        assert touches(rule, replace(rule, **{field: 10})) == {(kind, "i", ""), ("qos", "q", "qos:q")}
    promise = make(things.MinimumBandwidthRule, policy_id="q", min_kbps=1)
    assert touches(None, promise) == {("minimum_bandwidth_rule", "i", "")}


def test_nothing_changed_and_what_nobody_follows_touch_nothing() -> None:
    assert touches(BOUND, BOUND) == set()
    assert touches(None, None) == set()
    assert touches(None, Quota(project_id="p", resource="port")) == set()


def test_a_host_touches_only_itself() -> None:
    host = things.Host(name="h1", tunnel_ip=None, joined_at=NOW)
    assert touches(None, host) == {("host", "h1", "")}
