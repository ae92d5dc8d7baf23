"""Frames built by us are read by scapy, frames built by scapy are read by us, and nonsense is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from suimon.agent.packets import ETH_ARP, ETH_IPV4, Arp, Ethernet, PacketError, Udp

GUEST, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"


@given(st.binary(max_size=300), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_datagram_of_ours_has_the_lengths_and_checksums_that_scapy_computes(payload, src, dst):
    ours = Ethernet(GUEST, OTHER, ETH_IPV4, Udp("10.0.0.1", "10.0.0.2", src, dst, payload).pack()).pack()
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=0) / UDP(sport=src, dport=dst) / payload
    assert ours == bytes(Ether(dst=GUEST, src=OTHER) / ip)


def test_an_arp_question_of_ours_is_what_scapy_makes_tagged_too():
    arp = Arp(1, GUEST, "203.0.113.5", "00:00:00:00:00:00", "203.0.113.1")
    ours = Ethernet("ff:ff:ff:ff:ff:ff", GUEST, ETH_ARP, arp.pack(), vlan=77).pack()
    theirs = Ether(dst="ff:ff:ff:ff:ff:ff", src=GUEST) / Dot1Q(vlan=77)
    theirs /= ARP(op=1, hwsrc=GUEST, psrc="203.0.113.5", hwdst="00:00:00:00:00:00", pdst="203.0.113.1")
    assert ours == bytes(theirs)


@given(st.binary(max_size=64), st.one_of(st.none(), st.integers(0, 4095)))
def test_a_frame_survives_packing_and_parsing(payload, vlan):
    frame = Ethernet(GUEST, OTHER, ETH_IPV4, payload, vlan)
    assert Ethernet.parse(frame.pack()) == frame


def test_ethernet_padding_behind_a_datagram_is_not_payload():
    packed = Udp("10.0.0.1", "10.0.0.2", 68, 67, b"short").pack()
    assert Udp.parse(packed + bytes(20)).payload == b"short"


@pytest.mark.parametrize("flags", [0x2000, 0x0001], ids=["more fragments", "an offset"])
def test_a_fragment_is_refused(flags):
    packed = bytearray(Udp("10.0.0.1", "10.0.0.2", 68, 67, b"x").pack())
    packed[6:8] = flags.to_bytes(2, "big")
    with pytest.raises(PacketError, match="fragment"):
        Udp.parse(bytes(packed))


@given(st.binary(max_size=120))
def test_any_bytes_give_a_packet_or_a_packet_error(raw):
    for parser in (Ethernet, Arp, Udp):
        with suppress(PacketError):
            assert parser.parse(raw) is not None
