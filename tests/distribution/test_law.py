"""The law of distribution: a snapshot and the deltas after it make the snapshot of later, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suimon.distribution.dispatch import Dispatcher
from suimon.store import changes
from suimon.store.store import Store
from tests.distribution.acts import ACTS, BEGINNING, HOSTS, IMPOSSIBLE, SETTINGS, act, first_hosts
from tests.distribution.world import FRAME, Follower, open_store, running, settle, write

SEED = st.integers(0, 2**20)
LINES = ("reconnect", "reconnect_older", "check", "shorten", "restart")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *ACTS,
                *LINES,
                "update_port",
                "create_ports",
                "associate",
                "bind_besides",
                "activate_binding",
                "claim",
                "claim",
            ]
        ),
        SEED,
    ),
    max_size=30,
)


@given(STEPS, SEED)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_snapshot_and_deltas_make_the_snapshot_of_later(steps: list[tuple[str, int]], seed: int) -> None:
    # In memory where that can be: thousands of commits would wait for the disk.
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder, steady_ids():
        asyncio.run(_run(Path(folder), [*((name, seed + n) for n, name in enumerate(BEGINNING)), *steps, ("check", 0)]))


@contextmanager
def steady_ids() -> Iterator[None]:
    """The same ids in the same order every time, so that a failing example fails again."""
    random = Random(0)
    with patch("suimon.resources.ids.uuid.uuid4", lambda: UUID(int=random.getrandbits(128), version=4)):
        yield


async def _run(folder: Path, steps: list[tuple[str, int]]) -> None:
    async with open_store(folder, settings=SETTINGS) as store, AsyncExitStack() as stack:
        await write(store, first_hosts)
        story = Story(store, await stack.enter_async_context(running(store)))
        await story.begin()
        for name, seed in steps:
            if name == "restart":
                await stack.aclose()
                await story.restart(await stack.enter_async_context(running(store)))
            elif name in ACTS:
                await story.write(name, seed)
            else:
                await getattr(story, name)(Random(seed))


class Story:
    """Hosts that follow the store, and copies of them from earlier times."""

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self.store = store
        self.dispatcher = dispatcher
        self.followers = {host: Follower(host) for host in HOSTS}
        self.older: list[Follower] = []
        self.shortened = False

    async def begin(self) -> None:
        for follower in self.followers.values():
            await follower.connect(self.dispatcher)

    async def write(self, name: str, seed: int) -> None:
        try:
            await write(self.store, act(name, seed))
        except IMPOSSIBLE:
            return

    async def reconnect(self, random: Random) -> None:
        """What was queued and not taken is lost with the old line; meanwhile the store changes."""
        follower = self.followers[random.choice(HOSTS)]
        names = random.choices(("create_ports", "update_port", "delete_port", "create_rule"), k=random.randint(0, 3))
        amid = [self.write(name, random.randrange(2**20)) for name in names]
        await asyncio.gather(follower.connect(self.dispatcher), *amid)

    async def reconnect_older(self, random: Random) -> None:
        if self.older:
            twin = random.choice(self.older).copy()
            self.followers[twin.host] = twin
            await asyncio.gather(twin.connect(self.dispatcher), self.write("update_port", random.randrange(2**20)))

    async def restart(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        await self.begin()

    async def shorten(self, random: Random) -> None:
        self.shortened = True
        keep, newest = random.randint(0, 40), self.store.position()[2]
        await write(self.store, lambda tx: changes.shorten(tx._connection, keep, newest))

    async def check(self, _random: Random) -> None:
        await settle(self.store, self.dispatcher)
        for host, follower in self.followers.items():
            await follower.drain()
            if follower.closed:
                assert self.shortened, "only a log that was shortened before the dispatcher read it ends a stream"
                await follower.connect(self.dispatcher)
                await follower.drain()
            fresh = Follower(host)
            told = await self.store.read(lambda tx, host=host: self.dispatcher._wholes(tx, frozenset({host}))[host])  # type: ignore[misc]
            fresh.take(FRAME.decode(told.frame))
            assert follower.objects == fresh.objects
            assert follower.position is not None and fresh.position is not None
            assert follower.position.scopes == fresh.position.scopes
            self.older.append(follower.copy())
