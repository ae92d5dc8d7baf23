"""A real collector of flow records, asked over HTTP, with a history in the test's hands."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from suimon.cli.listener import Endpoint, Listener, bound
from suimon.model.collectors import MappedPort
from suimon.model.records import Batch
from suimon.model.things import Collector
from suimon.store.tx import Tx
from suimon.telemetry.answers import answers_app
from suimon.telemetry.collecting import Collecting, Config
from suimon.telemetry.flow import collector as decoding
from suimon.telemetry.flow.exporters import Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.engine import Lot
from suimon.telemetry.history.segments import Config as SegmentsConfig
from suimon.telemetry.history.segments import Segments
from tests.resources.world import World

T = TypeVar("T")
KEY = "k" * 43


class Recorder:
    """It has joined, and answers, by `app`, in `answering` only."""

    def __init__(self, world: World, directory: Path, now: Callable[[], float], name: str = "c1") -> None:
        self._world, self._name, self._now = world, name, now
        self.segments = Segments(SegmentsConfig(directory), now)
        self.segments.open()
        collecting = Collecting(Config(), decoding.Collector(Exporters([])), self.segments, None)
        self.app = answers_app(collecting, Receiver(ReceiverConfig(()), collecting.take, now), KEY)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._where = Endpoint("127.0.0.1", free.getsockname()[1], "")
        world.write(self._join)

    def _join(self, tx: Tx) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        tx.insert(Collector(name=self._name, url=self._where.url, key=KEY, credential_hash=self._name, joined_at=at))

    def write(self, batch: Batch, *ports: MappedPort) -> None:
        """`port` of a record is its place among these."""
        self.segments.write(Lot((batch,), ports, ("192.0.2.1", "192.0.2.2"), self._now()))

    async def answering(self, act: Callable[[], Awaitable[T]]) -> T:
        """What comes of it while the collector can be asked."""
        with bound(self._where) as listening:
            listener = Listener(self.app, self._where, listening)
            running = asyncio.ensure_future(listener.run_bound())
            await listener.ready.wait()
            try:
                return await act()
            finally:
                listener.should_exit = True
                await running
