"""The library's policies, each on a cloud that violates it and then on one that doesn't; and what they forbid."""

from __future__ import annotations

from typing import Any

import pytest

from suimon.enforcement.words import account
from suimon.model.actor import SYSTEM
from suimon.model.fact_tables import Reading
from suimon.model.identity import Project
from suimon.policy.changes import Row
from suimon.policy.facts import OUTSIDE
from suimon.resources import policies
from suimon.resources.fact_tables import keep_readings
from suimon.resources.policy_library import as_wanted, find_in_library
from suimon.resources.restrictions import create_restrictions
from tests.enforcement.policed import Policed
from tests.resources.world import ADMIN, ALICE, BOB, refused, share

GUEST = "compute:nova"
FORBIDS = policies.Ways(mode="enforced", proactive=True)


def load(policed: Policed, name: str, *facts: str, forbids: bool = False) -> None:
    def act(tx: Any) -> None:
        policies.create_policy(tx, ADMIN, as_wanted(find_in_library(tx, name), facts))
        if forbids:
            policies.change_policy(tx, ADMIN, name, FORBIDS)

    policed.write(act)
    policed.rows(name)


def why(policed: Policed, name: str, row: Row) -> str:
    """The facts and clauses of a violation."""
    return policed.read(
        lambda tx: policed.engines.ask(tx, "", lambda scope: account(scope.engine, scope.sources, name, "error", row))
    )


def network(policed: Policed, **more: Any) -> str:
    made = policed.network(**more)
    policed.subnet(made, by=more.get("by", ALICE))
    return made


def rule(policed: Policed, group: str, **more: Any) -> str:
    values = {"direction": "ingress", "ethertype": "IPv4", "security_group_id": group, **more}
    return str(policed.create("security-group-rules", values)["id"])


def group(policed: Policed, name: str = "web", **more: Any) -> str:
    return str(policed.create("security-groups", name=name, **more)["id"])


def projects(policed: Policed, *names: str) -> None:
    """That Suimon keeps itself."""
    for name in names:
        made = Project(id=name, name=f"{name}'s name")
        policed.write(lambda tx, made=made: tx.insert(made))  # type: ignore[misc]


def with_router(policed: Policed) -> tuple[str, str, str]:
    """An outside, a router with its gateway there, and a network behind it."""
    outside, inside = policed.outside(), policed.network()
    router = policed.router(external_gateway_info={"network_id": outside})
    policed.act(router, "add_router_interface", {"subnet_id": policed.subnet(inside)})
    return outside, router, inside


def test_cross_project_networks(policed: Policed) -> None:
    projects(policed, "red", "blue")
    theirs = network(policed, by=BOB)
    policed.port(theirs, BOB)
    share(policed, "network", theirs, "red")
    mine = policed.port(theirs)["id"]
    load(policed, "cross_project_networks")
    assert set(policed.rows("cross_project_networks")) == {
        ("on another's network", mine, "red", "blue"),
        ("let onto another's network", f"entry-{theirs}-red", "red", "blue"),
    }
    told = why(policed, "cross_project_networks", ("on another's network", mine, "red", "blue"))
    assert "neutronv2:ports(" in told and f'inside("{theirs}", "blue")' in told and "friends" in told
    policed.write(lambda tx: policies.delete_policy(tx, ADMIN, "cross_project_networks"))
    for facts in (
        ['together("a", "red")', 'together("a", "blue")'],
        ['together("a", "red\'s name")', 'together("a", "blue")'],
        ['serves_all("blue\'s name")'],
    ):
        load(policed, "cross_project_networks", *facts)
        assert policed.rows("cross_project_networks") == [], facts
        policed.write(lambda tx: policies.delete_policy(tx, ADMIN, "cross_project_networks"))
    load(policed, "cross_project_networks", forbids=True)
    with refused("PolicyForbids", "on another's network"):
        policed.port(theirs)
    policed.port(theirs, BOB)
    grant = {"object_type": "network", "object_id": theirs, "action": "access_as_shared", "target_tenant": "*"}
    with refused("PolicyForbids", "let onto another's network"):
        policed.create("rbac-policies", grant, ADMIN)


