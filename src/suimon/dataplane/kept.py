"""What a network namespace of ours has, as ip(8) tells it: devices, addresses, routes, rules, neighbours, without what
changes by itself. To be compared with what it had when it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

ASKED: Final = ("address show", "route show table all", "rule show", "neighbour show nud permanent")
"""Lines for `ip -json -batch -`."""
_DEVICE: Final = ("ifname", "mtu", "address")
_ADDRESS: Final = ("family", "local", "prefixlen", "scope")
_PASSING: Final = frozenset({"flags", "expires"})
"""Of routes. That its link is down is said some time after the link is."""


def steady(said: str) -> list[dict[str, Any]]:
    """From what ip(8) said to those lines. Raises OSError for anything else, such as the beginning of it."""
    return [each for each in map(_steady, _entries(said)) if each.get("protocol") != "kernel"]


def _entries(said: str) -> Iterator[dict[str, Any]]:
    decoder, left = json.JSONDecoder(), said.strip()
    try:
        while left:
            entries, end = decoder.raw_decode(left)
            yield from filter(None, entries)
            left = left[end:].lstrip()
    except (ValueError, TypeError) as error:
        raise OSError(f"ip(8) said what isn't JSON: {error}") from error


def _steady(entry: dict[str, Any]) -> dict[str, Any]:
    if "ifname" not in entry:
        return {name: value for name, value in entry.items() if name not in _PASSING}
    addresses = [{name: each.get(name) for name in _ADDRESS} for each in entry.get("addr_info", ())]
    return {name: entry.get(name) for name in _DEVICE} | {"up": "UP" in entry.get("flags", ()), "has": addresses}
