"""Probes are made whole, caught and told; what only looks like one goes to its guest; nobody is waited for for ever."""

import asyncio

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from suimon.agent.inquiries import Config as InquiriesConfig
from suimon.agent.inquiries import Inquiries
from suimon.agent.packets import tagged
from suimon.agent.probes import Config, ProbeError, Probes, frame
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.questions import Question
from suimon.model.view import Network
from suimon.pipeline.fields import NET, TARGET
from suimon.pipeline.flow import Output, Resubmit
from suimon.pipeline.simulate import Ends, icmp_echo, tcp, udp
from suimon.pipeline.tables import Stage
from tests.agent.parts import FakeSwitch, Parts, port, snapshot

NONCE = "0123456789abcdef"
ENDS = Ends("02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.11", "10.0.0.12")
ENDS6 = Ends("02:00:00:00:00:01", "02:00:00:00:00:02", "fd00::11", "fd00::12")


def question(act, name="p1", nonce=NONCE, packet=None, id_="q"):
    fields = (packet or tcp(ENDS, 80, 61001)).fields
    return Question(id_, f"port/{name}", fields, act=act, nonce=nonce)


@pytest.mark.parametrize(
    ("packet", "layer", "said"),
    [
        (tcp(ENDS, 80, 61001), TCP, {"sport": 61001, "dport": 80, "flags": "S"}),
        (udp(ENDS, 53, 61001), UDP, {"sport": 61001, "dport": 53}),
        (icmp_echo(ENDS), ICMP, {"type": 8}),
        (tcp(ENDS6, 80, 61001), TCP, {"sport": 61001, "dport": 80, "flags": "S"}),
        (icmp_echo(ENDS6), ICMPv6EchoRequest, {"type": 128}),
    ],
)
def test_a_probe_is_a_whole_packet_with_a_mark(packet, layer, said):
    made = frame(packet.fields, NONCE.encode())
    seen = Ether(made)
    assert (seen.src, seen.dst) == (ENDS.eth_src, ENDS.eth_dst)
    outer = seen[IP] if IP in seen else seen[IPv6]
    assert (outer.src, outer.dst) in ((ENDS.ip_src, ENDS.ip_dst), (ENDS6.ip_src, ENDS6.ip_dst))
    assert (outer.tos if IP in seen else outer.tc) == 1
    assert {name: getattr(seen[layer], name) for name in said} == said
    assert made.endswith(NONCE.encode())
    again = Ether(made)
    for each in (IP, TCP, UDP, ICMP, ICMPv6EchoRequest):
        if each in again:
            delattr(again[each], "cksum" if each is ICMPv6EchoRequest else "chksum")
    assert bytes(again) == made, "the checksums are right"


class Scene:
    """An agent with two ports, whose switch is one in memory."""

    def __init__(self, tmp_path, config=None):
        self.parts, self.switch = Parts(tmp_path), FakeSwitch()
        self.parts.take(snapshot(1, port(1), port(2)))
        for number in (1, 2):
            self.parts.enforcer.plug(f"p{number}", number)
        self.probes = Probes(self.parts.world, self.parts.enforcer, config)

    def play(self, scenario):
        async def playing():
            async with self.parts.enforcing(self.switch):
                await self.parts.in_force(1)
                await scenario()

        asyncio.run(playing())

    def looking_out(self):
        held = [key for key in self.switch.bridge.held if getattr(key, "stage", None) == Stage.DELIVER]
        return [key for key in held if key.priority == 200]

    def handed(self, data, name="p1"):
        return PacketIn(Stage.DELIVER, 0, {TARGET: self.parts.world.number("port", name)}, data)


