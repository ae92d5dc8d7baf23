"""Networks and subnets in the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, constant, integer_filter, standard
from suimon.model.checks import Unfit
from suimon.model.errors import BadRequest
from suimon.model.things import Pool
from suimon.model.view import Route

MAX_ROUTES: Final = 20
MAX_NAMESERVERS: Final = 5
_IPV6_MODES: Final = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


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


def _subnet_cidr(value: object) -> object:
    try:
        return str(checks.parse_cidr(value))
    except Unfit:
        raise checks.invalid(f"{value} is not in a CIDR format") from None


def _no_subnet_pool(value: object) -> object:
    if value is not None:
        raise BadRequest(f"Subnet pool {value} could not be found.", "SubnetPoolNotFound")
    return None


NETWORK: Final = Spec(
    singular="network",
    plural="networks",
    path="networks",
    type=things.Network,
    attributes=(
        *standard(),
        Attribute(
            name="admin_state_up",
            field="admin_state_up",
            check=checks.boolean,
            default=True,
            filter=boolean_filter,
        ),
        Attribute(name="shared", field="shared", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="router:external", field="external", check=checks.boolean, default=False, filter=boolean_filter),
        Attribute(name="mtu", field="mtu", check=checks.whole_number(), default=0, filter=integer_filter),
        Attribute(
            name="port_security_enabled",
            field="port_security",
            check=checks.boolean,
            default=True,
            filter=boolean_filter,
        ),
        Attribute(
            name="provider:network_type", field="network_type", check=checks.optional(checks.text(32)), put=False
        ),
        Attribute(name="provider:physical_network", field="physnet", check=checks.optional(checks.text(64)), put=False),
        Attribute(
            name="provider:segmentation_id",
            field="segment",
            check=checks.optional(checks.integer),
            put=False,
            filter=integer_filter,
        ),
        Attribute(name="qos_policy_id", field="qos_policy_id", check=checks.optional(checks.uuid), default=None),
        Attribute(name="subnets", field="subnets", post=False, put=False, filter=None),
        constant("status", "ACTIVE"),
    ),
)
SUBNET: Final = Spec(
    singular="subnet",
    plural="subnets",
    path="subnets",
    type=things.Subnet,
    attributes=(
        *standard(),
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
            name="subnetpool_id", field="subnetpool_id", check=_no_subnet_pool, put=False, default=None, filter=None
        ),
    ),
)
