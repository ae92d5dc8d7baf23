"""What is read of the installation itself: zones, service providers, agents, how full networks are."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from suimon.model import checks, things
from suimon.model.attributes import Attribute, Spec, boolean_filter, integer_filter

_READ_ONLY: Final[dict[str, Any]] = {"post": False, "put": False}


def _read(name: str, field: str = "", **more: Any) -> Attribute:
    return Attribute(name=name, field=field or name, **_READ_ONLY, **more)


def _moment(value: datetime | None) -> str | None:
    """Agents' times are told without a zone (UTC), unlike all others."""
    return value.strftime("%Y-%m-%d %H:%M:%S") if value else None


AGENT_TYPES: Final = ("Open vSwitch agent", "L3 agent", "DHCP agent")


def _agent_type(text: str) -> object:
    """Clients write some types in capitals."""
    return next((known for known in AGENT_TYPES if known.lower() == text.lower()), text)


SERVICE_PROVIDER: Final = Spec(
    singular="service_provider",
    plural="service_providers",
    path="service-providers",
    type=things.ServiceProvider,
    attributes=(_read("service_type"), _read("name"), _read("default", filter=boolean_filter)),
)
AVAILABILITY_ZONE: Final = Spec(
    singular="availability_zone",
    plural="availability_zones",
    path="availability_zones",
    type=things.AvailabilityZone,
    attributes=(_read("name"), _read("resource"), _read("state")),
)
NETWORK_IP_AVAILABILITY: Final = Spec(
    singular="network_ip_availability",
    plural="network_ip_availabilities",
    path="network-ip-availabilities",
    type=things.NetworkIpAvailability,
    attributes=(
        _read("network_id"),
        _read("network_name"),
        _read("project_id"),
        _read("total_ips", filter=None),
        _read("used_ips", filter=None),
        _read("subnet_ip_availability", "subnets", filter=None),
        _read("ip_version", filter=integer_filter, shown=False),
    ),
    special_filters=frozenset({"ip_version"}),
)
AGENT: Final = Spec(
    singular="agent",
    plural="agents",
    path="agents",
    type=things.Agent,
    attributes=(
        _read("id"),
        _read("agent_type", filter=_agent_type),
        _read("binary"),
        _read("topic"),
        _read("host"),
        Attribute(
            name="admin_state_up", field="admin_state_up", check=checks.boolean, post=False, filter=boolean_filter
        ),
        Attribute(name="description", field="description", check=checks.optional(checks.text(255)), post=False),
        _read("created_at", show=_moment, filter=None),
        _read("started_at", show=_moment, filter=None),
        _read("heartbeat_timestamp", show=_moment, filter=None),
        _read("alive", filter=boolean_filter),
        _read("availability_zone"),
        _read("resources_synced", filter=None),
        _read("configurations", filter=None),
    ),
)
