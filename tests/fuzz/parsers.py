"""The parsers of what guests and others send, each with messages that it takes and the errors that it declares."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from suimon.agent import advertise, claims, dhcp, dhcp6, neighbours, packets, packets6, quotes
from suimon.agent.advertise import Advertiser
from suimon.agent.answers import Answers
from suimon.agent.answers import Config as AnswersConfig
from suimon.agent.claims import Claims
from suimon.agent.packets import Arp, Ethernet, IcmpError, PacketError, checksum
from suimon.agent.packets6 import Icmp6, Ipv6
from suimon.agent.services import dns_message, metadata, nova
from suimon.agent.services.askers import Asker, Askers
from suimon.agent.services.dns_message import DnsError, Query
from suimon.agent.services.metadata import Metadata
from suimon.api import prompb, snappy
from suimon.dataplane.openflow import messages
from suimon.dataplane.openflow.messages import decode_packet_in
from suimon.dataplane.openflow.oxm import encode_match
from suimon.model.view import Delta, FixedIp, LocalIp, Port, Router, RouterInterface, Subnet
from suimon.pipeline.flow import match
from suimon.pipeline.tables import Stage
from tests.agent import test_dhcp, test_dhcp6
from tests.agent.parts import Parts, at, port, snapshot
from tests.agent.services.test_instance import PORT
from tests.agent.services.test_names import KNOWN, question
from tests.api import test_remote_read

MAC, MAC6 = test_dhcp.MAC, test_dhcp6.MAC
LOCAL = test_dhcp6.LINK_LOCAL
GUEST = "100.64.0.1"


class Parser(msgspec.Struct, frozen=True):
    """`parse` gives what would be sent or kept (its size is bounded by `most_bytes`), or raises one of `errors`."""

    name: str
    valid: list[bytes]
    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    functions: tuple[Callable[..., Any], ...]
    most_bytes: int = 1600
    in_suite: int = 3000
    """So many inputs in the suite."""


def parsers() -> list[Parser]:
    return [
        _dhcp(),
        _dhcp6(),
        _arp(),
        _errors(),
        _discovery(),
        _solicitations(),
        _dns(),
        _http(),
        _handed_up(),
        _remote_read(),
    ]


def _dhcp() -> Parser:
    served = test_dhcp.served()
    ask, server = test_dhcp.request, ("server_id", "10.0.0.1")
    valid = [ask(kind) for kind in ("discover", "request", "decline", "release", "inform")]
    valid += [
        ask("discover", ("requested_addr", "10.0.0.5"), ("max_dhcp_size", 1400), ("client_id", b"\1abcdef")),
        ask("request", ("requested_addr", "10.0.0.5"), server, ("param_req_list", [1, 3, 6, 121, 26])),
        ask("request", ("requested_addr", "10.0.0.9"), ("server_id", "10.9.9.9")),
        ask("request", ciaddr="10.0.0.5"),
        ask("inform", ciaddr="10.0.0.5"),
        ask("request", ("requested_addr", "10.0.0.77"), flags=0x8000),
        ask("discover", ("dhcp-option-overload", 3), ("hostname", b"h" * 255), ("hostname", b"i" * 60)),
    ]
    functions = (
        *(packets.Ethernet.parse.__func__, packets.Udp.parse.__func__, packets._ipv4_bounds),
        *(dhcp.answer, dhcp.Message.parse.__func__, dhcp.Message.address, dhcp._chosen, dhcp._kind),
        *(dhcp._parse_options, dhcp._parse_field, dhcp._reply, dhcp._room, dhcp._fitting),
    )
    return Parser("dhcp", valid, lambda raw: dhcp.answer(raw, MAC, served), (dhcp.DhcpError,), functions)


def _dhcp6() -> Parser:
    served, server = test_dhcp6.served(), test_dhcp6.SERVER
    message, ia, option, kinds = test_dhcp6.message, test_dhcp6.ia_na, test_dhcp6.option, dhcp6.Kind
    both = (ia("fd00:1::5"), ia("fd00:1::9", "fd00:9::1", iaid=8))
    valid = [message(kind, *both, server=server) for kind in (kinds.REQUEST, kinds.RENEW, kinds.RELEASE, kinds.DECLINE)]
    valid += [message(kind, *both) for kind in (kinds.SOLICIT, kinds.REBIND, kinds.CONFIRM)]
    valid += [
        message(kinds.SOLICIT, ia(), option(14), option(25, bytes(12)), option(4, bytes(4)), option(6, b"\0\x17")),
        message(kinds.REQUEST, ia("fd00:1::5"), server=server),
        message(kinds.CONFIRM, ia("fd00:1::5")),
        message(kinds.CONFIRM),
        message(kinds.INFORMATION_REQUEST, option(6, b"\0\x17\0\x18\0\x20"), client=None),
        message(kinds.RENEW, ia("fd00:1::5"), server=b"\0\4somebody-else"),
        message(kinds.SOLICIT, ia(*(f"fd00:1::{n}" for n in range(20)))),
    ]
    functions = (
        *(packets6.Ipv6.parse.__func__, packets6.Udp6.parse.__func__, dhcp6.Message.parse.__func__),
        *(dhcp6.answer, dhcp6._meant_for_us, dhcp6._reply, dhcp6._associations, dhcp6._association, dhcp6._unbound),
        *(dhcp6._configuration, dhcp6._wants, dhcp6._addresses, dhcp6._iaid, dhcp6._parsed),
    )
    return Parser("dhcp6", valid, lambda raw: dhcp6.answer(raw, MAC6, served), (dhcp6.Dhcp6Error,), functions)


def _arp() -> Parser:
    valid = [
        Ethernet(MAC, MAC6, 0x0806, Arp(op, MAC6, "10.0.0.1", MAC, "10.0.0.5").pack(), vlan).pack()
        for op in (1, 2)
        for vlan in (None, 5)
    ]
    functions = (packets.Ethernet.parse.__func__, packets.Arp.parse.__func__)
    return Parser("arp", valid, lambda raw: Arp.parse(Ethernet.parse(raw).payload), (PacketError,), functions)


def _errors() -> Parser:
    """ICMP errors that quote addresses which the switch rewrote."""
    udp, tcp = bytes.fromhex("0007000800088421"), bytes(16) + b"\x12\x34"
    bodies = ((17, udp), (17, udp[:6] + b"\0\0"), (17, b""), (6, tcp), (1, b"\x08\0\0\0"))
    quoted = [_ipv4(protocol, body, *more) for protocol, body in bodies for more in ((), (9,), (0, bytes(4)))]
    valid = [_with_icmp_checksum(_ipv4(1, b"\3\4\0\0\0\0\5\x78" + each)) for each in quoted]

    def parse(raw: bytes) -> object:
        # Every fourth checksum stays wrong.
        error = IcmpError.parse(_with_icmp_checksum(raw) if sum(raw) % 4 else raw)
        told = IcmpError.parse(error.about("192.0.2.1", error.dst))
        assert (told.src, told.dst, len(told.raw)) == ("192.0.2.1", error.dst, len(error.raw))
        return told.raw

    functions = (IcmpError.parse.__func__, IcmpError.about, packets._ipv4_bounds, packets._amend)
    return Parser("icmp", valid, parse, (PacketError,), functions)


def _with_icmp_checksum(raw: bytes) -> bytes:
    start = (raw[0] & 0xF) * 4 if raw else 0
    if start + 8 > len(raw):
        return raw
    message = raw[start : start + 2] + b"\0\0" + raw[start + 4 : int.from_bytes(raw[2:4], "big")]
    return raw[: start + 2] + checksum(message).to_bytes(2, "big") + raw[start + 4 :]


def _ipv4(protocol: int, payload: bytes, offset: int = 0, options: bytes = b"") -> bytes:
    length = 20 + len(options) + len(payload)
    start = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, length, 0, offset, 64, protocol, 0)
    return start + bytes([10, 0, 0, 2, 10, 0, 0, 2]) + options + payload


def _discovery() -> Parser:
    """What answers the agent's own questions on external networks."""
    told = bytes([2, 1]) + bytes.fromhex(MAC.replace(":", ""))
    bodies = (told, b"\1\1\0\0\0\0\0\0" + told, b"", b"\x0e\2" + bytes(14) + told)
    valid = [
        Ethernet(MAC6, MAC, 0x86DD, Icmp6("fd00::1", LOCAL, kind, 0, bytes(20) + body).pack()).pack()
        for body in bodies
        for kind in (136, 135)
    ]
    functions = (packets6.Icmp6.parse.__func__, neighbours.discovered)
    return Parser("nd", valid, lambda raw: _signed(neighbours.discovered, raw), (PacketError,), functions)


