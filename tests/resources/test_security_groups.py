"""Security groups and their rules."""

from typing import Any

import pytest

from suimon.resources import security_group_rules
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

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
    with refused("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed."):
        world.update(GROUPS, default, {"description": "mine"})
    with refused("SecurityGroupCannotUpdateDefault"):
        world.update(GROUPS, default, {"name": "x"}, ADMIN)
    assert world.update(GROUPS, default, {"description": "ours"}, ADMIN)["description"] == "ours"
    with refused("SecurityGroupCannotRemoveDefault"):
        world.delete(GROUPS, default)
    world.delete(GROUPS, default, ADMIN)


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
        ({**TCP_22, "protocol": "esp"}, "SecurityGroupInvalidProtocolForPort", "Invalid protocol esp"),
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
        ({"remote_group_id": NOBODY}, "SecurityGroupNotFound", f"Security group {NOBODY} does not exist"),
        ({"remote_group_id": "BOBS"}, "SecurityGroupNotFound", ""),
        ({"security_group_id": NOBODY}, "SecurityGroupNotFound", ""),
        ({"security_group_id": "BOBS"}, "SecurityGroupNotFound", ""),
    ],
)
def test_impossible_rules(world: World, group: str, given: dict[str, Any], kind: str, words: str) -> None:
    rule(world, group, **TCP_22)
    names = {"GROUP": group, "BOBS": world.create(GROUPS, name="g", by=BOB)["id"]}
    with refused(kind, words):
        rule(world, group, **{name: names.get(str(value), value) for name, value in given.items()})
    assert len(world.get(GROUPS, group)["security_group_rules"]) == 3


def test_rules_in_bulk(world: World, group: str) -> None:
    other = world.create(GROUPS, name="other")["id"]
    one = {"security_group_id": group, "direction": "ingress"}
    with refused("SecurityGroupRuleExists"):
        world.create_many(RULES, [one, one])
    assert len(world.get(GROUPS, group)["security_group_rules"]) == 2
    made = world.create_many(RULES, [one, {**one, "security_group_id": other}, {**one, "protocol": "tcp"}])
    assert [(two["security_group_id"], two["protocol"]) for two in made] == [
        (group, None),
        (other, None),
        (group, "tcp"),
    ]


def test_a_group_has_so_many_rules(world: World, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_group_rules, "MAX_RULES", 3)
    rule(world, group, protocol="tcp")
    with refused("OverQuota"):
        rule(world, group, protocol="udp")


def test_revisions(world: World, group: str) -> None:
    made = rule(world, group)["id"]
    assert world.get(GROUPS, group)["revision_number"] == 1
    with refused("RevisionNumberConstraintFailed"):
        world.delete(RULES, made, expected=7)
    for refuse in (lambda: world.update(GROUPS, group, {"name": "x"}, expected=0),
                   lambda: world.delete(GROUPS, group, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
    world.delete(RULES, made, expected=0)
    assert world.update(GROUPS, group, {}, expected=2)["revision_number"] == 2


def test_strangers_see_nothing(world: World, group: str) -> None:
    made = rule(world, group)["id"]
    assert (world.list(GROUPS, by=BOB), world.list(RULES, by=BOB)) == ([], [])
    with refused("SecurityGroupNotFound"):
        world.get(GROUPS, group, BOB)
    with refused("SecurityGroupRuleNotFound", f"Security group rule {made} does not exist"):
        world.delete(RULES, made, BOB)
    assert len(world.list(RULES, by=ALICE)) == 7
