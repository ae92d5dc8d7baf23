"""policy.yaml: what an operator may write, what it does, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.model.attributes import Rule, Target
from suimon.resources.policy_file import PolicyError, read_rules
from suimon.resources.registry import RESOURCES
from tests.resources.operator_rules import operator_rules
from tests.resources.world import ADMIN, ALICE, ANN, BOB, World, refused

SPECS = [resource.spec for resource in RESOURCES.values()]
PLAIN = Actor("u", "red", frozenset())
TRUSTED = Actor("t", "red", frozenset({"Trusted"}))
FOR_NOVA = Actor("u", "red", frozenset({"member"}), service_roles=frozenset({"service"}))
RED, BLUE, ON_RED = Target("red"), Target("blue"), Target("blue", "red")
NETWORK_PORT = Target("red", values={"device_owner": "network:dhcp"})
SHARED = Target("blue", values={"shared": True, "router:external": False})


def rule(tmp_path: Path, text: str) -> Rule:
    path = tmp_path / "policy.yaml"
    path.write_text(f"create_network: '{text}'\n")
    return read_rules(path, SPECS)["create_network"]


OWN = "project_id:%(project_id)s"
CASES: list[tuple[str, Actor, Target, bool]] = [
    # rule, who, about what, whether
    ("", PLAIN, BLUE, True),
    ("@", PLAIN, BLUE, True),
    ("!", ADMIN, RED, False),
    ("role:trusted", TRUSTED, BLUE, True),
    ("role:TRUSTED", TRUSTED, BLUE, True),
    ("role:trusted", ALICE, RED, False),
    (OWN, PLAIN, RED, True),
    (OWN, PLAIN, BLUE, False),
    (OWN, Actor("u", "", frozenset()), Target(""), False),
    ("tenant_id:%(tenant_id)s", PLAIN, RED, True),
    ("project_id:red", PLAIN, BLUE, True),
    ("project_id:blue", PLAIN, BLUE, False),
    ("project_id:%(network:project_id)s", PLAIN, ON_RED, True),
    ("project_id:%(network:tenant_id)s", PLAIN, BLUE, False),
    ("project_id:%(ext_parent:project_id)s", PLAIN, RED, True),
    ("project_id:%(security_group:project_id)s", PLAIN, BLUE, False),
    ("user_id:u", PLAIN, RED, True),
    ("user_id:v", PLAIN, RED, False),
    ("is_admin:True", ADMIN, RED, True),
    ("is_admin:True", ALICE, RED, False),
    ("is_admin:False", ALICE, RED, True),
    ("is_admin_project:True", PLAIN, RED, True),
    ("is_admin_project:False", PLAIN, RED, False),
    ("service_roles:service", FOR_NOVA, RED, True),
    ("service_roles:service", ALICE, RED, False),
    ("field:networks:shared=True", PLAIN, SHARED, True),
    ("field:networks:router:external=True", PLAIN, SHARED, False),
    ("field:networks:shared=True", PLAIN, BLUE, False),
    ("field:port:device_owner=~^network:", PLAIN, NETWORK_PORT, True),
    ("field:port:device_owner=~^compute:", PLAIN, NETWORK_PORT, False),
    ("field:port:device_owner=network:dhcp", PLAIN, NETWORK_PORT, True),
    ("not role:trusted", TRUSTED, RED, False),
    ("not not role:trusted", TRUSTED, RED, True),
    ("not role:x and role:trusted", TRUSTED, RED, True),
    ("role:x or role:y or role:trusted", TRUSTED, RED, True),
    ("role:x and role:y or role:trusted", TRUSTED, RED, True),
    ("role:x and (role:y or role:trusted)", TRUSTED, RED, False),
    ("role:trusted or role:x and role:y", TRUSTED, RED, True),
    ("(role:trusted or role:x) and role:y", TRUSTED, RED, False),
    ("((role:trusted))AND(role:trusted)", TRUSTED, RED, True),
    ("(rule:admin_only) or (role:reader and project_id:%(project_id)s)", ANN, RED, True),
    ("(rule:admin_only) or (role:reader and project_id:%(project_id)s)", ANN, BLUE, False),
    ("rule:context_is_admin", ADMIN, RED, True),
    ("rule:admin_or_owner", PLAIN, BLUE, False),
    ("rule:regular_user", PLAIN, BLUE, True),
    ("rule:shared", PLAIN, SHARED, True),
    ("rule:network_device", PLAIN, NETWORK_PORT, True),
    ("rule:create_port", ALICE, RED, True),
    ("rule:create_port", ANN, RED, False),
]


@pytest.mark.parametrize("text, actor, target, allowed", CASES)
def test_the_language(tmp_path: Path, text: str, actor: Actor, target: Target, allowed: bool) -> None:
    assert rule(tmp_path, text)(actor, target) is allowed


def test_rules_refer_to_one_another_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("create_network: rule:mine\nmine: rule:other or role:a\nother: role:b\nupdate_network: role:c\n")
    rules = read_rules(path, SPECS)
    assert set(rules) == {"create_network", "update_network"}
    assert rules["create_network"](Actor("u", "p", frozenset({"b"})), RED)
    assert not rules["create_network"](Actor("u", "p", frozenset({"c"})), RED)


def test_json_and_nothing_are_files_too(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"create_network": "role:admin", "get_port:binding:host_id": "@"}')
    assert set(read_rules(path, SPECS)) == {"create_network", "get_port:binding:host_id"}
    path.write_text("# nothing\n")
    assert read_rules(path, SPECS) == {}


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("create_netwrok: '@'", 1, "there is no rule 'create_netwrok'"),
        ("# c\ncreate_network: '@'\nget_network:nosuch: '@'", 3, "there is no rule"),
        ("create_network: role:a or", 1, "a check is missing at the end"),
        ("create_network: or role:a", 1, "a check is missing before 'or'"),
        ("create_network: role:a role:b", 1, "'role:b' is out of place"),
        ("create_network: (role:a", 1, "a parenthesis isn't closed"),
        ("create_network: role:a)", 1, "')' is out of place"),
        ("create_network: admin", 1, "a check is missing before 'admin'"),
        ("create_network: rule:nosuch", 1, "it refers to 'nosuch'"),
        ("create_network: rule:a\na: rule:b\nb: rule:a", 2, "'a' refers to itself"),
        ("create_network: http://example.org/check", 1, "is no check that is known here"),
        ("create_network: project_id:%(nosuch)s", 1, "is no check that is known here"),
        ("create_network: user_id:%(user_id)s", 1, "is no check that is known here"),
        ("create_network: field:port:device_owner=~(a+)+$", 1, "is no check that is known here"),
        ("create_network: field:port:device_owner=~^a+$", 1, "is no check that is known here"),
        ("create_network: field:port", 1, "is no check that is known here"),
        ("create_network: '@'\nadmin_only: '@'", 2, "is built in and can't be replaced"),
        ("create_network: '@'\ncreate_network: '!'", 2, "is there twice"),
        ("create_network: [['role:a']]", 1, "a rule is one text"),
        ("create_network: '@'\nx: {", 3, "isn't YAML"),
    ],
)
def test_a_file_that_cant_be_used_is_refused_by_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text + "\n")
    with pytest.raises(PolicyError) as caught:
        read_rules(path, SPECS)
    told = str(caught.value)
    assert words in told and str(path) in told and f"line {line} " in told.lower(), told
    assert told.endswith(".")


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        read_rules(tmp_path / "none", SPECS)
    (tmp_path / "list").write_text("- a\n")
    with pytest.raises(PolicyError, match="has no form"):
        read_rules(tmp_path / "list", SPECS)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="isn't YAML"):
        read_rules(tmp_path / "binary", SPECS)


@pytest.fixture
def replaced(tmp_path: Path) -> Iterator[Any]:
    """Puts an operator's rules in place for one test."""
    with operator_rules(tmp_path) as made:
        yield made


