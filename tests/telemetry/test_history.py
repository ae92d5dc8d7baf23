"""What is kept of records, found by filters, and lost by nothing but age, size and a full disk: by each engine."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from suimon.model.collectors import Answer, MappedPort, Question
from suimon.model.records import Batch, batch_of
from suimon.telemetry.history.captures import capture
from suimon.telemetry.history.clickhouse import ClickHouse
from suimon.telemetry.history.clickhouse import Config as ClickHouseConfig
from suimon.telemetry.history.engine import History, Lot, QuestionRefused
from suimon.telemetry.history.filters import FilterError, parsed
from suimon.telemetry.history.questions import answered
from suimon.telemetry.history.segments import Config, Segments
from tests.clickhouse import private_server

NOON = 1_795_262_400.0
PORTS = tuple(
    MappedPort(f"port-{n}", f"project-{n % 2}", "net", f"h{n}", "192.0.2.1", n, f"02:00:00:00:00:0{n}", ())
    for n in range(3)
)
EXPORTERS = ("192.0.2.1", "192.0.2.2")


class Kept:
    """An engine with a clock in the test's hands."""

    def __init__(self, make: Callable[[Callable[[], float]], History]) -> None:
        self.now_s, self._lots = NOON, count()
        self.history = make(lambda: self.now_s)
        self.history.open()

    def write(self, batch: Batch) -> None:
        self.history.write(Lot((batch,), PORTS, EXPORTERS, self.now_s, next(self._lots)))

    def ask(self, filter_: str = "", **question: object) -> Answer:
        return answered(self.history, Question(filter_, **question), 10)  # type: ignore[arg-type]

    def found(self, filter_: str) -> list[int]:
        """Which of `records` match: each has its number as source port."""
        return sorted(row["source_port"] for row in self.ask(filter_).rows)


class Filed(Kept):
    """In files that DuckDB reads."""

    def __init__(self, directory: Path, **config: object) -> None:
        self.segments = Segments(Config(directory, **config), lambda: self.now_s)  # type: ignore[arg-type]
        super().__init__(lambda _: self.segments)


def served(**config: object) -> Kept:
    """By a ClickHouse server, in a database of its own."""
    server = private_server().server()
    return Kept(lambda now: ClickHouse(ClickHouseConfig("flows-1", **config), server, now))  # type: ignore[arg-type]


@pytest.fixture(params=["duckdb", "clickhouse"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    made = Filed(tmp_path) if request.param == "duckdb" else served()
    yield made
    made.history.close()


def records(count: int = 4, at_s: float = NOON) -> Batch:
    """From 10.0.0.<n> to 2001:db8::<n> or 198.51.100.<n>, of port n modulo 3 or none, n packets of 100 bytes, 1:n."""
    batch, numbers = batch_of(count), np.arange(count)
    batch["begun"], batch["ended"] = at_s + numbers, at_s + numbers + 0.5
    batch["exporter"] = numbers % 2
    batch["ip_version"], batch["protocol"] = 4, np.where(numbers % 2, 6, 17)
    batch["direction"] = 1 + numbers % 2
    batch["source_low"], batch["destination_low"] = 0x0A000000 + numbers, 0xC6336400 + numbers
    batch["source_port"], batch["destination_port"] = numbers, 25
    batch["packets"], batch["bytes"], batch["sampling"] = numbers, numbers * 100, numbers
    batch["source_mac"] = 0x020000000000 + numbers
    batch["port"] = np.where(numbers < 3, numbers, -1)
    return batch


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", [0, 1, 2, 3]),
        ("source 10.0.0.2", [2]),
        ("source 10.0.0.2/31", [2, 3]),
        ("address 198.51.100.1,10.0.0.3", [1, 3]),
        ("destination ::/0", []),
        ("source != 10.0.0.2", [0, 1, 3]),
        ("protocol tcp", [1, 3]),
        ("protocol 17 direction out", [0, 2]),
        ("direction in or source_port 0", [0, 1, 3]),
        ("not (source_port 0 or source_port 1-2)", [3]),
        ("l4_port 25 and bytes > 100 and bytes<=200", [2]),
        ("port port-1", [1]),
        ("not port port-1", [0, 2, 3]),
        ("project project-0 and host h2", [2]),
        ("exporter 192.0.2.2", [1, 3]),
        ("mac 02:00:00:00:00:03", [3]),
        ("since 2026-11-21T12:00:02Z", [2, 3]),
        ("until 2026-11-21T12:00:02", [0, 1]),
        ("since 1795262402", [2, 3]),
        ("port port-1' or 1=1 --", None),
        ("port x;drop", []),
        ("port port-2,port-0 and not port port-0", [2]),
        ("port != port-1", [0, 2, 3]),
        ("project != project-1 and host != h0", [2, 3]),
        ("bytes 1 " * 240, []),
        (",".join(["address 10.0.0.9"] + ["2001:db8::/3"] * 130), []),
    ],
)
def test_a_filter_finds_what_it_says(kept: Kept, asked: str, found: list[int] | None) -> None:
    kept.write(records())
    if found is None:
        with pytest.raises(FilterError):
            kept.found(asked)
    else:
        assert kept.found(asked) == found


