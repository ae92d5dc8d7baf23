"""Agents of several versions at once: what each is told, and what an upgrade costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from suimon.distribution.distribution import Distribution
from suimon.model import things, view
from suimon.model.errors import BadRequest
from suimon.model.touches import ROUTER_GATEWAY, ROUTER_INTERFACE
from suimon.resources import hosts
from suimon.store.store import Store
from tests.distribution.world import (
    FRAME,
    PATIENT,
    Follower,
    make,
    make_host,
    make_port,
    open_store,
    put,
    running,
    settle,
    write,
)

NEWER = {("gateways", "public")}
"""What agents of the first schema can't read of the cloud below."""


async def put_cloud(store: Store) -> None:
    """Two hosts, one of them on the physical network `public`, a router to it, a port behind it on the other host."""
    outside = make(things.Network, network_type="vlan", segment=5, physnet="public", external=True)
    router = make(things.Router, gateway_network_id=outside.id)
    network = make(things.Network, segment=7)
    leg = make_port(network.id, device_owner=ROUTER_INTERFACE, device_id=router.id)
    way_out = make_port(outside.id, device_owner=ROUTER_GATEWAY, device_id=router.id)
    await put(store, make_host("h1", "192.0.2.1"), make_host("h2", "192.0.2.2", "public"))
    await put(store, outside, network, router, leg, way_out, make_port(network.id, "h1"))


def test_an_older_agent_is_told_of_no_kind_it_cannot_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(tmp_path) as store, running(store) as dispatcher:
            await put_cloud(store)
            older, newer = Follower("h1", schema=1), Follower("h1")
            await write(store, lambda tx: hosts.note_schema(tx, "h1", 1))
            await older.connect(dispatcher)
            await older.drain()
            await put(store, make_host("h3", "192.0.2.3", "public"))
            await settle(store, dispatcher)
            await older.drain()
            assert len(older.frames) == 1, "nothing is said about it, either"
            await write(store, lambda tx: hosts.note_schema(tx, "h1", view.SCHEMA))
            await newer.connect(dispatcher)
            await newer.drain()
            assert newer.objects.keys() - older.objects.keys() == NEWER

    asyncio.run(scenario())


def test_an_upgraded_agent_gets_its_view_whole_and_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(tmp_path) as store, running(store) as dispatcher:
            await put_cloud(store)
            older = Follower("h1", schema=1)
            await write(store, lambda tx: hosts.note_schema(tx, "h1", 1))
            await older.connect(dispatcher)
            await older.drain()
            upgraded = Follower("h1")
            upgraded.position, upgraded.objects = older.position, dict(older.objects)
            await write(store, lambda tx: hosts.note_schema(tx, "h1", view.SCHEMA))
            for _ in range(2):
                await upgraded.connect(dispatcher)
                await upgraded.drain()
            assert [type(frame) for frame in upgraded.frames] == [view.Snapshot, view.Delta]
            assert upgraded.objects.keys() >= NEWER

    asyncio.run(scenario())


def test_what_an_agent_speaks_is_noted_when_it_watches(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(tmp_path) as store:
            distribution = Distribution(PATIENT, store, hosts)
            running_it = asyncio.create_task(distribution.run())
            await put_cloud(store)
            for schema in (1, view.SCHEMA):
                host = await store.read(lambda tx: tx.get(things.Host, "h1"))
                link = await distribution.watch(host, view.Watch(schema))
                assert not isinstance(link, float)
                frame = FRAME.decode(await link.receive(5.0) or b"")
                assert ({view.key(thing) for thing in frame.objects} >= NEWER) == (schema == view.SCHEMA)
                assert (await store.read(lambda tx: tx.get(things.Host, "h1"))).schema == schema
            with pytest.raises(BadRequest, match="upgrade the controller first"):
                await distribution.watch(host, view.Watch(view.SCHEMA + 1))
            running_it.cancel()

    asyncio.run(scenario())
