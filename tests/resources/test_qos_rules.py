"""The rules of QoS policies: limits, marks, guarantees and blocks."""

from typing import Any

import pytest

from suimon.model.actor import Actor
from suimon.resources import qos_rules
from suimon.resources.registry import RESOURCES
from tests.resources.below import Below
from tests.resources.world import ADMIN, ALICE, BOB, NOBODY, World, refused, share

POLICIES = "qos/policies"
LIMITS, BLOCKS = "bandwidth_limit_rules", "port_block_rules"
MIN_KBPS, MIN_KPPS = "minimum_bandwidth_rules", "minimum_packet_rate_rules"
PACKETS, MARKS = "packet_rate_limit_rules", "dscp_marking_rules"
SMTP = {"protocol": "tcp", "port_range_min": 25}
MARY = Actor("mary", "red", frozenset({"manager"}), "req-mary")


@pytest.fixture
def policy(world: World) -> str:
    return str(world.create(POLICIES, name="p", by=ADMIN)["id"])


def below(world: World, policy: str, name: str) -> Below:
    return Below(world, POLICIES, name, policy)


def create(world: World, policy: str, name: str, **body: Any) -> dict[str, Any]:
    return below(world, policy, name).create(ADMIN, **body)


def update(world: World, policy: str, name: str, id_: str, **body: Any) -> dict[str, Any]:
    return below(world, policy, name).update(id_, ADMIN, **body)