def test_the_switch_looks_out_only_while_a_probe_is_waited_for(tmp_path):
    scene = Scene(tmp_path)

    async def scenario():
        await scene.probes.expect(question("expect"))
        (key,) = scene.looking_out()
        matched = {name: value for name, value, _ in key.match}
        assert {name: matched[name] for name in ("eth_type", "ip_proto", "ip_ecn", "tcp_src")} == {
            "eth_type": 0x800,
            "ip_proto": 6,
            "ip_ecn": 1,
            "tcp_src": 61001,
        }
        with pytest.raises(ProbeError, match="another"):
            await scene.probes.expect(question("expect", nonce="another probe's mark"))
        alike = scene.handed(frame(tcp(ENDS, 80, 61001).fields, b"a guest's own"))
        (passed_on,) = scene.probes.caught(alike)
        assert (passed_on.actions, passed_on.data) == ((Output(1),), alike.data)
        assert scene.probes.caught(scene.handed(frame(tcp(ENDS, 80, 61001).fields, NONCE.encode()))) == []
        with pytest.raises(ProbeError, match="no such"):
            await scene.probes.seen(question("seen", nonce="another probe's mark"))
        assert await scene.probes.seen(question("seen"))
        await scene.parts.enforcer.settled()
        assert scene.looking_out() == []

    scene.play(scenario)


def test_what_does_not_come_is_not_seen_and_what_nobody_asks_about_is_forgotten(tmp_path):
    scene = Scene(tmp_path, Config(seen_within_s=0.01, forgotten_after_s=0.01))

    async def scenario():
        await scene.probes.expect(question("expect"))
        with pytest.raises(ProbeError, match="no such"):
            await asyncio.sleep(0.02)
            await scene.probes.seen(question("seen"))
        await scene.parts.enforcer.settled()
        assert scene.looking_out() == []

    scene.play(scenario)
    late = Scene(tmp_path / "2", Config(seen_within_s=0.01))

    async def unseen():
        await late.probes.expect(question("expect"))
        assert not await late.probes.seen(question("seen"))

    late.play(unseen)


def test_the_outside_is_where_a_provider_network_leaves(tmp_path):
    scene, fields = Scene(tmp_path), tcp(ENDS, 80, 61001).fields
    world = scene.parts.world
    world.set(Network("ext", "vlan", 77, "public", 1500, external=True))
    world.wire({}, {"public": 9})

    def handed(payload):
        return PacketIn(Stage.REMOTE, 0, {NET: world.number("network", "ext")}, frame(fields, payload))

    async def scenario():
        asked = Question("q", "provider/public", fields, act="expect", nonce=NONCE)
        await scene.probes.expect(asked)
        held = [key for key in scene.switch.bridge.held if getattr(key, "stage", None) == Stage.REMOTE]
        assert max(key.priority for key in held) == 200
        (passed_on,) = scene.probes.caught(handed(b"a guest's own"))
        assert passed_on.actions == (Output(9),)
        assert passed_on.data == tagged(handed(b"a guest's own").data, 77)
        assert scene.probes.caught(handed(NONCE.encode())) == []
        assert await scene.probes.seen(asked)
        sent = scene.probes.made(asked, fields | {"vlan_vid": 0x1000 | 77})
        assert (sent.actions, sent.data) == ((Output(9),), tagged(frame(fields, NONCE.encode()), 77))

    scene.play(scenario)


class Desk:
    def __init__(self):
        self.told = asyncio.Queue()

    async def answer(self, traced):
        self.told.put_nowait(traced)


def test_the_controllers_questions_lead_to_a_probe(tmp_path):
    scene = Scene(tmp_path)

    async def scenario():
        desk = Desk()
        asks = Inquiries(InquiriesConfig(tmp_path), scene.parts.world, desk, scene.probes, None)
        running = asyncio.create_task(asks.run(None, scene.switch.send))
        for act, name in (("expect", "p2"), ("send", "p1")):
            asks.ask(question(act, name))
            assert not (await desk.told.get()).error
        (sent,) = scene.switch.sent
        assert sent.actions == (Resubmit(Stage.CLASSIFY),)
        assert {name: value for name, value, _ in sent.fields} == {"in_port": 1}
        scene.probes.caught(scene.handed(sent.data, "p2"))
        asks.ask(question("seen", "p2"))
        assert (await desk.told.get()).sent == ("port/p2",)
        for refused in (
            question("send", "elsewhere"),
            question("send", nonce="short"),
            Question("q", "port/p1", {"in_port": 3}, act="send", nonce=NONCE),
            Question("q", "port/p1", {"eth_type": 0x806}, act="expect", nonce=NONCE),
            question("seen"),
        ):
            asks.ask(refused)
            assert (await desk.told.get()).error
        running.cancel()

    scene.play(scenario)