def _signed(parse: Callable[[Ethernet], object], raw: bytes) -> object:
    """With the checksum put right, which chance would not find."""
    return parse(Ethernet.parse(_with_checksum(raw)))


def _with_checksum(raw: bytes) -> bytes:
    try:
        ethernet = Ethernet.parse(raw)
        packet = Ipv6.parse(ethernet.payload)
    except PacketError:
        return raw
    # Every fourth stays wrong, so that this is seen, too.
    if packet.protocol != 58 or len(packet.payload) < 4 or sum(packet.payload) % 4 == 0:
        return raw
    blank = msgspec.structs.replace(packet, payload=packet.payload[:2] + b"\0\0" + packet.payload[4:])
    signed = blank.payload[:2] + blank.checksum().to_bytes(2, "big") + blank.payload[4:]
    return msgspec.structs.replace(ethernet, payload=msgspec.structs.replace(blank, payload=signed).pack()).pack()


def _solicitations() -> Parser:
    mac = bytes.fromhex(MAC6.replace(":", ""))
    valid = [
        Ethernet("33:33:00:00:00:02", MAC6, 0x86DD, Icmp6(src, "ff02::2", 133, 0, bytes(4) + options).pack()).pack()
        for src in (LOCAL, "::")
        for options in (b"", b"\1\1" + mac, b"\x0e\2" + bytes(14), b"\1\1" + mac + b"\x0e\2" + bytes(14))
    ]

    def parse(raw: bytes) -> object:
        def solicited(ethernet: Ethernet) -> object:
            asked = Icmp6.parse(ethernet.payload)
            advertise._check_solicitation(asked)
            return asked

        return _signed(solicited, raw)

    functions = (packets6.Icmp6.parse.__func__, advertise._check_solicitation)
    return Parser("rs", valid, parse, (PacketError,), functions)


