"""What agents tell of what happened on their hosts gets to the trail: once, of their own host, in plain short words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.model.errors import BadRequest
from suimon.model.host_events import KINDS, HostEvent
from suimon.model.view import Drift, Position, Report
from suimon.resources import hosts
from suimon.resources.host_events import Asked, list_events
from suimon.store.store import Store
from tests.distribution.acts import ADMIN
from tests.distribution.world import NOW, make_host, open_store, put

HV1, HV2 = make_host("hv1", "192.0.2.1"), make_host("hv2", "192.0.2.2")


class Site:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.distribution = Distribution(DistributionConfig(), store, hosts, lambda: NOW)

    async def tell(self, *drifts: Drift, host=HV1) -> None:
        await self.distribution.report(host, Report(Position(*self.store.position(), ()), drifts=drifts))

    async def trail(self, host: str = "hv1") -> list[HostEvent]:
        return await self.store.read(lambda tx: list_events(tx, ADMIN, host, Asked(None, None, KINDS, 1000)))


def on_site(folder: Path, body) -> None:
    async def run() -> None:
        async with open_store(folder) as store, asyncio.timeout(20):
            await put(store, HV1, HV2)
            await body(Site(store))

    asyncio.run(run())


def test_a_report_that_is_told_twice_is_there_once_and_removals_are_no_drifts(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        drift = Drift("port/p", missing=2, id="a", age_s=5)
        removal = Drift("bridge/br-old", extra=1, kind="removal", id="b", by="alice (uid 1000): suimon agent clean")
        for _ in range(2):
            await site.tell(drift, removal)
        found = {each.id: each for each in await site.trail()}
        assert {id_: (each.kind, each.author) for id_, each in found.items()} == {
            "a": ("drift", "agent"),
            "b": ("removal", "alice (uid 1000): suimon agent clean"),
        }
        assert {each.owner for each in site.distribution.state("hv1").drifts} == {"port/p"}

    on_site(tmp_path, body)


def test_all_of_a_report_is_kept_and_each_host_has_its_own(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        await site.tell(*(Drift("", id=f"e{number}") for number in range(100)))
        await site.tell(Drift("", id="e0"), host=HV2)
        assert (len(await site.trail()), len(await site.trail("hv2"))) == (100, 1)

    on_site(tmp_path, body)


def test_hostile_words_and_numbers_are_bounded(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        evil = "\x1b[2J" + "x" * 5000
        await site.tell(Drift(evil, 10**30, -5, 10**30, evil, True, evil, 1e300, "repair", evil, evil))
        (event,) = await site.trail()
        texts = (event.owner, event.example, event.reason, event.author, event.id)
        assert all(text.startswith(" [2J") and text.isprintable() for text in texts)
        assert [len(text) for text in texts] == [1000] * 4 + [64]
        assert (event.missing, event.changed, event.extra) == (1 << 32, 0, 1 << 32)
        with pytest.raises(BadRequest, match="1000 drifts at most"):
            await site.tell(*(Drift("") for _ in range(1001)))
        assert len(await site.trail()) == 1

    on_site(tmp_path, body)


def test_a_report_that_could_not_be_written_is_refused_so_that_it_comes_again(tmp_path: Path, monkeypatch) -> None:
    async def body(site: Site) -> None:
        def broken(*_: object) -> None:
            raise BadRequest("no")

        with monkeypatch.context() as patched:
            patched.setattr(hosts, "note_events", broken)
            with pytest.raises(BadRequest):
                await site.tell(Drift("port/p", id="a"))
        assert await site.trail() == []
        await site.tell(Drift("port/p", id="a"))
        assert len(await site.trail()) == 1

    on_site(tmp_path, body)