@pytest.mark.parametrize(
    ("asked", "bounds"),
    [
        ("since 5 until 9 bytes 1", (5, 9)),
        ("(since 5 until 9) (since 6)", (6, 9)),
        ("since 5 or since 6", (None, None)),
        ("not since 5", (None, None)),
    ],
)
def test_of_times_that_are_sure_only_those_hours_are_read(asked: str, bounds: tuple[float | None, ...]) -> None:
    condition = parsed(asked)
    assert (condition.since_s, condition.until_s) == bounds


@pytest.mark.parametrize(
    "wrong",
    [
        *("colour red", "source", "source 10.0.0.300", "(source 10.0.0.1", "source 10.0.0.1)", "protocol > 6", "and"),
        *(
            "destination_port 65536",
            "destination_port -1",
            "bytes 1e3",
            "since yesterday",
            "until " + "9" * 400,
            "mac 02:00",
            "not",
            "= =",
        ),
        *("port and host h1", "source_port >= 1-2", "bytes !", "bytes 1 !", "port ,", "host h1,"),
        *("(" * 30 + "bytes 1" + ")" * 30, "bytes 1 " * 300, "source_port " + ",".join(["1"] * 201)),
    ],
)
def test_what_is_no_filter_is_refused_in_words(wrong: str) -> None:
    with pytest.raises(FilterError, match=r"\w+ "):
        parsed(wrong)


def test_sums_are_scaled_by_the_sampling_and_say_what_they_rest_on(kept: Kept) -> None:
    kept.write(records())
    kept.write(records())
    answer = kept.ask(by="port")
    assert [(row["port_id"], row["packets"], row["bytes"], row["records"]) for row in answer.rows] == [
        (None, 18, 1800, 2),
        ("port-2", 8, 800, 2),
        ("port-1", 2, 200, 2),
        ("port-0", 0, 0, 2),
    ]
    assert (answer.total.packets, answer.total.records) == (28, 8)
    assert (answer.total.sampled, answer.total.unscaled) == (4, 2)
    assert [row["source"] for row in kept.ask(by="source", limit=1).rows] == ["10.0.0.3"]


def test_counts_that_an_exporter_made_up_are_summed_with_the_others(kept: Kept) -> None:
    batch = records()
    batch["bytes"][3], batch["sampling"][3] = (1 << 64) - 1, (1 << 32) - 1
    kept.write(batch)
    answer = kept.ask(by="exporter")
    assert [(row["exporter"], row["records"]) for row in answer.rows] == [(EXPORTERS[1], 2), (EXPORTERS[0], 2)]
    assert answer.total.bytes == pytest.approx((1 << 96) - (1 << 64) - (1 << 32) + 501, rel=1e-15)


def test_a_project_sees_its_own_records_only_whatever_it_asks(kept: Kept) -> None:
    kept.write(records())
    for asked in ("", "port port-1 or source 0.0.0.0/0", "not project project-0", "project project-1"):
        answer = kept.ask(asked, project_id="project-0")
        assert {row["port_id"] for row in answer.rows} <= {"port-0", "port-2"}
        assert answer.total.records == len(answer.rows)


def test_rows_are_told_as_people_read_them(kept: Kept) -> None:
    batch = records(2)
    batch["ip_version"][1], batch["source_high"][1], batch["protocol"][1] = 6, 0x20010DB8 << 32, 99
    batch["destination_mac"][1], batch["ip_version"][0] = 0x0A0B0C0D0E0F, 0
    kept.write(batch)
    six, none = kept.ask().rows
    assert (six["source"], six["protocol"], six["direction"]) == ("2001:db8::a00:1", "99", "in")
    assert (six["source_mac"], six["destination_mac"]) == ("02:00:00:00:00:01", "0a:0b:0c:0d:0e:0f")
    assert (none["source"], none["protocol"]) == ("", "udp")
    assert [row["direction"] for row in kept.ask(by="direction").rows] == ["in", "out"]
    assert [(row["protocol"], row["source_port"]) for row in kept.ask(by="source_port").rows] == [("99", 1), ("udp", 0)]


def test_questions_are_bounded(kept: Kept) -> None:
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"by": "colour"}):
        with pytest.raises(QuestionRefused):
            kept.ask(**wrong)
    kept.write(records(1000))
    assert len(kept.ask(limit=7).rows) == 7
    kept.write(batch_of(300_000))
    with pytest.raises(QuestionRefused, match="longer"):
        answered(kept.history, Question(by="source"), 0)
    assert kept.ask(limit=1).total.records == 301_000, "and the next one is answered"


