"""The hosts that a port is, or may be, bound to, in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec
from suimon.model.checks import Unfit
from suimon.model.specs.ports import VNIC_TYPES, profile


@checks.takes({"type": "string", "minLength": 1, "maxLength": 255})
def _host(value: object) -> object:
    host = checks.text(255)(value)
    if not host:
        raise Unfit("'' Blank strings are not permitted")
    return host


PORT_BINDING: Final = Spec(
    singular="binding",
    plural="bindings",
    path="bindings",
    type=things.PortBinding,
    attributes=(
        Attribute(name="host", field="host", check=_host, default=REQUIRED),
        Attribute(name="vnic_type", field="vnic_type", check=checks.one_of(VNIC_TYPES), default="normal"),
        Attribute(name="profile", field="profile", check=profile, default={}, filter=None),
        Attribute(name="vif_type", field="vif_type", post=False, put=False),
        Attribute(name="vif_details", field="vif_details", post=False, put=False, filter=None),
        Attribute(name="status", field="status", post=False, put=False),
    ),
)
