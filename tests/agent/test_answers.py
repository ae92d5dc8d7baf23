"""What the switch hands to the agent ends where it belongs."""

import asyncio

from scapy.layers.dhcp import BOOTP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, IPv6
from scapy.layers.l2 import Dot1Q, Ether

from suimon.agent.advertise import Advertiser
from suimon.agent.advertise import Config as AdvertiseConfig
from suimon.agent.answers import Answers, Config
from suimon.agent.claims import Claims
from suimon.agent.claims import Config as ClaimsConfig
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import Delta, FixedIp, Router, RouterInterface, Subnet
from suimon.pipeline.fields import SOURCE
from suimon.pipeline.flow import Output
from suimon.pipeline.tables import Stage
from tests.agent.parts import FakeSwitch, Parts, at, port, snapshot
from tests.agent.test_dhcp import request
from tests.agent.test_dhcp6 import MAC as MAC6
from tests.agent.test_dhcp6 import solicit

NUMBERS = {"p1": 1, "p2": 2}
"""How br-int knows the ports."""
SUBNET6 = Subnet("sub6", "net", "fd00:1::/64", "fd00:1::1", True, ra_mode="slaac", address_mode="dhcpv6-stateful")
LEG6 = RouterInterface("leg6", "net", "sub6", "fd00:1::/64", "fd00:1::1", "fa:16:3e:00:00:a1")
LEG4 = RouterInterface("leg4", "net", "sub", "10.0.0.0/24", "10.0.0.1", "fa:16:3e:00:00:a2")


def handed(tmp_path, *packets, view=(), plugged=1):
    """What is sent back for these packets."""

    async def scene():
        parts, switch, queue = Parts(tmp_path), FakeSwitch(), asyncio.Queue()
        parts.take(snapshot(1, port(1)), Delta(at(2), objects=view))
        parts.enforcer.plug("p1", plugged)
        assert {name: parts.world.number("port", name) for name in NUMBERS} == NUMBERS
        advertiser = Advertiser(AdvertiseConfig(), parts.world, lambda: 0.0, lambda: 0.0)
        claims = Claims(ClaimsConfig(), parts.world, parts.desk)
        answering = asyncio.create_task(
            Answers(Config(lease_s=600), parts.enforcer, advertiser, claims).run(queue, switch)
        )
        for each in packets:
            queue.put_nowait(each)
        for _ in range(10):
            await asyncio.sleep(0)
        assert queue.empty()
        answering.cancel()
        return switch.sent

    return asyncio.run(scene())


def asked(frame, name="p1", in_port=1):
    return PacketIn(Stage.ANSWER, 0, {"in_port": in_port, SOURCE: NUMBERS.get(name, 99)}, bytes(frame))


def discover(mac, name="p1", in_port=1):
    return asked(request("discover", mac=mac), name, in_port)


def test_a_guests_request_is_answered_to_where_it_came_from(tmp_path):
    (reply,) = handed(tmp_path, discover(port(1).mac))
    assert reply.actions == (Output(1),)
    assert reply.data[:6] == bytes.fromhex(port(1).mac.replace(":", ""))
    assert bytes([10, 0, 0, 11]) in reply.data
    assert bytes([51, 4, 0, 0, 2, 88]) in reply.data


def test_a_subport_is_answered_under_its_tag(tmp_path):
    sub = port(2, parent="p1", vlan=7)
    (reply,) = handed(tmp_path, discover(sub.mac, "p2"), view=(sub,))
    frame = Ether(reply.data)
    assert (reply.actions, frame[Dot1Q].vlan, frame[BOOTP].yiaddr) == ((Output(1),), 7, "10.0.0.12")


METADATA_ROUTE = bytes([121, 14, 32, 169, 254, 169, 254, 0, 0, 0, 0, 0, 10, 0, 0, 1])


def test_only_without_a_router_is_there_a_route_to_the_metadata(tmp_path):
    wants = [("param_req_list", [1, 3, 121])]
    asks = asked(request("discover", *wants, mac=port(1).mac))
    (isolated,) = handed(tmp_path / "1", asks)
    (routed,) = handed(tmp_path / "2", asks, view=(Router("r", True, (LEG4,)),))
    (down,) = handed(tmp_path / "3", asks, view=(Router("r", False, (LEG4,)),))
    assert [METADATA_ROUTE in each.data for each in (isolated, routed, down)] == [True, False, True]


def test_a_router_solicitation_and_dhcpv6_are_answered(tmp_path):
    link_local = "fe80::f816:3eff:fe00:1"
    knocks = Ether(src=MAC6, dst="33:33:00:00:00:02") / IPv6(src=link_local, dst="ff02::2") / ICMPv6ND_RS()
    fixed = (FixedIp("sub6", "fd00:1::5"),)
    view = (SUBNET6, Router("r", True, (LEG6,)), port(1, fixed_ips=fixed))
    advertised, offered = handed(tmp_path, asked(knocks), asked(solicit()), view=view)
    assert Ether(advertised.data)[ICMPv6ND_RA].routerlifetime == 9000
    assert bytes.fromhex("fd00000100000000" + "0000000000000005") in offered.data
    assert {advertised.actions, offered.actions} == {(Output(1),)}


def test_garbage_and_strangers_get_nothing_and_stop_nothing(tmp_path):
    garbage, empty = asked(b"garbage"), PacketIn(Stage.ANSWER, 0, {}, b"")
    hollow = [asked(bytes(12) + b"\x86\xdd" + rest) for rest in (b"", bytes(6) + b"\x3a", bytes(100))]
    strangers = [discover(port(1).mac, in_port=7), discover(port(1).mac, "p2"), discover(port(1).mac, "nobody")]
    spoofed = discover("fa:16:3e:99:99:99")
    assert len(handed(tmp_path, garbage, empty, *hollow, *strangers, spoofed, discover(port(1).mac))) == 1
