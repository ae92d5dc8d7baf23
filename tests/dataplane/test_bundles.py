"""Bundles, beside a switch of a few lines that says what it is asked: which are committed at once, and what if not all
of one can be decoded.
"""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from suimon.dataplane.openflow.connection import Connection
from suimon.dataplane.openflow.messages import HEADER, Bundle, Type
from suimon.dataplane.openflow.target import BridgeEntry, BridgeKey, BridgeTarget, bridge_entries
from suimon.model.owner import Owner
from suimon.pipeline.flow import Action, Conjunction, Flow, Goto, Group, Output, UseGroup, UseMeter, flow, set_field
from suimon.pipeline.tables import Stage
from suimon.reconcile import Changes
from tests.dataplane.test_connection import Switch, connected, frame

OWNER = Owner("peer", "p1")
_ASKED, _AT_ONCE = [Bundle.CLOSE, Bundle.COMMIT], [Bundle.COMMIT]


class Bundling(Switch):
    """Takes every bundle. What can't be decoded, by `refused`, is forgotten and said, as Open vSwitch does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Bundle] = []
        self.refused: Callable[[bytes], bool] = lambda _: False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.hello)
        while header := await reader.read(HEADER.size):
            _, kind, length, xid = HEADER.unpack(header)
            body = await reader.readexactly(length - HEADER.size)
            if kind == Type.BUNDLE_ADD and self.refused(body):
                writer.write(frame(Type.ERROR, xid, struct.pack("!HH", 4, 9)))
            if kind == Type.BUNDLE_CONTROL:
                bundle_id, command, flags = struct.unpack("!IHH", body)
                self.asked.append(Bundle(command))
                writer.write(frame(kind, xid, struct.pack("!IHH", bundle_id, command + 1, flags)))
        writer.close()

    def take_asked(self) -> list[Bundle]:
        asked, self.asked = self.asked, []
        return asked


def remote(number: int, *actions: Action) -> Flow:
    """To a port elsewhere: all but the stage and what kinds of things are matched and done is its own."""
    matched = {"metadata": number, "eth_dst": 0x020000000000 + number}
    return flow(Stage.LOOKUP, 10, OWNER, matched, actions or (set_field("reg2", number), Goto(Stage.REMOTE)))


def changes(*flows: Flow | Group) -> Changes[BridgeKey, BridgeEntry]:
    return Changes(bridge_entries(flows))


def scene(path: Path, play: Callable[[Bundling, Connection], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        switch = Bundling()
        async with connected(path, switch) as (connection, _):
            await play(switch, connection)

    asyncio.run(whole())


def test_what_is_like_what_the_switch_decoded_before_is_committed_at_once(tmp_path: Path) -> None:
    async def play(switch: Bundling, connection: Connection) -> None:
        target = BridgeTarget(connection)
        assert await target.apply(changes(remote(1))) == {}
        assert switch.take_asked() == _ASKED
        assert await target.apply(changes(remote(2), remote(3))) == {}
        assert switch.take_asked() == _AT_ONCE
        for _ in range(2):
            assert await target.apply(Changes({}, (remote(2).key, remote(3).key))) == {}
        assert switch.take_asked() == _ASKED + _AT_ONCE
        await BridgeTarget(connection).apply(changes(remote(4)))
        assert switch.take_asked() == _ASKED, "of another life of the switch nothing is known"

    scene(tmp_path, play)


@pytest.mark.parametrize(
    "first, then",
    [
        pytest.param(remote(1), flow(Stage.LOOKUP, 10, OWNER, {"metadata": 1}), id="other fields"),
        pytest.param(remote(1), flow(Stage.ROUTE, 10, OWNER, {"metadata": 1, "eth_dst": 2}), id="another stage"),
        pytest.param(remote(1), remote(2, Goto(Stage.REMOTE)), id="other actions"),
        pytest.param(remote(1, Output(1)), remote(2, Output(2)), id="another output"),
        pytest.param(remote(1, set_field("reg2", 1)), remote(2, set_field("reg2", (1, 1))), id="a mask"),
        pytest.param(remote(1, Conjunction(7, 0, 2)), remote(2, Conjunction(7, 2, 2)), id="what can't be a clause"),
        pytest.param(remote(1, UseMeter(1)), remote(1, UseMeter(1)), id="a meter, which may be gone"),
        pytest.param(remote(1, UseGroup(1)), remote(1, UseGroup(1)), id="a group, which may be gone"),
        pytest.param(Group(1, OWNER, ()), Group(1, OWNER, ()), id="a group itself"),
        pytest.param(
            flow(Stage.LOOKUP, 1, OWNER, {"eth_type": 0x0800, "ip_proto": 6, "tcp_dst": 1}),
            flow(Stage.LOOKUP, 1, OWNER, {"eth_type": 0x0800, "ip_proto": 17, "tcp_dst": 1}),
            id="a field that others need",
        ),
    ],
)
def test_what_is_unlike_it_is_asked_about(tmp_path: Path, first: Flow | Group, then: Flow | Group) -> None:
    async def play(switch: Bundling, connection: Connection) -> None:
        target = BridgeTarget(connection)
        await target.apply(changes(first))
        await target.apply(changes(then))
        assert switch.take_asked() == 2 * _ASKED

    scene(tmp_path, play)


def test_what_a_known_shape_hides_is_refused_alone_and_asked_about_from_then_on(tmp_path: Path) -> None:
    good, bad = remote(2), remote(3)

    async def play(switch: Bundling, connection: Connection) -> None:
        target = BridgeTarget(connection)
        await target.apply(changes(remote(1)))
        switch.refused = lambda body: (0x020000000003).to_bytes(6) in body
        switch.take_asked()
        failures = await target.apply(changes(good, bad))
        assert switch.take_asked() == _AT_ONCE
        assert {key: failure.blamed for key, failure in failures.items()} == {bad.key: True}, "the other came true"
        for _ in range(2):
            assert set(await target.apply(changes(good, bad))) == {good.key, bad.key}, "all or nothing"
            assert switch.take_asked() == [Bundle.CLOSE, Bundle.DISCARD]
        for _ in range(2):
            assert await target.apply(changes(good)) == {}
            assert switch.take_asked() == _ASKED

    scene(tmp_path, play)
