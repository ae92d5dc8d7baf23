"""Claims: told while the view doesn't say that the port holds the address, and then not for a while."""

import asyncio

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from suimon.agent.claims import Claims, Config
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import AddressPair, Claim
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.numbers import Numbers
from suimon.pipeline.tables import Stage
from suimon.pipeline.world import World
from tests.agent.parts import NETWORK, port

MAC, IP, IP6 = "fa:16:3e:00:00:01", "10.0.0.100", "2001:db8::100"
PAIRS = tuple(AddressPair(MAC, cidr) for cidr in (f"{IP}/32", "2001:DB8::100", "10.0.0.128/25", "10.0.0.11"))
ARPING = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=MAC, psrc=IP, pdst=IP)
TELLING = (
    Ether(src=MAC) / IPv6(src=IP6, dst="ff02::1") / ICMPv6ND_NA(tgt=IP6, R=0, S=0) / ICMPv6NDOptDstLLAddr(lladdr=MAC)
)


class Desk:
    def __init__(self):
        self.told = []

    def claimed(self, claim):
        self.told.append(claim)


def scene(play, config):
    async def run():
        world, desk = World("h1", Numbers()), Desk()
        world.set(NETWORK)
        world.set(port(1, pairs=PAIRS))
        claims = Claims(config, world, desk)
        number = world.number("port", "p1")
        await play(
            world, desk, lambda frame, at=number: claims.heard(PacketIn(Stage.ANTISPOOF, 0, {SOURCE: at}, bytes(frame)))
        )

    asyncio.run(run())


@pytest.mark.parametrize(("frame", "ip"), [(ARPING, IP), (TELLING, IP6)])
def test_a_claim_is_told_some_times_and_then_not_for_a_while(frame, ip):
    async def play(_world, desk, hear):
        for _ in range(3):
            hear(frame)
        assert desk.told == [Claim("p1", AddressPair(MAC, ip))]
        await asyncio.sleep(0.1)
        assert desk.told == 4 * [Claim("p1", AddressPair(MAC, ip))]
        hear(frame)
        assert len(desk.told) == 4

    scene(play, Config(again_s=0.001))


def test_what_the_view_says_is_told_no_more_and_is_news_when_it_ends():
    async def play(world, desk, hear):
        hear(ARPING)
        world.set(port(1, pairs=PAIRS, holds=(AddressPair(MAC, IP),)))
        await asyncio.sleep(0.05)
        hear(ARPING)
        assert len(desk.told) == 1
        world.set(port(1, pairs=PAIRS))
        hear(ARPING)
        assert len(desk.told) == 2

    scene(play, Config(again_s=0.001))


def test_what_is_no_claim_is_not_told():
    async def play(_world, desk, hear):
        for ip in ("10.0.0.200", "10.0.0.11", "10.0.0.12"):
            hear(Ether(src=MAC) / ARP(op=2, hwsrc=MAC, psrc=ip))
        hear(Ether(src=MAC) / ARP(op=2, hwsrc="fa:16:3e:00:00:02", psrc=IP))
        hear(ARPING, 99)
        hear(bytes(ARPING)[:20])
        hear(bytes(TELLING)[:60])
        hear(b"")
        assert desk.told == []

    scene(play, Config())
