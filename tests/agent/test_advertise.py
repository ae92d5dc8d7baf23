"""Router advertisements, read back by scapy (another implementation); who is told what, and when."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_
from scapy.layers import inet6
from scapy.layers.l2 import Dot1Q, Ether

from suimon.agent.advertise import Advertiser, Config
from suimon.model.view import FixedIp, Network, Port, Router, RouterInterface, Subnet
from suimon.pipeline.flow import Output
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.world import World

NETWORK = Network("net", "vxlan", 100, None, mtu=1450, dns_domain="cloud.example.")
SUBNET = Subnet("s6", "net", "fd00:1::/64", "fd00:1::1", True, ("9.9.9.9", "2620:fe::fe", "::"), (), "slaac", "slaac")
SECOND = with_(SUBNET, id="t6", cidr="fd00:2::/64", dns=("2620:fe::9",))
LEG = RouterInterface("leg", "net", "s6", "fd00:1::/64", "fd00:1::1", "fa:16:3e:00:00:a1")
LEG4 = RouterInterface("leg4", "net", "s4", "10.0.0.0/24", "10.0.0.1", "fa:16:3e:00:00:a4")
ROUTER = Router("r", True, (LEG, LEG4))
BOTH = with_(ROUTER, interfaces=(LEG, with_(LEG, subnet_id="t6", cidr="fd00:2::/64", ip="fd00:2::1")))
OTHER = Router("o", True, (with_(LEG, port_id="leg2", ip="fd00:1::2", mac="fa:16:3e:00:00:a2"),))
ROUTER_IP = "fe80::f816:3eff:fe00:a1"
MAC = "fa:16:3e:00:00:01"
GUEST_IP = "fe80::f816:3eff:fe00:1"


def guest(number, **more):
    fixed = (FixedIp("s6", f"fd00:1::{number}"),)
    return Port(f"p{number}", "h1", "net", f"fa:16:3e:00:00:{number:02x}", fixed, **more)


class Scene:
    """A host's world and what its advertiser does, by a clock that stands still."""

    def __init__(self, *things, plugged=(1,)):
        self.world = World("h1", Numbers())
        self.now = 0.0
        self.advertiser = Advertiser(Config(), self.world, lambda: self.now, lambda: 0.5)
        self.set(NETWORK, SUBNET, *map(guest, plugged), *things)
        for number in plugged:
            self.world.plug(f"p{number}", number)

    def set(self, *things):
        for thing in things:
            self.world.set(thing)

    def news(self):
        return [told(each) for each in self.advertiser.news()]

    def due(self, after_s):
        self.now += after_s
        return [told(each) for each in self.advertiser.due()]


def told(packet):
    """(ofports, the advertisement as scapy reads it)."""
    assert all(isinstance(each, Output) for each in packet.actions)
    return [each.ofport for each in packet.actions], read(packet.data)


def read(frame):
    whole = Ether(frame)
    assert (whole[inet6.IPv6].hlim, whole.src[:16]) == (255, "fa:16:3e:00:00:a")
    claimed = whole[inet6.ICMPv6ND_RA].cksum
    del whole[inet6.ICMPv6ND_RA].cksum
    assert Ether(bytes(whole))[inet6.ICMPv6ND_RA].cksum == claimed
    return whole


def prefixes(frame):
    """Prefix → (autonomous, valid, preferred)."""
    found, nth = {}, 1
    while each := frame.getlayer(inet6.ICMPv6NDOptPrefixInfo, nth):
        assert each.L == 1
        found[f"{each.prefix}/{each.prefixlen}"] = each.A, each.validlifetime, each.preferredlifetime
        nth += 1
    return found


def servers(frame):
    """Name server → lifetime."""
    found, nth = {}, 1
    while each := frame.getlayer(inet6.ICMPv6NDOptRDNSS, nth):
        found |= dict.fromkeys(each.dns, each.lifetime)
        nth += 1
    return found


LIVE, ENDED = (1, 86400, 14400), (1, 0, 0)


