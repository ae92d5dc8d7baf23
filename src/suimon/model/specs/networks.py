"""Networks and subnets in the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from suimon.model import checks, dns_names, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, constant, integer_filter, standard
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest
from suimon.model.specs.tags import TAGS
from suimon.model.things import Pool
from suimon.model.view import Route

MAX_ROUTES: Final = 20
MAX_NAMESERVERS: Final = 5
MAX_HINTS_BYTES: Final = 255
_DEVICE_OWNERS: Final = ("network:", "neutron:", *"compute:")
"""Beginnings of service types. Of `compute:` it is each letter: so Neutron has it, and people use what it lets pass."""
_IPV6_MODES: Final = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


@checks.takes(
    checks.listed(
        {
            "type": "object",
            "properties": {"destination": {"type": "string", "format": "cidr"}, "nexthop": {"type": "string"}},
            "required": ["destination", "nexthop"],
            "additionalProperties": False,
        }
    )
)
def routes(value: object) -> object:
    """A list of {destination, nexthop}, as a tuple of Route."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unfit(f"Invalid data format for hostroute: '{value}'")
    found: list[Route] = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"destination", "nexthop"}:
            raise Unfit(f"Invalid data format for hostroute: '{item}'")
        route = Route(str(checks.cidr(item["destination"])), str(checks.address(item["nexthop"])))
        if route in found:
            raise Unfit(f"Duplicate hostroute '{item}'")
        found.append(route)
    return tuple(found)


def show_routes(kept: Sequence[Route]) -> object:
    """The other way round."""
    return [{"destination": route.destination, "nexthop": route.nexthop} for route in kept]


@checks.takes(checks.listed({"type": "string"}))
def _nameservers(value: object) -> object:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unfit(f"Invalid data format for nameserver: '{value}'")
    found: list[str] = []
    for item in value:
        try:
            server = str(checks.address(item))
        except Unfit as unfit:
            raise Unfit(f"'{item}' is not a valid nameserver. {unfit}") from None
        if server in found:
            raise Unfit(f"Duplicate nameserver '{item}'")
        found.append(server)
    return tuple(found)


@checks.takes(
    checks.listed(
        {
            "type": "object",
            "properties": {"start": {"type": "string"}, "end": {"type": "string"}},
            "required": ["start", "end"],
            "additionalProperties": False,
        }
    )
)
def _pools(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, list):
        raise Unfit(f"Invalid data format for IP pool: '{value}'")
    pools = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"start", "end"}:
            raise Unfit(f"Invalid data format for IP pool: '{item}'")
        pools.append(Pool(str(checks.address(item["start"])), str(checks.address(item["end"]))))
    return tuple(pools)


@checks.takes({"type": ["string", "null"], "format": "cidr"})
def _subnet_cidr(value: object) -> object:
    if value is None:
        return None
    try:
        return str(checks.parse_cidr(value))
    except Unfit:
        raise checks.invalid(f"{value} is not in a CIDR format") from None


@checks.takes({"type": "array", "items": {"type": "string"}, "uniqueItems": True})
def _zone_hints(value: object) -> object:
    """A list of different texts that fits into 255 bytes of JSON, as a tuple."""
    if not isinstance(value, list):
        raise Unfit(f"'{value}' is not a list")
    for item in value:
        checks.text(255)(item)
    if len(set(value)) < len(value):
        raise Unfit(f"Duplicate items in the list: '{', '.join(value)}'")
    if len(msgspec.json.encode(value)) > MAX_HINTS_BYTES:
        raise checks.invalid("Too many availability_zone_hints specified")
    return tuple(value)


ZONE_HINTS: Final = Attribute(
    name="availability_zone_hints",
    field="availability_zone_hints",
    check=_zone_hints,
    put=False,
    default=(),
    show=list,
    filter=None,
)


@checks.takes(checks.listed({"type": "string", "pattern": f"^({'|'.join(_DEVICE_OWNERS)})"}))
def _service_types(value: object) -> object:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest("Subnet service types must be a list.")
    for item in value:
        if not isinstance(item, str):
            raise BadRequest(f"Subnet service type {item} is not a string.", "InvalidInputSubnetServiceType")
        if not item.startswith(_DEVICE_OWNERS) or len(item) > 255:
            raise BadRequest(
                f"Subnet service type {item[:255]} does not correspond to a valid device owner.",
                "InvalidSubnetServiceType",
            )
    return tuple(dict.fromkeys(value))