def test_an_act_is_as_the_operator_says(world: World, replaced: Any) -> None:
    replaced("create_network: role:architect\n")
    with refused("PolicyNotAuthorized", "rule:create_network is disallowed by policy"):
        world.network(ALICE)
    assert world.network(Actor("x", "red", frozenset({"architect"})))


def test_an_attribute_may_get_a_rule_that_it_had_not(world: World, replaced: Any) -> None:
    replaced("create_network:description: rule:admin_only\nupdate_network:name: rule:admin_only\n")
    with refused("PolicyNotAuthorized", "rule:create_network:description"):
        world.network(ALICE, description="x")
    network = world.network(ALICE, name="n")
    with refused("PolicyNotAuthorized", "rule:update_network:name"):
        world.update("networks", network, {"name": "m"})
    assert world.update("networks", network, {"name": "m"}, ADMIN)["name"] == "m"


def test_what_is_shown_of_a_thing_is_as_the_operator_says(world: World, replaced: Any) -> None:
    network = world.network(ALICE)
    assert "provider:segmentation_id" not in world.get("networks", network)
    replaced("get_network:provider:segmentation_id: role:member\nget_network:mtu: rule:admin_only\n")
    assert "provider:segmentation_id" in world.get("networks", network)
    assert "mtu" not in world.get("networks", network) and "mtu" in world.get("networks", network, ADMIN)


def test_a_port_that_is_called_the_networks_own_goes_without_port_security_where_its_maker_may(
    world: World, replaced: Any
) -> None:
    network = world.network(ALICE)
    assert not world.port(network, ALICE, device_owner="network:x")["port_security_enabled"]
    replaced("create_port:port_security_enabled: rule:admin_only\n")
    assert world.port(network, ALICE, device_owner="network:x")["port_security_enabled"]
    assert not world.port(network, ADMIN, device_owner="network:x")["port_security_enabled"]


def test_a_rule_may_ask_what_is_wanted(world: World, replaced: Any) -> None:
    replaced("create_port:device_owner: not rule:network_device or rule:admin_only\n")
    network = world.network(ADMIN, shared=True)
    world.port(network, BOB, device_owner="compute:x")
    with refused("PolicyNotAuthorized", "rule:create_port:device_owner"):
        world.port(network, BOB, device_owner="network:x")
    replaced("create_port:device_owner: '@'\n")
    world.port(network, BOB, device_owner="network:x")
