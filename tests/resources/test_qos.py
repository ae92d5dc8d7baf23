"""QoS policies: who has them, whom they are shared with, what uses them."""

import pytest

from suimon.model.actor import Actor
from tests.resources.below import Below
from tests.resources.world import ADMIN, ALICE, BOB, World, refused, share

POLICIES = "qos/policies"
LIMITS = "bandwidth_limit_rules"
MARY = Actor("mary", "red", frozenset({"manager"}), "req-mary")


@pytest.fixture
def policy(world: World) -> str:
    return str(world.create(POLICIES, name="p", by=ADMIN)["id"])


def limit(world: World, policy: str) -> None:
    Below(world, POLICIES, LIMITS, policy).create(ADMIN, max_kbps=1)


def test_a_policy_in_use_stays(world: World, policy: str) -> None:
    limit(world, policy)
    network = world.network(ADMIN, qos_policy_id=policy)
    with refused("QosPolicyInUse", f"QoS Policy {policy} is used by network {network}."):
        world.delete(POLICIES, policy, ADMIN)
    port = world.port(network, ADMIN, qos_policy_id=policy)
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (policy, policy)
    world.update("networks", network, {"qos_policy_id": None}, ADMIN)
    assert world.get("ports", port["id"], ADMIN)["qos_network_policy_id"] is None
    with refused("QosPolicyInUse", f"used by port {port['id']}."):
        world.delete(POLICIES, policy, ADMIN)
    world.update("ports", port["id"], {"qos_policy_id": None}, ADMIN)
    world.delete(POLICIES, policy, ADMIN)
    with refused("QosPolicyNotFound"):
        world.get(POLICIES, policy, ADMIN)


def test_what_leads_outside_uses_a_policy(world: World, policy: str) -> None:
    outside = world.outside()
    gateway = {"network_id": outside, "qos_policy_id": policy}
    router = world.router(ADMIN, external_gateway_info=gateway)
    with refused("QosPolicyInUse", f"used by router {router}."):
        world.delete(POLICIES, policy, ADMIN)
    floating_ip = world.create("floatingips", floating_network_id=outside, qos_policy_id=policy, by=ADMIN)
    assert floating_ip["qos_policy_id"] == policy
    with refused("QosPolicyInUse", f"used by fip {floating_ip['id']}."):
        world.delete(POLICIES, policy, ADMIN)
    world.update("floatingips", floating_ip["id"], {"qos_policy_id": None}, ADMIN)
    world.update("routers", router, {"external_gateway_info": {"network_id": outside, "qos_policy_id": None}}, ADMIN)
    world.delete(POLICIES, policy, ADMIN)


def test_one_default_for_a_project(world: World, policy: str) -> None:
    first = world.create(POLICIES, is_default=True, by=ADMIN)
    with refused("QoSPolicyDefaultAlreadyExists", "A default QoS policy exists for project operators."):
        world.create(POLICIES, is_default=True, by=ADMIN)
    with refused("QoSPolicyDefaultAlreadyExists"):
        world.update(POLICIES, policy, {"is_default": True}, ADMIN)
    with refused("QoSPolicyDefaultAlreadyExists", "for project red."):
        world.create_many(POLICIES, [{"is_default": True, "project_id": "red"}] * 2, ADMIN)
    assert world.update(POLICIES, first["id"], {"is_default": True, "name": "x"}, ADMIN)["name"] == "x"
    world.update(POLICIES, first["id"], {"is_default": False}, ADMIN)
    assert world.update(POLICIES, policy, {"is_default": True}, ADMIN)["is_default"] is True
    assert [one["id"] for one in world.list(POLICIES, "is_default=True", ADMIN)] == [policy]


def test_new_networks_have_their_projects_default(world: World, policy: str) -> None:
    default = world.create(POLICIES, is_default=True, project_id="red", by=ADMIN)["id"]
    network = world.create("networks")
    assert network["qos_policy_id"] == default
    assert world.create("networks", project_id="red", qos_policy_id=policy, by=ADMIN)["qos_policy_id"] == policy
    assert world.create("networks", by=BOB)["qos_policy_id"] is None
    assert world.update("networks", network["id"], {"qos_policy_id": None})["qos_policy_id"] is None


