"""Quotas in the API: what is counted for each project, and how much of it a project may have unless told otherwise."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.model import checks, things
from suimon.model.attributes import Attribute, Spec
from suimon.model.checks import Unfit

UNLIMITED: Final = -1
MOST: Final = 2_147_483_647
COUNTED: Final[dict[type[msgspec.Struct], str]] = {
    things.Network: "network",
    things.Subnet: "subnet",
    things.SubnetPool: "subnetpool",
    things.Port: "port",
    things.Router: "router",
    things.FloatingIp: "floatingip",
    things.SecurityGroup: "security_group",
    things.SecurityGroupRule: "security_group_rule",
    things.RbacPolicy: "rbac_policy",
    things.Trunk: "trunk",
}
"""What the store counts, each under its quota's name."""
ROUTER_ROUTE: Final = "router_route"
DEFAULTS: Final[dict[str, int]] = {
    "floatingip": 50,
    "network": 100,
    "port": 500,
    "rbac_policy": 10,
    "router": 10,
    ROUTER_ROUTE: 30,
    "security_group": 10,
    "security_group_rule": 100,
    "subnet": 100,
    "subnetpool": UNLIMITED,
    "trunk": UNLIMITED,
}
"""Neutron's, by the quota's name; `settings.quotas` has other ones. `router_route` is for each router, and not counted
for the project.
"""


@checks.takes({"type": "integer", "minimum": UNLIMITED, "maximum": MOST})
def limit(value: object) -> object:
    """How much of something; -1 is without end."""
    number = checks.integer(value)
    assert isinstance(number, int)
    if number < UNLIMITED:
        raise Unfit(f"'{number}' is too small - must be at least '{UNLIMITED}'")
    if number > MOST:
        raise Unfit(f"'{number}' is too large - must be no larger than '{MOST}'")
    return number


QUOTA: Final = Spec(
    singular="quota",
    plural="quotas",
    path="quotas",
    type=things.Quota,
    attributes=tuple(Attribute(name=name, field=name, check=limit, post=False, filter=None) for name in DEFAULTS),
)