OPEN: list[dict[str, Any]] = [
    {"protocol": "tcp", "port_range_min": 20, "port_range_max": 30},
    {"protocol": "6", "remote_ip_prefix": "0.0.0.0/0"},
    {"remote_ip_prefix": "128.0.0.0/1"},
    {"ethertype": "IPv6", "protocol": "tcp", "remote_ip_prefix": "2000::/3"},
]
SHUT: list[dict[str, Any]] = [
    {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443},
    {"protocol": "tcp", "remote_ip_prefix": "10.0.0.0/8"},
    {"protocol": "icmp"},
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "direction": "egress"},
    {"protocol": "udp", "port_range_min": 22, "port_range_max": 22},
]


@pytest.mark.parametrize("more", OPEN)
def test_open_ports_are_found_and_forbidden(policed: Policed, more: dict[str, Any]) -> None:
    web = group(policed)
    made = rule(policed, web, **more)
    load(policed, "open_ports", 'forbidden("tcp", 22)')
    assert policed.rows("open_ports") == [(web, made, "tcp", 22)]
    assert 'forbidden("tcp", 22)' in why(policed, "open_ports", (web, made, "tcp", 22))
    policed.delete("security-group-rules", made)
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "open_ports", FORBIDS))
    with refused("PolicyForbids", "security_group_rules("):
        rule(policed, web, **more)


def test_what_is_not_open_is_let(policed: Policed) -> None:
    web, inner = group(policed), group(policed, "inner")
    load(policed, "open_ports", f'may_be_open("{inner}")', forbids=True)
    for more in [*SHUT, {"protocol": "tcp", "remote_group_id": inner}]:
        rule(policed, web, **more)
    rule(policed, inner, **OPEN[0])
    assert policed.rows("open_ports") == []


def test_an_address_group_opens_a_port_too(policed: Policed) -> None:
    addresses = policed.create("address-groups", name="all", addresses=["0.0.0.0/1"])["id"]
    web = group(policed)
    made = rule(policed, web, protocol="tcp", remote_address_group_id=addresses)
    load(policed, "open_ports", 'forbidden("tcp", 22)')
    assert policed.rows("open_ports") == [(web, made, "tcp", 22)]


def test_mail_relay(policed: Policed) -> None:
    inside = network(policed)
    default, quiet = policed.port(inside)["id"], group(policed, "quiet")
    for each in policed.list("security-group-rules", f"security_group_id={quiet}"):
        policed.delete("security-group-rules", each["id"])
    silent = policed.port(inside, security_groups=[quiet])["id"]
    loose = policed.port(inside, port_security_enabled=False, security_groups=[])["id"]
    load(policed, "mail_relay", 'relay("192.0.2.25/32")', f'may_send("{loose}")')
    assert policed.rows("mail_relay") == [(default, "red")]
    assert f'lets_out("{default}")' in why(policed, "mail_relay", (default, "red"))
    to_mail = {"direction": "egress", "protocol": "tcp", "port_range_min": 25, "port_range_max": 25}
    rule(policed, quiet, **to_mail, remote_ip_prefix="192.0.2.25/32")
    rule(policed, quiet, **to_mail, remote_group_id=quiet)
    assert policed.rows("mail_relay") == [(default, "red")]
    wide = rule(policed, quiet, **to_mail, remote_ip_prefix="192.0.2.0/24")
    assert set(policed.rows("mail_relay")) == {(default, "red"), (silent, "red")}
    policed.delete("security-group-rules", wide)
    block = {"kind": "port_block", "protocol": "tcp", "port_min": 25, "reason": "mail", "duration_s": 60}
    for direction in ("ingress", "egress"):
        wanted = {**block, "target_kind": "port", "target": default, "direction": direction}
        policed.write(lambda tx, wanted=wanted: create_restrictions(tx, ADMIN, [wanted]))  # type: ignore[misc]
        assert policed.rows("mail_relay") == ([(default, "red")] if direction == "ingress" else [])
    sub = policed.port(inside)["id"]
    assert policed.rows("mail_relay") == [(sub, "red")]
    seat = {"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 7}
    policed.create("trunks", port_id=default, sub_ports=[seat])
    assert policed.rows("mail_relay") == []
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "mail_relay", FORBIDS))
    with refused("PolicyForbids", "lets_out("):
        policed.port(inside)
    policed.port(inside, security_groups=[quiet])


