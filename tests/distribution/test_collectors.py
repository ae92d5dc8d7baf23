"""Which port is where: told to collectors whole, then by what changed, and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from suimon.distribution.collectors import Collectors
from suimon.model import things, view
from suimon.model.actor import SYSTEM, Actor
from suimon.model.collectors import CollectorJoin, FailedDetector, MapAnswer, MapRequest
from suimon.model.errors import BadRequest, Forbidden, NotFound, Unauthorized
from suimon.model.incidents import DETECTOR_FAILED, Entry, Incident, runbook
from suimon.resources import collectors as acts
from suimon.resources import hosts
from suimon.store.store import Store
from tests.distribution.world import make, make_host, make_port, open_store, put, write

KEY = "k" * 43


def with_store(folder: Path, body: Callable[[Store, Collectors], Awaitable[None]], **config: float) -> None:
    async def run() -> None:
        async with open_store(folder, **config) as store:
            async with asyncio.timeout(30):
                await body(store, Collectors(store, acts))

    asyncio.run(run())


async def join(store: Store, collectors: Collectors, name: str = "c1", **wrong: str) -> str:
    lifetime = timedelta(hours=1)
    await write(store, lambda tx: acts.create_collector_token(tx, SYSTEM, f"t-{name}", lifetime, name))
    wanted = CollectorJoin(f"t-{name}", name, "http://192.0.2.9:9698", KEY)
    return (await collectors.join(msgspec.structs.replace(wanted, **wrong))).credential


def test_a_collector_joins_once_by_a_token_of_its_own(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        for wrong in ({"url": "ftp://x"}, {"key": "short"}):
            with pytest.raises(BadRequest):
                await join(store, collectors, f"c-{min(wrong)}", **wrong)
        credential = await join(store, collectors)
        assert (await collectors.authenticate(credential)).name == "c1"
        again = CollectorJoin("t-c1", "c1", "http://192.0.2.9:9698", KEY)
        with pytest.raises(Unauthorized):
            await collectors.join(again)
        with pytest.raises(Unauthorized):
            await collectors.authenticate(KEY)

    with_store(tmp_path, body)


def test_who_joins_again_is_one_collector_with_another_credential_until_it_is_removed(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        first, second = await join(store, collectors), await join(store, collectors)
        assert (await collectors.authenticate(second)).name == "c1"
        with pytest.raises(Unauthorized):
            await collectors.authenticate(first)
        tenant = Actor("anna", "red", frozenset({"member"}))
        for wrong, error in ((tenant, Forbidden), (SYSTEM, NotFound)):
            with pytest.raises(error):
                await write(store, lambda tx: acts.delete_collector(tx, wrong, "c2"))  # noqa: B023 (awaited)
        with pytest.raises(Forbidden):
            await write(store, lambda tx: acts.create_collector_token(tx, tenant, "t", timedelta(hours=1), "c1"))
        for name in ("", "a/b", "-c", "c" * 64):
            with pytest.raises(BadRequest):
                await write(store, lambda tx: acts.create_collector_token(tx, SYSTEM, "t", timedelta(1), name))  # noqa: B023
        await write(store, lambda tx: acts.delete_collector(tx, SYSTEM, "c1"))
        with pytest.raises(Unauthorized):
            await collectors.authenticate(second)

    with_store(tmp_path, body)


def test_one_that_asks_is_noted_as_heard_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        now_s = [1000.0]
        collectors = Collectors(store, acts, lambda: now_s[0])
        known = await collectors.authenticate(await join(store, collectors))
        assert known.heard_at is None
        before, noted, note = store.position()[2], [], acts.note_heard
        monkeypatch.setattr(acts, "note_heard", lambda tx, *said: noted.append(now_s[0]) or note(tx, *said))
        for now_s[0] in (1000.0, 1029.0, 1030.0):
            await collectors.heard(known)
        assert noted == [1000.0, 1030.0]
        (one,) = await store.read(acts.list_collectors)
        assert one.heard_at is not None
        assert store.position()[2] == before, "nobody is told of it"

    with_store(tmp_path, body)


def test_a_note_that_fails_does_not_fail_the_answer_and_is_made_the_next_time(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        known = await collectors.authenticate(await join(store, collectors))
        with contextlib.closing(
            sqlite3.connect(store._config.url.removeprefix("sqlite:///"), isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            await collectors.heard(known)
            assert (await collectors.ports(MapRequest())).whole
            other.execute("ROLLBACK")
        assert (await store.read(acts.list_collectors))[0].heard_at is None
        await collectors.heard(known)
        assert (await store.read(acts.list_collectors))[0].heard_at is not None

    with_store(tmp_path, body, busy_timeout_s=0.1)


def test_detectors_that_a_collector_says_throw_are_an_alarm_each(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        now_s = 1000.0
        collectors = Collectors(store, acts, lambda: now_s)
        known = await collectors.authenticate(await join(store, collectors))
        failed = [FailedDetector(name, 3, "by design") for name in ("udp_flood", "breaker", "x" * 128)]
        await collectors.heard(known, failed)
        now_s += 40.0
        await collectors.heard(known, failed)
        told = await store.read(lambda tx: tx.select(Incident))
        assert {(one.rule, one.subject_kind, one.subject_id, one.state) for one in told} == {
            ("detector:udp_flood", "collector", "c1", "alarm"), ("detector:all", "collector", "c1", "alarm"),
        }  # fmt: skip
        lines = await store.read(lambda tx: tx.select(Entry))
        assert len(lines) == 2 and all("by design" in one.words and one.project_id is None for one in lines)
        assert {one.details["runbook"] for one in lines} == {runbook(DETECTOR_FAILED)}

    with_store(tmp_path, body)


def test_tokens_of_hosts_and_collectors_are_not_each_other_s(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        lifetime = timedelta(hours=1)
        await write(store, lambda tx: hosts.create_join_token(tx, SYSTEM, "of-a-host", lifetime))
        await write(store, lambda tx: acts.create_collector_token(tx, SYSTEM, "of-a-collector", lifetime, "c1"))
        with pytest.raises(Unauthorized):
            await collectors.join(CollectorJoin("of-a-host", "c1", "http://192.0.2.9:9698", KEY))
        with pytest.raises(Unauthorized):
            await store.read(lambda tx: hosts.require_join_token(tx, view.Join("of-a-collector", "h1", None)))
        with pytest.raises(Unauthorized):
            await collectors.join(CollectorJoin("of-a-collector", "c2", "http://192.0.2.9:9698", KEY))

    with_store(tmp_path, body)


def test_all_ports_come_once_then_what_changed(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(store, make_host("h1", "192.0.2.1"), network, port)
        first = await collectors.ports(MapRequest())
        assert first.whole and [each.id for each in first.ports] == [port.id]
        told = first.ports[0]
        assert (told.host, told.exporter, told.ifindex, told.mac) == ("h1", "192.0.2.1", 0, port.mac_address)
        assert await collectors.ports(first.position, 0) == MapAnswer(first.store, first.epoch, first.revision, False)
        waiting = asyncio.create_task(collectors.ports(first.position))
        await write(store, lambda tx: hosts.note_plugs(tx, "h1", {port.id: view.Exported(12, "198.51.100.1")}))
        plugged = await waiting
        named = [(each.id, each.ifindex, each.exporter) for each in plugged.ports]
        assert not plugged.whole and named == [(port.id, 12, "198.51.100.1")]
        await write(store, lambda tx: tx.delete(port))
        gone = await collectors.ports(plugged.position)
        assert (gone.whole, gone.ports, gone.gone) == (False, (), (port.id,))
        assert (await collectors.ports(MapRequest("another", 1, 1))).whole

    with_store(tmp_path, body)


def test_what_changed_of_one_port_is_as_the_whole_has_it_and_asks_for_no_other(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        network = make(things.Network, segment=7)
        ports = [make_port(network.id, "h1") for _ in range(3)]
        shared = make_port(network.id, "")
        own, other, held = (
            make(
                things.FloatingIp,
                floating_network_id=network.id,
                floating_ip_address=f"203.0.113.{n}",
                floating_port_id=shared.id,
                port_id=port.id,
                holder_id=holder,
            )
            for n, port, holder in ((1, ports[0], None), (2, ports[1], None), (3, shared, ports[0].id))
        )
        await put(store, make_host("h1", "192.0.2.1"), network, *ports, shared, own, other, held)
        first = await collectors.ports(MapRequest())
        assert first.ports[0].addresses[-2:] == ("203.0.113.1", "203.0.113.3")
        heard: list[str] = []
        await write(
            store,
            lambda tx: hosts.note_plugs(tx, "h1", {port.id: view.Exported(n) for n, port in enumerate(ports, 12)}),
        )
        plugged = await collectors.ports(first.position)
        await write(store, lambda tx: tx.change(ports[0], mac_address="02:00:00:00:00:77"))
        store.trace(heard.append)
        changed = await collectors.ports(plugged.position)
        store.trace(None)
        whole = {port.id: port for port in (await collectors.ports(MapRequest())).ports}
        assert {port.id for port in whole.values()} == {port.id for port in ports}
        assert changed.ports == (whole[ports[0].id],) and whole[ports[0].id].ifindex == 12
        assert not any(port.id in statement for port in ports[1:] for statement in heard)
        assert all(ports[0].id in each for each in heard if "FROM plugs" in each or "FROM floating_ips" in each)

    with_store(tmp_path, body)


def test_a_host_says_only_where_its_own_ports_are(tmp_path: Path) -> None:
    async def body(store: Store, collectors: Collectors) -> None:
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(store, make_host("h1", "192.0.2.1"), network, port)
        await write(store, lambda tx: hosts.note_plugs(tx, "h2", {port.id: view.Exported(12)}))
        assert (await collectors.ports(MapRequest())).ports[0].ifindex == 0

    with_store(tmp_path, body)
