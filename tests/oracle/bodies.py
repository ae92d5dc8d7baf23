"""What the API's bodies say: whose a port is, its addresses, and where a forwarded L4 port leads."""

from __future__ import annotations

from tests.oracle.frame import Frame, link_local
from tests.oracle.guard import PROTOCOLS, Body, identities


def seated(port: Body) -> bool:
    """Some guest's interface may be there."""
    return bool(port["binding:host_id"]) and not port["device_owner"].startswith("network:")


def is_leg(port: Body) -> bool:
    return bool(port["device_owner"] == "network:router_interface")


def is_gateway(port: Body) -> bool:
    return bool(port["device_owner"] == "network:router_gateway")


def fixed_ips(port: Body) -> list[str]:
    return [fixed["ip_address"] for fixed in port["fixed_ips"]]


def speaks_ipv6(port: Body) -> bool:
    return any(":" in cidr for _, cidr in identities(port))


def addresses(port: Body) -> list[str]:
    """Its own, and the link-local one if it has any of IPv6."""
    six = any(":" in ip for ip in fixed_ips(port))
    return [*fixed_ips(port), *([link_local(port["mac_address"])] if six else [])]


def led_on(one: Body, frame: Frame) -> Frame | None:
    outer, inner = _range(one, "external_port"), _range(one, "internal_port")
    at_address = (frame.dst, (frame.protocol,)) == (one["floating_ip_address"], PROTOCOLS[one["protocol"]])
    if not at_address or not outer[0] <= frame.second <= outer[1]:
        return None
    shift = frame.second - outer[0] if inner[0] != inner[1] else 0
    return frame.but(dst=one["internal_ip_address"], second=inner[0] + shift)


def _range(one: Body, name: str) -> tuple[int, int]:
    first, _, last = str(one.get(f"{name}_range") or one[name]).partition(":")
    return int(first), int(last or first)
