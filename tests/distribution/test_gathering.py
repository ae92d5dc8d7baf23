"""Ports that aren't up are told together; whatever somebody may miss is told at once, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from suimon.distribution.config import DistributionConfig
from suimon.distribution.dispatch import Dispatcher
from suimon.distribution.links import Link
from suimon.model import things, view
from suimon.store.store import Store
from suimon.store.tx import Tx
from tests.distribution.test_dispatch import connected, make_network, on, with_dispatcher
from tests.distribution.world import FRAME, PATIENT, Follower, make, put, put_port, settle, write
from tests.patience import patient

FOREVER = msgspec.structs.replace(PATIENT, gather_s=3600.0)


class Reader:
    """Host h2's stream, read as it is by what serves it."""

    def __init__(self, follower: Follower, settled: Callable[[], Awaitable[None]]) -> None:
        self._follower, self._settled = follower, settled
        self._next: asyncio.Task[bytes | None] | None = None

    @property
    def link(self) -> Link:
        assert self._follower.link is not None
        return self._follower.link

    async def told(self) -> list[view.Key]:
        """What it was told since the last time, in order; nothing when it is left to wait."""
        await self._settled()
        told: list[view.Key] = []
        while True:
            if self._next is None:
                self._next = asyncio.create_task(self.link.receive(3600.0))
            for _ in range(3):
                await asyncio.sleep(0)
            if not self._next.done():
                return told
            for frame in FRAME.decode_lines(self._next.result() or b""):
                assert isinstance(frame, view.Delta)
                told += [*map(view.key, frame.objects), *frame.deleted]
            self._next = None


class Cloud:
    """Ports of h1, and what h2 is told of them. One of them was told just now: others can wait."""

    def __init__(self, store: Store, dispatcher: Dispatcher, subnet: things.Subnet, reader: Reader) -> None:
        self.store, self.dispatcher, self.subnet, self.reader = store, dispatcher, subnet, reader

    async def create(self, last: int, **fields: object) -> tuple[things.Port, view.Key]:
        port = on(self.subnet, "h1", last, **fields)
        await put(self.store, port)
        return port, ("peer", port.id)

    async def created_at_h2(self, last: int, **fields: object) -> set[view.Key]:
        """What there is to be told of a port there."""
        port = on(self.subnet, "h2", last, **fields)
        await put(self.store, port)
        return {("port", port.id), ("peer", port.id)}

    async def change(self, port: things.Port, **fields: object) -> None:
        await write(self.store, lambda tx: tx.change(_there(tx, port), **fields))


def _there(tx: Tx, port: things.Port) -> things.Port:
    found = tx.get(things.Port, port.id)
    assert found is not None
    return found


def with_cloud(folder: Path, body: Callable[[Cloud], Awaitable[None]], config: DistributionConfig = FOREVER) -> None:
    async def in_it(store: Store, dispatcher: Dispatcher) -> None:
        network, subnet = make_network(1)
        await put(store, network, subnet, on(subnet, "h2", 2))
        await settle(store, dispatcher)
        reader = Reader(await connected(dispatcher, "h2"), lambda: settle(store, dispatcher))
        cloud = Cloud(store, dispatcher, subnet, reader)
        _, first = await cloud.create(3)
        assert await reader.told() == [first]
        await body(cloud)

    with_dispatcher(folder, in_it, config)


