"""Security groups and their rules."""

from typing import Any

import pytest

from suimon.model.query import parse_query
from suimon.resources import security_group_rules
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused, share

GROUPS, RULES = "security-groups", "security-group-rules"


@pytest.fixture
def group(world: World) -> str:
    return str(world.create(GROUPS, name="g")["id"])


def rule(world: World, group: str, **more: Any) -> dict[str, Any]:
    return world.create(RULES, {"security_group_id": group, "direction": "ingress", **more})


def test_a_new_group_lets_everything_out(world: World) -> None:
    made = world.create(GROUPS, name="g", description="d")
    rules = [(one["direction"], one["ethertype"], one["remote_group_id"]) for one in made["security_group_rules"]]
    assert sorted(rules) == [("egress", "IPv4", None), ("egress", "IPv6", None)]
    assert world.get(GROUPS, made["id"]) == made


def test_the_default_group_comes_by_itself_and_trusts_its_members(world: World) -> None:
    world.create(GROUPS, name="g")
    (default,) = world.list(GROUPS, "name=default")
    rules = {(one["direction"], one["remote_group_id"]) for one in default["security_group_rules"]}
    assert rules == {("egress", None), ("ingress", default["id"])}


def test_the_default_group_stays_the_default_group(world: World, group: str) -> None:
    default = world.list(GROUPS, "name=default")[0]["id"]
    with refused("SecurityGroupDefaultAlreadyExists", "Default security group already exists."):
        world.create(GROUPS, name="default")
    with refused("SecurityGroupDefaultAlreadyExists"):
        world.update(GROUPS, group, {"name": "default"})
    for by in (ALICE, ADMIN):
        with refused("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed."):
            world.update(GROUPS, default, {"name": "x"}, by)
    assert world.update(GROUPS, default, {"description": "ours"})["description"] == "ours"
    with refused("SecurityGroupCannotRemoveDefault"):
        world.delete(GROUPS, default)
    world.delete(GROUPS, default, ADMIN)


def test_no_group_is_called_like_the_default_one_however_it_is_spelled(world: World, group: str) -> None:
    with refused("SecurityGroupDefaultAlreadyExists"):
        world.create(GROUPS, name="Default")
    with refused("HTTPBadRequest", "Invalid input for name. Reason: 'True' is not a valid string."):
        world.create(GROUPS, name=True)
    with refused("HTTPBadRequest", "exceeds maximum length of 255"):
        world.update(GROUPS, group, {"name": "x" * 256})


def test_a_project_gets_its_default_group_when_somebody_looks(world: World) -> None:
    groups = RESOURCES[GROUPS]
    assert groups.unprepared and groups.prepare
    for asked, by, project in (
        ("", BOB, "blue"),
        ("project_id=red", ADMIN, "red"),
        ("tenant_id=green", ADMIN, "green"),
    ):
        key, _, value = asked.partition("=")
        query = parse_query(groups.spec, [(key, value)] if asked else [])
        assert world.read(lambda tx, by=by, query=query: groups.unprepared(tx, by, query))  # type: ignore[misc]
        world.write(lambda tx, by=by, query=query: groups.prepare(tx, by, query))  # type: ignore[misc]
        assert not world.read(lambda tx, by=by, query=query: groups.unprepared(tx, by, query))  # type: ignore[misc]
        assert [one["name"] for one in world.list(GROUPS, f"project_id={project}", ADMIN)] == ["default"]
    # A tenant asks for his own only, whatever he says.
    others = parse_query(groups.spec, [("project_id", "yellow")])
    assert not world.read(lambda tx: groups.unprepared(tx, BOB, others))  # type: ignore[misc]


def test_groups_in_bulk(world: World) -> None:
    made = world.create_many(GROUPS, [{"name": "a"}, {"name": "b", "stateful": False}])
    assert [(one["name"], one["stateful"], len(one["security_group_rules"])) for one in made] == [
        ("a", True, 2),
        ("b", False, 2),
    ]
    assert {one["name"] for one in world.list(GROUPS)} == {"a", "b", "default"}