def test_a_guest_hears_of_its_router_when_it_is_plugged():
    [(ofports, frame)] = Scene(ROUTER).news()
    assert ofports == [1]
    assert (frame.dst, frame[inet6.IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert (frame.src, frame[inet6.IPv6].src) == (LEG.mac, ROUTER_IP)
    said = frame[inet6.ICMPv6ND_RA]
    assert (said.chlim, said.routerlifetime, said.M, said.O) == (64, 9000, 0, 0)
    assert frame[inet6.ICMPv6NDOptSrcLLAddr].lladdr == LEG.mac
    assert frame[inet6.ICMPv6NDOptMTU].mtu == 1450
    assert prefixes(frame) == {"fd00:1::/64": LIVE}
    assert servers(frame) == {"2620:fe::fe": 9000}
    assert frame[inet6.ICMPv6NDOptDNSSL].searchlist == ["cloud.example."]


@pytest.mark.parametrize(
    ("dns", "told"), [((), ["fe80::a9fe:a9fe"]), (("9.9.9.9",), ["fe80::a9fe:a9fe"]), (("::",), [])]
)
def test_who_names_no_resolver_has_the_host_s_and_it_is_taken_back(dns, told):
    scene = Scene(with_(SUBNET, dns=dns), ROUTER)
    [(_, frame)] = scene.news()
    assert servers(frame) == dict.fromkeys(told, 9000)
    scene.set(with_(SUBNET, dns=("2620:fe::fe",)))
    [(_, frame)] = scene.news()
    assert servers(frame) == {"2620:fe::fe": 9000} | dict.fromkeys(told, 0)


def test_a_guest_without_ipv6_is_told_nothing_that_it_can_t_use():
    scene = Scene(ROUTER, with_(guest(2), fixed_ips=(FixedIp("s4", "10.0.0.2"),)))
    scene.world.plug("p2", 2)
    assert [ofports for ofports, _ in scene.news()] == [[1]]
    scene.set(guest(2))
    assert [ofports for ofports, _ in scene.news()] == [[2]]


@pytest.mark.parametrize(
    ("mode", "managed", "other", "autonomous"),
    [("slaac", 0, 0, 1), ("dhcpv6-stateless", 0, 1, 1), ("dhcpv6-stateful", 1, 0, 0)],
)
def test_the_mode_says_where_addresses_come_from(mode, managed, other, autonomous):
    [(_, frame)] = Scene(with_(SUBNET, ra_mode=mode), ROUTER).news()
    said = frame[inet6.ICMPv6ND_RA]
    assert (said.M, said.O, prefixes(frame)["fd00:1::/64"][0]) == (managed, other, autonomous)


@pytest.mark.parametrize(
    "things",
    [
        pytest.param((), id="no router"),
        pytest.param((with_(ROUTER, up=False),), id="a router that is down"),
        pytest.param((with_(ROUTER, interfaces=(LEG4,)),), id="only IPv4"),
        pytest.param((ROUTER, with_(SUBNET, ra_mode=None)), id="advertised by somebody else"),
        pytest.param((ROUTER, guest(1, up=False)), id="a port that is down"),
    ],
)
def test_nobody_else_is_told_of_a_router(things):
    assert Scene(*things).news() == []


def test_each_is_told_once_and_then_every_few_minutes():
    scene = Scene(ROUTER, plugged=(1, 2))
    assert [ofports for ofports, _ in scene.news()] == [[1, 2]]
    assert scene.news() == []
    assert scene.due(174) == []
    assert [ofports for ofports, _ in scene.due(1)] == [[1, 2]]
    assert scene.due(0) == []
    scene.set(guest(3))
    scene.world.plug("p3", 3)
    assert [ofports for ofports, _ in scene.news()] == [[3]]
    scene.world.plug("p3", 4)
    assert [ofports for ofports, _ in scene.news()] == [[4]], "plugged anew, it may have forgotten"
    scene.world.plug("p2", None)
    assert scene.news() == []
    assert [ofports for ofports, _ in scene.due(175)] == [[1, 4]]


def test_many_guests_are_told_by_few_packets():
    scene = Scene(ROUTER, plugged=range(1, 81))
    assert [len(ofports) for ofports, _ in scene.news()] == [32, 32, 16]


def test_a_subport_is_told_under_its_tag():
    scene = Scene(ROUTER, guest(2, parent="p1", vlan=7))
    assert [(ofports, frame[Dot1Q].vlan if Dot1Q in frame else None) for ofports, frame in scene.news()] == [
        ([1], None),
        ([1], 7),
    ]


def test_a_change_is_told_with_what_is_no_longer_so():
    scene = Scene(BOTH, SECOND)
    [(_, frame)] = scene.news()
    assert prefixes(frame) == {"fd00:1::/64": LIVE, "fd00:2::/64": LIVE}
    scene.set(ROUTER)
    [(_, frame)] = scene.news()
    assert frame[inet6.ICMPv6ND_RA].routerlifetime == 9000
    assert prefixes(frame) == {"fd00:1::/64": LIVE, "fd00:2::/64": ENDED}
    assert servers(frame) == {"2620:fe::fe": 9000, "2620:fe::9": 0}
    assert [prefixes(frame) for _, frame in scene.due(175)] == [{"fd00:1::/64": LIVE}]


@pytest.mark.parametrize("gone", [with_(ROUTER, interfaces=()), with_(ROUTER, up=False), None])
def test_a_leg_that_goes_says_so(gone):
    scene = Scene(ROUTER)
    scene.news()
    if gone:
        scene.set(gone)
    else:
        scene.world.delete(("router", "r"))
    [(ofports, frame)] = scene.news()
    assert (ofports, frame[inet6.ICMPv6ND_RA].routerlifetime) == ([1], 0)
    assert (prefixes(frame), servers(frame)) == ({"fd00:1::/64": ENDED}, {"2620:fe::fe": 0})
    assert frame[inet6.ICMPv6NDOptDNSSL].lifetime == 0
    assert scene.news() == scene.due(1000) == []


def test_what_another_router_still_advertises_stays_good():
    scene = Scene(ROUTER, OTHER)
    assert {frame.src for _, frame in scene.news()} == {LEG.mac, OTHER.interfaces[0].mac}
    scene.world.delete(("router", "r"))
    [(_, frame)] = scene.news()
    assert (frame.src, frame[inet6.ICMPv6ND_RA].routerlifetime) == (LEG.mac, 0)
    assert (prefixes(frame), servers(frame)) == ({}, {})
    assert inet6.ICMPv6NDOptDNSSL not in frame


def solicitation(src=GUEST_IP, *options, **more):
    header = inet6.IPv6(src=src, dst="ff02::2", **more)
    return bytes(Ether(src=MAC, dst="33:33:00:00:00:02") / header / bytes_of(inet6.ICMPv6ND_RS(), header, options))


def bytes_of(message, header, options):
    for each in options:
        message = message / each
    return inet6.IPv6(bytes(header / message)).payload


def test_who_asks_is_answered_alone():
    scene = Scene(ROUTER, OTHER)
    own = inet6.ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    frames = [read(each) for each in scene.advertiser.solicited(solicitation(GUEST_IP, own), guest(1))]
    assert {(frame.src, frame.dst, frame[inet6.IPv6].dst) for frame in frames} == {
        (LEG.mac, MAC, GUEST_IP),
        (OTHER.interfaces[0].mac, MAC, GUEST_IP),
    }
    [frame, _] = [read(each) for each in scene.advertiser.solicited(solicitation("::"), guest(1))]
    assert (frame.dst, frame[inet6.IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(solicitation(GUEST_IP, hlim=64), id="from another link"),
        pytest.param(solicitation("::", inet6.ICMPv6NDOptSrcLLAddr(lladdr=MAC)), id="a MAC without an address"),
        pytest.param(solicitation()[:-1] + b"\1", id="a wrong checksum"),
        pytest.param(solicitation()[:40], id="cut off"),
        pytest.param(
            bytes(Ether(src=MAC) / inet6.IPv6(src=GUEST_IP, dst="ff02::2", hlim=255) / inet6.ICMPv6ND_RA()), id="an RA"
        ),
        pytest.param(solicitation(GUEST_IP, b"\1\0" + bytes(6)), id="an option without a length"),
    ],
)
def test_what_is_no_solicitation_is_not_answered(frame):
    assert Scene(ROUTER).advertiser.solicited(frame, guest(1)) == []


@given(st.lists(st.tuples(st.integers(0, 69), st.integers(0, 255)), max_size=6), st.integers(0, 70))
def test_any_bytes_are_answered_or_not(edits, cut):
    raw = bytearray(solicitation(GUEST_IP, inet6.ICMPv6NDOptSrcLLAddr(lladdr=MAC)))
    for at, byte in edits:
        raw[at] = byte
    assert len(Scene(ROUTER).advertiser.solicited(bytes(raw[:cut]), guest(1))) in (0, 1)


def test_it_waits_for_what_changes_and_for_what_is_due():
    """Told three times for the time that passes, and once because the router goes."""

    async def scene():
        there, sent, changed, done = Scene(ROUTER), [], asyncio.Event(), asyncio.Event()
        there.advertiser = Advertiser(Config(0.01, 0.01), there.world, asyncio.get_running_loop().time, lambda: 0.0)

        async def send(packet):
            sent.append(told(packet)[1][inet6.ICMPv6ND_RA].routerlifetime)
            if len(sent) == 3:
                there.world.delete(("router", "r"))
                changed.set()
            if len(sent) == 4:
                done.set()

        running = asyncio.create_task(there.advertiser.run(changed, send))
        async with asyncio.timeout(5):
            await done.wait()
        running.cancel()
        return sent

    assert asyncio.run(scene()) == [9000, 9000, 9000, 0]
