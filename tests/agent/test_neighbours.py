"""Neighbours: who is asked, when, in whose name, and which answers are believed."""

import pytest

from suimon.agent.neighbours import (
    WAITING_IN_ALL,
    Config,
    Hop,
    Learned,
    Neighbours,
    Source,
    discovered,
    link,
)
from suimon.agent.packets import Arp, Ethernet, PacketError, mac_bytes
from suimon.agent.packets6 import Icmp6, ip6_bytes
from suimon.dataplane.openflow.messages import PacketIn

FIP = Source("203.0.113.5", "02:00:00:00:00:05", ofport=3, vlan=77)
GATEWAY = ("ext", "203.0.113.1")
GW_MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"


def reply(hop=GATEWAY, mac=GW_MAC, to=FIP):
    return Arp(2, mac, hop[1], to.mac, to.ip)


def packet(number):
    return PacketIn(54, 0, {}, bytes([number]))


def asking(known=None):
    neighbours = Neighbours(Config(), known or {})
    forgotten = neighbours.need({GATEWAY: FIP}, {"ext": FIP}, {"ext"}, 0.0)
    return neighbours, forgotten


def asked(frames):
    """Who is asked, by whom, to which MAC."""
    found = []
    for outgoing in frames:
        ethernet = Ethernet.parse(outgoing.frame)
        arp = Arp.parse(ethernet.payload)
        assert (outgoing.ofport, ethernet.vlan, ethernet.src, arp.op) == (FIP.ofport, FIP.vlan, FIP.mac, 1)
        found.append((arp.tpa, arp.spa, ethernet.dst))
    return found


def test_a_gateway_is_asked_for_before_anyone_misses_it_and_asked_again():
    neighbours, _ = asking()
    question = [("203.0.113.1", "203.0.113.5", "ff:ff:ff:ff:ff:ff")]
    assert asked(neighbours.due(0.0)) == question
    assert neighbours.due(0.5) == []
    assert asked(neighbours.due(1.0)) == question
    assert asked(neighbours.due(2.0)) == question
    assert neighbours.due(3.0) == [], "silent: not every second for ever"
    assert neighbours.next_due() == 33.0
    assert asked(neighbours.due(33.0)) == question


def test_a_silent_gateway_is_asked_as_soon_as_a_packet_is_sent_to_it_once_a_second():
    neighbours, _ = asking()
    for now in (0.0, 1.0, 2.0, 3.0):
        neighbours.due(now)
    neighbours.missed(GATEWAY, FIP, packet(0), 5.0)
    assert len(neighbours.due(5.0)) == 1
    neighbours.missed(GATEWAY, FIP, packet(1), 5.1)
    assert neighbours.due(5.1) == [] and neighbours.next_due() == 6.0
    assert neighbours.answered("ext", reply(), 3, 5.2).packets == (packet(0), packet(1))


def test_an_answer_is_learned_and_refreshed_by_asking_who_answered():
    neighbours, _ = asking()
    neighbours.due(0.0)
    assert neighbours.answered("ext", reply(), 3, 0.1) == Learned(GATEWAY, GW_MAC, (), news=True)
    assert neighbours.next_due() == 30.1
    assert asked(neighbours.due(30.1)) == [("203.0.113.1", "203.0.113.5", GW_MAC)]
    assert neighbours.answered("ext", reply(), 3, 30.2) == Learned(GATEWAY, GW_MAC, (), news=False)


def test_answers_that_nobody_asked_for_are_not_believed():
    neighbours, _ = asking()
    assert neighbours.answered("ext", reply(), 3, 0.0) is None, "not asked yet"
    neighbours.due(0.0)
    wrong = Source("203.0.113.6", FIP.mac, 3, 77)
    assert neighbours.answered("ext", reply(("ext", "203.0.113.9")), 3, 0.1) is None, "another address"
    assert neighbours.answered("ext", reply(to=wrong), 3, 0.1) is None, "to another asker"
    assert neighbours.answered("ext", reply(), 4, 0.1) is None, "through another interface"
    assert neighbours.answered("other", reply(), 3, 0.1) is None, "on another network"
    assert neighbours.answered("ext", reply(mac="ff:ff:ff:ff:ff:ff"), 3, 0.1) is None, "a MAC of nobody"
    assert neighbours.answered("ext", reply(), 3, 0.1) is not None
    assert neighbours.answered("ext", reply(mac=OTHER_MAC), 3, 0.2) is None, "one answer to one question"


def test_a_silent_neighbour_is_kept_until_another_mac_answers():
    neighbours, _ = asking({GATEWAY: GW_MAC})
    assert asked(neighbours.due(0.0))[0][2] == GW_MAC
    assert [asked(neighbours.due(float(now)))[0][2] for now in (1, 2)] == ["ff:ff:ff:ff:ff:ff"] * 2
    assert neighbours.due(3.0) == []
    assert neighbours.known == {GATEWAY: GW_MAC}
    neighbours.due(33.0)
    assert neighbours.answered("ext", reply(mac=OTHER_MAC), 3, 33.1) == Learned(GATEWAY, OTHER_MAC, (), news=True)


