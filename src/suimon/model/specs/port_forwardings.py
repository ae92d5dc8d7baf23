"""Port forwardings of floating IPs in the API."""

from __future__ import annotations

import re
from typing import Final

from suimon.model import checks, things
from suimon.model.attributes import REQUIRED, Attribute, Spec, integer_filter
from suimon.model.checks import Unfit
from suimon.model.ranges import Range

PROTOCOLS: Final = ("dccp", "icmp", "ipv6-icmp", "sctp", "tcp", "udp")
_MOST: Final = 65535


@checks.takes({"type": "integer", "minimum": 1, "maximum": _MOST})
def l4_port(value: object) -> object:
    """1 to 65535, also as text."""
    number = checks.integer(value)
    assert isinstance(number, int)
    if number < 1:
        raise Unfit(f"'{value}' is too small - must be at least '1'")
    if number > _MOST:
        raise Unfit(f"'{value}' is too large - must be no larger than '{_MOST}'")
    return number


@checks.takes({"type": ["string", "null"], "pattern": "^[0-9]+(:[0-9]+)?$"})
def _l4_ports(value: object) -> object:
    """`first:last`, or one, as (first, last)."""
    if value is None:
        return None
    parts = str(value).split(":")
    if len(parts) > 2 or not all(parts):
        raise Unfit("Port range must be two integers separated by a colon")
    for part in parts:
        if not re.fullmatch(r"[0-9]{1,5}", part) or not 1 <= int(part) <= _MOST:
            raise Unfit(f"Invalid port: {part[:20]}, the port must be in the range [1, {_MOST}]")
    first, last = int(parts[0]), int(parts[-1])
    if first > last:
        raise Unfit("First port in a port range must be lower than the second port")
    return first, last


def show_range(ports: Range) -> str:
    """As the API shows it."""
    return f"{ports[0]}:{ports[1]}"


def _protocol(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


PROTOCOL: Final = Attribute(
    name="protocol", field="protocol", check=checks.one_of(PROTOCOLS, _protocol), default=REQUIRED
)


def _single(name: str) -> Attribute:
    return Attribute(name=name, field=name, check=checks.optional(l4_port), default=None, filter=integer_filter)


def _range(name: str) -> Attribute:
    return Attribute(name=name, field=name, check=_l4_ports, show=show_range, default=None, filter=None)


PORT_FORWARDING: Final = Spec(
    singular="port_forwarding",
    plural="port_forwardings",
    path="port_forwardings",
    type=things.PortForwarding,
    attributes=(
        Attribute(name="id", field="id", post=False, put=False),
        PROTOCOL,
        _single("external_port"),
        _range("external_port_range"),
        Attribute(name="internal_port_id", field="internal_port_id", check=checks.uuid, default=REQUIRED),
        Attribute(name="internal_ip_address", field="internal_ip_address", check=checks.address, default=REQUIRED),
        _single("internal_port"),
        _range("internal_port_range"),
        Attribute(name="description", field="description", check=checks.text(1024), default=""),
    ),
)