def _told(name: str) -> Attribute:
    """Shown of what other rows say."""
    return Attribute(name=name, field=name, post=False, put=False, filter=None)


NETWORK: Final = Spec(
    singular="network",
    plural="networks",
    path="networks",
    type=things.Network,
    attributes=(
        *standard(),
        TAGS,
        Attribute(
            name="admin_state_up",
            field="admin_state_up",
            check=checks.boolean,
            default=True,
            filter=boolean_filter,
        ),
        Attribute(name="shared", field="shared", check=checks.boolean, default=False, filter=None),
        Attribute(name="router:external", field="external", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="mtu", field="mtu", check=checks.whole_number(), default=0, filter=integer_filter),
        Attribute(
            name="port_security_enabled",
            field="port_security",
            check=checks.boolean,
            default=True,
            filter=boolean_filter,
        ),
        Attribute(name="provider:network_type", field="network_type", check=checks.optional(checks.text(32))),
        Attribute(name="provider:physical_network", field="physnet", check=checks.optional(checks.text(64))),
        Attribute(
            name="provider:segmentation_id",
            field="segment",
            check=checks.optional(checks.integer),
            filter=integer_filter,
        ),
        Attribute(name="qos_policy_id", field="qos_policy_id", check=checks.optional(checks.uuid), default=None),
        Attribute(name="is_default", field="is_default", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="dns_domain", field="dns_domain", check=dns_names.domain, default=""),
        ZONE_HINTS,
        _told("subnets"),
        _told("ipv4_address_scope"),
        _told("ipv6_address_scope"),
        _told("l2_adjacency"),
        constant("availability_zones", []),
        constant("status", "ACTIVE"),
    ),
    special_filters=frozenset({"shared"}),
)
SUBNET: Final = Spec(
    singular="subnet",
    plural="subnets",
    path="subnets",
    type=things.Subnet,
    attributes=(
        *standard(),
        TAGS,
        Attribute(name="network_id", field="network_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="ip_version",
            field="ip_version",
            check=checks.one_of((4, 6), checks.integer),
            put=False,
            default=REQUIRED,
            filter=integer_filter,
        ),
        Attribute(name="cidr", field="cidr", check=_subnet_cidr, put=False),
        Attribute(name="gateway_ip", field="gateway_ip", check=checks.optional(checks.address)),
        Attribute(name="enable_dhcp", field="enable_dhcp", check=checks.boolean, default=True, filter=boolean_filter),
        Attribute(
            name="allocation_pools",
            field="allocation_pools",
            check=_pools,
            show=lambda pools: [{"start": pool.start, "end": pool.end} for pool in pools],
            filter=None,
        ),
        Attribute(
            name="dns_nameservers",
            field="dns_nameservers",
            check=_nameservers,
            default=(),
            show=list,
            filter=None,
        ),
        Attribute(name="host_routes", field="host_routes", check=routes, default=(), show=show_routes, filter=None),
        Attribute(
            name="ipv6_ra_mode",
            field="ipv6_ra_mode",
            check=checks.optional(checks.one_of(_IPV6_MODES)),
            put=False,
            default=None,
        ),
        Attribute(
            name="ipv6_address_mode",
            field="ipv6_address_mode",
            check=checks.optional(checks.one_of(_IPV6_MODES)),
            put=False,
            default=None,
        ),
        Attribute(
            name="subnetpool_id", field="subnetpool_id", check=checks.optional(checks.uuid), put=False, default=None
        ),
        Attribute(
            name="use_default_subnetpool",
            field="use_default_subnetpool",
            check=checks.boolean,
            put=False,
            default=False,
            filter=None,
            shown=False,
        ),
        Attribute(
            name="prefixlen", field="prefixlen", check=checks.whole_number(128), put=False, filter=None, shown=False
        ),
        Attribute(name="segment_id", field="segment_id", check=checks.optional(checks.uuid), default=None),
        Attribute(
            name="service_types", field="service_types", check=_service_types, default=(), show=list, filter=None
        ),
        Attribute(
            name="dns_publish_fixed_ip",
            field="dns_publish_fixed_ip",
            check=checks.boolean,
            default=False,
            filter=boolean_filter,
        ),
        _told("router:external"),
    ),
    special_filters=frozenset({"shared", "router:external"}),
)
