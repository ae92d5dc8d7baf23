"""A small cloud, its things written straight into a real store, and hosts that follow it through a real dispatcher."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from suimon.distribution.config import DistributionConfig
from suimon.distribution.dispatch import Dispatcher
from suimon.distribution.distribution import Distribution
from suimon.distribution.links import Link
from suimon.model import things, view
from suimon.model.actor import SYSTEM
from suimon.store.store import Store, StoreConfig
from suimon.store.tables import PORT_SECURITY_GROUPS
from suimon.store.tx import Tx
from tests.databases import template_file

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRAME = msgspec.json.Decoder(view.Frame)
PATIENT = DistributionConfig(snapshots_per_s=1e6, snapshot_burst=10**6, snapshot_pause_s=0.0)
_IDS = count(1)


def make(type_: type[Any], **fields: Any) -> Any:
    """A thing with an id of its own and what every thing has."""
    id_ = f"{type_.__name__.lower()}-{next(_IDS)}"
    return type_(**{"id": id_, "project_id": "p", "created_at": NOW, "updated_at": NOW} | fields)


def make_host(name: str, tunnel_ip: str | None, *physnets: str) -> things.Host:
    known = {"tunnel_ip": tunnel_ip, "credential_hash": f"hash-{name}", "joined_at": NOW, "physnets": physnets}
    return things.Host(name=name, schema=view.SCHEMA, **known)


def make_port(network_id: str, host: str = "", **fields: Any) -> things.Port:
    number = next(_IDS)
    mac = f"fa:16:3e:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    return make(things.Port, network_id=network_id, mac_address=mac, binding_host=host, **fields)


def put_port(tx: Tx, before: things.Port | None, after: things.Port | None) -> None:
    """Write a port and the index of its groups."""
    old = before or after
    assert old is not None
    tx.run(PORT_SECURITY_GROUPS.delete().where(PORT_SECURITY_GROUPS.c.port_id == old.id), {})
    if before is None:
        tx.insert(after)
    elif after is None:
        tx.delete(before)
    else:
        tx.update(before, after)
    if after is not None:
        tx.insert_rows(PORT_SECURITY_GROUPS, [{"port_id": after.id, "group_id": g} for g in after.security_groups])


@asynccontextmanager
async def open_store(folder: Path, copy_of: Path | None = None, **config: Any) -> AsyncIterator[Store]:
    """An empty store, or one that goes on from a copy of a closed one's file."""
    path = folder / f"{next(_IDS)}.db"
    shutil.copy(copy_of or template_file(), path)
    store = Store(StoreConfig(url=f"sqlite:///{path}", readers=2, **config), lambda: NOW)
    store.open()
    try:
        yield store
    finally:
        store.close()


async def write(store: Store, act: Callable[[Tx], Any]) -> Any:
    return await store.write(act, SYSTEM)


async def put(store: Store, *new: msgspec.Struct) -> None:
    """Insert things in one transaction, ports with their groups."""

    def act(tx: Tx) -> None:
        for thing in new:
            if isinstance(thing, things.Port):
                put_port(tx, None, thing)
            else:
                tx.insert(thing)

    await write(store, act)


@contextmanager
def traced(store: Store) -> Iterator[list[str]]:
    """The statements executed meanwhile; not those of a new reader setting up its connection."""
    statements: list[str] = []
    store.trace(lambda statement: None if statement.startswith("PRAGMA") else statements.append(statement))
    yield statements
    store.trace(None)


@asynccontextmanager
async def running(store: Store, config: DistributionConfig = PATIENT) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work; its failure is the test's."""
    dispatcher = Dispatcher(config, store)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            task.cancel()


async def settle(store: Store, dispatcher: Dispatcher | Distribution) -> None:
    """Until the dispatcher has told all that the store knows."""
    async with asyncio.timeout(10):
        while dispatcher.revision < store.position()[2]:  # noqa: ASYNC110 (it rings no bell for tests)
            await asyncio.sleep(0)


class Follower:
    """What an agent does with frames: it keeps the view that they make."""

    def __init__(self, host: str, schema: int = view.SCHEMA) -> None:
        self.host = host
        self.schema = schema
        self.position: view.Position | None = None
        self.objects: dict[view.Key, view.Object] = {}
        self.frames: list[view.Frame] = []
        self.link: Link | None = None

    async def connect(self, dispatcher: Dispatcher) -> None:
        host = msgspec.structs.replace(make_host(self.host, None), schema=self.schema)
        link = await dispatcher.link(host, self.position)
        assert isinstance(link, Link)
        self.link = link

    async def drain(self) -> None:
        assert self.link is not None
        while True:
            try:
                lines = await self.link.receive(0.0)
            except TimeoutError:
                return
            if lines is None:
                return
            for frame in FRAME.decode_lines(lines):
                self.take(frame)

    @property
    def closed(self) -> bool:
        return self.link is not None and self.link.closed

    def take(self, frame: view.Frame) -> None:
        self.frames.append(frame)
        match frame:
            case view.Snapshot():
                self.objects = {view.key(thing): thing for thing in frame.objects}
            case view.Delta():
                kept = {key: thing for key, thing in self.objects.items() if thing.scope not in frame.dropped}
                for key in frame.deleted:
                    kept.pop(key, None)
                self.objects = kept | {view.key(thing): thing for thing in frame.objects}
            case _:
                return
        self.position = frame.position

    def copy(self) -> Follower:
        twin = Follower(self.host, self.schema)
        twin.position, twin.objects = self.position, dict(self.objects)
        return twin
