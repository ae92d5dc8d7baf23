"""Names of what ports have in common: owners and keys that stand for all of them."""

from typing import Final
from zlib import crc32

from suimon.model import view

_FLOOD_PARTS: Final = 16


def set_name(port: view.Port) -> str:
    """What stands for a port's security groups: ports with the same ones share it."""
    return ",".join(sorted(port.groups)) or "-"


def flood_part(port: view.Port) -> str:
    """What stands for the ports of a host that get broadcasts with this one: a network has some, of similar sizes, so
    that a guest that comes or goes costs a fraction of what is here.
    """
    return f"{port.network_id}/here{crc32(port.id.encode()) % _FLOOD_PARTS}"


def reference(rule: view.SecurityGroupRule, *, stateless: bool) -> str:
    """What stands for "the members of that remote group, in this direction", by connection or by packet."""
    family = "/ipv6" if rule.ethertype == "IPv6" else ""
    return f"{rule.remote_group}/{rule.direction}" + ("/stateless" if stateless else "") + family
