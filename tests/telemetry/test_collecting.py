"""The collector at work: what comes by UDP is tagged and kept; what is lost is counted where it was."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from suimon.cli.watching import Watching
from suimon.detection.engine import Fault, Tally
from suimon.detection.records import Records
from suimon.detection.thresholds import Thresholds
from suimon.detection.udp_flood import UdpFlood
from suimon.model.collectors import Answer, MapAnswer, MappedPort, MapRequest, Question, TalkAsked
from suimon.model.findings import Finding, Subject
from suimon.model.records import Batch, batch_of
from suimon.telemetry.collecting import Collecting, Config
from suimon.telemetry.flow.collector import Collector
from suimon.telemetry.flow.exporters import Allowed, Exporters
from suimon.telemetry.flow.receiver import Config as ReceiverConfig
from suimon.telemetry.flow.receiver import Receiver
from suimon.telemetry.history.clickhouse import ClickHouse
from suimon.telemetry.history.clickhouse import Config as ClickHouseConfig
from suimon.telemetry.history.clickhouse_http import Address, Server
from suimon.telemetry.history.engine import History, Lot, QuestionRefused
from suimon.telemetry.history.segments import Config as SegmentsConfig
from suimon.telemetry.history.segments import Segments
from suimon.telemetry.history.tagging import Tagger
from tests.clickhouse import PASSWORD, PrivateServer, counted
from tests.detection.attacks import syn_flood_out
from tests.detection.traffic import Life, records, tags

NOW = 1_795_262_400.0
PORT = MappedPort("p1", "project", "net", "h1", "127.0.0.1", 7, "02:00:00:00:00:01", ("10.0.0.1",))


FOUND = Finding(
    id="f1",
    detector="mass_mail",
    subject=Subject("port", "p1"),
    role="source",
    since_s=NOW,
    seen_s=NOW,
    confidence=0.9,
    numbers={},
    words="It sends mail.",
    evidence=("port p1",),
)


def netflow5(count: int, ifindex: int = 7) -> bytes:
    """So many records of one packet of 100 bytes each (NetFlow v5), that came in by an interface."""
    header = struct.pack(">HHIIIIBBH", 5, count, 5000, int(NOW), 0, 0, 0, 0, 1)
    addresses = struct.pack(">III", 0x0A000001, 0xC6336401, 0)
    record = addresses + struct.pack(">HHIIII", ifindex, 0, 1, 100, 1000, 2000) + struct.pack(">HHBBBBHHBBH", *[9] * 11)
    return header + record * count


class Map:
    """Answers once, then has nothing new."""

    def __init__(self) -> None:
        self.news, self.again = asyncio.Event(), asyncio.Event()
        self.asked: list[MapRequest] = []
        self.told = asyncio.Queue[list[Finding]]()

    async def ports(self, asked: MapRequest) -> MapAnswer:
        self.asked.append(asked)
        if len(self.asked) > 1:
            self.again.set()
            await self.news.wait()
            self.news.clear()
        return MapAnswer("store", 1, 5, True, (PORT,))

    async def findings(self, found: Sequence[Finding]) -> None:
        self.told.put_nowait(list(found))


class Site:
    """Keeps records in a directory, or in an engine."""

    def __init__(self, kept: Path | History, **config: object) -> None:
        exporters = Exporters([Allowed("127.0.0.1")])
        segments = Segments(SegmentsConfig(kept), lambda: NOW) if isinstance(kept, Path) else kept
        self.map, self.seen = Map(), asyncio.Queue[Batch]()
        self.collecting = Collecting(
            Config((Allowed("127.0.0.1"),), **config),  # type: ignore[arg-type]
            Collector(exporters),
            segments,
            self.map,
        )
        self.collecting.detection = self
        self.receiver = Receiver(ReceiverConfig((("127.0.0.1", 0),)), self.collecting.take, lambda: NOW)
        self.receiver.open()

    def take(self, batch: Batch, tags: object, now_s: float) -> list[Finding]:
        """As the detectors do."""
        self.seen.put_nowait(batch)
        if batch["input"][0] == 99:
            raise ZeroDivisionError("a detector of this test")
        return [FOUND] if batch["input"][0] == 98 else []

    def look(self, now_s: float) -> list[Finding]:
        return []

    @property
    def tallies(self) -> dict[str, Tally]:
        return {}

    @property
    def faults(self) -> dict[str, Fault]:
        return {}

    async def send(self, datagram: bytes) -> Batch:
        """What the detectors were told of it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            exporter.sendto(datagram, self.receiver.addresses[0])
        return await asyncio.wait_for(self.seen.get(), 10)

    async def ask(self, filter_: str = "") -> Answer:
        return await self.collecting.ask(Question(filter_))

    def count(self, name: str) -> str:
        lines = [line for line in self.collecting.metrics(self.receiver) if not line.startswith("#")]
        return next(line.split()[-1] for line in lines if line.startswith(f"suimon_collector_{name}"))


