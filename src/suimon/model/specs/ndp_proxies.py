"""NDP proxies in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, standard

NDP_PROXY: Final = Spec(
    singular="ndp_proxy",
    plural="ndp_proxies",
    path="ndp_proxies",
    type=things.NdpProxy,
    attributes=(
        *standard(),
        Attribute(name="router_id", field="router_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(name="port_id", field="port_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(
            name="ip_address", field="ip_address", check=checks.optional(checks.address), put=False, default=None
        ),
    ),
)
