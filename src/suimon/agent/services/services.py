"""The services of this host at work: their place is built, their sockets served, and built again if that fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import msgspec
import structlog

from suimon.agent.ending import apart
from suimon.agent.services import metadata, nova, resolver
from suimon.agent.services.askers import Askers
from suimon.agent.services.metadata import Metadata
from suimon.agent.services.names import NetworkNames
from suimon.agent.services.resolver import Resolver
from suimon.dataplane.services import NAMESPACE, ServicesPlace
from suimon.model.view import Position
from suimon.pipeline.services import DNS_L4_PORT, METADATA_L4_PORT
from suimon.pipeline.world import World

log = structlog.get_logger()


class Config(msgspec.Struct, frozen=True):
    """`nova` None: instance data is our own."""

    namespace: str = f"suimon-{NAMESPACE}"
    rundir: Path = Path("/var/run/openvswitch")
    metadata: metadata.Config = metadata.Config()
    resolver: resolver.Config = resolver.Config()
    nova: nova.Config | None = None
    pause_s: float = 1.0


class Services:
    """`run()` ends only when it is cancelled: a host without its services still is a good hypervisor."""

    def __init__(
        self, config: Config, world: World, position: Callable[[], Position | None], told: Callable[[str], None]
    ) -> None:
        """`told` hears why the services don't work here, "" once they do."""
        self.built = asyncio.Event()
        """The veth is new: the switch has to take it up again. Whoever has seen to that says `taken_up`."""
        self._harmed = asyncio.Event()
        self._serving = False
        self._config = config
        self._tell = told
        self._place = ServicesPlace(config.rundir, config.namespace)
        self._nova = nova.Nova(config.nova) if config.nova else None
        askers = Askers(world)
        self._metadata = Metadata(config.metadata, askers, world, self._nova)
        self._resolver = Resolver(config.resolver, askers, NetworkNames(world, position, time.monotonic))

    async def run(self) -> Never:
        told = ""
        try:
            while True:
                try:
                    await apart(self._serve())
                except* OSError as lost:
                    reason = "; ".join(map(str, _leaves(lost)))
                    self._tell(f"no metadata and names for guests here: {reason}")
                    if reason != told:
                        log.error("services_failed", reason=reason, effect="no metadata and names for guests here")
                    told = reason
                await asyncio.sleep(self._config.pause_s)
        finally:
            if self._nova is not None:
                await self._nova.close()

    async def taken_up(self) -> None:
        """The switch has the new veth. Raises OSError."""
        await asyncio.to_thread(self._place.note_taken_up)
        self.built.clear()
        log.info("services_taken_up")

    async def harm(self) -> str:
        """What of the place isn't as it was left, "" for nothing; it is put right, or built again. Raises OSError."""
        if not self._serving or self.built.is_set():
            return ""
        if not await asyncio.to_thread(self._place.is_whole):
            self._harmed.set()
            return "namespace or veth"
        return "addresses, routes or neighbours" if await asyncio.to_thread(self._place.put_right) else ""

    async def _serve(self) -> None:
        place = self._place
        if await asyncio.to_thread(place.build):
            self.built.set()
        served = (
            (self._metadata.serve, await asyncio.to_thread(place.listen, METADATA_L4_PORT)),
            (self._resolver.serve_streams, await asyncio.to_thread(place.listen, DNS_L4_PORT)),
            (self._resolver.serve_datagrams, await asyncio.to_thread(place.receive, DNS_L4_PORT)),
        )
        self._harmed.clear()
        with contextlib.ExitStack() as opened:
            self._serving = True
            opened.callback(setattr, self, "_serving", False)
            self._tell("")
            log.info("services_ready", nova=self._config.nova.url if self._config.nova else None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._notice_harm())
                for serve, sockets in served:
                    for each in sockets:
                        tasks.create_task(serve(opened.enter_context(each)))

    async def _notice_harm(self) -> None:
        await self._harmed.wait()
        raise OSError("the services' namespace or its veth is not as it was left")


def _leaves(group: BaseExceptionGroup[OSError]) -> Iterator[OSError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
