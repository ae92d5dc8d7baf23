"""What new security groups start with."""

from typing import Any

import pytest

from suimon.resources import default_group_rules
from tests.resources.world import ADMIN, ALICE, NOBODY, World, refused

DEFAULTS, GROUPS = "default-security-group-rules", "security-groups"
TCP: dict[str, Any] = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


def template(world: World, default: bool, other: bool, **more: Any) -> dict[str, Any]:
    return world.create(DEFAULTS, TCP | more, ADMIN, used_in_default_sg=default, used_in_non_default_sg=other)


def allowed(world: World, group: dict[str, Any]) -> set[tuple[Any, ...]]:
    rules = world.get(GROUPS, group["id"])["security_group_rules"]
    return {(one["direction"], one["ethertype"], one["protocol"], one["remote_group_id"]) for one in rules}


def test_what_there_is_at_first(world: World) -> None:
    told = world.list(DEFAULTS)
    names = ("direction", "ethertype", "remote_group_id", "used_in_default_sg", "used_in_non_default_sg")
    assert sorted(str([one[name] for name in names]) for one in told) == [
        "['egress', 'IPv4', None, True, True]",
        "['egress', 'IPv6', None, True, True]",
        "['ingress', 'IPv4', 'PARENT', True, False]",
        "['ingress', 'IPv6', 'PARENT', True, False]",
    ]
    assert {one["description"] for one in told} == {
        "Legacy default SG rule for egress traffic",
        "Legacy default SG rule for ingress traffic",
    }
    assert set(told[0]) == {
        *("id", "description", "direction", "ethertype", "protocol", "port_range_min", "port_range_max"),
        *("remote_ip_prefix", "remote_group_id", "remote_address_group_id"),
        *("used_in_default_sg", "used_in_non_default_sg"),
    }


def test_new_groups_follow(world: World) -> None:
    for one in world.list(DEFAULTS):
        world.delete(DEFAULTS, one["id"], ADMIN)
    template(world, True, False, description="told to nobody")
    made = template(world, False, True, protocol="udp", remote_group_id="PARENT")
    assert world.get(DEFAULTS, made["id"]) == made
    group = world.create(GROUPS, name="g")
    (default,) = world.list(GROUPS, "name=default")
    assert allowed(world, group) == {("ingress", "IPv4", "udp", group["id"])}
    assert allowed(world, default) == {("ingress", "IPv4", "tcp", None)}
    assert default["security_group_rules"][0]["description"] == ""
    world.delete(DEFAULTS, made["id"], ADMIN)
    assert allowed(world, world.create(GROUPS, name="h")) == set()
    assert allowed(world, group) == {("ingress", "IPv4", "udp", group["id"])}


def test_filters(world: World) -> None:
    made = template(world, False, True)
    assert [one["id"] for one in world.list(DEFAULTS, "used_in_default_sg=False")] == [made["id"]]
    assert [one["id"] for one in world.list(DEFAULTS, "protocol=tcp&port_range_min=22")] == [made["id"]]
    assert len(world.list(DEFAULTS, "remote_group_id=PARENT")) == 2


def test_each_is_there_once_for_each_sort_of_groups(world: World) -> None:
    made = template(world, True, False)
    template(world, False, True)
    for default, other in ((True, True), (False, True), (True, False)):
        with refused("DefaultSecurityGroupRuleExists", "Default Security group rule already exists. Rule id is "):
            template(world, default, other, protocol="6")
    world.delete(DEFAULTS, made["id"], ADMIN)
    template(world, True, False, protocol="6")
    twice = [{**TCP, "protocol": "udp", "used_in_default_sg": True, "used_in_non_default_sg": False}] * 2
    with refused("DefaultSecurityGroupRuleExists"):
        world.create_many(DEFAULTS, twice, ADMIN)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"port_range_min": 23}, "SecurityGroupInvalidPortRange"),
        ({"remote_group_id": NOBODY}, "SecurityGroupNotFound"),
        ({"remote_group_id": "parent"}, "SecurityGroupNotFound"),
        ({"remote_group_id": 5}, "HTTPBadRequest"),
        ({"remote_address_group_id": NOBODY}, "AddressGroupNotFound"),
        ({"remote_group_id": "PARENT", "remote_ip_prefix": "10.0.0.0/8"}, "SecurityGroupMultipleRemoteEntites"),
    ],
)
def test_impossible(world: World, given: dict[str, Any], kind: str) -> None:
    with refused(kind):
        template(world, True, True, **given)
    with refused("HTTPBadRequest", "Required attribute 'used_in_non_default_sg' not specified"):
        world.create(DEFAULTS, TCP, ADMIN, used_in_default_sg=True)
    with refused("DefaultSecurityGroupRuleNotFound", f"Default Security Group rule {NOBODY} does not exist"):
        world.delete(DEFAULTS, NOBODY, ADMIN)
    assert len(world.list(DEFAULTS)) == 4


def test_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_group_rules, "MAX_RULES", 5)
    template(world, True, True)
    with refused("OverQuota"):
        template(world, True, True, protocol="udp")


def test_what_a_default_rule_names_may_go(world: World) -> None:
    named = world.create(GROUPS, name="named", by=ADMIN)["id"]
    addresses = world.create("address-groups", addresses=["10.0.0.0/24"], by=ADMIN)["id"]
    template(world, False, True, remote_group_id=named)
    template(world, False, True, remote_address_group_id=addresses)
    made = world.create(GROUPS, name="g")["security_group_rules"]
    remotes = {one["remote_group_id"] for one in made} | {one["remote_address_group_id"] for one in made}
    assert remotes == {None, named, addresses}
    world.delete(GROUPS, world.list(GROUPS, "name=g")[0]["id"], ALICE)
    world.delete(GROUPS, named, ADMIN)
    world.delete("address-groups", addresses, ADMIN)
    assert len(world.list(DEFAULTS)) == 4
    world.create(GROUPS, name="h")
