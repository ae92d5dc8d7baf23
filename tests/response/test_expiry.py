"""Restrictions end in the record at their time, give or take a minute, over restarts of the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from suimon.model.actor import Actor
from suimon.model.things import Port, Restriction
from suimon.resources import restrictions
from suimon.response.expiry import Expiry, ExpiryConfig
from suimon.store import Store, StoreConfig
from tests.databases import empty_database
from tests.distribution.world import make

ADMIN = Actor("root", "operators", frozenset({"admin"}))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PORT = make(Port, network_id="n", mac_address="02:00:00:00:00:01", project_id="red")


class Controller:
    """One life of a controller after the other, on one database, by a clock that a test sets."""

    def __init__(self, url: str) -> None:
        self.now = BEGAN
        self._url = url
        self.store = self._opened()

    def restart(self) -> None:
        self.store.close()
        self.store = self._opened()

    async def state_after(self, passed: timedelta, id_: str) -> str:
        self.now = BEGAN + passed
        await Expiry(ExpiryConfig(), self.store).look()
        found = await self.store.read(lambda tx: tx.get(Restriction, id_))
        return found.state if found else "forgotten"

    def _opened(self) -> Store:
        store = Store(StoreConfig(self._url), lambda: self.now)
        store.open()
        return store


@pytest.fixture
def controller() -> Iterator[Controller]:
    with empty_database() as url:
        made = Controller(url)
        yield made
        made.store.close()


async def restricted(controller: Controller) -> str:
    body = {"kind": "quarantine", "target_kind": "project", "target": "red", "reason": "x", "duration_s": 86_400}
    wanted = restrictions.SPEC.for_create(body, ADMIN)
    made = await controller.store.write(lambda tx: restrictions.create_restrictions(tx, ADMIN, [wanted])[0], ADMIN)
    return made.id


def test_after_a_day_it_is_over_and_not_a_minute_before(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        monkeypatch.setattr(restrictions, "_target", lambda _tx, _kind, target: (target, target))
        id_ = await restricted(controller)
        controller.restart()
        day, minute = timedelta(days=1), timedelta(minutes=1)
        assert await controller.state_after(day - minute, id_) == "active"
        controller.restart()
        assert await controller.state_after(day + minute, id_) == "expired"
        await Expiry(ExpiryConfig(keep_days=7), controller.store).forget()
        assert await controller.state_after(timedelta(days=6), id_) == "expired"
        controller.now = BEGAN + timedelta(days=9)
        await Expiry(ExpiryConfig(keep_days=7), controller.store).forget()
        assert await controller.state_after(timedelta(days=9), id_) == "forgotten"

    asyncio.run(play())
