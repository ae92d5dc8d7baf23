"""Security groups, their rules, and the rules that new groups start with, in the API."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import (
    REQUIRED,
    Attribute,
    Spec,
    boolean_filter,
    integer_filter,
    standard,
    standard_unnamed,
)
from suimon.model.checks import Unfit, parse_cidr
from suimon.model.errors import BadRequest, Conflict
from suimon.model.specs.tags import TAGS

DEFAULT: Final = "default"
"""The name of each project's default group, which no other may have."""
PARENT: Final = "PARENT"
"""In a default rule: the group that is being made."""
PROTOCOLS: Final[dict[str, int]] = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
"""Neutron's names and their numbers (IANA, Assigned Internet Protocol Numbers)."""
_ETHERTYPES: Final = ("IPv4", "IPv6")
_NUMBER: Final[checks.Schema] = {"type": ["integer", "null"], "minimum": 0, "maximum": 65535}


@checks.takes({"type": "string", "maxLength": 255, "not": {"enum": [DEFAULT]}})
def _name(value: object) -> object:
    """Anything but `default`, however it is spelled."""
    name = checks.text(255)(value)
    if str(name).lower() == DEFAULT:
        raise Conflict("Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
    return name


@checks.takes({"type": ["string", "null"], "enum": [None, "any", *PROTOCOLS]})
def _protocol(value: object) -> object:
    """Null or `any` for all, a known name, or a number as text."""
    if value is None or value == "any":
        return None
    text = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text in PROTOCOLS:
        return text
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 256:
        return str(int(text))
    names = ", ".join(f"'{name}'" for name in PROTOCOLS)
    raise BadRequest(
        f"Security group rule protocol {value} not supported. Only protocol values (None, 'any', {names}) and integer "
        "representations [0 to 255] are supported.",
        "SecurityGroupRuleInvalidProtocol",
    )


@checks.takes({"type": "string", "enum": list(_ETHERTYPES)})
def _ethertype(value: object) -> object:
    for known in _ETHERTYPES:
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise BadRequest(
        f"Security group rule for ethertype '{value}' not supported. Allowed values are {list(_ETHERTYPES)}.",
        "SecurityGroupRuleInvalidEtherType",
    )


@checks.takes(_NUMBER)
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


@checks.takes(checks.nullable({"type": "string", "format": "cidr"}))
def _prefix(value: object) -> object:
    """A CIDR as it was written, or an address as a CIDR of one."""
    if value is None or value == "":
        return None
    text = f"{value}/{128 if ':' in value else 32}" if isinstance(value, str) and "/" not in value else value
    try:
        parse_cidr(text)
    except Unfit:
        raise BadRequest(f"Invalid CIDR {value} given as IP prefix.", "InvalidCIDR") from None
    return text


def _once(name: str, check: checks.Check, **more: Any) -> Attribute:
    """An attribute of a rule: given when it is made, and never changed."""
    return Attribute(name=name, field=name, check=check, put=False, **more)


_AN_ID: Final = checks.optional(checks.text(36))
"""What isn't one is nobody's: as in Neutron, it is not found."""
_ID: Final = Attribute(name="id", field="id", post=False, put=False)
_SAID: Final = (
    _once("direction", checks.one_of(("ingress", "egress")), default=REQUIRED),
    _once("ethertype", _ethertype, default="IPv4"),
    _once("protocol", _protocol, default=None),
    _once("port_range_min", _l4_port, default=None, filter=integer_filter),
    _once("port_range_max", _l4_port, default=None, filter=integer_filter),
    _once("remote_ip_prefix", _prefix, default=None),
    _once("remote_address_group_id", _AN_ID, default=None),
)
"""What a rule says, but for its remote group."""
SECURITY_GROUP: Final = Spec(
    singular="security_group",
    plural="security_groups",
    path="security-groups",
    type=things.SecurityGroup,
    special_filters=frozenset({"shared"}),
    attributes=(
        *(msgspec.structs.replace(one, check=_name) if one.name == "name" else one for one in standard()),
        TAGS,
        Attribute(name="stateful", field="stateful", check=checks.boolean, default=True, filter=boolean_filter),
        Attribute(name="shared", field="shared", post=False, put=False, default=False, filter=None),
        Attribute(
            name="security_group_rules", field="security_group_rules", post=False, put=False, default=(), filter=None
        ),
    ),
)
SECURITY_GROUP_RULE: Final = Spec(
    singular="security_group_rule",
    plural="security_group_rules",
    path="security-group-rules",
    type=things.SecurityGroupRule,
    special_filters=frozenset({"belongs_to_default_sg"}),
    attributes=(
        _ID,
        *(msgspec.structs.replace(attribute, put=False) for attribute in standard_unnamed()),
        _once("security_group_id", checks.text(36), default=REQUIRED),
        *_SAID,
        _once("remote_group_id", _AN_ID, default=None),
        Attribute(
            name="normalized_cidr",
            field="remote_ip_prefix",
            post=False,
            put=False,
            show=lambda prefix: str(parse_cidr(prefix)) if prefix else None,
            filter=None,
        ),
        Attribute(
            name="belongs_to_default_sg",
            field="belongs_to_default_sg",
            post=False,
            put=False,
            default=False,
            filter=None,
        ),
    ),
)
DEFAULT_SECURITY_GROUP_RULE: Final = Spec(
    singular="default_security_group_rule",
    plural="default_security_group_rules",
    path="default-security-group-rules",
    type=things.DefaultGroupRule,
    attributes=(
        _ID,
        _once("project_id", checks.text(255), shown=False, filter=None),
        _once("description", checks.text(255), default=""),
        *_SAID,
        _once("remote_group_id", _AN_ID, default=None),
        _once("used_in_default_sg", checks.boolean, default=REQUIRED, filter=boolean_filter),
        _once("used_in_non_default_sg", checks.boolean, default=REQUIRED, filter=boolean_filter),
    ),
)
