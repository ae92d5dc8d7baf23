"""External networks: what the agent says for floating IPs, and how packets wait for a next hop."""

import asyncio
from ipaddress import IPv6Address

from msgspec.structs import replace

from suimon.agent.packets import ETH_IPV4, Arp, Ethernet, Udp, mac_bytes
from suimon.agent.packets6 import Icmp6, ip6_bytes
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import (
    Delta,
    FixedIp,
    FloatingIp,
    Gateway,
    GatewayHost,
    Gateways,
    Network,
    Port,
    Router,
    RouterInterface,
    Snapshot,
    Subnet,
)
from suimon.pipeline.fields import NET, NEXTHOP, NEXTHOP6, wide
from suimon.pipeline.flow import Output, Resubmit
from suimon.pipeline.tables import Stage
from tests.agent.parts import GROUP, NETWORK, SUBNET, FakeSwitch, Parts, at, port

EXTERNAL = Network("ext", "vlan", 77, "public", 1500, external=True)
OUTSIDE = Subnet("out", "ext", "203.0.113.0/24", "203.0.113.1", False)
LEG = RouterInterface("leg", "net", "sub", "10.0.0.0/24", "10.0.0.1", "fa:16:3e:00:00:a1")
ROUTER = Router("r", True, (LEG,), Gateway("ext", "203.0.113.2", "fa:16:3e:00:00:a2", "203.0.113.1"))
FLOATING = FloatingIp("f", "h1", "ext", "203.0.113.50", "fa:16:3e:00:00:f1", "p1", "10.0.0.11", "r")
VIEW = (NETWORK, SUBNET, GROUP, port(1), EXTERNAL, OUTSIDE, ROUTER, FLOATING)
GATEWAY_MAC = "52:54:00:00:00:01"
PATCH = 9


def arp_reply(parts, ip="203.0.113.1", network="ext"):
    arp = Arp(2, GATEWAY_MAC, ip, FLOATING.mac, FLOATING.address)
    frame = Ethernet(FLOATING.mac, GATEWAY_MAC, 0x0806, arp.pack()).pack()
    return PacketIn(Stage.ANSWER, 0, {"in_port": PATCH, NET: parts.world.number("network", network)}, frame)


def missed(parts, nexthop, payload):
    packet = Udp(FLOATING.address, "198.51.100.7", 1, 2, payload).pack()
    frame = Ethernet("fa:16:3e:00:00:a1", FLOATING.mac, ETH_IPV4, packet).pack()
    fields = {"in_port": 1, NET: parts.world.number("network", "ext"), NEXTHOP: nexthop, "reg1": 5}
    return PacketIn(Stage.NEIGHBOUR, 0, fields | {"ct_state": 0x21}, frame)


def told(packet):
    """(tag, operation, asked or announced address, destination MAC) of a frame sent to the provider."""
    assert packet.actions == (Output(PATCH),)
    ethernet = Ethernet.parse(packet.data)
    arp = Arp.parse(ethernet.payload)
    assert (arp.sha, arp.spa) == (FLOATING.mac, FLOATING.address)
    return ethernet.vlan, arp.op, arp.tpa, ethernet.dst


def play(path, script):
    """Runs `script(parts, switch)` with the view in force and the neighbours' questions being asked."""

    async def scene():
        parts, switch = Parts(path), FakeSwitch()
        parts.enforcer.wire({"vxlan": 8}, {"public": PATCH})
        parts.enforcer.plug("p1", 1)
        asking = asyncio.create_task(parts.outside.run(switch.send))
        async with parts.enforcing(switch):
            parts.take(Snapshot(at(1), VIEW))
            await parts.in_force(1)
            await settle()
            await script(parts, switch)
        asking.cancel()

    asyncio.run(scene())


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def neighbour_flows(switch):
    return {key for key in switch.bridge.held if getattr(key, "stage", None) == Stage.NEIGHBOUR and key.priority == 70}


def test_a_floating_ip_is_announced_and_its_gateway_asked_for_once_its_flows_are_in(tmp_path):
    async def script(parts, switch):
        announced, asked = map(told, switch.sent)
        assert announced == (77, 1, FLOATING.address, "ff:ff:ff:ff:ff:ff")
        assert asked == (77, 1, "203.0.113.1", "ff:ff:ff:ff:ff:ff")
        parts.take(Delta(at(2)))
        await parts.in_force(2)
        await settle()
        assert len(switch.sent) == 2, "announced once"

    play(tmp_path, script)


