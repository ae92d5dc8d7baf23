"""Security groups and their rules in the API."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import (
    REQUIRED,
    Attribute,
    Spec,
    constant,
    integer_filter,
    standard,
    standard_unnamed,
)
from suimon.model.checks import Unfit, parse_cidr
from suimon.model.errors import BadRequest

PROTOCOLS: Final[dict[str, int]] = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
"""Neutron's names and their numbers (IANA, Assigned Internet Protocol Numbers)."""
_ETHERTYPES: Final = ("IPv4", "IPv6")


def _protocol(value: object) -> object:
    """Null or `any` for all, a known name, or a number as text."""
    if value is None or value == "any":
        return None
    text = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text in PROTOCOLS:
        return {"icmpv6": "ipv6-icmp"}.get(text, text)
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 256:
        return str(int(text))
    names = ", ".join(f"'{name}'" for name in PROTOCOLS)
    raise BadRequest(
        f"Security group rule protocol {value} not supported. Only protocol values (None, 'any', {names}) and integer "
        "representations [0 to 255] are supported.",
        "SecurityGroupRuleInvalidProtocol",
    )


def _ethertype(value: object) -> object:
    for known in _ETHERTYPES:
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise BadRequest(
        f"Security group rule for ethertype '{value}' not supported. Allowed values are {list(_ETHERTYPES)}.",
        "SecurityGroupRuleInvalidEtherType",
    )


def _l4_port(value: object) -> object:
    if value is None:
        return None
    try:
        number = checks.integer(value)
    except BadRequest:
        number = -1
    assert isinstance(number, int)
    if not 0 <= number <= 65535:
        raise BadRequest(f"Invalid value for port {value}", "SecurityGroupInvalidPortValue")
    return number


def _prefix(value: object) -> object:
    """A CIDR as it was written, or an address as a CIDR of one."""
    if value is None:
        return None
    text = f"{value}/{128 if ':' in value else 32}" if isinstance(value, str) and "/" not in value else value
    try:
        parse_cidr(text)
    except Unfit:
        raise BadRequest(f"Invalid CIDR {value} given as IP prefix.", "InvalidCIDR") from None
    return text


SECURITY_GROUP: Final = Spec(
    singular="security_group",
    plural="security_groups",
    path="security-groups",
    type=things.SecurityGroup,
    attributes=(
        *standard(),
        Attribute(
            name="security_group_rules", field="security_group_rules", post=False, put=False, default=(), filter=None
        ),
        constant("shared", False),
        constant("stateful", True),
    ),
)
SECURITY_GROUP_RULE: Final = Spec(
    singular="security_group_rule",
    plural="security_group_rules",
    path="security-group-rules",
    type=things.SecurityGroupRule,
    attributes=(
        Attribute(name="id", field="id", post=False, put=False),
        *(msgspec.structs.replace(attribute, put=False) for attribute in standard_unnamed()),
        Attribute(name="security_group_id", field="security_group_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="direction",
            field="direction",
            check=checks.one_of(("ingress", "egress")),
            put=False,
            default=REQUIRED,
        ),
        Attribute(name="ethertype", field="ethertype", check=_ethertype, put=False, default="IPv4"),
        Attribute(name="protocol", field="protocol", check=_protocol, put=False, default=None),
        Attribute(
            name="port_range_min",
            field="port_range_min",
            check=_l4_port,
            put=False,
            default=None,
            filter=integer_filter,
        ),
        Attribute(
            name="port_range_max",
            field="port_range_max",
            check=_l4_port,
            put=False,
            default=None,
            filter=integer_filter,
        ),
        Attribute(name="remote_ip_prefix", field="remote_ip_prefix", check=_prefix, put=False, default=None),
        Attribute(
            name="remote_group_id", field="remote_group_id", check=checks.optional(checks.uuid), put=False, default=None
        ),
        Attribute(
            name="normalized_cidr",
            field="remote_ip_prefix",
            post=False,
            put=False,
            show=lambda prefix: str(parse_cidr(prefix)) if prefix else None,
            filter=None,
        ),
        constant("remote_address_group_id", None),
        constant("belongs_to_default_sg", False),
    ),
)
