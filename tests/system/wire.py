"""Real frames for simulated packets: put into a real switch at the port where a packet came in, and compared, byte for
byte, with what the simulated switch sent out of which port.

Each frame carries a number of its own at its end. They go in one after another: what is expected is awaited before the
next one goes, since the connection tracker is to see them in this order; what comes without being expected is found at
the latest at the end. A datagram's two fragments go together, for the tracker lets neither through without the other.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6Unknown, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit, SCTPChunkParamHeartbeatInfo
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from suimon.pipeline.simulate import Packet, Result
from suimon.pipeline.simulate.packet import ACK
from tests.patience import patient
from tests.system.openvswitch import OpenVSwitch

_MARK = b"smt!"
_OUTGOING = 4
"""PACKET_OUTGOING (packet(7)): what we sent ourselves."""
_FIRST_BYTES = 1240
"""Open vSwitch's tracker takes no shorter first fragment than 1200 bytes of IPv4, 1280 of IPv6 (ovs-appctl(8))."""
_LATER_BYTES = 8
"""So few, and zeros: in userspace Open vSwitch 3.1 takes the beginning of a later fragment for an L4 header when it
rewrites an address, and writes a checksum into a longer one (docs/decisions/0079)."""
_PATIENCE_S = patient(2.0)
_SILENCE_S = patient(0.3)
_TAGGED = 0x10
"""TP_STATUS_VLAN_VALID: the kernel took a tag off, and tells it beside the frame."""
Seen = Counter[tuple[int, bytes]]


