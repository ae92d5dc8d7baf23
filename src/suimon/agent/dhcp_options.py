"""A port's own DHCP options as bytes: names and values are text as dnsmasq(8) has them (`dnsmasq --help dhcp`, and
`dhcp6`), codes and shapes are those of RFC 2132 and its successors, for DHCPv6 of RFC 3646, 5970 and their like.

What can't be encoded (an unknown name, a value of the wrong kind) is left out: it was stored for others to read.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final

from suimon.agent.packets6 import NO_IP6
from suimon.model.view import DhcpOption, Subnet
from suimon.pipeline.services import METADATA_IP6

NEXT_SERVER: Final = 255
"""Where dnsmasq has `server-ip-address`: not an option but a field of the message (RFC 2131's siaddr)."""
_OURS: Final = frozenset({0, 50, 52, 53, 54, 55, 57, 61, 82})
"""What carries the conversation itself is no port's to change."""
Encode = Callable[[str], bytes]


def _addresses(text: str) -> bytes:
    return b"".join(IPv4Address(part.strip()).packed for part in text.split(","))


def _number(size: int) -> Encode:
    return lambda text: int(text, 0).to_bytes(size, "big", signed=text.startswith("-"))


def _text(text: str) -> bytes:
    return text.encode()


def _names(text: str) -> bytes:
    """A list of domains (RFC 3397, without its compression)."""
    return b"".join(_name(part.strip()) for part in text.split(","))


def _name(text: str) -> bytes:
    labels = [label.encode("ascii") for label in text.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(text)
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _routes(text: str) -> bytes:
    """`NETWORK,NEXTHOP,…` (RFC 3442)."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) % 2:
        raise ValueError(text)
    packed = b""
    for destination, nexthop in zip(parts[::2], parts[1::2], strict=True):
        network = IPv4Network(destination, strict=False)
        octets = network.network_address.packed[: (network.prefixlen + 7) // 8]
        packed += bytes([network.prefixlen]) + octets + IPv4Address(nexthop).packed
    return packed


def _guessed(text: str) -> bytes:
    """What an option of which only the number is known holds: addresses, bytes as in `01:ab`, or text."""
    for encode in (_addresses, _bytes):
        try:
            return encode(text)
        except ValueError:
            continue
    return _text(text)


def _bytes(text: str) -> bytes:
    if not all(len(part) == 2 for part in text.split(":")) or ":" not in text:
        raise ValueError(text)
    return bytes.fromhex(text.replace(":", ""))


_BYTE, _SHORT, _LONG = _number(1), _number(2), _number(4)
OPTIONS: Final[dict[str, tuple[int, Encode]]] = {
    "netmask": (1, _addresses), "time-offset": (2, _LONG), "router": (3, _addresses), "dns-server": (6, _addresses),
    "log-server": (7, _addresses), "lpr-server": (9, _addresses), "hostname": (12, _text),
    "boot-file-size": (13, _SHORT), "domain-name": (15, _text), "swap-server": (16, _addresses),
    "root-path": (17, _text), "extension-path": (18, _text), "ip-forward-enable": (19, _BYTE),
    "non-local-source-routing": (20, _BYTE), "policy-filter": (21, _addresses),
    "max-datagram-reassembly": (22, _SHORT), "default-ttl": (23, _BYTE), "mtu": (26, _SHORT),
    "all-subnets-local": (27, _BYTE), "broadcast": (28, _addresses), "router-discovery": (31, _BYTE),
    "router-solicitation": (32, _addresses), "static-route": (33, _addresses), "trailer-encapsulation": (34, _BYTE),
    "arp-timeout": (35, _LONG), "ethernet-encap": (36, _BYTE), "tcp-ttl": (37, _BYTE), "tcp-keepalive": (38, _LONG),
    "nis-domain": (40, _text), "nis-server": (41, _addresses), "ntp-server": (42, _addresses),
    "vendor-encap": (43, _guessed), "netbios-ns": (44, _addresses), "netbios-dd": (45, _addresses),
    "netbios-nodetype": (46, _BYTE), "netbios-scope": (47, _text), "x-windows-fs": (48, _addresses),
    "x-windows-dm": (49, _addresses), "lease-time": (51, _LONG), "T1": (58, _LONG), "T2": (59, _LONG),
    "vendor-class": (60, _text), "nis+-domain": (64, _text), "nis+-server": (65, _addresses),
    "tftp-server": (66, _text), "bootfile-name": (67, _text), "mobile-ip-home": (68, _addresses),
    "smtp-server": (69, _addresses), "pop3-server": (70, _addresses), "nntp-server": (71, _addresses),
    "irc-server": (74, _addresses), "user-class": (77, _text), "posix-timezone": (100, _text),
    "tzdb-timezone": (101, _text), "domain-search": (119, _names), "classless-static-route": (121, _routes),
    "tftp-server-address": (150, _addresses), "server-ip-address": (NEXT_SERVER, _addresses),
}  # fmt: skip
"""dnsmasq's name → code, and how a value becomes bytes."""
_BY_CODE: Final[Mapping[int, Encode]] = dict(OPTIONS.values())


def encoded(options: Iterable[DhcpOption]) -> dict[int, bytes]:
    """Code → bytes. An option that is to be left away (`router` without a value) is empty."""
    found: dict[int, bytes] = {}
    for option in options:
        code, encode = _kind(option.name)
        try:
            value = encode(option.value) if option.value else b""
        except (ValueError, OverflowError):
            continue
        if code not in _OURS:
            found[code] = value
    return found


def _kind(name: str) -> tuple[int, Encode]:
    """Code 0 is nobody's."""
    if name in OPTIONS:
        return OPTIONS[name]
    code = int(name) if name.isascii() and name.isdigit() and len(name) < 4 else 0
    return (code, _BY_CODE.get(code, _guessed)) if 0 < code < NEXT_SERVER else (0, _text)


def encoded6(options: Iterable[DhcpOption]) -> dict[int, bytes]:
    """The same for DHCPv6."""
    found: dict[int, bytes] = {}
    for option in options:
        code, encode = _kind6(option.name)
        try:
            value = encode(option.value) if option.value else b""
        except (ValueError, OverflowError):
            continue
        if code not in _OURS6 and len(value) <= 0xFFFF:
            found[code] = value
    return found


def name_servers6(subnets: Iterable[Subnet]) -> list[str]:
    """Those of IPv6 that guests of these subnets are told. As with IPv4, without any they have the host's resolver, and
    `::` means none at all.
    """
    named = dict.fromkeys(server for subnet in subnets for server in subnet.dns if ":" in server)
    return [server for server in named or (METADATA_IP6,) if server != NO_IP6]


def domain_list(domain: str) -> bytes:
    """A list of one domain (RFC 8415, section 10); empty for none, or for a name that can't be one."""
    try:
        return _name(domain) if domain else b""
    except ValueError:
        return b""


def _addresses6(text: str) -> bytes:
    return b"".join(IPv6Address(part.strip().strip("[]")).packed for part in text.split(","))


def _time_servers(text: str) -> bytes:
    """Each address is a suboption (RFC 5908, 4.1)."""
    packed = _addresses6(text)
    return b"".join(b"\0\1\0\x10" + packed[at : at + 16] for at in range(0, len(packed), 16))


def _counted(text: str) -> bytes:
    """Texts with their lengths (RFC 5970, 3.2)."""
    parts = [part.strip().encode() for part in text.split(",")]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _guessed6(text: str) -> bytes:
    for encode in (_addresses6, _bytes):
        try:
            return encode(text)
        except ValueError:
            continue
    return _text(text)


def _kind6(name: str) -> tuple[int, Encode]:
    if name in OPTIONS6:
        return OPTIONS6[name]
    code = int(name) if name.isascii() and name.isdigit() and len(name) < 6 else 0
    return (code, _BY_CODE6.get(code, _guessed6)) if 0 < code <= 0xFFFF else (0, _text)


_OURS6: Final = frozenset({0, *range(1, 10), 11, 12, 13, 14, 18, 19, 20, 25, 26})
OPTIONS6: Final[dict[str, tuple[int, Encode]]] = {
    "sip-server-domain": (21, _names), "sip-server": (22, _addresses6), "dns-server": (23, _addresses6),
    "domain-search": (24, _names), "nis-server": (27, _addresses6), "nis+-server": (28, _addresses6),
    "nis-domain": (29, _names), "nis+-domain": (30, _names), "sntp-server": (31, _addresses6),
    "information-refresh-time": (32, _LONG), "ntp-server": (56, _time_servers), "bootfile-url": (59, _text),
    "bootfile-param": (60, _counted),
}  # fmt: skip
_BY_CODE6: Final[Mapping[int, Encode]] = dict(OPTIONS6.values())
