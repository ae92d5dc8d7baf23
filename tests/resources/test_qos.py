"""QoS policies: limits and blocks."""

from typing import Any

import pytest

from suimon.model.attributes import Shown
from suimon.resources import qos
from suimon.resources.registry import RESOURCES
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused

POLICIES = "qos/policies"
CHILDREN = RESOURCES[POLICIES].children
LIMITS, BLOCKS = "bandwidth_limit_rules", "port_block_rules"
SMTP = {"protocol": "tcp", "port_range_min": 25}


@pytest.fixture
def policy(world: World) -> str:
    return str(world.create(POLICIES, name="p", by=ADMIN)["id"])


def create(world: World, policy: str, path: str, **body: Any) -> dict[str, Any]:
    child = CHILDREN[path]
    wanted = child.spec.for_create(body, ADMIN)
    return child.spec.render(world.write(lambda tx: child.create(tx, ADMIN, policy, wanted)), ADMIN)


def update(world: World, policy: str, path: str, id_: str, **body: Any) -> dict[str, Any]:
    child = CHILDREN[path]
    wanted = child.spec.for_update(body, ADMIN)
    return child.spec.render(world.write(lambda tx: child.update(tx, ADMIN, policy, id_, wanted)), ADMIN)


def test_a_policy_shows_its_rules(world: World, policy: str) -> None:
    limit = create(world, policy, LIMITS, max_kbps=1000)
    block = create(world, policy, BLOCKS, **SMTP)
    assert limit == {"id": limit["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    assert (block["port_range_max"], block["direction"], block["remote_ip_prefix"]) == (25, "egress", None)
    shown = world.get(POLICIES, policy, ADMIN)
    assert shown["revision_number"] == 2
    assert shown["rules"] == [
        {**limit, "type": "bandwidth_limit", "qos_policy_id": policy},
        {**block, "type": "port_block", "qos_policy_id": policy},
    ]
    for path, rule in ((LIMITS, limit), (BLOCKS, block)):
        child = CHILDREN[path]
        assert [child.spec.render(one, ADMIN) for one in world.read(lambda tx, c=child: c.list(tx, ADMIN, policy))] == [
            rule
        ]
        got: Shown = world.read(lambda tx, c=child, id_=rule["id"]: c.get(tx, ADMIN, policy, id_))
        assert child.spec.render(got, ADMIN) == rule


def test_rules_change_and_go(world: World, policy: str) -> None:
    limit = create(world, policy, LIMITS, max_kbps=1000)["id"]
    assert update(world, policy, LIMITS, limit)["max_kbps"] == 1000
    assert world.get(POLICIES, policy, ADMIN)["revision_number"] == 1
    assert update(world, policy, LIMITS, limit, max_kbps="2000")["max_kbps"] == 2000
    block = create(world, policy, BLOCKS, **SMTP)["id"]
    assert update(world, policy, BLOCKS, block, port_range_max=30)["port_range_max"] == 30
    world.write(lambda tx: CHILDREN[LIMITS].delete(tx, ADMIN, policy, limit))
    assert [rule["id"] for rule in world.get(POLICIES, policy, ADMIN)["rules"]] == [block]
    assert world.get(POLICIES, policy, ADMIN)["revision_number"] == 5


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (LIMITS, {"max_kbps": 5}, "QoSRulesConflict"),
        (BLOCKS, SMTP, "QoSRulesConflict"),
        (BLOCKS, {**SMTP, "port_range_max": 24}, "InvalidInput"),
        (BLOCKS, {**SMTP, "remote_ip_prefix": "fd00::/8"}, "InvalidInput"),
    ],
)
def test_impossible_rules(world: World, policy: str, path: str, body: dict[str, Any], kind: str) -> None:
    create(world, policy, LIMITS, max_kbps=1000)
    create(world, policy, BLOCKS, **SMTP)
    with refused(kind):
        create(world, policy, path, **body)
    if path == LIMITS:
        other = create(world, policy, LIMITS, max_kbps=5, direction="ingress")["id"]
        with refused(kind):
            update(world, policy, LIMITS, other, direction="egress")
    else:
        other = create(world, policy, BLOCKS, protocol="udp", port_range_min=25)["id"]
        with refused(kind):
            update(world, policy, BLOCKS, other, protocol="tcp", **{k: v for k, v in body.items() if k != "protocol"})


def test_a_policy_has_so_many_rules(world: World, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qos, "MAX_RULES", 1)
    create(world, policy, BLOCKS, **SMTP)
    with refused("OverQuota"):
        create(world, policy, LIMITS, max_kbps=1)


def test_rules_of_nothing(world: World, policy: str) -> None:
    with refused("QosPolicyNotFound", f"QoS policy {NOBODY} could not be found."):
        create(world, NOBODY, LIMITS, max_kbps=1)
    block = create(world, policy, BLOCKS, **SMTP)["id"]
    other = str(world.create(POLICIES, name="other", by=ADMIN)["id"])
    for wrong_policy, path in ((policy, LIMITS), (other, BLOCKS)):
        with refused("QosRuleNotFound", f"QoS rule {block} for policy {wrong_policy} could not be found."):
            update(world, wrong_policy, path, block)
    for read in (
        lambda tx: CHILDREN[BLOCKS].list(tx, BOB, policy),
        lambda tx: CHILDREN[BLOCKS].get(tx, BOB, policy, block),
    ):
        with refused("QosPolicyNotFound"):
            world.read(read)


def test_a_policy_in_use_stays(world: World, policy: str) -> None:
    create(world, policy, BLOCKS, **SMTP)
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


def test_one_default_for_a_project(world: World, policy: str) -> None:
    world.create(POLICIES, is_default=True, by=ADMIN)
    with refused("QoSPolicyDefaultAlreadyExists"):
        world.create(POLICIES, is_default=True, by=ADMIN)
    with refused("QoSPolicyDefaultAlreadyExists"):
        world.update(POLICIES, policy, {"is_default": True}, ADMIN)


def test_a_tenant_takes_a_shared_policy_but_not_the_operators_off(world: World, policy: str) -> None:
    network = world.network()
    with refused("QosPolicyNotFound"):
        world.update("networks", network, {"qos_policy_id": policy})
    world.update("networks", network, {"qos_policy_id": policy}, ADMIN)
    for body in ({"qos_policy_id": None}, {"qos_policy_id": world.create(POLICIES, shared=True, by=ADMIN)["id"]}):
        with refused("PolicyNotAuthorized"):
            world.update("networks", network, body)
        port = world.port(world.network(), ALICE)["id"]
        world.update("ports", port, {"qos_policy_id": policy}, ADMIN)
        with refused("PolicyNotAuthorized"):
            world.update("ports", port, body)
    own = str(world.create(POLICIES, by=ADMIN, project_id="red")["id"])
    other = world.network(qos_policy_id=own)
    assert world.update("networks", other, {"qos_policy_id": None})["qos_policy_id"] is None


def test_revisions(world: World, policy: str) -> None:
    assert world.update(POLICIES, policy, {}, ADMIN)["revision_number"] == 0
    assert world.update(POLICIES, policy, {"name": "q"}, ADMIN, expected=0)["name"] == "q"
    for refuse in (lambda: world.update(POLICIES, policy, {"name": "x"}, ADMIN, expected=0),
                   lambda: world.delete(POLICIES, policy, ADMIN, expected=0)):  # fmt: skip
        with refused("RevisionNumberConstraintFailed"):
            refuse()