def test_an_answer_becomes_a_flow_and_survives_the_agent(tmp_path):
    async def script(parts, switch):
        before = neighbour_flows(switch)
        parts.enforcer.answered(arp_reply(parts))
        await settle()
        assert len(neighbour_flows(switch) - before) == 1
        reborn = Parts(tmp_path)
        assert reborn.world.neighbours == {("ext", "203.0.113.1"): GATEWAY_MAC}

    play(tmp_path, script)


def test_an_answer_from_another_network_is_not_believed(tmp_path):
    async def script(parts, switch):
        before = neighbour_flows(switch)
        parts.enforcer.answered(arp_reply(parts, network="net"))
        await settle()
        assert neighbour_flows(switch) == before

    play(tmp_path, script)


def test_packets_wait_for_their_next_hop_and_then_go_on_where_they_were(tmp_path):
    async def script(parts, switch):
        waiting = [missed(parts, 0xCB007109, bytes([n])) for n in range(4)]
        for each in waiting:
            parts.enforcer.missed(each)
        await settle()
        assert told(switch.sent[-1]) == (77, 1, "203.0.113.9", "ff:ff:ff:ff:ff:ff")
        switch.sent.clear()
        parts.enforcer.answered(arp_reply(parts, "203.0.113.9"))
        await settle()
        assert [each.data for each in switch.sent] == [each.data for each in waiting[:3]]
        assert switch.sent[0].actions == (Resubmit(Stage.NEIGHBOUR),)
        assert {(name, value) for name, value, _ in switch.sent[0].fields} == set(waiting[0].fields.items()) - {
            ("ct_state", 0x21)
        }

    play(tmp_path, script)


def test_what_is_missed_between_an_answer_and_its_flow_goes_on_with_it_three_at_most(tmp_path):
    async def script(parts, switch):
        parts.enforcer.missed(missed(parts, 0xCB007109, b"first"))
        await settle()
        late = [missed(parts, 0xCB007109, bytes([n])) for n in range(4)]
        switch.sent.clear()
        parts.enforcer.answered(arp_reply(parts, "203.0.113.9"))
        for each in late[:2]:
            parts.enforcer.missed(each)
        await settle()
        assert [each.data for each in switch.sent[1:]] == [each.data for each in late[:2]]
        for each in late[2:]:
            parts.enforcer.missed(each)
        await settle()
        assert [each.data for each in switch.sent[3:]] == [late[2].data], "a flow that never comes makes no circle"

    play(tmp_path, script)


def test_a_packet_of_nobody_makes_no_question(tmp_path):
    async def script(parts, switch):
        sent = len(switch.sent)
        stranger = Ethernet("fa:16:3e:00:00:a1", "fa:16:3e:00:00:99", ETH_IPV4, b"").pack()
        fields = {"in_port": 1, NET: parts.world.number("network", "ext"), NEXTHOP: 0xCB007109}
        parts.enforcer.missed(PacketIn(Stage.NEIGHBOUR, 0, fields, stranger))
        parts.enforcer.missed(PacketIn(Stage.NEIGHBOUR, 0, {}, b"x"))
        parts.enforcer.answered(PacketIn(Stage.ANSWER, 0, {"in_port": PATCH}, b"\0" * 13))
        await settle()
        assert len(switch.sent) == sent

    play(tmp_path, script)


def test_the_last_floating_ip_takes_the_networks_neighbours_with_it(tmp_path):
    async def script(parts, switch):
        before = neighbour_flows(switch)
        parts.enforcer.answered(arp_reply(parts))
        await settle()
        parts.enforcer.wire({"vxlan": 8}, {})
        await settle()
        assert parts.world.neighbours, "the uplink is away for a moment"
        parts.take(Delta(at(2), deleted=(("floating_ip", "f"),)))
        await parts.in_force(2)
        await settle()
        assert parts.world.neighbours == {}
        assert Parts(tmp_path).world.neighbours == {}
        assert neighbour_flows(switch) == before

    play(tmp_path, script)