def test_stateless(world: World, group: str) -> None:
    stateless = world.create(GROUPS, name="s", stateful=False)["id"]
    assert [one["id"] for one in world.list(GROUPS, "stateful=false")] == [stateless]
    assert world.update(GROUPS, group, {"stateful": False})["stateful"] is False
    assert world.update(GROUPS, group, {"stateful": True})["stateful"] is True
    network = world.network()
    both = "Error Cannot apply both stateful and stateless security groups on the same port at the same time while"
    with refused("SecurityGroupConflict", both):
        world.port(network, security_groups=[group, stateless])
    port = world.port(network, security_groups=[group])["id"]
    with refused("SecurityGroupConflict", both):
        world.update("ports", port, {"security_groups": [group, stateless]})
    assert world.get("ports", port)["security_groups"] == [group]
    with refused("SecurityGroupInUse", f"Security Group {group} in use."):
        world.update(GROUPS, group, {"stateful": False})
    assert world.update(GROUPS, group, {"stateful": True, "name": "h"})["name"] == "h"
    other = world.create(GROUPS, name="t", stateful=False)["id"]
    world.update("ports", port, {"security_groups": [stateless, other]})


def test_shared_with_a_project(world: World, group: str) -> None:
    made = rule(world, group)["id"]
    network = world.network(BOB)
    with refused("SecurityGroupNotFound", f"Security group {group} does not exist"):
        world.port(network, BOB, security_groups=[group])
    share(world, "security_group", group, "blue")
    assert (world.get(GROUPS, group, BOB)["shared"], world.get(GROUPS, group)["shared"]) == (True, False)
    assert [one["id"] for one in world.list(GROUPS, "shared=true", BOB)] == [group]
    assert group not in [one["id"] for one in world.list(GROUPS, "shared=false", BOB)]
    assert world.port(network, BOB, security_groups=[group])["security_groups"] == [group]
    own = world.create(GROUPS, name="b", by=BOB)["id"]
    world.create(RULES, security_group_id=own, direction="ingress", remote_group_id=group, by=BOB)
    # It is for use; its rules are the owner's.
    with refused("SecurityGroupRuleNotFound"):
        world.get(RULES, made, BOB)
    with refused("PolicyNotAuthorized"):
        world.create(RULES, security_group_id=group, direction="egress", by=BOB)
    with refused("PolicyNotAuthorized"):
        world.update(GROUPS, group, {"name": "mine"}, BOB)


def test_a_group_in_use_stays(world: World, group: str) -> None:
    port = world.port(world.network(), security_groups=[group])["id"]
    with refused("SecurityGroupInUse", f"Security Group {group} in use."):
        world.delete(GROUPS, group)
    world.delete("ports", port)
    world.delete(GROUPS, group)


def test_rules_that_name_a_group_go_with_it(world: World, group: str) -> None:
    other = world.create(GROUPS, name="other")["id"]
    named = rule(world, other, remote_group_id=group)["id"]
    world.delete(GROUPS, group)
    with refused("SecurityGroupRuleNotFound"):
        world.get(RULES, named)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"protocol": "icmpv6", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
        ({"protocol": "1", "ethertype": "IPv6"}, {"protocol": "58"}),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, {"port_range_min": None}),
        ({"protocol": "sctp", "port_range_min": 9, "port_range_max": 9}, {"port_range_max": 9}),
        ({"description": "d"}, {"description": "d", "belongs_to_default_sg": False}),
        ({"protocol": 6}, {"protocol": "6"}),
        ({"protocol": "any"}, {"protocol": None}),
        ({"protocol": "TCP", "port_range_min": "22", "port_range_max": 22}, {"protocol": "tcp", "port_range_min": 22}),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"port_range_max": 0}),
        (
            {"remote_ip_prefix": "10.0.0.5/8"},
            {"remote_ip_prefix": "10.0.0.5/8", "normalized_cidr": "10.0.0.0/8"},
        ),
        ({"remote_ip_prefix": "10.0.0.5"}, {"remote_ip_prefix": "10.0.0.5/32"}),
        ({"ethertype": "ipv6", "remote_ip_prefix": "fd00::/64"}, {"ethertype": "IPv6"}),
    ],
)
def test_spelling(world: World, group: str, given: dict[str, Any], shown: dict[str, Any]) -> None:
    made = rule(world, group, **given)
    assert {name: made[name] for name in shown} == shown
    assert world.get(RULES, made["id"]) == made


