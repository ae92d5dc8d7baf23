"""The hosts' listener over real HTTP: joining, following, reporting, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import structlog
import uvicorn
from sqlalchemy import select

from suimon.distribution.application import hosts_app
from suimon.distribution.collectors import Collectors
from suimon.distribution.config import DistributionConfig
from suimon.distribution.distribution import Distribution
from suimon.model import things, view
from suimon.model.actor import SYSTEM
from suimon.resources import collectors as collector_acts
from suimon.resources import hosts as acts
from suimon.store.store import Store
from suimon.store.tables import PLUGS
from tests.distribution.world import (
    FRAME,
    NOW,
    PATIENT,
    make,
    make_port,
    open_store,
    put,
    put_port,
    settle,
    traced,
    write,
)

CONFIG = msgspec.structs.replace(PATIENT, ping_s=0.05, body_timeout_s=0.3)


class Site:
    """A running listener, its store, and a client."""

    def __init__(self, store: Store, distribution: Distribution, session: aiohttp.ClientSession) -> None:
        self.store = store
        self.distribution = distribution
        self.session = session

    async def join(self, host: str, tunnel_ip: str | None = None, **fields: Any) -> str:
        await write(self.store, lambda tx: acts.create_join_token(tx, SYSTEM, f"t-{host}", timedelta(hours=1), host))
        status, joined = await self.post("join", view.Join(f"t-{host}", host, tunnel_ip, **fields))
        assert status == 200, joined
        return str(joined["credential"])

    async def post(self, path: str, body: object, credential: str = "") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self.session.post(f"/hosts/v1/{path}", data=data, headers=_bearer(credential)) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    @asynccontextmanager
    async def watch(self, credential: str, position: view.Position | None = None) -> AsyncIterator[Any]:
        data = msgspec.json.encode(view.Watch(view.SCHEMA, position))
        async with self.session.post("/hosts/v1/watch", data=data, headers=_bearer(credential)) as response:
            assert response.status == 200
            yield response.content


def _bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"} if credential else {}


async def frame_from(lines: Any, kind: type[Any]) -> Any:
    async for line in lines:
        frame = FRAME.decode(line)
        if isinstance(frame, kind):
            return frame
    raise AssertionError(f"the stream ended without a {kind.__name__}")


def on_site(folder: Path, body: Callable[[Site], Awaitable[None]], config: DistributionConfig = CONFIG) -> None:
    async def run() -> None:
        async with open_store(folder) as store:
            distribution = Distribution(config, store, acts, lambda: NOW)
            options: dict[str, Any] = {"lifespan": "off", "log_config": None, "timeout_graceful_shutdown": 1}
            server = uvicorn.Server(
                uvicorn.Config(hosts_app(distribution, Collectors(store, collector_acts)), port=0, **options)
            )
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                following = group.create_task(distribution.run())
                serving = group.create_task(server.serve())
                while not server.started:  # noqa: ASYNC110 (uvicorn rings no bell)
                    await asyncio.sleep(0.01)
                url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
                async with aiohttp.ClientSession(url) as session:
                    await body(Site(store, distribution, session))
                following.cancel()
                server.should_exit = True
                await serving

    asyncio.run(run())


def test_a_host_joins_and_follows_its_view(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1", "192.0.2.1")
        network = make(things.Network, segment=7)
        async with site.watch(credential) as lines:
            first = await frame_from(lines, view.Snapshot)
            assert first.position.scopes == ("host:h1",)
            await put(site.store, network, make_port(network.id, "h1"))
            delta = await frame_from(lines, view.Delta)
            assert {view.key(thing)[0] for thing in delta.objects} == {"network", "port", "peer"}
            ping = await frame_from(lines, view.Ping)
            assert (ping.revision, ping.clock_s) == (delta.position.revision, NOW.timestamp())
            await write(site.store, lambda tx: tx.change(network, name="told to nobody"))
            while (await frame_from(lines, view.Ping)).revision != site.store.position()[2]:
                pass
        async with site.watch(credential, delta.position) as lines:
            again = await frame_from(lines, view.Delta)
            assert (again.objects, again.deleted, again.dropped) == ((), (), ())

    on_site(tmp_path, body)


def test_who_shows_no_valid_credential_gets_401_and_one_sentence(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        old = await site.join("h1")
        async with site.watch(old) as lines:
            await frame_from(lines, view.Snapshot)
            new = await site.join("h1")
            with pytest.raises(AssertionError, match="ended"):
                await frame_from(lines, view.Delta)
        for path, sent in (("watch", view.Watch(1)), ("report", view.Report(view.Position("", 0, 0)))):
            for credential in ("", old, "x" * 300):
                status, error = await site.post(path, sent, credential)
                assert (status, list(error)) == (401, ["error"])
        assert (await site.post("report", view.Report(view.Position("", 0, 0)), new))[0] == 204

    on_site(tmp_path, body)


def test_nonsense_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        for sent in (
            b"",
            b"{",
            b"[]",
            b'{"schema": "x"}',
            b"\xff\xfe",
            b'{"schema": 1, "position": 5}',
            b"[" * 100_000,
        ):
            status, error = await site.post("watch", sent, credential)
            assert status == 400 and error["error"].startswith("The body is not a Watch"), error
        status, error = await site.post("join", b" " * (65 << 10))
        assert (status, error["error"]) == (400, "The body is longer than 65536 bytes.")
        for schema, words in ((view.SCHEMA + 1, "upgrade the controller"), (0, "upgrade the agent")):
            for path, sent in (("watch", view.Watch(schema)), ("join", view.Join("t", "h2", None, schema=schema))):
                status, error = await site.post(path, sent, credential)
                assert status == 400 and words in error["error"]
        for path in ("/", "/v2.0/networks", "/hosts/v1/other"):
            async with site.session.get(path) as response:
                assert response.status == 404
        async with site.session.get("/healthz") as response:
            assert response.status == 200

    on_site(tmp_path, body)


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(5)

        async with site.session.post("/hosts/v1/join", data=slow()) as response:
            assert response.status == 400
            assert "within 0.3 s" in await response.text()

    on_site(tmp_path, body)


def test_snapshots_beyond_the_rate_are_put_off(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        async with site.watch(credential) as lines:
            await frame_from(lines, view.Snapshot)
        async with site.watch(credential) as lines:
            assert (await frame_from(lines, view.Retry)).after_s > 50
            assert await lines.read() == b""

    on_site(tmp_path, body, msgspec.structs.replace(CONFIG, snapshots_per_s=0.01, snapshot_burst=1))


def test_a_host_reports_on_its_own_ports_only(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        mine, foreign = make_port(network.id, "h1"), make_port(network.id, "h2")
        await put(site.store, network, mine, foreign)
        position = view.Position(*site.store.position())
        report = view.Report(
            position,
            (*(view.PortReport(port.id, "ACTIVE") for port in (mine, foreign)), view.PortReport("gone", "ACTIVE")),
            held="deletes too much",
            failures={"port/x": "no meter left"},
            clock_s=NOW.timestamp() - 60,
        )
        clocks: dict[str, float] = {}
        site.distribution.hear_clock = clocks.__setitem__
        with structlog.testing.capture_logs() as logs:
            assert (await site.post("report", report, credential))[0] == 204
        assert [(log["host"], log["port"]) for log in logs if log["event"] == "report_refused"] == [("h1", foreign.id)]
        ports = await site.store.read(lambda tx: {port.id: port.status for port in tx.select(things.Port)})
        assert ports == {mine.id: "ACTIVE", foreign.id: "DOWN"}
        state = site.distribution.state("h1")
        assert (state.up, state.linked, state.held, state.refused_reports) == (True, False, "deletes too much", 1)
        assert state.failures == {"port/x": "no meter left"}
        assert (clocks, state.clock_offset_s) == ({"h1": NOW.timestamp() - 60}, -60)
        assert (state.revision, state.lag_revisions) == (
            position.revision,
            site.store.position()[2] - position.revision,
        )

    on_site(tmp_path, body)


def test_a_report_from_ahead_begins_an_epoch_before_it_is_written(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(site.store, network, port)
        store, epoch, revision = site.store.position()
        report = view.Report(view.Position(store, epoch, revision + 1), (view.PortReport(port.id, "ACTIVE"),))
        assert (await site.post("report", report, credential))[0] == 204
        assert site.store.position()[1] > epoch
        (kept,) = await site.store.read(lambda tx: tx.select(things.Port))
        assert kept.status == "ACTIVE"

    on_site(tmp_path, body)


def test_a_hostile_report_is_bounded_and_its_words_are_plain(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(site.store, network, port)
        position = view.Position(site.store.position()[0], 10**30, -(10**30))
        many = {f"port/{number}": "x" * 2000 for number in range(1000)}
        told = view.PortReport(port.id, "DOWN", "\0no\nmeter", 7, "0.0.0.0/0")
        report = view.Report(position, (told,), "\x1b[2Jheld", many)
        assert (await site.post("report", report, credential))[0] == 204
        state = site.distribution.state("h1")
        assert state.held == " [2Jheld"
        assert len(state.failures) == 100 and set(map(len, state.failures.values())) == {1000}
        (kept,) = await site.store.read(lambda tx: tx.select(things.Port))
        assert kept.status_reason == " no meter"
        assert await site.store.read(lambda tx: tx.rows(select(PLUGS.c.ifindex, PLUGS.c.exporter), {})) == [(7, "")]
        crowd = tuple(view.PortReport(f"p{number}", "DOWN") for number in range(40_000))
        status, error = await site.post("report", view.Report(position, crowd), credential)
        assert (status, error["error"]) == (400, "A report speaks of 10000 ports at most.")

    on_site(tmp_path, body)


def test_a_guessed_token_takes_no_turn_of_those_who_write(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        with traced(site.store) as statements:
            status, error = await site.post("join", view.Join("guess", "h1", None))
        assert status == 401 and "ask the operator" in error["error"]
        assert [statement.split()[0] for statement in statements] == ["SELECT"]

    on_site(tmp_path, body)


def test_the_same_report_again_writes_nothing(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(site.store, network, port)
        report = view.Report(view.Position(*site.store.position()), (view.PortReport(port.id, "DOWN", "x" * 5000),))
        await site.post("report", report, credential)
        await settle(site.store, site.distribution)
        revision = site.store.position()[2]
        with traced(site.store) as statements:
            await site.post("report", report, credential)
        assert len(statements) == 1
        assert site.store.position()[2] == revision

    on_site(tmp_path, body)


def test_a_host_is_up_while_it_listens_and_shortly_after_it_reported(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        assert not site.distribution.state("h1").up
        async with site.watch(credential) as lines:
            await frame_from(lines, view.Snapshot)
            assert site.distribution.state("h1").linked
        async with asyncio.timeout(5):
            while site.distribution.state("h1").linked:  # noqa: ASYNC110 (the server notices by itself)
                await asyncio.sleep(0.01)
        assert not site.distribution.state("h1").up

    on_site(tmp_path, body)


def test_what_was_accepted_ends_when_the_host_has_applied_it(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        port = make_port(network.id, "h1")
        await put(site.store, network, port)
        async with site.watch(credential, view.Position("another", 9, 9)) as lines:
            assert not (await frame_from(lines, view.Snapshot)).accepted
            await write(site.store, lambda tx: put_port(tx, port, None))
            await frame_from(lines, view.Delta)
            await write(site.store, lambda tx: acts.accept_host(tx, SYSTEM, "h1"))
            snapshot = await frame_from(lines, view.Snapshot)
            assert snapshot.accepted and snapshot.objects == ()
        old = view.Report(view.Position("another", 9, 9))
        for report, epoch in (
            (old, 1),
            (view.Report(snapshot.position, held="x"), 1),
            (view.Report(snapshot.position), 0),
        ):
            await site.post("report", report, credential)
            host = await site.store.read(lambda tx: tx.get(things.Host, "h1"))
            assert host is not None and host.accepted_epoch == epoch

    on_site(tmp_path, body)


def test_an_agent_with_100_ports_that_restarts_costs_five_statements(tmp_path: Path) -> None:
    """It shows its credential, gets what it missed, and tells that all of its ports are as they were."""

    async def body(site: Site) -> None:
        credential = await site.join("h1")
        network = make(things.Network, segment=7)
        ports = [make_port(network.id, "h1") for _ in range(100)]
        await put(site.store, network, *ports)
        told = tuple(view.PortReport(port.id, "ACTIVE") for port in ports)
        async with site.watch(credential) as lines:
            first = await frame_from(lines, view.Snapshot)
            await site.post("report", view.Report(first.position, told), credential)
        await settle(site.store, site.distribution)
        with traced(site.store) as statements:
            async with site.watch(credential, first.position) as lines:
                since = await frame_from(lines, view.Delta)
                assert since.objects == ()
                await site.post("report", view.Report(since.position, told), credential)
        said = [statement for statement in statements if statement.split()[0] not in ("BEGIN", "COMMIT", "ROLLBACK")]
        assert len(said) <= 5, [each[:60] + " FROM " + each.split("FROM", 1)[-1][:60] for each in said]

    on_site(tmp_path, body)


def test_a_credential_that_was_good_is_refused_as_soon_as_the_log_says_so(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        credential, report = await site.join("h1"), view.Report(view.Position(*site.store.position()))
        for _ in range(2):
            assert (await site.post("report", report, credential))[0] == 204
        await write(site.store, lambda tx: acts.delete_host(tx, SYSTEM, "h1"))
        await settle(site.store, site.distribution)
        assert (await site.post("report", report, credential))[0] == 401

    on_site(tmp_path, body)
