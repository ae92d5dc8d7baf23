"""Routers and floating IPs in the API."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter, constant, standard, standard_unnamed
from suimon.model.checks import Unfit
from suimon.model.specs.networks import routes, show_routes
from suimon.model.specs.ports import WantedIp, fixed_ips

MAX_ROUTES: Final = 30
_GATEWAY_KEYS: Final = {"network_id", "enable_snat", "external_fixed_ips"}


class WantedGateway(msgspec.Struct, frozen=True):
    """A router's leg outside; what isn't given stays as it is, or is chosen."""

    network_id: str
    enable_snat: bool | msgspec.UnsetType = msgspec.UNSET
    fixed_ips: tuple[WantedIp, ...] | msgspec.UnsetType = msgspec.UNSET


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
    snat = value.get("enable_snat")
    return WantedGateway(
        str(checks.uuid(value["network_id"])),
        msgspec.UNSET if snat is None else bool(checks.boolean(snat)),
        fixed_ips(value.get("external_fixed_ips")),  # type: ignore[arg-type]
    )


ROUTER: Final = Spec(
    singular="router",
    plural="routers",
    path="routers",
    type=things.Router,
    attributes=(
        *standard(),
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, default=True, filter=boolean_filter
        ),
        Attribute(
            name="external_gateway_info", field="external_gateway_info", check=_gateway, default=None, filter=None
        ),
        Attribute(name="routes", field="routes", check=routes, post=False, default=(), show=show_routes, filter=None),
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
        Attribute(name="router_id", field="router_id", post=False, put=False),
        Attribute(name="status", field="status", post=False, put=False),
        Attribute(name="port_details", field="port_details", post=False, put=False, default=None, filter=None),
    ),
)
