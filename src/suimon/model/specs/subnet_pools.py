"""Subnet pools in the API."""

from __future__ import annotations

from ipaddress import collapse_addresses
from typing import Any, Final

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
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest
from suimon.model.specs.tags import TAGS

MAX_PREFIXES: Final = 1000


@checks.takes({"type": "string", "minLength": 1, "maxLength": 255})
def _name(value: object) -> object:
    checks.text(255)(value)
    if not str(value).strip():
        raise Unfit(f"'{value}' Blank strings are not permitted")
    return value


@checks.takes({"type": "array", "items": {"type": "string", "format": "cidr"}, "minItems": 1})
def prefixes(value: object) -> object:
    """A list of prefixes of one IP version, as a tuple of as few as say the same."""
    if not isinstance(value, list):
        raise Unfit(f"'{value}' is not a list")
    if len(value) > MAX_PREFIXES:
        raise Unfit(f"{MAX_PREFIXES} prefixes at most can be in a subnet pool")
    return merged([str(checks.parse_cidr(item)) for item in value])


def merged(texts: list[str]) -> tuple[str, ...]:
    """As few prefixes as say the same, in their order. Raises BadRequest for none, and for both IP versions."""
    networks = [checks.parse_cidr(text) for text in texts]
    if not networks:
        raise BadRequest("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
    if len({network.version for network in networks}) > 1:
        raise BadRequest("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    found: Any = collapse_addresses(networks)
    return tuple(str(network) for network in found)


def _prefixlen(name: str) -> Attribute:
    """A length, told as text: so Neutron tells it."""
    return Attribute(name=name, field=name, check=checks.whole_number(), show=str, filter=integer_filter)


SUBNET_POOL: Final = Spec(
    singular="subnetpool",
    plural="subnetpools",
    path="subnetpools",
    type=things.SubnetPool,
    attributes=(
        standard()[0],
        Attribute(name="name", field="name", check=_name, default=REQUIRED),
        *standard_unnamed(),
        TAGS,
        Attribute(name="prefixes", field="prefixes", check=prefixes, default=REQUIRED, show=list, filter=None),
        Attribute(name="ip_version", field="ip_version", post=False, put=False, filter=integer_filter),
        _prefixlen("min_prefixlen"),
        _prefixlen("max_prefixlen"),
        _prefixlen("default_prefixlen"),
        Attribute(name="default_quota", field="default_quota", check=checks.whole_number(), filter=integer_filter),
        Attribute(name="is_default", field="is_default", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="shared", field="shared", check=checks.boolean, put=False, default=False, filter=None),
        Attribute(name="address_scope_id", field="address_scope_id", check=checks.optional(checks.uuid), default=None),
    ),
    special_filters=frozenset({"shared"}),
)