def test_packets_wait_for_an_answer_three_at_most():
    neighbours, _ = asking()
    for n in range(5):
        neighbours.missed(GATEWAY, FIP, packet(n), 0.0)
    neighbours.due(0.0)
    assert neighbours.answered("ext", reply(), 3, 0.1).packets == (packet(0), packet(1), packet(2))


def test_what_is_missed_after_an_answer_goes_on_three_packets_for_each_that_says_something_new():
    neighbours, _ = asking()
    neighbours.due(0.0)
    neighbours.answered("ext", reply(), 3, 0.1)
    assert [neighbours.missed(GATEWAY, FIP, packet(n), 0.2) for n in range(5)] == [True, True, True, False, False]
    neighbours.due(30.1)
    assert neighbours.answered("ext", reply(), 3, 30.2) == Learned(GATEWAY, GW_MAC, (), news=False)
    assert not neighbours.missed(GATEWAY, FIP, packet(5), 30.3)
    neighbours.due(60.2)
    assert neighbours.answered("ext", reply(mac=OTHER_MAC), 3, 60.3) == Learned(GATEWAY, OTHER_MAC, (), news=True)
    assert neighbours.missed(GATEWAY, FIP, packet(6), 60.4)


def test_packets_wait_in_bounded_number_and_a_missed_hop_that_is_silent_is_given_up():
    neighbours, _ = asking()
    hops = [("ext", f"203.0.113.{n}") for n in range(10, 200)]
    for hop in hops:
        for _ in range(3):
            neighbours.missed(hop, FIP, packet(0), 0.0)
    assert len(neighbours.due(0.0)) == len(hops) + 1
    waited = [neighbours.answered("ext", reply(hop), 3, 0.1).packets for hop in hops[:100]]
    assert sum(map(len, waited)) == WAITING_IN_ALL
    for now in (1.0, 2.0, 3.0):
        neighbours.due(now)
    assert neighbours.next_due() == 30.1, "the silent ones are gone, the known ones stay"


def test_hops_are_bounded_and_the_needed_ones_stay():
    neighbours = Neighbours(Config(max_hops=3), {})
    neighbours.need({GATEWAY: FIP}, {"ext": FIP}, {"ext"}, 0.0)
    for n in range(10, 20):
        neighbours.missed(("ext", f"203.0.113.{n}"), FIP, packet(0), 0.0)
    who = {each[0] for each in asked(neighbours.due(0.0))}
    assert len(who) == 3
    assert "203.0.113.1" in who


def test_a_network_without_a_floating_ip_is_forgotten():
    neighbours, forgotten = asking({GATEWAY: GW_MAC, ("gone", "198.51.100.1"): OTHER_MAC})
    assert forgotten == [("gone", "198.51.100.1")]
    assert neighbours.need({}, {}, {"ext"}, 0.5) == [], "its interface is away, the floating IP is not"
    assert neighbours.need({}, {}, set(), 1.0) == [GATEWAY]
    assert neighbours.due(99.0) == []
    assert neighbours.known == {}


def test_ipv6_next_hops_are_asked_for_by_neighbour_discovery() -> None:
    hop: Hop = ("public", "2001:db8:f::1")
    source = Source("2001:db8:f::2", "02:00:00:00:fe:03", 101, 300)
    neighbours = Neighbours(Config(), {})
    neighbours.need({hop: source}, {link(hop): source}, {"public"}, 0.0)
    (asked,) = neighbours.due(0.0)
    frame = Ethernet.parse(asked.frame)
    message = Icmp6.parse(frame.payload)
    assert (asked.ofport, frame.vlan, frame.dst) == (101, 300, "33:33:ff:00:00:01")
    assert (message.src, message.dst, message.type) == (source.ip, "ff02::1:ff00:1", 135)
    assert message.body[4:] == ip6_bytes(hop[1]) + b"\x01\x01" + mac_bytes(source.mac)
    body = b"\xe0\0\0\0" + ip6_bytes(hop[1]) + b"\x02\x01" + mac_bytes("02:00:00:00:0f:01")
    told = Ethernet(source.mac, "02:00:00:00:0f:01", 0x86DD, Icmp6(hop[1], source.ip, 136, 0, body).pack())
    learned = neighbours.answered("public", discovered(told), 101, 0.1)
    assert learned and (learned.hop, learned.mac) == (hop, "02:00:00:00:0f:01")
    (refreshed,) = neighbours.due(60.0)
    assert Ethernet.parse(refreshed.frame).dst == "02:00:00:00:0f:01", "first who answered before"


@pytest.mark.parametrize("cut", [0, 8, 12, 23, 30, 31])
def test_a_broken_advertisement_is_refused(cut: int) -> None:
    body = b"\xe0\0\0\0" + ip6_bytes("2001:db8::1") + b"\x02\x01" + mac_bytes("02:00:00:00:0f:01")
    message = Icmp6("2001:db8::1", "2001:db8::2", 136, 0, body[: max(cut - 4, 0)]).pack()
    with pytest.raises(PacketError):
        discovered(Ethernet("02:00:00:00:00:01", "02:00:00:00:0f:01", 0x86DD, message))
