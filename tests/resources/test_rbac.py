"""RBAC policies: sharing with some and with everybody, and what holds an entry."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from tests.resources.world import ADMIN, NOBODY, World, refused

ALICE = Actor("alice", "a" * 32, frozenset({"member"}))
BOB = Actor("bob", "b" * 32, frozenset({"member"}))
CAROL = Actor("carol", "c" * 32, frozenset({"member"}))
ENTRIES = "rbac-policies"
OUTSIDE = {"router:external": True}


def entry(world: World, object_id: str, target: str, by: Actor = ALICE, **more: str) -> str:
    told = {"object_type": "network", "action": "access_as_shared", **more}
    return str(world.create(ENTRIES, told, by=by, object_id=object_id, target_tenant=target)["id"])


def drop(world: World, id_: str, by: Actor = ADMIN) -> None:
    world.delete(ENTRIES, id_, by)


def seen(world: World, path: str, by: Actor, query: str = "") -> set[str]:
    return {one["id"] for one in world.list(path, query, by)}


def test_a_network_shared_with_one(world: World) -> None:
    network = world.network(ALICE)
    subnet = world.subnet(network, by=ALICE)
    before = world.get("networks", network, ALICE)["revision_number"]
    made = world.create(
        ENTRIES,
        object_type="Network ",
        object_id=network,
        action="access_as_shared",
        target_tenant=BOB.project_id,
        by=ALICE,
    )
    assert made == {
        "id": made["id"],
        "project_id": ALICE.project_id,
        "tenant_id": ALICE.project_id,
        "object_type": "network",
        "object_id": network,
        "action": "access_as_shared",
        "target_tenant": BOB.project_id,
    }
    assert world.get("networks", network, ALICE)["revision_number"] == before + 1
    assert [world.get("networks", network, by)["shared"] for by in (ALICE, BOB, ADMIN)] == [False, True, False]
    assert seen(world, "networks", BOB, "shared=true") == {network}
    assert seen(world, "networks", BOB, "shared=false") == seen(world, "networks", ADMIN, "shared=true") == set()
    assert seen(world, "networks", BOB, "shared=false&shared=true") == {network}
    assert seen(world, "subnets", BOB, "shared=true") == {subnet}
    assert seen(world, "subnets", BOB, "shared=false") == set()
    for path, id_ in (("networks", network), ("subnets", subnet)):
        with refused(f"{path[:-1].capitalize()}NotFound"):
            world.get(path, id_, CAROL)
        with refused("PolicyNotAuthorized"):
            world.update(path, id_, {"name": "x"}, BOB)
    assert (seen(world, ENTRIES, ALICE), seen(world, ENTRIES, BOB)) == ({made["id"]}, set())
    assert seen(world, ENTRIES, ADMIN, f"target_tenant={BOB.project_id}&object_type=network") == {made["id"]}
    with refused("RbacPolicyNotFound", f"RBAC policy of type unknown with ID {made['id']} not found"):
        world.delete(ENTRIES, made["id"], BOB)


def test_what_a_guest_of_a_network_may_do(world: World) -> None:
    network = world.network(ALICE)
    world.subnet(network, by=ALICE)
    entry(world, network, BOB.project_id)
    port = world.port(network, BOB)["id"]
    for body in ({"fixed_ips": [{"ip_address": "10.0.0.9"}]}, {"allowed_address_pairs": [{"ip_address": "1.1.1.1"}]}):
        with refused("PolicyNotAuthorized"):
            world.port(network, BOB, **body)
    with refused("PolicyNotAuthorized", "create_subnet"):
        world.subnet(network, "10.9.0.0/24", BOB)
    with refused("NetworkNotFound"):
        world.port(network, CAROL)
    world.delete("ports", port, ALICE)


def test_an_entry_that_a_guest_needs_stays(world: World) -> None:
    network = world.network(ALICE)
    world.subnet(network, by=ALICE)
    bobs = entry(world, network, BOB.project_id)
    port = world.port(network, BOB)["id"]
    with refused("RbacPolicyInUse", f"RBAC policy on object {network} cannot be removed"):
        drop(world, bobs)
    with refused("RbacPolicyInUse"):
        world.update(ENTRIES, bobs, {"target_tenant": CAROL.project_id}, ADMIN)
    everybodys = entry(world, network, "*", ADMIN)
    drop(world, bobs)
    with refused("RbacPolicyInUse"):
        drop(world, everybodys)
    with refused("InvalidSharedSetting"):
        world.update("networks", network, {"shared": False}, ADMIN)
    narrowed = world.update(ENTRIES, everybodys, {"target_project": BOB.project_id}, ADMIN)
    assert narrowed["target_tenant"] == BOB.project_id
    world.delete("ports", port, BOB)
    drop(world, everybodys)
    assert seen(world, "networks", BOB) == set()


def test_the_owner_needs_no_entry(world: World) -> None:
    network = world.network(ALICE)
    own = entry(world, network, ALICE.project_id)
    world.port(network, ALICE)
    assert world.update(ENTRIES, own, {"target_tenant": BOB.project_id}, ALICE)["target_tenant"] == BOB.project_id
    drop(world, own, ALICE)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"object_type": "junk"}, "InvalidInput", "'junk' is not a valid RBAC object type."),
        ({"action": "junk"}, "InvalidActionForType", "Valid actions: ('access_as_shared', 'access_as_external')"),
        ({"target_tenant": "junk"}, "InvalidInput", "'junk' is not a valid target project ID; expected a UUID or '*'."),
        ({"target_tenant": None}, "InvalidInput", "'None' is not a valid target project ID"),
        ({"target_tenant": "*"}, "PolicyNotAuthorized", "rule:create_rbac_policy:target_tenant is disallowed"),
        ({"object_id": NOBODY}, "NetworkNotFound", NOBODY),
        ({"object_id": "x"}, "HTTPBadRequest", "'x' is not a valid UUID."),
        ({"object_type": "qos_policy"}, "QosPolicyNotFound", ""),
        ({"object_type": "address_group", "action": "access_as_external"}, "InvalidActionForType", "_as_shared',)"),
    ],
)
def test_impossible_entries(world: World, given: dict[str, Any], kind: str, words: str) -> None:
    told = {"object_id": world.network(ALICE), "object_type": "network", "action": "access_as_shared"}
    with refused(kind, words):
        world.create(ENTRIES, {**told, "target_tenant": BOB.project_id, **given}, by=ALICE)
    with refused("HTTPBadRequest", "Required attribute 'target_tenant' not specified"):
        world.create(ENTRIES, told, by=ALICE)
    assert world.list(ENTRIES, by=ADMIN) == []


def test_who_may_decide(world: World) -> None:
    network = world.network(ALICE)
    own = entry(world, network, BOB.project_id)
    with refused("InvalidInput", "Only admins can manipulate policies on networks they do not own."):
        entry(world, network, CAROL.project_id, BOB)
    for change in ({"target_tenant": "*"}, {"target_project": "*"}):
        with refused("PolicyNotAuthorized", "rule:update_rbac_policy:target_tenant"):
            world.update(ENTRIES, own, change, ALICE)
    with refused("DuplicateRbacPolicy", "An RBAC policy already exists with those values."):
        entry(world, network, BOB.project_id, ADMIN)
    carols = entry(world, network, CAROL.project_id)
    with refused("DuplicateRbacPolicy"):
        world.update(ENTRIES, carols, {"target_tenant": BOB.project_id}, ALICE)
    assert world.update(ENTRIES, own, {}, ALICE)["target_tenant"] == BOB.project_id
    assert world.update(ENTRIES, own, {"target_tenant": "*"}, ADMIN)["target_tenant"] == "*"
    reader = Actor("r", ALICE.project_id, frozenset({"reader"}))
    for rule, refuse in (
        ("create", lambda: entry(world, network, CAROL.project_id, reader)),
        ("update", lambda: world.update(ENTRIES, own, {}, reader)),
        ("delete", lambda: drop(world, own, reader)),
    ):
        with refused("PolicyNotAuthorized", f"rule:{rule}_rbac_policy is disallowed"):
            refuse()
    for stale in (lambda: world.update(ENTRIES, own, {}, ADMIN, 7), lambda: world.delete(ENTRIES, own, ADMIN, 7)):
        with refused("RevisionNumberConstraintFailed"):
            stale()


def test_shared_and_external_of_a_network_are_entries(world: World) -> None:
    network = world.network(ADMIN, shared=True, **OUTSIDE)
    told = {(one["action"], one["target_tenant"]) for one in world.list(ENTRIES, f"object_id={network}", ADMIN)}
    assert told == {("access_as_shared", "*"), ("access_as_external", "*")}
    for change in ({"shared": False}, {"router:external": False}, {"shared": True}, {"router:external": True}):
        ((name, wanted),) = change.items()
        assert world.update("networks", network, change, ADMIN)[name] is wanted
        assert (
            bool(world.list(ENTRIES, f"object_id={network}&action=access_as_{name.removeprefix('router:')}", ADMIN))
            is wanted
        )
    world.delete("networks", network, ADMIN)
    assert world.list(ENTRIES, by=ADMIN) == []


def test_a_network_is_external_while_it_is_for_somebody(world: World) -> None:
    network = world.network(ADMIN)
    world.subnet(network, "192.0.2.0/24", ADMIN)
    first = entry(world, network, BOB.project_id, ADMIN, action="access_as_external")
    second = entry(world, network, CAROL.project_id, ADMIN, action="access_as_external")
    assert world.get("networks", network, BOB)["router:external"] is True
    assert seen(world, "networks", BOB, "router:external=true") == seen(world, "networks", CAROL) == {network}
    assert world.get("networks", network, BOB)["shared"] is False
    with refused("NetworkNotFound"):
        world.router(ALICE, external_gateway_info={"network_id": network})
    router = world.router(BOB, external_gateway_info={"network_id": network})
    with refused("RbacPolicyInUse"):
        drop(world, first)
    floating_ip = world.create("floatingips", floating_network_id=network, by=CAROL)["id"]
    with refused("RbacPolicyInUse"):
        drop(world, second)
    world.delete("floatingips", floating_ip, CAROL)
    drop(world, second)
    assert world.get("networks", network, ADMIN)["router:external"] is True
    world.delete("routers", router, BOB)
    drop(world, first)
    assert world.get("networks", network, ADMIN)["router:external"] is False


def test_the_default_external_network_is_for_everybody(world: World) -> None:
    network = world.network(ADMIN, is_default=True, **OUTSIDE)
    (only,) = world.list(ENTRIES, by=ADMIN)
    with refused("RbacPolicyInUse", "Default external networks must be shared to everyone."):
        drop(world, only["id"])
    world.update("networks", network, {"is_default": False}, ADMIN)
    drop(world, only["id"])
    assert world.get("networks", network, ADMIN)["router:external"] is False


POOL = {"name": "p", "prefixes": ["10.8.0.0/16"], "default_prefixlen": 24}
KINDS: list[tuple[str, str, dict[str, Any], str, dict[str, Any], str]] = [
    # kind, path, what is made; what uses it, how, by which attribute
    ("qos_policy", "qos/policies", {"name": "q"}, "networks", {}, "qos_policy_id"),
    ("security_group", "security-groups", {"name": "s"}, "ports", {"network_id": "$network"}, "security_groups"),
    ("subnetpool", "subnetpools", POOL, "subnets", {"network_id": "$network", "ip_version": 4}, "subnetpool_id"),
    ("address_scope", "address-scopes", {"ip_version": 4}, "subnetpools", POOL, "address_scope_id"),
    (
        "address_group",
        "address-groups",
        {"addresses": []},
        "security-group-rules",
        {"security_group_id": "$group", "direction": "ingress"},
        "remote_address_group_id",
    ),
]


@pytest.mark.parametrize(("kind", "path", "body", "users", "use", "attribute"), KINDS)
def test_every_kind_is_shared_until_somebody_uses_it(
    world: World, kind: str, path: str, body: dict[str, Any], users: str, use: dict[str, Any], attribute: str
) -> None:
    own = {"$network": world.network(BOB), "$group": world.create("security-groups", name="g", by=BOB)["id"]}
    thing = world.create(path, body, by=ADMIN)["id"]
    assert thing not in seen(world, path, BOB)
    shared = entry(world, thing, BOB.project_id, ADMIN, object_type=kind)
    assert thing in seen(world, path, BOB) and thing not in seen(world, path, CAROL)
    named = {attribute: [thing] if attribute.endswith("s") else thing}
    filled = {name: own.get(str(value), value) for name, value in use.items()}
    user = world.create(users, {**filled, **named}, by=BOB)["id"]
    with refused("RbacPolicyInUse"):
        drop(world, shared)
    world.delete(users, user, BOB)
    drop(world, shared)
    entry(world, thing, CAROL.project_id, ADMIN, object_type=kind)
    with refused("InvalidInput", "Only admins can manipulate policies on objects they do not own."):
        entry(world, thing, BOB.project_id, CAROL, object_type=kind)
    world.delete(path, thing, ADMIN)
    assert world.list(ENTRIES, by=ADMIN) == []


def test_a_pool_is_shared_with_who_may_use_its_scope(world: World) -> None:
    scope = world.create("address-scopes", ip_version=4, by=ADMIN)["id"]
    entry(world, scope, ALICE.project_id, ADMIN, object_type="address_scope")
    body = {"name": "p", "prefixes": ["10.8.0.0/16"], "address_scope_id": scope}
    pool = world.create("subnetpools", body, by=ALICE)["id"]
    for target in (BOB.project_id, "*"):
        with refused("InvalidInput", "target project doesn't have access to associated address scope."):
            entry(world, pool, target, ADMIN, object_type="subnetpool")
    entry(world, scope, BOB.project_id, ADMIN, object_type="address_scope")
    entry(world, pool, BOB.project_id, ALICE, object_type="subnetpool")
    assert pool in seen(world, "subnetpools", BOB)


def test_quota(world: World) -> None:
    network = world.network(ALICE)
    for n in range(10):
        entry(world, network, f"{n:032x}")
    with refused("OverQuota", "['rbac_policy']"):
        entry(world, network, BOB.project_id)
