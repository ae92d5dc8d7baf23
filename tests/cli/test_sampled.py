"""What detectors find in samples is noted in the store, once it can be, and one that fails is told."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from suimon.cli import sampled
from suimon.cli.sampled import Sampled
from suimon.detection.engine import Tally
from suimon.detection.heavy_traffic import HeavyTraffic
from suimon.detection.thresholds import Thresholds
from suimon.model.counts import Drops, Metered, Reading
from suimon.model.errors import Unavailable
from suimon.model.incidents import Entry, NotedFinding
from suimon.model.samples import Sample
from suimon.store.store import Store, StoreConfig
from suimon.telemetry.meter.database import Database
from suimon.telemetry.meter.history import Config as HistoryConfig
from suimon.telemetry.meter.history import History
from suimon.telemetry.meter.meters import Config as MetersConfig
from suimon.telemetry.meter.meters import Meters
from tests.patience import patient

QUIET, HEAVY = 1_000_000, 1_000_000_000


def sample(number: int, octets: int) -> Sample:
    return Sample("p", "tenant", "net", "hv1", 10.0 * number, 10.0 * number + 10, out_bytes=octets)


def noted(tmp_path: Path, *, failures: int = 0) -> list[NotedFinding]:
    """After an hour as usual, and a heavy minute."""

    async def body() -> list[NotedFinding]:
        store = Store(StoreConfig(url=f"sqlite:///{tmp_path}/suimon.db"))
        store.open()
        write, left = store.write, [Unavailable("not now")] * failures

        async def fails_first(*args: object) -> object:
            if left:
                raise left.pop()
            return await write(*args)

        store.write = fails_first
        try:
            detectors = Sampled(Thresholds(), store)
            with store.subscribe() as changed:
                running = asyncio.create_task(detectors.run())
                for number in range(366):
                    detectors.hear([sample(number, QUIET if number < 360 else HEAVY)])
                async with asyncio.timeout(10):
                    await changed.wait()
                running.cancel()
            return await store.read(lambda tx: tx.select(NotedFinding))
        finally:
            store.close()

    return asyncio.run(body())


@pytest.mark.parametrize("failures", [0, 2])
def test_a_port_that_suddenly_sends_a_thousand_times_as_much_is_noted_once(
    tmp_path: Path, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "_RETRY_S", 0.0)
    (found,) = noted(tmp_path, failures=failures)
    assert (found.detector, found.subject_id, found.project_id) == ("heavy_traffic", "p", "tenant")


def test_a_detector_that_fails_is_told_and_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ZeroDivisionError("by design")

    async def body() -> None:
        detectors = Sampled(Thresholds(), Store(StoreConfig(url=f"sqlite:///{tmp_path}/suimon.db")))
        with capture_logs() as logs:
            for number in range(3):
                monkeypatch.setattr(HeavyTraffic, "step", fails) if number < 2 else monkeypatch.undo()
                detectors.hear([sample(number, QUIET)])
        assert [line["event"] for line in logs] == ["detector_failed"] * 2
        assert detectors.tallies == {"heavy_traffic": Tally(2, 0), "forging": Tally(0, 0)}

    asyncio.run(body())


def test_operators_hear_of_a_detector_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ZeroDivisionError("by design")

    async def body() -> list[Entry]:
        store = Store(StoreConfig(url=f"sqlite:///{tmp_path}/suimon.db"))
        store.open()
        monkeypatch.setattr(HeavyTraffic, "step", fails)
        detectors = Sampled(Thresholds(), store)
        try:
            with store.subscribe() as changed:
                running = asyncio.create_task(detectors.run())
                detectors.hear([sample(0, QUIET)])
                async with asyncio.timeout(patient(10)):
                    await changed.wait()
                running.cancel()
            return await store.read(lambda tx: tx.select(Entry))
        finally:
            store.close()

    (told,) = asyncio.run(body())
    assert told.kind == "alarm" and "heavy_traffic" in told.words and "by design" in told.words
    assert str(told.details["runbook"]).endswith("#detector-failed") and told.project_id is None


def test_who_forges_is_noted_by_what_its_host_dropped(tmp_path: Path) -> None:
    async def body() -> list[NotedFinding]:
        store = Store(StoreConfig(url=f"sqlite:///{tmp_path}/suimon.db"))
        store.open()
        meters = Meters(MetersConfig(), History(HistoryConfig(), Database(f"sqlite:///{tmp_path}/metering.db")))
        detectors, whose = (
            Sampled(Thresholds(), store),
            {"p": Metered("tenant", "net"), "left": Metered("t", "n", False)},
        )
        meters.listen_to_drops(detectors.hear_drops)
        try:
            with store.subscribe() as changed:
                running = asyncio.create_task(detectors.run())
                drops = tuple(Drops(name, "spoofed", 301, 10.0) for name in ("p", "left", "another's"))
                meters.take("hv1", Reading("boot", 1.0, (), dropped=drops), whose)
                async with asyncio.timeout(10):
                    await changed.wait()
                running.cancel()
            return await store.read(lambda tx: tx.select(NotedFinding))
        finally:
            store.close()

    (found,) = asyncio.run(body())
    assert (found.detector, found.subject_id, found.project_id) == ("forging", "p", "tenant")