def test_pci_isolation(policed: Policed) -> None:
    outside, router, cards = with_router(policed)
    plain = network(policed)
    safe = group(policed, "safe")
    for each in policed.list("security-group-rules", f"security_group_id={safe}"):
        policed.delete("security-group-rules", each["id"])
    rule(policed, safe, remote_group_id=safe)
    rule(policed, safe, remote_ip_prefix="10.66.1.2/16")
    policed.view("networks", "PUT {}/tags/{}", cards, "pci")
    good = policed.port(cards, tags=["pci"], security_groups=[safe])["id"]
    load(policed, "pci_isolation")
    assert policed.rows("pci_isolation") == [("a router leads outside", cards, router)]
    policed.update("routers", router, {"external_gateway_info": {}})
    assert policed.rows("pci_isolation") == []

    astray = policed.port(plain, tags=["pci"], security_groups=[safe])["id"]
    stranger = policed.port(cards, security_groups=[])["id"]
    open_rule = rule(policed, safe, protocol="tcp")
    wrong = {
        ("on a network that isn't tagged", astray, plain),
        ("on a tagged network without the tag", stranger, cards),
        ("lets others in", good, open_rule),
        ("lets others in", astray, open_rule),
    }
    assert set(policed.rows("pci_isolation")) == wrong
    assert f'fine("{open_rule}")' in why(policed, "pci_isolation", ("lets others in", good, open_rule))
    share(policed, "network", cards, "blue")
    assert set(policed.rows("pci_isolation")) == wrong | {("others are let onto the network", cards, "blue")}

    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "pci_isolation", FORBIDS))
    with refused("PolicyForbids", "a router leads outside"):
        policed.update("routers", router, {"external_gateway_info": {"network_id": outside}})
    web = group(policed)
    rule(policed, web, protocol="tcp")
    with refused("PolicyForbids", "lets others in"):
        policed.update("ports", good, {"security_groups": [web, safe]})
    with refused("PolicyForbids", "port security is off"):
        policed.update("ports", good, {"security_groups": [], "port_security_enabled": False})
    policed.delete("security-group-rules", open_rule)
    policed.port(cards, tags=["pci"], security_groups=[safe])


def test_a_pci_guest_has_no_way_in(policed: Policed) -> None:
    outside, router, cards = with_router(policed)
    policed.view("networks", "PUT {}/tags/{}", cards, "pci")
    port = policed.port(cards, tags=["pci"], security_groups=[])["id"]
    load(policed, "pci_isolation")
    floating = policed.create("floatingips", floating_network_id=outside, port_id=port)
    row = ("has a floating IP", port, floating["floating_ip_address"])
    assert set(policed.rows("pci_isolation")) == {("a router leads outside", cards, router), row}


def test_approved_floating_ips(policed: Policed) -> None:
    projects(policed, "red", "blue")
    outside = policed.outside()
    load(policed, "approved_floating_ips", 'approved("blue\'s name")', 'approved("green")', forbids=True)
    policed.create("floatingips", by=BOB, floating_network_id=outside)
    with refused("PolicyForbids", "floating_ips("):
        policed.create("floatingips", floating_network_id=outside)
    assert policed.rows("approved_floating_ips") == []
    policed.write(lambda tx: policies.stop_enforcing(tx, ADMIN))
    made = policed.create("floatingips", floating_network_id=outside)
    row = (made["id"], made["floating_ip_address"], "red")
    assert policed.rows("approved_floating_ips") == [row]
    assert "not approved_floating_ips:approved_project(" in why(policed, "approved_floating_ips", row)