TCP_22 = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (TCP_22, "SecurityGroupRuleExists", "Security group rule already exists. Rule id is "),
        ({**TCP_22, "protocol": "6"}, "SecurityGroupRuleExists", ""),
        ({**TCP_22, "remote_ip_prefix": "0.0.0.0/0"}, "SecurityGroupRuleExists", ""),
        ({**TCP_22, "port_range_min": 30}, "SecurityGroupInvalidPortRange", "port_range_min must be <= port_range_max"),
        ({"protocol": "tcp", "port_range_min": 22}, "SecurityGroupInvalidPortRange", ""),
        ({**TCP_22, "protocol": None}, "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol"),
        (
            {**TCP_22, "protocol": "esp"},
            "SecurityGroupInvalidProtocolForPort",
            "Ports cannot be specified for protocol 50. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE.",
        ),
        ({**TCP_22, "port_range_min": 0}, "SecurityGroupInvalidPortValue", "Invalid value for port 0"),
        ({**TCP_22, "port_range_max": 70000}, "SecurityGroupInvalidPortValue", "Invalid value for port 70000"),
        ({"protocol": "300"}, "SecurityGroupRuleInvalidProtocol", "Security group rule protocol 300 not supported."),
        ({"ethertype": "IPv5"}, "SecurityGroupRuleInvalidEtherType", "ethertype 'IPv5' not supported"),
        ({"remote_ip_prefix": "junk"}, "InvalidCIDR", "Invalid CIDR junk given as IP prefix."),
        ({"direction": "up"}, "HTTPBadRequest", "up is not in valid_values"),
        ({"protocol": "58"}, "SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype IPv4 for protocol 58."),
        ({"protocol": "icmp", "port_range_min": 300}, "SecurityGroupInvalidIcmpValue", "type (port_range_min) 300"),
        (
            {"protocol": "icmp", "port_range_min": 3, "port_range_max": 300},
            "SecurityGroupInvalidIcmpValue",
            "code (port_range_max) 300",
        ),
        (
            {"protocol": "icmp", "port_range_max": 3},
            "SecurityGroupMissingIcmpType",
            "code (port-range-max) 3 is provided",
        ),
        (
            {"protocol": "icmpv6"},
            "SecurityGroupEthertypeConflictWithProtocol",
            "Invalid ethertype IPv4 for protocol icmpv6.",
        ),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict", "ethertype IPv4 for CIDR fd00::/64"),
        (
            {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "GROUP"},
            "SecurityGroupMultipleRemoteEntites",
            "Only one",
        ),
        ({"remote_address_group_id": "BOBS"}, "AddressGroupNotFound", " could not be found."),
        ({"remote_address_group_id": NOBODY}, "AddressGroupNotFound", f"Address group {NOBODY} could not be found."),
        ({"remote_group_id": NOBODY}, "SecurityGroupNotFound", f"Security group {NOBODY} does not exist"),
        ({"remote_group_id": "BOBS"}, "SecurityGroupNotFound", ""),
        ({"remote_group_id": "junk"}, "SecurityGroupNotFound", "Security group junk does not exist"),
        ({"security_group_id": "junk"}, "SecurityGroupNotFound", "Security group junk does not exist"),
        ({"security_group_id": NOBODY}, "SecurityGroupNotFound", ""),
        ({"security_group_id": "BOBS"}, "SecurityGroupNotFound", ""),
    ],
)
def test_impossible_rules(world: World, group: str, given: dict[str, Any], kind: str, words: str) -> None:
    rule(world, group, **TCP_22)
    bobs = "address-groups" if "remote_address_group_id" in given else GROUPS
    names = {"GROUP": group, "BOBS": world.create(bobs, name="g", by=BOB)["id"]}
    with refused(kind, words):
        rule(world, group, **{name: names.get(str(value), value) for name, value in given.items()})
    assert len(world.get(GROUPS, group)["security_group_rules"]) == 3