def test_a_tenant_takes_a_shared_policy_but_not_the_operators_off(world: World, policy: str) -> None:
    network = world.network()
    with refused("QosPolicyNotFound", f"QoS policy {policy} could not be found."):
        world.update("networks", network, {"qos_policy_id": policy})
    world.update("networks", network, {"qos_policy_id": policy}, ADMIN)
    port = world.port(world.network())["id"]
    world.update("ports", port, {"qos_policy_id": policy}, ADMIN)
    words = f"Failed to remove provided policy {policy} because you are not authorized."
    shared = world.create(POLICIES, shared=True, by=ADMIN)["id"]
    for path, id_ in (("networks", network), ("ports", port)):
        for body in ({"qos_policy_id": None}, {"qos_policy_id": shared}):
            with refused("PolicyRemoveAuthorizationError", words):
                world.update(path, id_, body)
        assert world.update(path, id_, {"qos_policy_id": policy})["qos_policy_id"] == policy
    world.update(POLICIES, policy, {"shared": True}, ADMIN)
    for path, id_ in (("networks", network), ("ports", port)):
        assert world.update(path, id_, {"qos_policy_id": None})["qos_policy_id"] is None
    own = str(world.create(POLICIES, by=ADMIN, project_id="red")["id"])
    other = world.network(qos_policy_id=own)
    assert world.update("networks", other, {"qos_policy_id": None})["qos_policy_id"] is None


def test_shared_with_all_or_some(world: World, policy: str) -> None:
    with refused("QosPolicyNotFound"):
        world.get(POLICIES, policy, BOB)
    share(world, "qos_policy", policy, "red")
    assert world.get(POLICIES, policy)["shared"] is True
    assert world.get(POLICIES, policy, ADMIN)["shared"] is False
    assert world.update(POLICIES, policy, {"shared": True}, ADMIN)["shared"] is True
    assert world.get(POLICIES, policy, BOB)["shared"] is True
    assert [one["id"] for one in world.list(POLICIES, "shared=True", BOB)] == [policy]
    network = world.network(BOB, qos_policy_id=policy)
    with refused("RbacPolicyInUse", f"RBAC policy on object {policy} cannot be removed"):
        world.update(POLICIES, policy, {"shared": False}, ADMIN)
    world.delete("networks", network, BOB)
    world.network(ALICE, qos_policy_id=policy)
    assert world.update(POLICIES, policy, {"shared": False}, ADMIN)["shared"] is False
    assert world.list(POLICIES, by=BOB) == []
    assert world.update(POLICIES, policy, {"shared": False, "name": "x"}, ADMIN)["name"] == "x"


def test_who_manages_a_project_has_policies_of_his_own(world: World, policy: str) -> None:
    mine = world.create(POLICIES, name="m", by=MARY)
    assert (mine["project_id"], mine["rules"]) == ("red", [])
    assert [one["id"] for one in world.list(POLICIES, by=ALICE)] == [mine["id"]]
    with refused("PolicyNotAuthorized", "rule:create_policy is disallowed by policy"):
        world.create(POLICIES, by=ALICE)
    with refused("QosPolicyNotFound"):
        world.delete(POLICIES, policy, MARY)
    world.delete(POLICIES, mine["id"], MARY)


def test_revisions(world: World, policy: str) -> None:
    assert world.update(POLICIES, policy, {}, ADMIN)["revision_number"] == 0
    assert world.update(POLICIES, policy, {"name": "q"}, ADMIN, expected=0)["name"] == "q"
    for refuse in (lambda: world.update(POLICIES, policy, {"name": "x"}, ADMIN, expected=0),
                   lambda: world.delete(POLICIES, policy, ADMIN, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()


def test_a_page_after_what_one_cannot_see_is_the_first_one(world: World, policy: str) -> None:
    mine = world.create(POLICIES, by=MARY)["id"]
    assert [one["id"] for one in world.list(POLICIES, f"limit=1&marker={policy}")] == [mine]
    assert world.list(POLICIES, f"limit=1&marker={mine}") == []