class Wire:
    """The ports `p1` … of a switch's namespace, as `tracing.prepare` made them."""

    def __init__(self, switch: OpenVSwitch, ofports: Iterable[int]) -> None:
        self._switch = switch
        self._sockets: dict[int, socket.socket] = {}
        self._number = 0
        self._expected: dict[int, Seen] = {}
        self._seen: dict[int, Seen] = {}
        switch.exec("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        for ofport in ofports:
            switch.exec("ip", "link", "set", f"p{ofport}", "up", "mtu", "2000")
        thread = threading.Thread(target=self._open, args=(switch.namespace, list(ofports)))
        thread.start()
        thread.join()

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()

    def send(self, result: Result) -> bool:
        """Whether its first packet is one that frames are made of here, from a port that is here. Then it was sent."""
        first = result.steps[0].packet
        came_by = self._sockets.get(first.fields.get("in_port", 0))
        if came_by is None or "nd_target" in first.fields:
            return False
        self._go(came_by, [result])
        return True

    def send_fragments(self, first: Result, later: Result) -> bool:
        """A datagram's two: whether they come from a port that is here. Then they were sent."""
        came_by = self._sockets.get(first.steps[0].packet.fields["in_port"])
        if came_by is None:
            return False
        self._go(came_by, [first, later])
        return True

    def _go(self, came_by: socket.socket, results: Sequence[Result]) -> None:
        self._number += 1
        mark = _MARK + struct.pack("!I", self._number)
        sent = [(at, packet) for result in results for at, packet in result.outputs if at in self._sockets]
        self._expected[self._number] = Counter((ofport, frame(packet, mark)) for ofport, packet in sent)
        for result in results:
            came_by.send(frame(result.steps[0].packet, mark))
        if sent:
            self._receive(self._number)
        elif any(result.outputs for result in results):
            # It leaves where nobody looks. Between two answers the switch's loop has taken what was there.
            for _ in range(2):
                self._switch.appctl("version")

    def wrong(self) -> list[str]:
        """Of all that was sent: what came otherwise than expected, in words."""
        self._receive(None)
        return [
            f"frame {number}: expected {_words(expected)}, seen {_words(self._seen.get(number, Counter()))}"
            for number, expected in self._expected.items()
            if self._seen.get(number, Counter()) != expected
        ]

    def _receive(self, number: int | None) -> None:
        """Until all that is expected of this one was seen, or it takes too long; of none: until nothing comes."""
        timeout_s = _PATIENCE_S if number else _SILENCE_S
        while number is None or (self._expected[number] - self._seen.get(number, Counter())).total():
            ready, _, _ = select.select(self._sockets.values(), (), (), timeout_s)
            if not ready:
                return
            for ofport in [ofport for ofport, each in self._sockets.items() if each in ready]:
                self._take(ofport)

    def _take(self, ofport: int) -> None:
        data, beside, _, origin = self._sockets[ofport].recvmsg(4096, 256)
        at = data.rfind(_MARK)
        if origin[2] == _OUTGOING or at < 0:
            return
        for _, _, auxdata in beside:
            status, _, _, _, _, tci = struct.unpack_from("=IIIHHH", auxdata)
            if status & _TAGGED:
                data = data[:12] + struct.pack("!HH", 0x8100, tci) + data[12:]
        number = struct.unpack_from("!I", data[data.rfind(_MARK) + len(_MARK) :])[0]
        self._seen.setdefault(number, Counter())[ofport, data[: data.rfind(_MARK) + 8]] += 1

    def _open(self, namespace: str, ofports: list[int]) -> None:
        """In a thread of its own, because only a thread can go to a namespace alone."""
        with Path("/run/netns", namespace).open() as there:
            assert ctypes.CDLL(None).setns(there.fileno(), 0) == 0
        for ofport in ofports:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            raw.bind((f"p{ofport}", 3))
            raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA (packet(7)).
            self._sockets[ofport] = raw


def frame(packet: Packet, mark: bytes) -> bytes:
    """The packet on the wire, `mark` last."""
    fields = packet.fields
    ether = Ether(src=_mac(fields["eth_src"]), dst=_mac(fields["eth_dst"]), type=fields["eth_type"])
    if fields.get("vlan_vid"):
        tag = Dot1Q(vlan=fields["vlan_vid"] & 0xFFF, type=fields["eth_type"])
        ether = Ether(src=ether.src, dst=ether.dst, type=0x8100) / tag
    match fields["eth_type"]:
        case 0x0806:
            ends = {"hwsrc": _mac(fields["arp_sha"]), "hwdst": _mac(fields["arp_tha"])}
            ips = {"psrc": str(IPv4Address(fields["arp_spa"])), "pdst": str(IPv4Address(fields["arp_tpa"]))}
            return bytes(ether / ARP(op=fields["arp_op"], **ends, **ips)) + mark
        case 0x0800:
            ends = {"src": str(IPv4Address(fields["ipv4_src"])), "dst": str(IPv4Address(fields["ipv4_dst"]))}
            tos = fields.get("ip_dscp", 0) << 2
            ip: Layer = IP(**ends, ttl=fields["ip_ttl"], proto=fields["ip_proto"], tos=tos)
        case 0x86DD:
            ends = {"src": str(IPv6Address(fields["ipv6_src"])), "dst": str(IPv6Address(fields["ipv6_dst"]))}
            ip = IPv6(**ends, hlim=fields["ip_ttl"], nh=fields["ip_proto"], tc=fields.get("ip_dscp", 0) << 2)
        case _:
            return bytes(ether) + mark
    if fields.get("ip_frag"):
        return _fragment(ether, ip, packet, mark)
    if fields["ip_proto"] == 132:
        return bytes(ether / ip / _association(mark))
    return bytes(ether / ip / _l4(packet) / Raw(mark)) if _l4(packet) else bytes(ether / ip / Raw(mark))


def _association(mark: bytes) -> Layer:
    """SCTP that begins one, or answers so that both begin it at once (RFC 9260, 5.2.1): the kernel's tracker takes no
    less. Its L4 ports are always the same ones, for the oracle's frames have none; its sum covers the mark.
    """
    return SCTP(sport=9, dport=9) / SCTPChunkInit(init_tag=1, params=[SCTPChunkParamHeartbeatInfo(data=mark)])


def _fragment(ether: Layer, ip: Layer, packet: Packet, mark: bytes) -> bytes:
    """Of a datagram in two fragments, each of which ends with the mark. Its checksum is right only over both."""
    later, identification = packet.first is not None, int.from_bytes(mark[-4:])
    header = _l4(packet if packet.first is None else packet.first)
    length = _FIRST_BYTES - len(bytes(header)) - len(mark)
    whole = bytes(ip / header / Raw(bytes(length) + mark + bytes(_LATER_BYTES) + mark))
    at = len(whole) - len(mark) - _LATER_BYTES
    data = whole[at:] if later else whole[at - _FIRST_BYTES : at]
    offset = _FIRST_BYTES // 8 if later else 0
    if isinstance(ip, IP):
        about = {"id": identification & 0xFFFF, "flags": 0 if later else "MF", "frag": offset}
        return bytes(ether / IP(**ip.fields | about) / Raw(data))
    extension = IPv6ExtHdrFragment(nh=packet.fields["ip_proto"], id=identification, m=not later, offset=offset)
    return bytes(ether / IPv6(**ip.fields | {"nh": 44}) / extension / Raw(data))


def _l4(packet: Packet) -> Layer | None:
    fields = packet.fields
    match fields["ip_proto"]:
        case 1:
            header = ICMP(type=fields["icmp_type"], code=fields["icmp_code"], id=packet.icmp_id)
            return header / Raw(_quotation(packet.quoted)) if packet.quoted else header
        case 6:
            numbers = {"seq": 2000, "ack": 1001} if packet.tcp_flags & ACK else {"seq": 1000}
            ports = {"sport": fields["tcp_src"], "dport": fields["tcp_dst"]}
            return TCP(**ports, **numbers, flags=packet.tcp_flags, window=8192)
        case 17:
            return UDP(sport=fields["udp_src"], dport=fields["udp_dst"])
        case 58:
            kind = {128: ICMPv6EchoRequest, 129: ICMPv6EchoReply}.get(fields["icmpv6_type"])
            if kind:
                return kind(code=fields["icmpv6_code"], id=packet.icmp_id)
            body = bytes(4) + _quotation(packet.quoted) if packet.quoted else b""
            return ICMPv6Unknown(type=fields["icmpv6_type"], code=fields["icmpv6_code"], msgbody=body)
    return None


def _quotation(quoted: Packet) -> bytes:
    """From the IP header on."""
    return frame(quoted.with_fields({"vlan_vid": 0}), b"")[14:]


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _words(seen: Seen) -> str:
    return ", ".join(f"port {ofport}: {data.hex()}" for ofport, data in sorted(seen)) or "nothing"