def test_anti_spoofing(policed: Policed) -> None:
    _, _, inside = with_router(policed)
    loose = {"security_groups": [], "port_security_enabled": False}
    off, firewall = (policed.port(inside, **loose)["id"] for _ in range(2))
    pairs = {"0.0.0.0/0": "a pair has nearly every address", "10.0.0.0/28": "a pair has the gateway's address"}
    wide = {cidr: policed.port(inside, allowed_address_pairs=[{"ip_address": cidr}])["id"] for cidr in pairs}
    policed.port(inside, allowed_address_pairs=[{"ip_address": "10.0.0.200"}, {"ip_address": "10.0.0.128/25"}])
    load(policed, "anti_spoofing", f'may_spoof("{firewall}")')
    found = policed.rows("anti_spoofing")
    assert {(off, "port security is off", ""), *((wide[cidr], words, cidr) for cidr, words in pairs.items())} <= set(
        found
    )
    assert {row[0] for row in found} == {off, *wide.values()}
    assert "ports(id=port, port_security_enabled=false)" in why(
        policed, "anti_spoofing", (off, "port security is off", "")
    )
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "anti_spoofing", FORBIDS))
    with refused("PolicyForbids", "port security is off"):
        policed.port(inside, **loose)
    policed.port(inside)
    policed.update("ports", firewall, {"name": "firewall"})


def test_naming(policed: Policed) -> None:
    wrong, _ = policed.network(name="My Network"), policed.network(name="web-1")
    load(policed, "naming")
    assert policed.rows("naming") == [("network", wrong, "My Network")]
    assert 'not naming:right("network", "My Network")' in why(policed, "naming", ("network", wrong, "My Network"))
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "naming", FORBIDS))
    with refused("PolicyForbids", "My Router"):
        policed.router(name="My Router")
    policed.router(name="edge")
    policed.port(network(policed, name="web-2"), name="Any Name")
    policed.update("networks", wrong, {"name": "mine"})
    assert policed.rows("naming") == []


def test_tagging(policed: Policed) -> None:
    bare, tagged = policed.network(), policed.network()
    policed.view("networks", "PUT {}/tags/{}", tagged, "owner:team-a")
    policed.view("networks", "PUT {}/tags/{}", bare, "owners")
    load(policed, "tagging")
    row = ("network", bare, "^owner:[a-z0-9-]+$")
    assert policed.rows("tagging") == [row]
    assert "not tagging:tagged(" in why(policed, "tagging", row)
    policed.view("networks", "PUT {}/tags/{}", bare, "owner:b")
    assert policed.rows("tagging") == []


def test_public_addresses(policed: Policed) -> None:
    outside, _, _ = with_router(policed)
    floating = [policed.create("floatingips", floating_network_id=outside)["id"] for _ in range(2)]
    load(policed, "public_addresses", "most(2)", 'most_of("blue", 1)', forbids=True)
    assert policed.rows("public_addresses") == [("red", 2)]
    assert 'used("red", 3)' in why(policed, "public_addresses", ("red", 2))
    policed.delete("floatingips", floating.pop())
    assert policed.rows("public_addresses") == []
    with refused("PolicyForbids", 'used("red", 3)'):
        policed.create("floatingips", floating_network_id=outside)
    policed.create("floatingips", by=BOB, floating_network_id=outside)
    with refused("PolicyForbids", 'limit("blue", 1)'):
        policed.create("floatingips", by=BOB, floating_network_id=outside)


def test_who_has_too_many_addresses_may_give_one_back(policed: Policed) -> None:
    outside = policed.outside()
    floating = [policed.create("floatingips", floating_network_id=outside)["id"] for _ in range(4)]
    load(policed, "public_addresses", "most(1)", forbids=True)
    policed.delete("floatingips", floating.pop())
    assert policed.rows("public_addresses") == [("red", 1)]


