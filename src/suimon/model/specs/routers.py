"""Routers and floating IPs in the API."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, constant, standard, standard_unnamed
from suimon.model.checks import Unfit
from suimon.model.specs.dns import dns_domain, dns_name
from suimon.model.specs.networks import ZONE_HINTS, routes, show_routes
from suimon.model.specs.ports import WantedIp, fixed_ips
from suimon.model.specs.tags import TAGS

_GATEWAY_KEYS: Final = {"network_id", "enable_snat", "external_fixed_ips", "qos_policy_id"}


class WantedGateway(msgspec.Struct, frozen=True):
    """A router's leg outside; what isn't given stays as it is, or is chosen."""

    network_id: str
    enable_snat: bool | msgspec.UnsetType = msgspec.UNSET
    fixed_ips: tuple[WantedIp, ...] | msgspec.UnsetType = msgspec.UNSET
    qos_policy_id: str | msgspec.UnsetType | None = msgspec.UNSET


@checks.takes(
    {
        "type": ["object", "null"],
        "properties": {
            "network_id": {"type": "string", "format": "uuid"},
            "enable_snat": {"type": "boolean"},
            "external_fixed_ips": {"type": "array", "items": {"type": "object"}},
            "qos_policy_id": checks.nullable({"type": "string", "format": "uuid"}),
        },
        "additionalProperties": False,
    }
)
def _gateway(value: object) -> object:
    """Null and {} mean: none."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise Unfit(f"'{value}' is not a dictionary")
    if "network_id" not in value or not set(value) <= _GATEWAY_KEYS:
        raise Unfit(
            f"Validation of dictionary's keys failed. Expected keys: {{'network_id'}} Provided keys: {set(value) or {}}"
        )
    snat, ips = value.get("enable_snat"), value.get("external_fixed_ips")
    policy = checks.optional(checks.uuid)(value["qos_policy_id"]) if "qos_policy_id" in value else msgspec.UNSET
    return WantedGateway(
        str(checks.uuid(value["network_id"])),
        msgspec.UNSET if snat is None else bool(checks.boolean(snat)),
        fixed_ips(ips or None),  # type: ignore[arg-type]
        policy,  # type: ignore[arg-type]
    )


@checks.takes(checks.schema_of(dns_name) or {})
def _relative_name(value: object) -> object:
    name = dns_name(value)
    if str(name).endswith("."):
        raise Unfit(f"'{value}' is a FQDN. It should be a relative domain name")
    return name


def _flag(name: str) -> Attribute:
    """A truth that only operators set and see; null is the same as not given."""
    return Attribute(name=name, field=name, check=checks.optional(checks.boolean), filter=None)


def _told(name: str, default: object = None) -> Attribute:
    """Shown of what other rows say."""
    return Attribute(name=name, field=name, post=False, put=False, default=default, filter=None)


ROUTER: Final = Spec(
    singular="router",
    plural="routers",
    path="routers",
    type=things.Router,
    attributes=(
        *standard(),
        TAGS,
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, default=True, filter=boolean_filter
        ),
        Attribute(
            name="external_gateway_info", field="external_gateway_info", check=_gateway, default=None, filter=None
        ),
        Attribute(name="routes", field="routes", check=routes, post=False, default=(), show=show_routes, filter=None),
        _flag("ha"),
        _flag("distributed"),
        Attribute(
            name="enable_ndp_proxy",
            field="enable_ndp_proxy",
            check=checks.optional(checks.boolean),
            filter=boolean_filter,
        ),
        Attribute(name="flavor_id", field="flavor_id", check=checks.optional(checks.uuid), put=False, default=None),
        ZONE_HINTS,
        constant("availability_zones", []),
        _told("conntrack_helpers", []),
        constant("status", "ACTIVE"),
    ),
)
FLOATING_IP: Final = Spec(
    singular="floatingip",
    plural="floatingips",
    path="floatingips",
    type=things.FloatingIp,
    attributes=(
        Attribute(name="id", field="id", post=False, put=False),
        *standard_unnamed(),
        TAGS,
        Attribute(
            name="floating_network_id", field="floating_network_id", check=checks.uuid, put=False, default=REQUIRED
        ),
        Attribute(
            name="floating_ip_address",
            field="floating_ip_address",
            check=checks.optional(checks.address),
            put=False,
            default=None,
        ),
        Attribute(
            name="subnet_id",
            field="subnet_id",
            check=checks.optional(checks.uuid),
            put=False,
            default=None,
            filter=None,
            shown=False,
        ),
        Attribute(name="port_id", field="port_id", check=checks.optional(checks.uuid), default=None),
        Attribute(
            name="fixed_ip_address", field="fixed_ip_address", check=checks.optional(checks.address), default=None
        ),
        Attribute(name="router_id", field="router_id", check=checks.optional(checks.uuid), default=None),
        Attribute(name="qos_policy_id", field="qos_policy_id", check=checks.optional(checks.uuid), default=None),
        Attribute(name="dns_name", field="dns_name", check=_relative_name, put=False, default=""),
        Attribute(name="dns_domain", field="dns_domain", check=dns_domain, put=False, default=""),
        Attribute(name="status", field="status", post=False, put=False),
        _told("qos_network_policy_id"),
        _told("port_details"),
        _told("port_forwardings", []),
    ),
)
FLOATING_IP_POOL: Final = Spec(
    singular="floatingip_pool",
    plural="floatingip_pools",
    path="floatingip-pools",
    type=things.FloatingIpPool,
    attributes=tuple(
        Attribute(name=name, field=name, post=False, put=False)
        for name in ("subnet_id", "subnet_name", "network_id", "cidr", "project_id")
    ),
)