def test_who_is_not_up_waits_for_company(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        _, one = await cloud.create(4)
        assert await cloud.reader.told() == []
        up, two = await cloud.create(5)
        assert await cloud.reader.told() == []
        cloud.dispatcher.hear(["another"])
        assert await cloud.reader.told() == []
        await cloud.change(up, status="ACTIVE")
        cloud.dispatcher.hear([up.id])
        assert await cloud.reader.told() == [one, two]
        await cloud.create(6)
        assert await cloud.reader.told() == []

    with_cloud(tmp_path, body)


def test_the_pause_ends_by_itself(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        for last in (4, 5):
            _, key = await cloud.create(last)
            told = await cloud.reader.told()
            async with asyncio.timeout(patient(10)):
                while key not in told:
                    await asyncio.sleep(0.01)
                    told += await cloud.reader.told()

    with_cloud(tmp_path, body, msgspec.structs.replace(PATIENT, gather_s=0.02))


@pytest.mark.parametrize("fields", [{"status": "ACTIVE"}, {"name": "renamed"}])
def test_what_other_controllers_write_of_a_port_lets_it_go(tmp_path: Path, fields: dict[str, str]) -> None:
    """It is reported to them: here it is in the log alone."""

    async def body(cloud: Cloud) -> None:
        port, waiting = await cloud.create(4)
        assert await cloud.reader.told() == []
        network = make(things.Network, segment=9)
        await write(cloud.store, lambda tx: (tx.insert(network), tx.change(_there(tx, port), **fields)))
        assert await cloud.reader.told() == [waiting]

    with_cloud(tmp_path, body)


def test_what_somebody_may_miss_is_told_at_once_and_after_what_waited(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        reader = cloud.reader
        waits, waiting = await cloud.create(4)
        assert await reader.told() == []
        live, living = await cloud.create(5, status="ACTIVE")
        assert await reader.told() == [waiting, living]
        await cloud.change(live, fixed_ips=(view.FixedIp(cloud.subnet.id, "10.0.1.55"),))
        assert await reader.told() == [living]
        _, next_one = await cloud.create(6)
        assert await reader.told() == []
        await write(cloud.store, lambda tx: put_port(tx, _there(tx, waits), None))
        assert await reader.told() == [next_one, waiting]

    with_cloud(tmp_path, body)


def test_who_moved_is_told_at_once(tmp_path: Path) -> None:
    """It is down until its new host has reported it, and its guest may be there already."""

    async def body(cloud: Cloud) -> None:
        port, key = await cloud.create(4, status="ACTIVE")
        assert await cloud.reader.told() == [key]
        _, waiting = await cloud.create(5)
        assert await cloud.reader.told() == []
        await cloud.change(port, binding_host="h3", status="DOWN")
        assert await cloud.reader.told() == [waiting, key]

    with_cloud(tmp_path, body)


def test_a_rule_is_told_at_once_and_members_with_their_ports(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        group = make(things.SecurityGroup)
        rule = {"security_group_id": group.id, "direction": "ingress", "remote_group_id": group.id}
        await put(cloud.store, group, make(things.SecurityGroupRule, **rule))
        await put(cloud.store, on(cloud.subnet, "h2", 7, security_groups=(group.id,), status="ACTIVE"))
        await cloud.reader.told()
        port, waiting = await cloud.create(8, security_groups=(group.id,))
        assert await cloud.reader.told() == []
        await put(cloud.store, make(things.SecurityGroupRule, **rule | {"protocol": "tcp"}))
        told = await cloud.reader.told()
        assert set(told) == {waiting, ("member", f"{group.id}/{port.id}"), ("group", group.id)}
        assert told[-1] == ("group", group.id)

    with_cloud(tmp_path, body)


def test_its_own_host_waits_for_a_new_port_until_it_misses_it(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        waiting = await cloud.created_at_h2(7)
        assert await cloud.reader.told() == []
        cloud.dispatcher.miss("h3", ["any"])
        cloud.dispatcher.miss("h2", [])
        assert await cloud.reader.told() == []
        cloud.dispatcher.miss("h2", ["any"])
        assert set(await cloud.reader.told()) == waiting

    with_cloud(tmp_path, body)


def test_a_host_that_missed_a_port_just_now_waits_for_none_of_its_own(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        cloud.dispatcher.miss("h2", ["any"])
        own = await cloud.created_at_h2(7)
        assert set(await cloud.reader.told()) == own
        await cloud.create(8)
        assert await cloud.reader.told() == []

    with_cloud(tmp_path, body)


def test_a_host_does_not_wait_for_a_port_that_it_misses_already(tmp_path: Path) -> None:
    """What it misses for long, or without end, doesn't hurry the others."""

    async def body(cloud: Cloud) -> None:
        port = on(cloud.subnet, "h2", 7)
        cloud.dispatcher.miss("h2", [port.id, "never"])
        cloud.dispatcher.miss("h2", ["never", port.id])
        waiting = await cloud.created_at_h2(8)
        assert await cloud.reader.told() == []
        await put(cloud.store, port)
        assert set(await cloud.reader.told()) == waiting | {("port", port.id), ("peer", port.id)}

    with_cloud(tmp_path, body, msgspec.structs.replace(FOREVER, eager_s=-3600.0))


@pytest.mark.parametrize("known", [{"status_reason": "nobody plugged it"}, {"status": "ACTIVE"}])
def test_its_own_host_is_told_at_once_of_a_port_of_which_it_said_something(
    tmp_path: Path, known: dict[str, str]
) -> None:
    async def body(cloud: Cloud) -> None:
        told = await cloud.created_at_h2(7, **known)
        assert set(await cloud.reader.told()) == told

    with_cloud(tmp_path, body)


def test_its_own_host_is_told_at_once_of_a_subport_whose_trunk_may_be_there(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        parent = on(cloud.subnet, "h2", 7, status="ACTIVE")
        await put(cloud.store, parent)
        await cloud.reader.told()
        trunk, port = make(things.Trunk, port_id=parent.id), on(cloud.subnet, "h2", 8)
        subport = things.Subport(trunk_id=trunk.id, port_id=port.id, segmentation_type="vlan", segmentation_id=7)
        await put(cloud.store, trunk, port, subport)
        assert ("port", port.id) in await cloud.reader.told()

    with_cloud(tmp_path, body)


def test_a_host_that_can_not_say_what_it_misses_is_told_of_its_own_at_once(tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        cloud.reader.link.schema = 6
        own = await cloud.created_at_h2(7)
        assert set(await cloud.reader.told()) == own

    with_cloud(tmp_path, body)


def test_a_ping_does_not_overtake_what_waits(tmp_path: Path) -> None:
    """It says up to where the host was told."""

    async def body(store: Store, dispatcher: Dispatcher) -> None:
        network, subnet = make_network(1)
        await put(store, network, subnet, on(subnet, "h2", 2))
        await settle(store, dispatcher)
        link = (await connected(dispatcher, "h2")).link
        assert link is not None
        for last in (3, 4):
            await put(store, on(subnet, "h1", last))
            await settle(store, dispatcher)
            (frame,) = FRAME.decode_lines(await link.receive(0.01) or b"")
            assert isinstance(frame, view.Delta)
            assert frame.position.revision == link.revision
        with pytest.raises(TimeoutError):
            await link.receive(0.01)

    with_dispatcher(tmp_path, body, FOREVER)