def test_residency(policed: Policed) -> None:
    for host in ("hv1", "hv2"):
        policed.host(host)
    tied, free = network(policed), network(policed)
    policed.view("networks", "PUT {}/tags/{}", tied, "region:eu")
    load(policed, "residency", 'host_region("hv1", "eu")', 'host_region("hv2", "us")')
    bound = {(on, host): policed.port(on, ADMIN, **{"binding:host_id": host})["id"]
             for on in (tied, free) for host in ("hv1", "hv2")}  # fmt: skip
    policed.port(tied)
    row = (bound[tied, "hv2"], "hv2", tied)
    assert policed.rows("residency") == [row]
    assert "not residency:fits(" in why(policed, "residency", row) and "binding_host_id" in why(
        policed, "residency", row
    )
    policed.write(lambda tx: policies.change_policy(tx, ADMIN, "residency", FORBIDS))
    with refused("PolicyForbids", "hv2"):
        policed.update("ports", bound[tied, "hv1"], {"binding:host_id": "hv2"}, ADMIN)
    policed.update("ports", bound[tied, "hv2"], {"binding:host_id": "hv1"}, ADMIN)
    policed.view("networks", "PUT {}/tags/{}", tied, "region:us")
    policed.update("ports", bound[tied, "hv1"], {"binding:host_id": "hv2"}, ADMIN)
    assert policed.rows("residency") == []


def test_orphans(policed: Policed) -> None:
    projects(policed, "red", "operators")
    outside, _, inside = with_router(policed)
    used, idle = policed.port(inside, device_owner=GUEST, device_id="vm")["id"], policed.port(inside)["id"]
    policed.create("floatingips", floating_network_id=outside, port_id=used)
    floating = policed.create("floatingips", floating_network_id=outside)["id"]
    unused, lonely, theirs = group(policed), policed.router(), policed.network(BOB)
    load(policed, "orphans")
    wrong = {
        ("port", idle, "has no device"),
        ("floating IP", floating, "leads to no port"),
        ("security group", unused, "no port has it"),
        ("router", lonely, "is on no network"),
        ("network", theirs, "its project is gone"),
    }
    assert set(policed.rows("orphans")) == wrong
    assert 'owned("network"' in why(policed, "orphans", ("network", theirs, "its project is gone"))
    projects(policed, "blue")
    policed.update("ports", idle, {"device_owner": GUEST, "device_id": "vm2", "security_groups": [unused]})
    policed.delete("floatingips", floating)
    policed.delete("routers", lonely)
    assert policed.rows("orphans") == []


def test_nobody_is_gone_where_another_keystone_knows_them(policed: Policed) -> None:
    policed.network()
    load(policed, "orphans")
    assert policed.rows("orphans") == []


def test_host_drift(policed: Policed) -> None:
    def told(name: str, *rows: Row) -> None:
        reading = Reading(source="suimon", name=name, columns=OUTSIDE["suimon"][name], rows=rows)
        policed.write(lambda tx: keep_readings(tx, [reading]), SYSTEM)

    states = {host: (host, True, True, "", 0, 0) for host in ("good", "bad", "often", "odd", "shop")}
    drifts = [("often", f"2026-01-01T00:00:0{second}Z", "port p", 1, 0, 0, True) for second in range(3)]
    drifts += [(host, "2026-01-01T00:00:00Z", "port p", 1, 0, 0, False) for host in ("bad", "shop")]
    told("host_states", *(states | {"odd": ("odd", True, True, "it would lose 30 things", 2, 0)}).values())
    told("drifts", *drifts, ("good", "2026-01-01T00:00:00Z", "port p", 1, 0, 0, True))
    load(policed, "host_drift", "many(3)", 'let_be("shop")')
    row = ("bad", "drifted and isn't repaired", "port p")
    assert set(policed.rows("host_drift")) == {
        row,
        ("often", "drifts often", ""),
        ("odd", "refuses flows", ""),
        ("odd", "holds back what it was told", "it would lose 30 things"),
    }
    assert "suimon:drifts(" in why(policed, "host_drift", row)
    told("host_states", *states.values())
    told("drifts", *((*one[:-1], True) for one in drifts[2:]))
    assert policed.rows("host_drift") == []