EACH = {
    LIMITS: ({"max_kbps": "1000"}, {"max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}, {"max_kbps": 2}),
    PACKETS: ({"max_kpps": 9}, {"max_kpps": 9, "max_burst_kpps": 0, "direction": "egress"}, {"max_burst_kpps": 2}),
    MARKS: ({"dscp_mark": "26"}, {"dscp_mark": 26}, {"dscp_mark": 0}),
    MIN_KBPS: ({"min_kbps": 5}, {"min_kbps": 5, "direction": "egress"}, {"direction": "ingress"}),
    MIN_KPPS: ({"min_kpps": 5}, {"min_kpps": 5, "direction": "egress"}, {"direction": "any"}),
    BLOCKS: (
        SMTP,
        {**SMTP, "port_range_max": 25, "direction": "egress", "remote_ip_prefix": None},
        {"protocol": "udp"},
    ),
}


@pytest.mark.parametrize("name", EACH)
def test_each_type(world: World, policy: str, name: str) -> None:
    given, told, changes = EACH[name]
    made = create(world, policy, name, **given)
    assert made == {"id": made["id"], **told}
    assert below(world, policy, name).list(ADMIN) == [made] == [below(world, policy, name).get(made["id"], ADMIN)]
    kind = name.removesuffix("_rules")
    shown = world.get(POLICIES, policy, ADMIN)
    assert (shown["revision_number"], shown["rules"]) == (1, [{**made, "type": kind, "qos_policy_id": policy}])
    assert update(world, policy, name, made["id"]) == made
    assert update(world, policy, name, made["id"], **changes) == {**made, **changes}
    below(world, policy, name).delete(made["id"], ADMIN)
    assert (below(world, policy, name).list(ADMIN), world.get(POLICIES, policy, ADMIN)["revision_number"]) == ([], 3)
    with refused("QosRuleNotFound"):
        update(world, policy, name, made["id"], **changes)


@pytest.mark.parametrize(
    ("name", "given", "kind", "words"),
    [
        (LIMITS, {}, "HTTPBadRequest", "Required attribute 'max_kbps' not specified"),
        (LIMITS, {"max_kbps": -1}, "HTTPBadRequest", "'-1' should be non-negative"),
        (LIMITS, {"max_kbps": 1 << 31}, "HTTPBadRequest", "must be no larger than '2147483647'"),
        (LIMITS, {"max_kbps": 5, "direction": "any"}, "HTTPBadRequest", "any is not in valid_values"),
        (LIMITS, {"max_kbps": 5}, "QoSRulesConflict", "Rule bandwidth_limit conflicts with rule "),
        (PACKETS, {"max_kpps": 5}, "QoSRulesConflict", "Rule packet_rate_limit conflicts with rule "),
        (MARKS, {"dscp_mark": 77}, "HTTPBadRequest", "77 is not in valid_values"),
        (MARKS, {"dscp_mark": 42}, "HTTPBadRequest", ""),
        (MARKS, {"dscp_mark": 8}, "QoSRulesConflict", "Rule dscp_marking conflicts with rule "),
        (MIN_KBPS, {"min_kbps": 5}, "QoSRulesConflict", "Rule minimum_bandwidth conflicts with rule "),
        (
            MIN_KBPS,
            {"min_kbps": 1001},
            "QoSRuleParameterConflict",
            "as the existing rule of type bandwidth_limit has value 1000.",
        ),
        (MIN_KPPS, {"min_kpps": 5}, "QoSRulesConflict", "Rule minimum_packet_rate conflicts with rule "),
        (
            MIN_KPPS,
            {"min_kpps": 5, "direction": "any"},
            "QoSRuleParameterConflict",
            "Unable to add the rule with value any to the policy ",
        ),
        (BLOCKS, SMTP, "QoSRulesConflict", ""),
        (BLOCKS, {**SMTP, "port_range_max": 24}, "InvalidInput", "port_range_min must be <= port_range_max"),
        (BLOCKS, {**SMTP, "port_range_min": 0}, "HTTPBadRequest", "'0' is not a port number from 1 to 65535"),
        (BLOCKS, {**SMTP, "remote_ip_prefix": "fd00::/8"}, "InvalidInput", "must be an IPv4 network"),
    ],
)
def test_impossible_rules(world: World, policy: str, name: str, given: dict[str, Any], kind: str, words: str) -> None:
    for other, (body, _, _) in EACH.items():
        create(world, policy, other, **body)
    with refused(kind, words):
        create(world, policy, name, **given)
    assert len(world.get(POLICIES, policy, ADMIN)["rules"]) == 6


def test_a_limit_below_a_guarantee(world: World, policy: str) -> None:
    least = create(world, policy, MIN_KBPS, min_kbps=500)["id"]
    with refused("QoSRuleParameterConflict", "the rule with value 499 "):
        create(world, policy, LIMITS, max_kbps=499)
    create(world, policy, LIMITS, max_kbps=499, direction="ingress")
    create(world, policy, LIMITS, max_kbps=500)
    with refused("QoSRuleParameterConflict", "of type bandwidth_limit has value 500."):
        update(world, policy, MIN_KBPS, least, min_kbps=501)
    with refused("QoSRuleParameterConflict"):
        update(world, policy, MIN_KBPS, least, direction="ingress")


def test_changes_that_would_contradict(world: World, policy: str) -> None:
    create(world, policy, LIMITS, max_kbps=1000)
    other = create(world, policy, LIMITS, max_kbps=5, direction="ingress")["id"]
    with refused("QoSRulesConflict"):
        update(world, policy, LIMITS, other, direction="egress")
    create(world, policy, BLOCKS, **SMTP)
    udp = create(world, policy, BLOCKS, protocol="udp", port_range_min=25)["id"]
    with refused("QoSRulesConflict"):
        update(world, policy, BLOCKS, udp, protocol="tcp")
    create(world, policy, MIN_KPPS, min_kpps=1)
    packets = create(world, policy, MIN_KPPS, min_kpps=1, direction="ingress")["id"]
    with refused("QoSRuleParameterConflict"):
        update(world, policy, MIN_KPPS, packets, direction="any")


@pytest.mark.parametrize("name", [MIN_KBPS, MIN_KPPS])
@pytest.mark.parametrize("by_network", [True, False])
def test_a_guarantee_that_instances_have_stays(world: World, policy: str, name: str, by_network: bool) -> None:
    given, _, changes = EACH[name]
    made = create(world, policy, name, **given)["id"]
    network = world.network(ADMIN, qos_policy_id=policy if by_network else None)
    own = {} if by_network else {"qos_policy_id": policy}
    port = world.port(network, ADMIN, device_owner="compute:nova", **own)["id"]
    words = "Cannot update QoS policies/rules backed by resources tracked in Placement"
    for act in (lambda: create(world, policy, name, **{**given, "direction": "ingress"}),
                lambda: update(world, policy, name, made, **changes),
                lambda: below(world, policy, name).delete(made, ADMIN)):  # fmt: skip
        with refused("HTTPNotImplemented", words):
            act()
    create(world, policy, LIMITS, max_kbps=1000)
    world.update("ports", port, {"device_owner": ""}, ADMIN)
    below(world, policy, name).delete(made, ADMIN)


def test_a_policy_has_so_many_rules(world: World, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qos_rules, "MAX_RULES", 1)
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
    with refused("QosPolicyNotFound"):
        below(world, policy, BLOCKS).list(BOB)
    with refused("QosPolicyNotFound"):
        below(world, policy, BLOCKS).get(block, BOB)


def test_rules_are_their_policys_owners(world: World) -> None:
    policy = str(world.create(POLICIES, by=ADMIN, project_id="red")["id"])
    share(world, "qos_policy", policy, "blue")
    made = below(world, policy, LIMITS).create(MARY, max_kbps=1)
    assert below(world, policy, LIMITS).list(ALICE) == [made] == [below(world, policy, LIMITS).get(made["id"], ALICE)]
    assert len(world.get(POLICIES, policy, BOB)["rules"]) == 1
    assert below(world, policy, LIMITS).list(BOB) == []
    for act in (lambda: below(world, policy, LIMITS).get(made["id"], BOB),
                lambda: below(world, policy, LIMITS).update(made["id"], BOB, max_kbps=2),
                lambda: below(world, policy, LIMITS).delete(made["id"], BOB)):  # fmt: skip
        with refused("QosRuleNotFound"):
            act()
    # Who may not add one is told so, even of a policy that he can't see, as by Neutron.
    foreign = str(world.create(POLICIES, by=ADMIN)["id"])
    for where in (policy, foreign):
        with refused("PolicyNotAuthorized", "rule:create_policy_bandwidth_limit_rule is disallowed by policy"):
            below(world, where, LIMITS).create(BOB, max_kbps=1)


ALIASES = (LIMITS, MARKS, MIN_KBPS, MIN_KPPS)


@pytest.mark.parametrize("name", ALIASES)
def test_a_rule_without_its_policy(world: World, name: str) -> None:
    policy = str(world.create(POLICIES, by=ADMIN, project_id="red")["id"])
    given, _, changes = EACH[name]
    made = create(world, policy, name, **given)
    path = f"qos/alias-{name.replace('_', '-')}"
    assert RESOURCES[path].spec.singular == f"alias_{name.removesuffix('s')}"
    assert world.get(path, made["id"]) == world.get(f"qos/alias_{name}", made["id"]) == made
    assert world.update(path, made["id"], changes, MARY) == {**made, **changes}
    assert world.get(POLICIES, policy)["revision_number"] == 2
    for act in (lambda: world.get(path, made["id"], BOB),
                lambda: world.update(path, made["id"], changes, BOB),
                lambda: world.delete(path, made["id"], BOB),
                lambda: world.get(path, NOBODY, ADMIN)):  # fmt: skip
        with refused("QosRuleNotFound"):
            act()
    world.delete(path, made["id"], MARY)
    assert below(world, policy, name).list(ADMIN) == []


def test_an_alias_is_of_one_type(world: World, policy: str) -> None:
    block = create(world, policy, BLOCKS, **SMTP)["id"]
    with refused("QosRuleNotFound", f"QoS rule {block} for policy  could not be found."):
        world.get("qos/alias-bandwidth-limit-rules", block, ADMIN)


def test_types_of_rules(world: World) -> None:
    types = [{"type": name.removesuffix("_rules")} for name in EACH]
    for query in ("", "all_supported=True", "all_rules=true"):
        assert sorted(world.list("qos/rule-types", query), key=str) == sorted(types, key=str)
    assert world.list("qos/rule-types", "type=dscp_marking") == [{"type": "dscp_marking"}]
    with refused("InvalidInput"):
        world.list("qos/rule-types", "all_rules=maybe")
    with refused("NotAuthorized"):
        world.view("qos/rule-types", "GET {}", "dscp_marking", by=ALICE)
    with refused("HTTPNotFound", "QoS rule type nosuch could not be found."):
        world.view("qos/rule-types", "GET {}", "nosuch")


def test_what_is_told_of_a_type(world: World) -> None:
    def told(kind: str) -> Any:
        return world.view("qos/rule-types", "GET {}", kind)["rule_type"]

    choices = {"parameter_type": "choices"}
    directions = {"parameter_name": "direction", "parameter_values": ["egress", "ingress"], **choices}
    rate = {"parameter_type": "range", "parameter_values": {"start": 0, "end": 2147483647}}
    names = ("max_kbps", "max_burst_kbps")
    assert told("bandwidth_limit") == {
        "type": "bandwidth_limit",
        "drivers": [
            {
                "name": "suimon",
                "supported_parameters": [*({"parameter_name": name, **rate} for name in names), directions],
            }
        ],
    }
    (mark,) = told("dscp_marking")["drivers"][0]["supported_parameters"]
    assert mark["parameter_values"][:3] == [0, 8, 10] and mark["parameter_values"][-1] == 56
    # Nobody carries out what is for Placement to see to.
    assert told("minimum_bandwidth")["drivers"] == told("minimum_packet_rate")["drivers"] == []