def test_an_ipv6_gateway_announces_itself_and_learns_its_next_hop_for_a_packet_that_waits(tmp_path):
    """Not before it knows that no other host has taken over: switches on the way would follow it."""
    gateway = Gateway("ext", None, "fa:16:3e:00:00:a2", None, nexthop6="2001:db8:f::1", ip6="2001:db8:f::2")
    here = (Router("r", True, (), gateway), Gateways("public", (GatewayHost("h1", "172.16.0.1"),)))
    outside = Subnet("out6", "ext", "2001:db8:f::/64", "2001:db8:f::1", False)

    def icmp6(sent):
        assert sent.actions == (Output(PATCH),)
        ethernet = Ethernet.parse(sent.data)
        return ethernet.vlan, ethernet.dst, Icmp6.parse(ethernet.payload)

    async def scene():
        parts, switch = Parts(tmp_path), FakeSwitch()
        parts.enforcer.wire({"vxlan": 8}, {"public": PATCH})
        asking = asyncio.create_task(parts.outside.run(switch.send))
        async with parts.enforcing(switch):
            parts.take(Snapshot(at(1), (NETWORK, EXTERNAL, outside, *here)))
            await parts.in_force(1)
            await settle()
            ((_, group, asked),) = map(icmp6, switch.sent)
            assert (group, asked.type, asked.dst) == ("33:33:ff:00:00:01", 135, "ff02::1:ff00:1")
            judging = asyncio.create_task(parts.enforcer.gateways.run(switch, parts.enforcer))
            await settle()
            vlan, to, announced = icmp6(switch.sent[-1])
            assert (vlan, to, announced.type, announced.src) == (77, "33:33:00:00:00:01", 136, "2001:db8:f::2")
            network = parts.world.number("network", "ext")
            wanted = {NET: network, **wide(NEXTHOP6, int(IPv6Address("2001:db8:f::77")))}
            packet = Ethernet("02:00:00:00:00:01", gateway.mac, 0x86DD, b"whatever").pack()
            parts.enforcer.missed(PacketIn(Stage.NEIGHBOUR, 0, wanted, packet))
            await settle()
            assert icmp6(switch.sent[-1])[2].dst == "ff02::1:ff00:77"
            body = bytes(4) + ip6_bytes("2001:db8:f::77") + b"\x02\x01" + mac_bytes(GATEWAY_MAC)
            told = Icmp6("2001:db8:f::77", "2001:db8:f::2", 136, 0, body).pack()
            frame = Ethernet(gateway.mac, GATEWAY_MAC, 0x86DD, told).pack()
            parts.enforcer.answered(PacketIn(Stage.ANSWER, 0, {"in_port": PATCH, NET: network}, frame))
            await settle()
            assert parts.world.neighbours["ext", "2001:db8:f::77"] == GATEWAY_MAC
            assert switch.sent[-1].actions == (Resubmit(Stage.NEIGHBOUR),) and switch.sent[-1].data == packet
        asking.cancel()
        judging.cancel()

    asyncio.run(scene())


def test_a_guest_on_a_provider_network_is_announced_when_it_is_active_here(tmp_path):
    """While it is waited for, its addresses are another host's."""
    subnet = Subnet("flat4", "flat", "198.51.100.0/24", None, True)
    network = Network("flat", "flat", None, "public", 1500)
    guest = Port("p9", "h1", "flat", "fa:16:3e:00:00:99", (FixedIp("flat4", "198.51.100.9"),), security=False)

    def announced(switch):
        frames = [Ethernet.parse(packet.data) for packet in switch.sent]
        return [Arp.parse(frame.payload).spa for frame in frames if frame.src == guest.mac]

    async def script(parts, switch):
        parts.enforcer.plug("p9", 5)
        parts.take(Delta(at(2), objects=(network, subnet, replace(guest, active=False, others=("172.16.0.2",)))))
        await parts.in_force(2)
        await settle()
        assert announced(switch) == []
        assert set(parts.desk.statuses) == {"p1"}, "its status is another host's to say"
        parts.take(Delta(at(3), objects=(guest,)))
        await parts.in_force(3)
        await settle()
        assert announced(switch) == ["198.51.100.9"]
        assert set(parts.desk.statuses) == {"p1", "p9"}

    play(tmp_path, script)


def test_a_floating_ip_is_announced_when_its_port_is_active_and_asks_when_its_guest_was_heard(tmp_path):
    """Before, switches would send to where the guest isn't; and its first packet need not wait for a next hop."""

    async def script(parts, switch):
        waited_for = replace(port(2), active=False, others=("172.16.0.2",))
        other = replace(FLOATING, id="f2", address="203.0.113.51", mac="fa:16:3e:00:00:f2", port_id="p2", active=False)

        def said():
            frames = [Ethernet.parse(packet.data) for packet in switch.sent]
            return [Arp.parse(frame.payload).tpa for frame in frames if frame.src == other.mac]

        parts.enforcer.plug("p2", 5)
        parts.take(Delta(at(2), deleted=(("floating_ip", "f"),), objects=(waited_for, other)))
        await parts.in_force(2)
        await settle()
        assert said() == []
        parts.world.arrive("p2")
        parts.take(Delta(at(3)))
        await parts.in_force(3)
        await settle()
        assert said() == ["203.0.113.1"]
        parts.take(Delta(at(4), objects=(replace(port(2), others=("172.16.0.2",)), replace(other, active=True))))
        await parts.in_force(4)
        await settle()
        assert said() == ["203.0.113.1", other.address]

    play(tmp_path, script)
