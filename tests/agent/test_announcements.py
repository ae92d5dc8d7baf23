"""Announcing: what a frame says, how often it is said, and that a thousand moves at once make no storm."""

from suimon.agent.announcements import Announcements, Config, announcement
from suimon.agent.neighbours import Outgoing, Source
from suimon.agent.packets import ARP_REQUEST, Arp, Ethernet
from suimon.agent.packets6 import Icmp6, ip6_bytes

GUEST = Source("203.0.113.50", "fa:16:3e:00:00:f1", 9, 77)
GUEST6 = Source("2001:db8::50", "fa:16:3e:00:00:f1", 9)
ROUTER6 = Source("2001:db8::1", "fa:16:3e:00:00:f2", 9, router=True)
CONFIG = Config(times=3, pause_s=1.0, rate_per_s=10.0, burst=5)


def many(count: int) -> set[Source]:
    return {Source(f"10.0.{number // 250}.{number % 250 + 1}", "fa:16:3e:00:00:01", 9) for number in range(count)}


def test_an_ipv4_address_is_asked_for_by_itself_and_for_all() -> None:
    outgoing = announcement(GUEST)
    frame = Ethernet.parse(outgoing.frame)
    assert (outgoing.ofport, frame.dst, frame.src, frame.vlan) == (9, "ff:ff:ff:ff:ff:ff", GUEST.mac, 77)
    arp = Arp.parse(frame.payload)
    assert (arp.op, arp.sha, arp.spa, arp.tpa) == (ARP_REQUEST, GUEST.mac, GUEST.ip, GUEST.ip)


def test_an_ipv6_address_overrides_and_says_whether_it_is_a_router() -> None:
    for source, flags in ((GUEST6, b"\x20\0\0\0"), (ROUTER6, b"\xa0\0\0\0")):
        frame = Ethernet.parse(announcement(source).frame)
        assert (frame.dst, frame.src) == ("33:33:00:00:00:01", source.mac)
        message = Icmp6.parse(frame.payload)
        mac = bytes.fromhex(source.mac.replace(":", ""))
        assert (message.type, message.src, message.dst) == (136, source.ip, "ff02::1")
        assert message.body == flags + ip6_bytes(source.ip) + b"\x02\x01" + mac


def test_it_is_said_three_times_a_second_apart_and_no_more() -> None:
    one = Announcements(CONFIG)
    one.speak_for({GUEST}, 100.0)
    said = []
    while (due := one.next_due()) is not None:
        one.speak_for({GUEST}, due)
        said += [(due, frame) for frame in one.due(due)]
    assert said == [(due, announcement(GUEST)) for due in (100.0, 101.0, 102.0)]
    one.begin_again(200.0)
    assert one.due(200.0) == [announcement(GUEST)]


def test_what_is_another_hosts_now_is_not_said_again() -> None:
    one = Announcements(CONFIG)
    one.speak_for({GUEST, GUEST6}, 0.0)
    assert len(one.due(0.0)) == 2
    one.speak_for({GUEST6}, 0.5)
    assert one.due(1.0) == [announcement(GUEST6)]
    one.speak_for({GUEST, GUEST6}, 1.0)
    assert one.due(1.0) == [announcement(GUEST)], "it came back"


def test_many_at_once_are_spread_and_none_is_left_out() -> None:
    one, sources = Announcements(CONFIG), many(40)
    one.speak_for(sources, 0.0)
    said: list[tuple[float, Outgoing]] = []
    while (due := one.next_due()) is not None:
        said += [(due, frame) for frame in one.due(due)]
    assert {frame.frame for _, frame in said} == {announcement(source).frame for source in sources}
    assert len(said) == 40 * CONFIG.times
    for at, _ in said:
        within = [when for when, _ in said if at <= when < at + 1.0]
        assert len(within) <= CONFIG.burst + CONFIG.rate_per_s