def test_rules_in_bulk(world: World, group: str) -> None:
    other = world.create(GROUPS, name="other")["id"]
    one = {"security_group_id": group, "direction": "ingress"}
    with refused("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST."):
        world.create_many(RULES, [one, one])
    with refused("SecurityGroupNotSingleGroupRules", "Only allowed to update rules for one security profile at a time"):
        world.create_many(RULES, [one, {**one, "security_group_id": other}])
    with refused("SecurityGroupRulesNotSingleProject"):
        world.create_many(RULES, [one, {**one, "protocol": "tcp", "project_id": "red"}], ADMIN)
    assert len(world.get(GROUPS, group)["security_group_rules"]) == 2
    made = world.create_many(RULES, [one, {**one, "protocol": "tcp"}])
    assert [(two["security_group_id"], two["protocol"]) for two in made] == [(group, None), (group, "tcp")]
    assert world.get(GROUPS, group)["revision_number"] == 2


def test_whose_a_rule_is(world: World, group: str) -> None:
    """An operator's rule in a tenant's group is the operator's, but the tenant sees it and may take it out."""
    made = world.create(RULES, security_group_id=group, direction="ingress", by=ADMIN)
    assert made["project_id"] == "operators"
    assert world.get(RULES, made["id"])["id"] == made["id"]
    assert rule(world, group, protocol="tcp")["project_id"] == "red"
    world.delete(RULES, made["id"])


def test_rules_of_the_default_group_are_told_apart(world: World, group: str) -> None:
    default = world.list(GROUPS, "name=default")[0]
    assert {one["belongs_to_default_sg"] for one in default["security_group_rules"]} == {True}
    found = {one["security_group_id"] for one in world.list(RULES, "belongs_to_default_sg=True")}
    assert found == {default["id"]}
    assert {one["security_group_id"] for one in world.list(RULES, "belongs_to_default_sg=False")} == {group}
    assert world.create(RULES, security_group_id=default["id"], direction="ingress")["belongs_to_default_sg"] is True


def test_a_rule_for_the_addresses_of_a_group(world: World, group: str) -> None:
    addresses = world.create("address-groups", addresses=["10.0.0.0/24"])["id"]
    made = rule(world, group, remote_address_group_id=addresses)
    assert world.list(RULES, f"remote_address_group_id={addresses}") == [made]
    with refused("SecurityGroupMultipleRemoteEntites"):
        rule(world, group, remote_address_group_id=addresses, remote_ip_prefix="10.0.0.0/8")
    with refused("SecurityGroupRuleExists"):
        rule(world, group, remote_address_group_id=addresses)
    rule(world, group)


def test_a_group_has_so_many_rules(world: World, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_group_rules, "MAX_RULES", 3)
    rule(world, group, protocol="tcp")
    with refused("OverQuota"):
        rule(world, group, protocol="udp")


def test_revisions(world: World, group: str) -> None:
    made = rule(world, group)["id"]
    assert world.get(GROUPS, group)["revision_number"] == 2
    with refused("RevisionNumberConstraintFailed"):
        world.delete(RULES, made, expected=7)
    for refuse in (lambda: world.update(GROUPS, group, {"name": "x"}, expected=0),
                   lambda: world.delete(GROUPS, group, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    world.delete(RULES, made, expected=0)
    assert world.update(GROUPS, group, {}, expected=3)["revision_number"] == 3


def test_strangers_see_nothing(world: World, group: str) -> None:
    made = rule(world, group)["id"]
    assert (world.list(GROUPS, by=BOB), world.list(RULES, by=BOB)) == ([], [])
    with refused("SecurityGroupNotFound"):
        world.get(GROUPS, group, BOB)
    with refused("SecurityGroupRuleNotFound", f"Security group rule {made} does not exist"):
        world.delete(RULES, made, BOB)
    assert len(world.list(RULES, by=ALICE)) == 7
