"""Local IPs and their associations with ports in the API."""

from __future__ import annotations

from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, standard

LOCAL_IP: Final = Spec(
    singular="local_ip",
    plural="local_ips",
    path="local_ips",
    type=things.LocalIp,
    attributes=(
        *standard(),
        Attribute(name="local_port_id", field="local_port_id", check=checks.uuid, put=False, default=None),
        Attribute(name="network_id", field="network_id", check=checks.uuid, put=False, default=None),
        Attribute(
            name="local_ip_address",
            field="local_ip_address",
            check=checks.optional(checks.address),
            put=False,
            default=None,
        ),
        Attribute(
            name="ip_mode",
            field="ip_mode",
            check=checks.one_of(("translate", "passthrough")),
            put=False,
            default="translate",
        ),
    ),
)
LOCAL_IP_ASSOCIATION: Final = Spec(
    singular="port_association",
    plural="port_associations",
    path="port_associations",
    type=things.LocalIpAssociation,
    attributes=(
        Attribute(name="local_ip_id", field="local_ip_id", post=False, put=False),
        Attribute(name="local_ip_address", field="local_ip_address", post=False, put=False),
        Attribute(name="fixed_port_id", field="fixed_port_id", check=checks.uuid, put=False, default=REQUIRED),
        Attribute(name="fixed_ip", field="fixed_ip", check=checks.optional(checks.address), put=False, default=None),
        Attribute(name="host", field="host", post=False, put=False),
    ),
)
