"""What the switch hands to the agent ends where it belongs."""

import asyncio

from suimon.agent.answers import Answers, Config
from suimon.dataplane.openflow.messages import PacketIn
from suimon.model.view import Delta
from suimon.pipeline.flow import Output
from suimon.pipeline.tables import Stage
from tests.agent.parts import FakeSwitch, Parts, at, port, snapshot
from tests.agent.test_dhcp import request


def handed(tmp_path, *packets, view=(), plugged=1):
    """What is sent back for these packets."""

    async def scene():
        parts, switch, queue = Parts(tmp_path), FakeSwitch(), asyncio.Queue()
        parts.take(snapshot(1, port(1)), Delta(at(2), objects=view))
        parts.enforcer.plug("p1", plugged)
        answering = asyncio.create_task(
            Answers(Config(lease_s=600), parts.world, parts.enforcer, parts.outside).run(queue, switch)
        )
        for each in packets:
            queue.put_nowait(each)
        for _ in range(10):
            await asyncio.sleep(0)
        assert queue.empty()
        answering.cancel()
        return switch.sent

    return asyncio.run(scene())


def discover(in_port, mac):
    return PacketIn(Stage.ANSWER, 0, {"in_port": in_port}, request("discover", mac=mac))


def test_a_guests_request_is_answered_to_where_it_came_from(tmp_path):
    (reply,) = handed(tmp_path, discover(1, port(1).mac))
    assert reply.actions == (Output(1),)
    assert reply.data[:6] == bytes.fromhex(port(1).mac.replace(":", ""))
    assert bytes([10, 0, 0, 11]) in reply.data
    assert bytes([51, 4, 0, 0, 2, 88]) in reply.data


def test_garbage_and_strangers_get_nothing_and_stop_nothing(tmp_path):
    garbage = PacketIn(Stage.ANSWER, 0, {"in_port": 1}, b"garbage")
    empty = PacketIn(Stage.ANSWER, 0, {}, b"")
    stranger = discover(7, port(1).mac)
    spoofed = discover(1, "fa:16:3e:99:99:99")
    assert len(handed(tmp_path, garbage, empty, stranger, spoofed, discover(1, port(1).mac))) == 1
