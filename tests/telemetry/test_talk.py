"""Who talked, as facts: by window, service and peer, each packet once, and bounded; the same by each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from suimon.model.collectors import Peer, Service, Talk, TalkAsked, Window
from suimon.model.records import FROM_GUEST, TO_GUEST, Batch, batch_of, joined
from suimon.telemetry.history.clickhouse import ClickHouse, Config
from suimon.telemetry.history.engine import OF_SERVICE, QuestionRefused
from suimon.telemetry.history.talk import talk
from tests.clickhouse import private_server
from tests.telemetry.test_history import NOON, Filed, Kept, served

SINCE = int(NOON)


@pytest.fixture(params=["duckdb", "clickhouse"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    made = Filed(tmp_path) if request.param == "duckdb" else served()
    yield made
    made.history.close()


def record(direction: int, source_port: int, destination_port: int, other: int = 1, **more: int | float) -> Batch:
    """Of port-0 with 198.51.100.<other>, one packet of 100 bytes by TCP; it ends as it begins, after `at` seconds."""
    batch = batch_of(1)
    batch["begun"] = batch["ended"] = NOON + more.pop("at", 0)
    batch["ip_version"], batch["protocol"], batch["direction"], batch["port"] = 4, 6, direction, 0
    own, theirs = ("source", "destination") if direction == FROM_GUEST else ("destination", "source")
    batch[f"{own}_low"], batch[f"{theirs}_low"] = 0x0A000001, 0xC6336400 + other
    batch["source_port"], batch["destination_port"] = source_port, destination_port
    batch["packets"], batch["bytes"], batch["sampling"] = 1, 100, 1
    for name, value in more.items():
        batch[name] = value
    return batch


def windows(kept: Kept, *records: Batch, **asked: int) -> tuple[Window, ...]:
    kept.write(joined(records))
    return talk(kept.history, TalkAsked(SINCE, **asked), 10).windows


def test_services_peers_and_who_answered(kept: Kept) -> None:
    (one,) = windows(
        kept,
        record(FROM_GUEST, 40_000, 25, sampling=10),
        record(FROM_GUEST, 40_001, 25, other=2),
        record(TO_GUEST, 50_000, 3389, other=3),
        record(FROM_GUEST, 3389, 50_000, other=3),
        record(TO_GUEST, 50_000, 3389, other=4),
        record(FROM_GUEST, 8, 0, other=5, protocol=1),
        record(FROM_GUEST, 40_000, 25, port=-1),
        record(0, 40_000, 25),
    )
    assert one.until_s == SINCE + 300 and one.left_out == 0
    assert sorted(one.services, key=repr) == sorted(
        [
            Service("port-0", "project-0", "out", "tcp", 25, 2, 2, 11, 1100),
            Service("port-0", "project-0", "in", "tcp", 3389, 2, 2, 2, 200),
            Service("port-0", "project-0", "out", "tcp", None, 1, 1, 1, 100),
            Service("port-0", "project-0", "out", "icmp", None, 1, 1, 1, 100),
        ],
        key=repr,
    )
    of_rdp = [(each.address, each.answered) for each in one.peers if each.destination_port == 3389]
    assert of_rdp == [("198.51.100.3", True), ("198.51.100.4", False)]
    assert Peer("port-0", "project-0", "out", "tcp", 25, "198.51.100.1", False, 1, 10, 1000) in one.peers


def test_each_record_is_in_the_window_in_which_it_ends(kept: Kept) -> None:
    told = windows(
        kept,
        record(FROM_GUEST, 40_000, 25, at=-1),
        record(FROM_GUEST, 40_000, 26, at=-1, ended=NOON),
        record(FROM_GUEST, 40_000, 27, at=59.999),
        record(FROM_GUEST, 40_000, 28, at=60),
        record(FROM_GUEST, 40_000, 29, at=180),
        windows=3,
        window_s=60,
    )
    assert [sorted(str(each.destination_port) for each in one.services) for one in told] == [["26", "27"], ["28"], []]
    assert [one.until_s - SINCE for one in told] == [60, 120, 180]


def test_what_two_exporters_saw_counts_once(kept: Kept) -> None:
    (one,) = windows(
        kept,
        *[record(FROM_GUEST, 40_000, 25, exporter=each) for each in (0, 1, 1)],
        record(TO_GUEST, 25, 40_000, exporter=0),
    )
    assert [(each.direction, each.records) for each in one.services] == [("out", 2), ("in", 1)]


def test_of_each_port_the_largest_comes_first_and_the_rest_is_counted(kept: Kept) -> None:
    scanned = [record(FROM_GUEST, 40_000, number, port=0) for number in range(1, 151)]
    quiet = record(FROM_GUEST, 40_000, 443, port=1, bytes=1)
    (one,) = windows(kept, *scanned, quiet, record(FROM_GUEST, 40_000, 22, bytes=200))
    assert len(one.services) == 101 and one.left_out == 50
    first = [(each.port_id, each.destination_port) for each in one.services[:2]]
    assert first == [("port-0", 22), ("port-1", 443)]
    (few,) = talk(kept.history, TalkAsked(SINCE, most=2), 10).windows
    assert few.services == one.services[:2] and few.left_out == 149
    assert [each.port_id for each in few.peers] == ["port-0", "port-0"], "the largest of each service come first"
    many = [record(FROM_GUEST, 40_000, 53, other=number) for number in range(1, 30)]
    (one,) = windows(kept, *many)
    of_dns = [each for each in one.services if each.destination_port == 53]
    assert of_dns[0].peers == 29 and sum(each.destination_port == 53 for each in one.peers) == OF_SERVICE


def test_counts_that_were_made_up_are_numbers_still_and_time_is_bounded(kept: Kept) -> None:
    (one,) = windows(kept, record(FROM_GUEST, 40_000, 25, bytes=(1 << 64) - 1, sampling=(1 << 32) - 1))
    assert one.services[0].bytes == 1 << 53
    kept.write(batch_of(300_000))
    with pytest.raises(QuestionRefused, match="longer"):
        talk(kept.history, TalkAsked(SINCE), 0)
    assert len(talk(kept.history, TalkAsked(SINCE), 10).windows[0].services) == 1


def test_nothing_kept_is_nothing_told(kept: Kept) -> None:
    assert talk(kept.history, TalkAsked(SINCE, windows=2), 10).windows == (
        Window(SINCE + 300), Window(SINCE + 600)
    )  # fmt: skip


def test_a_project_s_own_ports_and_since_when_records_are_kept(kept: Kept) -> None:
    assert talk(kept.history, TalkAsked(SINCE), 10).kept_since_s is None
    kept.write(joined([record(FROM_GUEST, 40_000, 25, port=place) for place in (0, 1, 2)]))
    told = talk(kept.history, TalkAsked(SINCE, project_id="project-0"), 10)
    assert {one.port_id for one in told.windows[0].services} == {"port-0", "port-2"}
    assert {one.port_id for one in told.windows[0].peers} == {"port-0", "port-2"}
    assert told.kept_since_s == SINCE


def test_both_engines_say_the_same_of_anything(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(7), 20_000
    batch = batch_of(rows)
    begun = NOON + random.integers(-100, 1000, rows)
    batch["begun"], batch["ended"] = begun, begun + random.integers(0, 2000, rows) / 1000
    batch["ip_version"] = random.choice([4, 6], rows)
    batch["protocol"] = random.choice([1, 6, 17, 47, 58, 132], rows)
    for side in ("source", "destination"):
        batch[f"{side}_low"], batch[f"{side}_high"] = random.integers(0, 16, rows), random.choice([0, 1 << 63], rows)
        batch[f"{side}_port"] = random.choice([*range(150), 32_767, 32_768, 65_535], rows)
    batch["direction"], batch["port"] = random.integers(0, 3, rows), random.integers(-1, 3, rows)
    batch["exporter"] = random.integers(0, 2, rows)
    for name in ("packets", "bytes"):
        batch[name] = random.integers(0, 5, rows)
    batch["sampling"] = random.choice([0, 1, 512], rows)
    filed, server = Filed(tmp_path), served()
    for each in (filed, server):
        each.write(batch)
    for asked in (
        TalkAsked(SINCE, windows=3),
        TalkAsked(SINCE + 7, windows=9, window_s=60, most=50, project_id="project-1"),
        TalkAsked(SINCE, project_id="' OR 1 = 1 --"),
    ):
        told = [talk(each.history, asked, 60) for each in (filed, server)]
        assert told[0] == told[1]
        assert all(bool(window.services) == ("'" not in asked.project_id) for window in told[0].windows)
    for each in (filed, server):
        each.history.close()


def test_a_collector_tells_of_its_own_records_in_a_table_of_many() -> None:
    at = private_server().server()
    one, other = (Kept(lambda now, name=name: ClickHouse(Config(name), at, now)) for name in ("flows-1", "flows-2"))
    other.write(record(FROM_GUEST, 40_000, 22))
    assert talk(one.history, TalkAsked(SINCE), 10) == Talk((Window(SINCE + 300),))
    one.write(record(FROM_GUEST, 40_000, 25))
    assert [each.destination_port for each in talk(one.history, TalkAsked(SINCE), 10).windows[0].services] == [25]
