"""What a network namespace has, as the kernel tells it, without what changes by itself: to be compared with what it had
when it was made. All is read of the namespace of the thread that asks; each read is complete, or raises OSError.

By netlink (rtnetlink(7), linux/netfilter/nf_tables.h) and not by ip(8) and nft(8): processes would cost twenty times as
much (docs/decisions/0021).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from suimon.dataplane.netlink import attribute, attributes, dump, opened

Thing = tuple[object, ...]

_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
_RULE_BYTES: Final = 12
_NETFILTER: Final = struct.Struct("=BBH")
_IFNAME, _MTU, _MAC, _ALIAS, _EXTENT = 3, 4, 1, 20, 29
"""IFLA_*."""
_WITHOUT_COUNTERS: Final = attribute(_EXTENT, struct.pack("=I", 1 << 3))
_LINKS: Final = 18, _LINK.pack(0, 0, 0, 0, 0) + _WITHOUT_COUNTERS
ASKED: Final = (
    ("link", *_LINKS),
    ("address", 22, _ADDRESS.pack(0, 0, 0, 0, 0)),
    ("route", 26, _ROUTE.pack(*bytes(9))),
    ("rule", 34, bytes(_RULE_BYTES)),
    ("neighbour", 30, _NEIGHBOUR.pack(0, 0, 0, 0, 0)),
)
"""What is asked for: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETRULE, RTM_GETNEIGH, of all families."""
_UP: Final = 1
_PERMANENT: Final = 0x80
_KERNEL: Final = 2
_LASTING: Final = 0x6
"""Flags of routes. Others say what becomes of their link, some time after it did."""
_AGE: Final = 12
"""RTA_CACHEINFO."""
_IPV4: Final = 2
_NFT: Final = 10 << 8
_TABLES, _CHAINS, _RULES, _SETS, _ELEMENTS, _OBJECTS = 1, 4, 7, 10, 13, 19
"""NFT_MSG_GET*."""
_TABLE, _NAME = 1, 2
"""The table's name is the first attribute of everything in it, a set's own the second."""
_SYSCTL: Final = "/proc/sys/"
_LONGEST_SETTING: Final = 256


def routing() -> list[Thing]:
    """Devices, addresses, routes, rules and permanent neighbours."""
    with opened("route") as asking:
        return [each for what, kind, body in ASKED for each in sorted(_STEADY[what](dump(asking, kind, body)))]


def aliases() -> dict[str, str]:
    """Of devices that are up, by name."""
    with opened("route") as asking:
        told = [(_LINK.unpack_from(said)[3], attributes(said[_LINK.size :])) for _, said in dump(asking, *_LINKS)]
    return {_text(has[_IFNAME]): _text(has.get(_ALIAS, b"")) for flags, has in told if flags & _UP}


def table(name: str) -> list[Thing]:
    """A table of nftables of family ip, with all that is in it."""
    found: list[Thing] = []
    wanted = name.encode() + b"\0"
    with opened("netfilter") as asking:
        for kind in (_TABLES, _CHAINS, _RULES, _SETS, _OBJECTS):
            for each in _nft(asking, kind):
                has = attributes(each)
                if has.get(_TABLE) != wanted:
                    continue
                found.append((kind, each))
                if kind == _SETS:
                    of = attribute(_TABLE, wanted) + attribute(_NAME, has[_NAME])
                    found.append((_ELEMENTS, *_nft(asking, _ELEMENTS, of)))
    return found


def settings(names: Iterable[str]) -> list[str]:
    """What sysctl(8) has under these names."""
    return [_setting(name.replace(".", "/")) for name in names]


def _setting(path: str) -> str:
    setting = os.open(_SYSCTL + path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(setting, _LONGEST_SETTING).decode()
    finally:
        os.close(setting)


def _nft(asking: socket.socket, kind: int, of: bytes = b"") -> list[bytes]:
    """Attributes of each thing."""
    return [said[_NETFILTER.size :] for _, said in dump(asking, _NFT | kind, _NETFILTER.pack(_IPV4, 0, 0) + of)]


def _links(told: list[tuple[int, bytes]]) -> list[Thing]:
    found: list[Thing] = []
    for _, said in told:
        _, _, ifindex, flags, _ = _LINK.unpack_from(said)
        has = attributes(said[_LINK.size :])
        found.append((ifindex, has.get(_IFNAME, b""), has.get(_MTU, b""), has.get(_MAC, b""), flags & _UP))
    return found


def _addresses(told: list[tuple[int, bytes]]) -> list[Thing]:
    found: list[Thing] = []
    for _, said in told:
        family, length, _, scope, ifindex = _ADDRESS.unpack_from(said)
        has = attributes(said[_ADDRESS.size :])
        found.append((ifindex, family, length, scope, has.get(1, b""), has.get(2, b"")))
    return found


def _routes(told: list[tuple[int, bytes]]) -> list[Thing]:
    """Without those that the kernel makes of addresses."""
    found: list[Thing] = []
    for _, said in told:
        *fields, flags = _ROUTE.unpack_from(said)
        if fields[5] != _KERNEL:
            has = attributes(said[_ROUTE.size :])
            found.append((*fields, flags & _LASTING, *((k, v) for k, v in sorted(has.items()) if k != _AGE)))
    return found


def _rules(told: list[tuple[int, bytes]]) -> list[Thing]:
    return [(said,) for _, said in told]


def _neighbours(told: list[tuple[int, bytes]]) -> list[Thing]:
    found: list[Thing] = []
    for _, said in told:
        family, ifindex, state, _, _ = _NEIGHBOUR.unpack_from(said)
        if state & _PERMANENT:
            has = attributes(said[_NEIGHBOUR.size :])
            found.append((ifindex, family, has.get(1, b""), has.get(2, b"")))
    return found


_STEADY: Final = {
    "link": _links,
    "address": _addresses,
    "route": _routes,
    "rule": _rules,
    "neighbour": _neighbours,
}


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