def at_work(site: Site, scenario: object) -> None:
    async def run() -> None:
        running = asyncio.create_task(site.collecting.run(site.receiver))
        async with asyncio.timeout(20):
            await site.collecting.mapped.wait()
            await scenario()  # type: ignore[operator]
        running.cancel()
        await asyncio.wait((running,))

    asyncio.run(run())


def test_records_are_tagged_kept_and_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path, freshen_s=0.0)

    async def scenario() -> None:
        seen = await site.send(netflow5(3))
        assert set(seen["port"]) == {0} and set(seen["direction"]) == {1}
        await site.send(netflow5(2, ifindex=8))
        answer = await site.ask("port p1")
        assert (answer.total.records, answer.total.bytes) == (3, 300)
        assert (await site.ask()).total.records == 5
        assert site.map.asked[:2] == [MapRequest(), MapRequest("store", 1, 5)]

    at_work(site, scenario)


def test_a_clean_stop_keeps_what_was_in_memory(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def scenario() -> None:
        await site.send(netflow5(4))
        assert site.collecting.kept == 0

    at_work(site, scenario)
    assert site.collecting.kept == 4 and len(list((tmp_path / "open").iterdir())) == 1


def test_a_stop_in_the_middle_of_writing_waits_for_it(tmp_path: Path) -> None:
    site = Site(tmp_path, freshen_s=0.0)
    begun, goes_on, write = threading.Event(), threading.Event(), site.collecting._history.write

    def slowly(*what: Any) -> None:
        begun.set()
        assert goes_on.wait(10)
        write(*what)

    site.collecting._history.write = slowly  # type: ignore[method-assign]

    async def scenario() -> None:
        await site.send(netflow5(4))
        asking = asyncio.create_task(site.ask())
        await asyncio.to_thread(begun.wait, 10)
        asking.cancel()
        asyncio.get_running_loop().call_later(0.1, goes_on.set)

    at_work(site, scenario)
    assert site.collecting.kept == 4 and len(list((tmp_path / "open").iterdir())) == 1


def test_what_the_writer_has_no_room_for_is_counted_as_its_exporter_s(tmp_path: Path) -> None:
    site = Site(tmp_path, most_waiting=5)

    async def scenario() -> None:
        await site.send(netflow5(4))
        await site.send(netflow5(3))
        assert site.count("records_waiting") == "4"
        assert site.count('exporter_queue_total{exporter="127.0.0.1"}') == "3"

    at_work(site, scenario)


def test_records_are_written_while_an_hour_is_packed(tmp_path: Path) -> None:
    site = Site(tmp_path, segment_s=0.05)
    packing, packed = threading.Event(), threading.Event()

    def long() -> None:
        packing.set()
        assert packed.wait(20)

    site.collecting._history.tend = long  # type: ignore[method-assign]

    async def scenario() -> None:
        assert await asyncio.to_thread(packing.wait, 10)
        try:
            await site.send(netflow5(4))
            while site.collecting.kept < 4:  # noqa: ASYNC110  (it is a counter)
                await asyncio.sleep(0.01)
        finally:
            packed.set()

    at_work(site, scenario)


def test_trouble_of_history_is_told_and_stops_nothing_else(tmp_path: Path) -> None:
    site = Site(tmp_path, freshen_s=0.0)

    async def scenario() -> None:
        (tmp_path / "open").rename(tmp_path / "away")
        await site.send(netflow5(4))
        await site.ask()
        assert site.collecting.history_error and site.count("records_unkept_total") == "4"
        (tmp_path / "away").rename(tmp_path / "open")
        assert len(await site.send(netflow5(2))) == 2
        assert (await site.ask()).total.records == 2 and not site.collecting.history_error

    at_work(site, scenario)


def test_a_server_that_is_away_is_told_and_gets_later_what_there_was_room_for() -> None:
    async def scenario() -> None:
        await site.send(netflow5(4))
        with pytest.raises(QuestionRefused):
            await site.ask()
        with pytest.raises(QuestionRefused, match="answer now"):
            await site.collecting.talk(TalkAsked(int(NOW)))
        assert "refused" in site.collecting.history_error and site.count("history_stopped") == "1"
        assert len(await site.send(netflow5(2))) == 2, "receiving and detecting go on"
        assert (site.count("records_waiting"), site.count("records_unkept_total")) == ("6", "0")
        await site.send(netflow5(3))
        assert site.count('exporter_queue_total{exporter="127.0.0.1"}') == "3"
        server.start()
        site.collecting._retry_at = 0.0
        assert (await site.ask()).total.records == 6
        assert not site.collecting.history_error and site.count("records_waiting") == "0"
        await site.send(netflow5(1))
        server.stop()
        with pytest.raises(QuestionRefused):
            await site.ask()
        assert site.collecting._retry_s > 0

    with PrivateServer() as server:
        at = server.address()
        server.stop()
        engine = ClickHouse(ClickHouseConfig("flows-1"), Server(at, PASSWORD), lambda: NOW)
        site = Site(engine, freshen_s=0.0, most_waiting=8)
        at_work(site, scenario)
        assert (site.collecting.kept, site.collecting.unkept) == (6, 1), "what it lacks at the end is counted"
        server.start()
        assert counted(Server(at, PASSWORD)) == 6


def test_who_is_away_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tried = [100.0], []
    with socket.create_server(("127.0.0.1", 0)) as gone:
        at = Address("127.0.0.1", gone.getsockname()[1])
    engine = ClickHouse(ClickHouseConfig("flows-1"), Server(at), lambda: NOW)
    write = engine.write

    def count(lot: Lot) -> None:
        tried.append((now[0], lot.number))
        write(lot)

    monkeypatch.setattr(engine, "write", count)
    monkeypatch.setattr("suimon.telemetry.collecting.time.monotonic", lambda: now[0])
    collecting = Site(engine).collecting
    collecting._waiting = [(batch_of(1), Tagger((), ()))]

    async def try_on() -> None:
        while len(tried) < 8:
            await collecting._flush()
            now[0] += 0.5

    asyncio.run(try_on())
    waits = [after - before for (before, _), (after, _) in itertools.pairwise(tried)]
    assert waits == [2, 4, 8, 16, 32, 60, 60] and len({number for _, number in tried}) == 1


def test_a_detector_that_throws_is_counted_and_its_records_are_kept(tmp_path: Path) -> None:
    site = Site(tmp_path, freshen_s=0.0)

    async def scenario() -> None:
        await site.send(netflow5(1, ifindex=99))
        assert site.count("detector_faults_total") == "1"
        assert (await site.ask()).total.records == 1
        await site.map.again.wait()
        assert site.map.asked[1].failed == ()
        site.map.again.clear()
        site.map.news.set()
        await asyncio.wait_for(site.map.again.wait(), 10)
        ((name, times, reason),) = map(msgspec.structs.astuple, site.map.asked[2].failed)
        assert (name, times) == ("all", 1) and "a detector of this test" in reason

    at_work(site, scenario)


def test_a_detector_s_own_faults_are_counted_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(UdpFlood, "step", fails)
    site, looking, at = Site(tmp_path), Records(Thresholds(), 1), tags(1)
    site.collecting.detection = watching = Watching(looking)
    monkeypatch.setattr("suimon.detection.episodes._MOST", 0)
    batch = records(syn_flood_out(Life(16.0), 0))
    came_s = float(batch["ended"].max())
    for late_s in (0, 1):
        site.collecting._detect(lambda _now_s, at_s=came_s + late_s: watching.take(batch, at, at_s))  # type: ignore[misc]
    assert looking.engine.faults["udp_flood"].times == 1
    monkeypatch.setattr("suimon.telemetry.collecting.time.time", lambda: came_s + 599.0)
    assert [(one.name, one.times) for one in site.collecting._failed()] == [("udp_flood", 1)]
    monkeypatch.setattr("suimon.telemetry.collecting.time.time", lambda: came_s + 602.0)
    assert site.collecting._failed() == (), "it has worked since"
    assert site.count('detector_faults_total{detector="udp_flood"}') == "1"
    assert site.count('detector_faults_total{detector="port_scan"}') == "0"
    assert site.count('detector_faults_total{detector="all"}') == "0"
    assert site.count('findings_untold_total{detector="syn_flood"}') != "0"
    site.receiver.close()


def test_what_is_found_is_told_to_the_controller(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def scenario() -> None:
        await site.send(netflow5(1, ifindex=98))
        assert await site.map.told.get() == [FOUND]

    at_work(site, scenario)
