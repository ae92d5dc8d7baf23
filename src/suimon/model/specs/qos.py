"""QoS policies and their rules in the API; `port_block` is ours."""

from __future__ import annotations

from typing import Any, Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, integer_filter, standard

_MOST_KBPS: Final = 2_147_483_647


def _l4_port(value: object) -> object:
    number = checks.integer(value)
    assert isinstance(number, int)
    if not 1 <= number <= 65535:
        raise checks.Unfit(f"'{value}' is not a port number from 1 to 65535")
    return number


def _rule(singular: str, type_: type[things.Thing], *attributes: Attribute) -> Spec:
    identity = Attribute(name="id", field="id", post=False, put=False)
    return Spec(
        singular=singular, plural=f"{singular}s", path=f"{singular}s", type=type_, attributes=(identity, *attributes)
    )


_DIRECTION: Final[dict[str, Any]] = {
    "name": "direction",
    "field": "direction",
    "check": checks.one_of(("egress", "ingress")),
    "default": "egress",
}
QOS_POLICY: Final = Spec(
    singular="policy",
    plural="policies",
    path="qos/policies",
    type=things.QosPolicy,
    attributes=(
        *standard(),
        Attribute(name="shared", field="shared", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="is_default", field="is_default", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="rules", field="rules", post=False, put=False, default=(), filter=None),
    ),
)
BANDWIDTH_LIMIT_RULE: Final = _rule(
    "bandwidth_limit_rule",
    things.BandwidthLimitRule,
    Attribute(
        name="max_kbps",
        field="max_kbps",
        check=checks.whole_number(_MOST_KBPS),
        default=REQUIRED,
        filter=integer_filter,
    ),
    Attribute(
        name="max_burst_kbps",
        field="max_burst_kbps",
        check=checks.whole_number(_MOST_KBPS),
        default=0,
        filter=integer_filter,
    ),
    Attribute(**_DIRECTION),
)
PORT_BLOCK_RULE: Final = _rule(
    "port_block_rule",
    things.PortBlockRule,
    Attribute(name="protocol", field="protocol", check=checks.one_of(("tcp", "udp")), default=REQUIRED),
    Attribute(name="port_range_min", field="port_range_min", check=_l4_port, default=REQUIRED, filter=integer_filter),
    Attribute(name="port_range_max", field="port_range_max", check=_l4_port, default=None, filter=integer_filter),
    Attribute(**_DIRECTION),
    Attribute(name="remote_ip_prefix", field="remote_ip_prefix", check=checks.optional(checks.cidr), default=None),
)
