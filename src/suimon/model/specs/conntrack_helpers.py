"""Conntrack helpers of routers in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, integer_filter
from suimon.model.specs.port_forwardings import PROTOCOL, l4_port

CONNTRACK_HELPER: Final = Spec(
    singular="conntrack_helper",
    plural="conntrack_helpers",
    path="conntrack_helpers",
    type=things.ConntrackHelper,
    attributes=(
        Attribute(name="id", field="id", post=False, put=False),
        PROTOCOL,
        Attribute(name="port", field="l4_port", check=l4_port, default=REQUIRED, filter=integer_filter),
        Attribute(name="helper", field="module", check=checks.text(64), default=REQUIRED),
    ),
)
