"""The messages of an IPv6 link that scenarios send: neighbour and router discovery, MLD, DHCPv6."""

from __future__ import annotations

from ipaddress import IPv6Address

from suimon.pipeline import ipv6
from suimon.pipeline.simulate import Ends, Packet, icmpv6, neighbour_advertisement, neighbour_solicitation, udp

ALL_NODES, ALL_ROUTERS, LISTENERS, DHCP_SERVERS = "ff02::1", "ff02::2", "ff02::16", "ff02::1:2"
KINDS = {"rs": (133, ALL_ROUTERS, 255), "ra": (134, ALL_NODES, 255), "redirect": (137, ALL_NODES, 255)}
KINDS["mld"] = (143, LISTENERS, 1)


def packet(mac: str, ip: str, kind: str, about: str, forged: dict[str, str]) -> Packet:
    """What a guest with that MAC and address sends; `forged` says what it lies about."""
    own = ipv6.link_local(mac)
    source = forged.get("ip", {"ns": ip, "dad": "::", "na": about}.get(kind, own))
    ends = Ends(forged.get("mac", mac), "", source, "")
    lla = forged.get("lla", mac)
    match kind:
        case "ns" | "dad":
            group = _solicited(about)
            option = kind == "ns" and lla != "none"
            made = neighbour_solicitation(_to(ends, group), about, with_option=option)
            made = made.with_fields({"nd_sll": _mac(lla)}) if option else made
        case "na":
            made = neighbour_advertisement(_to(ends, ALL_NODES), about, lla)
        case "dhcp6":
            made = udp(_to(ends, DHCP_SERVERS), 547, 546)
        case "dhcp6-server":
            made = udp(_to(ends, ALL_NODES), 546, 547)
        case _:
            number, group, hops = KINDS[kind]
            made = icmpv6(_to(ends, group), number, hops=hops)
    if "to" in forged:
        made = made.with_fields({"eth_dst": _mac(forged["to"]), "ipv6_dst": int(IPv6Address(forged["dst"]))})
    return made.with_fields({"ip_ttl": int(forged["hops"])}) if "hops" in forged else made


def told(asked: Packet, answer: Packet) -> str:
    """The MAC that an advertisement tells, once it is sure that the asker's kernel would take it."""
    fields = answer.fields
    assert fields["icmpv6_type"] == 136 and fields["ip_ttl"] == 255 and fields["nd_options_type"] == 2
    assert fields["ipv6_src"] == fields["nd_target"] == asked.fields["nd_target"]
    assert fields["ipv6_dst"] == asked.fields["ipv6_src"] and fields["eth_dst"] == asked.fields["eth_src"]
    assert fields["nd_tll"] == fields["eth_src"]
    of = "router " if fields["nd_reserved"] & 0x80000000 else ""
    return of + fields["nd_tll"].to_bytes(6, "big").hex(":")


def _solicited(ip: str) -> str:
    """The solicited-node multicast address (RFC 4291, 2.7.1)."""
    return str(IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(IPv6Address(ip)) & 0xFFFFFF))


def _to(ends: Ends, group: str) -> Ends:
    """RFC 2464, 7: a multicast address's MAC ends in its last four bytes."""
    mac = "33:33:" + IPv6Address(group).packed[-4:].hex(":")
    return Ends(ends.eth_src, mac, ends.ip_src, group)


def _mac(text: str) -> int:
    return int(text.replace(":", ""), 16)
