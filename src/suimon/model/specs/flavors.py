"""Flavors of services and their profiles in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, boolean_filter
from suimon.model.errors import BadRequest

SERVICE_TYPES: Final = (
    "AUTO_ALLOCATE",
    "CONNTRACKHELPER",
    "CORE",
    "FLAVORS",
    "L3_ROUTER_NAT",
    "LOCAL_IP",
    "LOGGING",
    "METERING",
    "NDPPROXY",
    "PORTFORWARDING",
    "QOS",
    "TRUNK",
)
"""Neutron's names of the kinds of services that there are here."""


@checks.takes({"enum": list(SERVICE_TYPES)})
def _service_type(value: object) -> object:
    if value not in SERVICE_TYPES:
        raise BadRequest(f"Invalid service type: {value}.", "InvalidServiceType")
    return value


_ID: Final = Attribute(name="id", field="id", post=False, put=False)
_DESCRIPTION: Final = Attribute(name="description", field="description", check=checks.text(1024), default="")
_ENABLED: Final = Attribute(name="enabled", field="enabled", check=checks.boolean, default=True, filter=boolean_filter)
FLAVOR: Final = Spec(
    singular="flavor",
    plural="flavors",
    path="flavors",
    type=things.Flavor,
    attributes=(
        _ID,
        Attribute(name="name", field="name", check=checks.text(255), default=""),
        _DESCRIPTION,
        Attribute(name="service_type", field="service_type", check=_service_type, put=False, default=REQUIRED),
        _ENABLED,
        Attribute(name="service_profiles", field="service_profiles", post=False, put=False, show=list, filter=None),
    ),
)
SERVICE_PROFILE: Final = Spec(
    singular="service_profile",
    plural="service_profiles",
    path="service_profiles",
    type=things.ServiceProfile,
    attributes=(
        _ID,
        _DESCRIPTION,
        Attribute(name="driver", field="driver", check=checks.text(1024), default=""),
        Attribute(name="metainfo", field="metainfo", check=checks.text(4096), default="", filter=None),
        _ENABLED,
    ),
)
BOUND_PROFILE: Final = Spec(
    singular="service_profile",
    plural="service_profiles",
    path="service_profiles",
    type=things.ServiceProfile,
    attributes=(Attribute(name="id", field="id", check=checks.uuid, put=False, default=REQUIRED),),
)
"""A profile below a flavor: there it is only named."""