def _dns() -> Parser:
    names = ("web.example", "a" * 63 + ".example", "", "5.0.0.10.in-addr.arpa", "elsewhere.test")
    valid = [question(name, kind) for name in names for kind in (1, 12, 28, 255)]
    valid += [question("web.example")[:-2] + b"\0\3", question("w") + b"\0\0\x29\x10\0\0\0\0\0\0\0"]
    asked = Query.parse(question("web"))

    def parse(raw: bytes) -> object:
        asked.answered_by(raw, 7)
        query = Query.parse(raw)
        return KNOWN.answer(query) or query.asked(7)

    functions = (dns_message.Query.parse.__func__, dns_message._labels, dns_message.Query.answered_by)
    return Parser("dns", valid, parse, (DnsError,), functions)


class _Asking(Askers):
    """Everybody is the same port, but for who is nobody any more."""

    def find(self, address: str) -> Asker | None:
        return Asker(PORT, "10.0.0.5") if address == GUEST else None

    def ports_of_instance(self, port: Port) -> list[Port]:
        return [port]


class _Nova(nova.Nova):
    """Repeats what it was told."""

    def __init__(self) -> None:
        pass

    async def ask(self, asker: Asker, request: nova.Request) -> nova.Reply:
        return nova.Reply(200, request.body)