def test_an_hour_that_is_over_becomes_one_file_with_the_same_records(filed: Filed, tmp_path: Path) -> None:
    for _ in range(3):
        filed.write(records())
    before = filed.ask()
    filed.segments.compact()
    assert not list((tmp_path / "hours").iterdir()), "it is not over yet"
    filed.now_s += 3600
    filed.write(records(1, filed.now_s))
    filed.segments.compact()
    assert [len(list((tmp_path / name).iterdir())) for name in ("open", "hours")] == [1, 1]
    after = filed.ask("until 2026-11-21T12:59:00Z")
    assert after.total == before.total
    assert sorted(map(repr, after.rows)) == sorted(map(repr, before.rows))
    filed.now_s -= 3600
    filed.write(records(2))
    assert filed.ask().total.records == 12 + 1 + 2, "of an hour that is closed, by a clock that was set back"


def test_what_comes_late_while_its_hour_is_packed_is_kept(filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = filed.segments._pack

    def beside(hour: int, parts: Sequence[Path]) -> None:
        filed.now_s -= 3600
        filed.write(records(2))
        filed.now_s += 3600
        pack(hour, parts)

    filed.write(records())
    filed.now_s += 3600
    monkeypatch.setattr(filed.segments, "_pack", beside)
    filed.segments.compact()
    assert filed.ask().total.records == 6


def test_an_hour_is_packed_once_what_is_being_written_of_it_is_there(
    filed: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, appearing = threading.Event(), threading.Event(), filed.segments._appearing

    @contextlib.contextmanager
    def slowly(path: Path) -> Iterator[Path]:
        with appearing(path) as unfinished:
            if path.parent.name == "open":
                begun.set()
                assert goes_on.wait(30)
            yield unfinished

    filed.write(records())
    monkeypatch.setattr(filed.segments, "_appearing", slowly)
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(filed.write, records(2))
        assert begun.wait(30)
        filed.now_s += 3600
        packing = threads.submit(filed.segments.compact)
        wait([packing], 0.3)
        goes_on.set()
        writing.result(30)
        packing.result(30)
    assert filed.ask().total.records == 6


def test_after_a_crash_nothing_is_there_twice_and_nothing_half(tmp_path: Path) -> None:
    first = Filed(tmp_path)
    first.write(records())
    (part,) = (tmp_path / "open").iterdir()
    first.now_s += 3600
    saved = part.read_bytes()
    first.segments.compact()
    # As if killed after the hour's file appeared, and while another was written.
    part.write_bytes(saved)
    (tmp_path / "open" / f"{part.stem}9.unfinished").write_bytes(saved[:100])
    assert first.ask().total.records == 4 and len(capture(tmp_path)[0]) == 4
    first.segments.close()
    second = Filed(tmp_path)
    assert second.ask().total.records == 4 and not list((tmp_path / "open").iterdir())
    second.segments.close()


def test_what_older_files_lack_is_null(filed: Filed, tmp_path: Path) -> None:
    filed.write(records())
    (part,) = (tmp_path / "open").iterdir()
    older = tmp_path / "older"
    duckdb.sql(f"COPY (SELECT * EXCLUDE (source_mac, sampling) FROM '{part}') TO '{older}' (FORMAT parquet)")
    older.rename(part)
    answer = filed.ask("not mac 02:00:00:00:00:01")
    assert answer.total.records == 4 and answer.total.unscaled == 4
    assert {row["source_mac"] for row in answer.rows} == {None}


@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_the_oldest_is_forgotten_by_age_and_by_size(engine: str, tmp_path: Path) -> None:
    limits = {"most_age_s": 3 * 3600.0, "most_bytes": 1 << 20}
    kept = served(**limits) if engine == "clickhouse" else Filed(tmp_path, **limits)
    for _ in range(5):
        kept.write(records())
        kept.now_s += 3600
    kept.history.tend()
    assert kept.ask().total.records == 3 * 4
    kept.history._config = msgspec.structs.replace(kept.history._config, most_bytes=1)  # type: ignore[attr-defined]
    kept.history.tend()
    assert kept.ask().total.records == 0


def test_a_full_disk_leaves_what_was_there_and_no_half_file(tmp_path: Path) -> None:
    with _small_disk(tmp_path):
        kept = Filed(tmp_path)
        kept.write(records())
        noise = batch_of(100_000)
        noise["source_low"] = np.random.default_rng(1).integers(0, 1 << 32, len(noise))
        with pytest.raises((OSError, duckdb.Error)):
            kept.write(noise)
        assert kept.ask().total.records == 4
        assert len(list((tmp_path / "open").iterdir())) == 1
        kept.write(records())
        assert kept.ask().total.records == 8
        kept.segments.close()


@contextlib.contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", directory], check=False)
    if made.returncode:
        pytest.skip("needs root, to mount a disk that fills up")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def test_closing_ends_what_still_goes_on(filed: Filed) -> None:
    with ThreadPoolExecutor() as threads, filed.segments._cursor() as cursor:
        endless = threads.submit(cursor.execute, "SELECT count(*) FROM range(1_000_000_000_000)")
        while not endless.done():  # It may not have begun.
            filed.segments.close()
        with pytest.raises(duckdb.Error):
            endless.result(30)
    with pytest.raises(duckdb.Error):
        filed.ask()
