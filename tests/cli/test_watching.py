"""What the detectors beside a collector find is in its log, and so is a detector that fails."""

import pytest
from structlog.testing import capture_logs

from suimon.cli.watching import Watching
from suimon.detection.records import Records
from suimon.detection.thresholds import Thresholds
from suimon.detection.udp_flood import UdpFlood
from tests.detection.attacks import udp_flood_out
from tests.detection.traffic import Life, records, tags

BATCH = records(udp_flood_out(Life(16.0), 0))


def test_a_finding_is_in_the_log() -> None:
    with capture_logs() as logs:
        watching = Watching(Records(Thresholds(), 1))
        for at in range(len(BATCH)):
            watching.take(BATCH[at : at + 1], tags(1) if at == 0 else TABLE, float(BATCH["ended"][at]))
    told = [line for line in logs if line["event"] == "finding"]
    assert (told[0]["detector"], told[0]["subject"], told[0]["role"]) == ("udp_flood", "port port-0", "source")


def test_a_detector_that_fails_is_in_the_log_once_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(UdpFlood, "step", fails)
    looking = Records(Thresholds(), 1)
    watching = Watching(looking)
    with capture_logs() as logs:
        watching.take(BATCH[:1], TABLE, float(BATCH["ended"][0]))
        watching.take(BATCH[1:2], TABLE, float(BATCH["ended"][1]))
        watching.take(BATCH[:0], TABLE, float(BATCH["ended"][1]))
    failed = [line["times"] for line in logs if line["event"] == "detector_failed"]
    assert failed == list(range(1, looking.engine.faults["udp_flood"].times + 1))


TABLE = tags(1)
