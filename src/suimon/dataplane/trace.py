"""What a real switch would do with a packet: `ofproto/trace` (ovs-vswitchd(8)), asked through its control socket.

`ofproto/trace` does not track connections. So each stretch between two visits to the connection tracker is asked by
itself, from the packet as it was handed to the tracker, with what the caller says the tracker answers. After the first
one that is `ofproto/trace-packet-out`, because `--ct-next` knows no tuple of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

import msgspec

from suimon.dataplane.unixctl import command
from suimon.pipeline.fields import FIELDS
from suimon.pipeline.simulate.packet import ETHERNET_BYTES
from suimon.pipeline.tables import ASIDE

_SPELLING: Final = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "ip_ttl": "nw_ttl",
    "vlan_vid": "vlan_tci",
}
"""Our name → the one that Open vSwitch reads."""
_FIRST: Final = ("in_port", "eth_type", "ip_proto")
"""The others need these before them."""
_TIMEOUT_S: Final = 5.0
_STATES: Final = {0x20: "trk", 0x01: "new", 0x02: "est", 0x04: "rel", 0x08: "rpl", 0x10: "inv"}
_KEPT: Final = re.compile(r"(tcp|udp|icmp|ip|ipv6)6?|arp|(reg\d+|metadata|in_port|vlan_tci|dl_\w+|nw_\w+|tp_\w+|tun_(id|src|dst)|icmp_\w+|ipv6_(src|dst)|nd_\w+|tcp_flags|arp_\w+)=.*")  # fmt: skip # noqa: E501
_SECTION: Final = re.compile(r"\n=+\nrecirc.*\n=+\n")
_LOOKUP: Final = re.compile(r"^ *(\d+)\. (.*)$", re.MULTILINE)
_LENGTH: Final = re.compile(
    r"^( *)check_pkt_larger\((\d+)\).*\n\1goto_table:\d+\n((?:.*\n)*?)\1goto_table:\d+\n", re.MULTILINE
)
"""Where the length is looked at, both ways are told: first that of a larger packet, deeper in, then the other."""
_COOKIE: Final = re.compile(r"cookie (0x[0-9a-f]+)")
_OUTPUT: Final = re.compile(r"^ *(?:output:(\d+)|(IN_PORT)|(CONTROLLER:.*))$\n?(.*skipping output to input port.*)?", re.MULTILINE)  # fmt: skip # noqa: E501
_RESUMED: Final = re.compile(r"resumed at table (\d+)")


class TraceError(Exception):
    """The switch gave an answer that can't be read, or tracks where the caller didn't say what is tracked."""


class Trace(msgspec.Struct, frozen=True):
    """Outputs are OpenFlow ports, `IN_PORT` or `CONTROLLER`; then the last table, and the cookie met there."""

    outputs: tuple[str, ...]
    table: int
    cookie: int
    actions: str


async def trace(
    socket: Path, bridge: str, fields: Mapping[str, int], tracked: Sequence[Mapping[str, int]], size: int = 64
) -> Trace:
    """Of an IP packet of `size` bytes. Raises TraceError, and what `unixctl.command` raises."""
    asked = ["ofproto/trace", bridge, _flow_text(fields)]
    states = list(tracked)
    while True:
        parts = _SECTION.split(await command(socket, *asked, timeout_s=_TIMEOUT_S))
        sections = [chosen(part, size) for part in parts]
        resumed = _RESUMED.search(sections[0])
        if resumed is None or len(sections) < 2:
            return _read(sections[0])
        if not states:
            raise TraceError("the switch asks its connection tracker more often than the model")
        flow = ",".join([*_kept(_line(sections[1], "Flow: ")), *_tracked_text(states.pop(0))])
        asked = ["ofproto/trace-packet-out", bridge, flow, f"resubmit(,{resumed[1]})"]


def chosen(section: str, size: int) -> str:
    """Only what is told of an IP packet of `size` bytes, where it depends on the length."""
    while found := _LENGTH.search(section):
        if ETHERNET_BYTES + size <= int(found[2]):
            section = section[: found.start()] + section[found.end() :]
        else:
            section = section[: found.start()] + found[3] + section[section.index("\nFinal flow: ") :]
    return section


def _kept(flow: str) -> list[str]:
    """The words of a flow that is to be asked about again: without what says that it was tracked or recirculated."""
    words = sorted(filter(_KEPT.fullmatch, flow.split(",")), key=lambda word: "=" in word)
    # What is printed as tp_src is read back as TCP's alone, and icmp_type as IPv4's.
    spelt = {"tp": words[0].removesuffix("6"), "icmp": "icmpv6" if words[0] == "icmp6" else "icmp"} if words else {}
    parts = (word.partition("_") for word in words)
    return [f"{spelt.get(name, name)}{line}{rest}" for name, line, rest in parts]


def _read(section: str) -> Trace:
    lookups = [found for found in _LOOKUP.findall(section) if int(found[0]) not in ASIDE]
    if not lookups:
        raise TraceError("the switch's answer names no table")
    table, met = lookups[-1]
    cookie = _COOKIE.search(met)
    outputs = tuple(
        found[0] or ("IN_PORT" if found[1] else "CONTROLLER") for found in _OUTPUT.findall(section) if not found[3]
    )
    return Trace(outputs, int(table), int(cookie[1], 16) if cookie else 0, _line(section, "Datapath actions: "))


def _line(section: str, beginning: str) -> str:
    for line in section.splitlines():
        if line.startswith(beginning):
            return line.removeprefix(beginning)
    raise TraceError(f"the switch's answer has no line {beginning.strip()}")


def _flow_text(fields: Mapping[str, int]) -> str:
    names = sorted(fields, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return ",".join(f"{_SPELLING.get(name, name)}={_value(name, fields[name])}" for name in names)


def _tracked_text(fields: Mapping[str, int]) -> list[str]:
    states = "|".join(word for bit, word in _STATES.items() if fields.get("ct_state", 0) & bit)
    addresses = ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst")
    others = ("ct_mark", "ct_nw_proto", *addresses, "ct_tp_src", "ct_tp_dst")
    return [f"ct_state={states}", *(f"{name}={_value(name, fields[name])}" for name in others if fields.get(name))]


def _value(name: str, value: int) -> str:
    match FIELDS[name].form:
        case "mac":
            return value.to_bytes(6, "big").hex(":")
        case "ipv4":
            return str(IPv4Address(value))
        case "ipv6":
            return str(IPv6Address(value))
    return str(value)