class _Wire(asyncio.Transport):
    """To a guest that is not there; keeps what it would have read."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 40000)})
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def _http() -> Parser:
    paths = (
        *("/", "/latest", "/latest/meta-data/", "/latest//meta-data/hostname", "/openstack/latest/meta_data.json"),
        *("/openstack/latest/network_data.json", "/latest/../secret", f"/latest/{'a' * 300}", "/latest/%2e%2e", "/no"),
    )
    valid = [f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nA: b\r\n\r\n".encode() for path in paths]
    for path in ("/", "/openstack/latest/password", "/openstack/2013-04-04/password"):
        for body in (b"abc", b"a long one"):
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            valid.append(head.encode() + body)
    valid += [
        f"HEAD {paths[2]} HTTP/1.0\r\n\r\n".encode(),
        b"PUT /latest HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0",
    ]
    with tempfile.TemporaryDirectory() as folder:
        world = Parts(Path(folder)).world
    own, novas = (Metadata(metadata.Config(most_body_bytes=8), _Asking(world), world, n) for n in (None, _Nova()))
    loop = asyncio.new_event_loop()

    async def talk(raw: bytes) -> bytes:
        server = web.Server((novas if len(raw) % 2 else own)._respond)
        wire = _Wire(GUEST if len(raw) % 16 else "100.64.0.2")
        protocol = metadata._Connection(server, asyncio.Event(), metadata.Config().most_header_bytes)
        protocol.connection_made(wire)
        protocol.data_received(raw)
        for _ in range(6):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        await server.shutdown(0)
        assert not wire.written.startswith(b"HTTP/1.1 5"), bytes(wire.written)
        return bytes(wire.written)

    functions = (Metadata._answer, Metadata._respond, metadata._body)
    return Parser("http", valid, lambda raw: loop.run_until_complete(talk(raw)), (), functions, 8192)


def _handed_up() -> Parser:
    """Packet-ins as the switch sends them, all the way to what is sent back."""
    with tempfile.TemporaryDirectory() as folder:
        parts = Parts(Path(folder))
    subnet = Subnet("sub6", "net", "fd00:1::/64", "fd00:1::1", True, ra_mode="slaac", address_mode="dhcpv6-stateful")
    leg = RouterInterface("leg6", "net", "sub6", "fd00:1::/64", "fd00:1::1", "fa:16:3e:00:00:a1")
    fixed = (FixedIp("sub", "10.0.0.11"), FixedIp("sub6", "fd00:1::5"))
    local = (LocalIp("10.0.0.2", "10.0.0.11"),)
    parts.take(
        snapshot(1, port(1, fixed_ips=fixed, local_ips=local)),
        Delta(at(2), objects=(subnet, Router("r", True, (leg,)))),
    )
    parts.enforcer.plug("p1", 1)
    number = parts.world.number("port", "p1")
    clock, chance = (lambda: 0.0), (lambda: 0.0)
    answers = Answers(
        AnswersConfig(),
        parts.enforcer,
        Advertiser(advertise.Config(), parts.world, clock, chance),
        Claims(claims.Config(), parts.world, parts.desk),
    )
    frames = [
        *_dhcp().valid[:3],
        *_dhcp6().valid[:3],
        *_arp().valid,
        *(Ethernet(MAC, MAC6, 0x0800, error).pack() for error in _errors().valid[:3]),
        *_discovery().valid[:2],
        *_solicitations().valid[:3],
    ]
    fields = {
        "in_port": 1,
        "reg1": number,
        "metadata": parts.world.number("network", "net"),
        "reg7": 5,
        "tun_src": "10.0.0.1",
    }
    oxms = encode_match(match(fields))
    valid = []
    handing_up = (Stage.TUNNEL, Stage.BLOCK_OUT, Stage.ANTISPOOF, Stage.ANSWER, Stage.FLOATING_IN, Stage.FLOATING_OUT)
    for stage in (*handing_up, Stage.NEIGHBOUR, Stage.DELIVER):
        for frame in frames:
            head = struct.pack("!IHBBQHH", 0, len(frame), 0, stage, 0x5A, 1, 4 + len(oxms))
            padded = oxms + bytes(-(4 + len(oxms)) % 8)
            valid.append(head + padded + b"\0\0" + frame)

    def parse(raw: bytes) -> object:
        packet = decode_packet_in(raw)
        return b"".join(each.data for each in answers.take(packet))

    functions = (messages.decode_packet_in, Answers.take, Answers._to_guest, Answers._asking, quotes.translated)
    return Parser("packet-in", valid, parse, (ValueError, struct.error), functions, 4096)


def _remote_read() -> Parser:
    nested = b"\x0a\x0c\x08\x80\x01\x10\xff\xff\x03\x22\x04\x08\x0a\x38\x14\x09" + bytes(8) + b"\x15" + bytes(4)
    long = b"\xff\x01\xf8" + bytes([254, 0, 0]) + b"\x1a\xfc\x01" + bytes(252)
    valid = [test_remote_read.INSTANT, test_remote_read.RANGE, test_remote_read.SQUEEZED, snappy.packed(nested), long]
    valid.append(b"\x08\x04ab\x0b\x02\x00\x00\x00\x02\x04ab")
    functions = (
        *(snappy.unpacked, snappy.varint, snappy._element, snappy._little),
        *(prompb.queries, prompb._query, prompb._matcher, prompb._fields, prompb._signed),
    )
    errors = snappy.SnappyError, prompb.ProtobufError
    return Parser("remote_read", valid, lambda raw: prompb.queries(snappy.unpacked(raw, 1 << 16)), errors, functions)
