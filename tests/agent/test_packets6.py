"""IPv6, UDP and ICMPv6: scapy reads what we write, and any bytes are parsed or refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6, IPv6ExtHdrHopByHop

from suimon.agent.packets import PacketError
from suimon.agent.packets6 import Icmp6, Ipv6, Udp6, multicast_mac

SRC, DST = "fe80::1", "ff02::2"


@given(st.binary(max_size=100), st.integers(0, 65535))
def test_a_datagram_is_read_as_it_was_written(payload, l4_port):
    datagram = Udp6(SRC, DST, l4_port, 547, payload)
    assert Udp6.parse(datagram.pack()) == datagram
    read = IPv6(datagram.pack())
    told = read[UDP].chksum
    del read[UDP].chksum
    assert (IPv6(bytes(read))[UDP].chksum, read.src, read.dst) == (told, SRC, DST)
    assert told


def test_padding_behind_a_packet_is_not_part_of_it():
    packet = Udp6(SRC, DST, 546, 547, b"x")
    assert Udp6.parse(packet.pack() + bytes(20)) == packet


RS = IPv6(src=SRC, dst=DST, hlim=255) / ICMPv6ND_RS()


def test_a_message_is_read():
    assert Icmp6.parse(bytes(RS)) == Icmp6(SRC, DST, 133, 0, bytes(4))


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        pytest.param(Ipv6.parse, bytes(RS)[:39], id="a cut header"),
        pytest.param(Ipv6.parse, b"\x45" + bytes(RS)[1:], id="IPv4"),
        pytest.param(Ipv6.parse, bytes(RS)[:-1], id="a cut payload"),
        pytest.param(Icmp6.parse, bytes(IPv6(hlim=255, dst=DST) / IPv6ExtHdrHopByHop() / ICMPv6ND_RS()), id="options"),
        pytest.param(Icmp6.parse, bytes(IPv6(hlim=254, dst=DST) / ICMPv6ND_RS()), id="routed"),
        pytest.param(Icmp6.parse, bytes(RS)[:-1] + b"\1", id="a wrong checksum"),
        pytest.param(Icmp6.parse, Ipv6(SRC, DST, 58, 255, b"\x85").pack(), id="a cut message"),
        pytest.param(Udp6.parse, bytes(RS), id="no UDP"),
        pytest.param(Udp6.parse, Ipv6(SRC, DST, 17, 64, bytes(7)).pack(), id="a cut UDP header"),
        pytest.param(Udp6.parse, Ipv6(SRC, DST, 17, 64, b"\0\1\0\2\0\x09\0\0").pack(), id="a wrong UDP length"),
    ],
)
def test_what_is_not_whole_or_not_it_is_refused(parse, raw):
    with pytest.raises(PacketError):
        parse(raw)


@given(st.binary(max_size=100))
def test_any_bytes_are_parsed_or_refused(raw):
    for parse in (Ipv6.parse, Udp6.parse, Icmp6.parse):
        with suppress(PacketError):
            parse(b"\x60" + raw)


def test_where_multicast_goes_on_ethernet():
    assert multicast_mac("ff02::1:2") == "33:33:00:01:00:02"
