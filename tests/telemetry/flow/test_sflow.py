"""Samples of packets that scapy made, in every form that sFlow has for them."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from tests.telemetry.flow.parts import collector, take

MACS = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR, SIX = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")


def xdr(kind: int, body: bytes) -> bytes:
    return struct.pack("!II", kind, len(body)) + body


def raw(header: bytes, protocol: int = 1, frame: int = 200) -> bytes:
    padded = header + bytes(-len(header) % 4)
    return xdr(1, struct.pack("!IIII", protocol, frame, 4, len(header)) + padded)


def flow(*records: bytes, output: int = 9) -> bytes:
    return xdr(1, struct.pack("!8I", 1, 7, 64, 6400, 0, 7, output, len(records)) + b"".join(records))


def expanded(*records: bytes, output: tuple[int, int] = (0, 9)) -> bytes:
    return xdr(3, struct.pack("!11I", 1, 0, 7, 64, 6400, 0, 0, 7, *output, len(records)) + b"".join(records))


def datagram(*samples: bytes, agent: bytes = b"\0\0\0\1\x0a\0\0\1", count: int | None = None) -> bytes:
    told = len(samples) if count is None else count
    return struct.pack("!I", 5) + agent + struct.pack("!IIII", 0, 1, 1000, told) + b"".join(samples)


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (MACS / FOUR / TCP(sport=1, dport=25, flags="S"), (4, 6, 1, 25, 2)),
        (MACS / Dot1Q(vlan=5) / FOUR / UDP(sport=1, dport=53), (4, 17, 1, 53, 0)),
        (MACS / Dot1Q(vlan=5) / Dot1Q(vlan=6) / SIX / UDP(sport=1, dport=53), (6, 17, 1, 53, 0)),
        (MACS / FOUR / ICMP(type=3, code=4), (4, 1, 0, 0x304, 0)),
        (MACS / IP(src="10.0.0.1", dst="10.0.0.2", options=b"\1\1\1\1") / TCP(sport=1, dport=2), (4, 6, 1, 2, 2)),
        (MACS / IP(src="10.0.0.1", dst="10.0.0.2", frag=10, proto=17) / b"12345678", (4, 17, 0, 0, 0)),
        (MACS / SIX / TCP(sport=1, dport=2, flags="SA"), (6, 6, 1, 2, 0x12)),
        (MACS / SIX / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2), (6, 17, 1, 2, 0)),
        (MACS / SIX / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=1, dport=2), (6, 17, 1, 2, 0)),
        (MACS / SIX / IPv6ExtHdrFragment(offset=9, nh=17) / b"12345678", (6, 17, 0, 0, 0)),
        (MACS / ARP(psrc="10.0.0.1", pdst="10.0.0.2"), (0, 0, 0, 0, 0)),
        (MACS / b"\x88\xcc" / b"neither", (0, 0, 0, 0, 0)),
    ],
)
@pytest.mark.parametrize("sample", [flow, expanded])
def test_a_packet_is_read_to_its_ports(packet: Packet, found: tuple[int, ...], sample: type) -> None:
    batch = take(collector(), datagram(sample(xdr(1001, bytes(16)), raw(bytes(packet)))))
    fields = ["ip_version", "protocol", "source_port", "destination_port", "tcp_flags"]
    assert batch.rows()[fields].tolist() == [found]
    assert batch.rows()[["packets", "bytes", "sampling", "input", "output"]].tolist() == [(1, 196, 64, 7, 9)]
    assert batch.rows()[["source_mac", "destination_mac"]].tolist() == [(0x020000000001, 0x020000000002)]
    addresses = {4: (0x0A000001, 0x0A000002), 6: (1, 2), 0: (0x0A000001, 0x0A000002) if ARP in packet else (0, 0)}
    assert batch.rows()[["source_low", "destination_low"]].tolist() == [addresses[found[0]]]
    assert batch["source_high"].tolist() == [0xFD00 << 48 if found[0] == 6 else 0]


@pytest.mark.parametrize("packet", [MACS / FOUR / TCP(sport=1, dport=25), MACS / SIX / IPv6ExtHdrHopByHop() / UDP()])
def test_a_header_may_end_anywhere(packet: Packet) -> None:
    for length in range(len(bytes(packet))):
        of = collector()
        batch = take(of, datagram(flow(raw(bytes(packet)[:length]))))
        assert len(batch) == 1 and of.exporters.table[0].losses.malformed == 0


def test_a_sampled_packet_may_begin_with_ip() -> None:
    headers = raw(bytes(FOUR / UDP(sport=1, dport=2)), 11), raw(bytes(SIX / UDP(sport=1, dport=2)), 12)
    batch = take(collector(), datagram(*(flow(header) for header in headers)))
    assert batch.rows()[["ip_version", "protocol", "source_port"]].tolist() == [(4, 17, 1), (6, 17, 1)]


def test_agents_that_give_no_header() -> None:
    four = xdr(3, struct.pack("!II4s4sIIII", 100, 6, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), 1, 25, 2, 0))
    six = xdr(4, struct.pack("!II16s16sIIII", 100, 17, b"\xfd" + bytes(15), bytes(15) + b"\2", 1, 53, 0, 0))
    batch = take(collector(), datagram(flow(four), flow(six)))
    fields = ["ip_version", "protocol", "source_port", "destination_port", "bytes", "destination_low"]
    assert batch.rows()[fields].tolist() == [(4, 6, 1, 25, 100, 0x0A000002), (6, 17, 1, 53, 100, 2)]
    assert batch.rows()[["source_high", "destination_high"]].tolist() == [(0, 0), (0xFD << 56, 0)]


@pytest.mark.parametrize("sample", [flow(output=0x80000003), flow(output=0x40000001), flow(output=0x3FFFFFFF)])
def test_an_output_that_is_not_one_interface(sample: bytes) -> None:
    record = raw(bytes(MACS / FOUR))
    output = int.from_bytes(sample[32:36], "big")
    of_wide = expanded(record, output=(output >> 30, 3 if output >> 30 else 0xFFFFFFFF))
    batch = take(collector(), datagram(flow(record, output=output), of_wide))
    assert batch["output"].tolist() == [0, 0]


def test_an_agent_with_an_ipv6_address() -> None:
    batch = take(collector(), datagram(flow(raw(bytes(MACS / FOUR))), agent=b"\0\0\0\2" + bytes(16)))
    assert len(batch) == 1


GOOD = flow(raw(bytes(MACS / FOUR / UDP(sport=1, dport=2))))


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (datagram(GOOD, agent=b"\0\0\0\3" + bytes(4)), 0),
        (datagram(GOOD, count=2), 1),
        (datagram(GOOD, GOOD[:-4]), 1),
        (datagram(GOOD, xdr(1, bytes(8))), 1),
        (datagram(GOOD, xdr(2, bytes(8))), 1),
        (datagram(GOOD, flow(xdr(1, struct.pack("!IIII", 1, 100, 4, 5000)))), 1),
        (datagram(GOOD, flow(xdr(1, b"short"))), 1),
        (datagram(*[xdr(99, b"")] * 300), 0),
        (datagram()[:27], 0),
    ],
)
def test_what_lies_is_counted_and_what_was_whole_is_kept(payload: bytes, found: int) -> None:
    of = collector()
    assert len(take(of, payload)) == found
    assert of.exporters.table[0].losses.malformed == 1
