"""QoS policies, their rules and the types of rules in the API; `port_block` is ours."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, integer_filter, standard
from suimon.model.specs.tags import TAGS

MOST: Final = 2_147_483_647
"""The largest rate."""
DIRECTIONS: Final = ("egress", "ingress")
MARKS: Final = (0, *range(8, 42, 2), 44, 46, 48, 56)
"""DSCP: default, class selectors, assured and expedited forwarding, voice admission (RFC 2474, 2597, 3246, 5865)."""


class RuleType(msgspec.Struct, frozen=True):
    """A kind of rule."""

    type: str


@checks.takes({"type": "integer", "minimum": 1, "maximum": 65535})
def _l4_port(value: object) -> object:
    number = checks.integer(value)
    assert isinstance(number, int)
    if not 1 <= number <= 65535:
        raise checks.Unfit(f"'{value}' is not a port number from 1 to 65535")
    return number


def _rate(name: str, default: object = REQUIRED) -> Attribute:
    return Attribute(name=name, field=name, check=checks.whole_number(MOST), default=default, filter=integer_filter)


def _direction(*directions: str) -> Attribute:
    return Attribute(name="direction", field="direction", check=checks.one_of(directions), default="egress")


def _rule(type_: type[things.Thing], singular: str, *attributes: Attribute) -> Spec:
    identity = Attribute(name="id", field="id", post=False, put=False)
    return Spec(
        singular=singular, plural=f"{singular}s", path=f"{singular}s", type=type_, attributes=(identity, *attributes)
    )


QOS_POLICY: Final = Spec(
    singular="policy",
    plural="policies",
    path="qos/policies",
    type=things.QosPolicy,
    special_filters=frozenset({"shared"}),
    attributes=(
        *standard(),
        TAGS,
        Attribute(name="shared", field="shared", check=checks.boolean, default=False, filter=None),
        Attribute(name="is_default", field="is_default", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="rules", field="rules", post=False, put=False, default=(), filter=None),
    ),
)
BANDWIDTH_LIMIT_RULE: Final = _rule(
    things.BandwidthLimitRule,
    "bandwidth_limit_rule",
    _rate("max_kbps"),
    _rate("max_burst_kbps", 0),
    _direction(*DIRECTIONS),
)
PACKET_RATE_LIMIT_RULE: Final = _rule(
    things.PacketRateLimitRule,
    "packet_rate_limit_rule",
    _rate("max_kpps"),
    _rate("max_burst_kpps", 0),
    _direction(*DIRECTIONS),
)
DSCP_MARKING_RULE: Final = _rule(
    things.DscpMarkingRule,
    "dscp_marking_rule",
    Attribute(
        name="dscp_mark",
        field="dscp_mark",
        check=checks.one_of(MARKS, checks.integer),
        default=REQUIRED,
        filter=integer_filter,
    ),
)
MINIMUM_BANDWIDTH_RULE: Final = _rule(
    things.MinimumBandwidthRule, "minimum_bandwidth_rule", _rate("min_kbps"), _direction(*DIRECTIONS)
)
MINIMUM_PACKET_RATE_RULE: Final = _rule(
    things.MinimumPacketRateRule, "minimum_packet_rate_rule", _rate("min_kpps"), _direction("any", *DIRECTIONS)
)
PORT_BLOCK_RULE: Final = _rule(
    things.PortBlockRule,
    "port_block_rule",
    Attribute(name="protocol", field="protocol", check=checks.one_of(("tcp", "udp")), default=REQUIRED),
    Attribute(name="port_range_min", field="port_range_min", check=_l4_port, default=REQUIRED, filter=integer_filter),
    Attribute(name="port_range_max", field="port_range_max", check=_l4_port, default=None, filter=integer_filter),
    _direction(*DIRECTIONS),
    Attribute(name="remote_ip_prefix", field="remote_ip_prefix", check=checks.optional(checks.cidr), default=None),
)
RULE_TYPE: Final = Spec(
    singular="rule_type",
    plural="rule_types",
    path="qos/rule-types",
    type=RuleType,
    special_filters=frozenset({"all_supported", "all_rules"}),
    attributes=(Attribute(name="type", field="type", post=False, put=False),),
)


def alias(spec: Spec) -> Spec:
    """A rule's spec where it is found without its policy."""
    singular = f"alias_{spec.singular}"
    return msgspec.structs.replace(
        spec, singular=singular, plural=f"{singular}s", path=f"qos/{singular.replace('_', '-')}s"
    )
