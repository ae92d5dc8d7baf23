"""What is answered from an hour's summary is what its records answer, and without one they are asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from suimon.model.collectors import Answer
from suimon.model.records import Batch, batch_of
from suimon.telemetry.history.questions import KEYS
from tests.telemetry.test_history import NOON, Filed

HOUR_S = 3600
_TERMS = (
    *("source 10.0.0.1", "not destination 198.51.100.0/31", "address 10.0.0.2,198.51.100.1", "ip_version 6"),
    *("protocol tcp", "direction out", "port port-1,port-0", "not port port-1", "project project-0", "network net"),
    *("host h1", "exporter 192.0.2.2", "source_port 1", "destination_port != 25", "bytes > 200", "sampling 0"),
)


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[Filed]:
    made = Filed(tmp_path)
    yield made
    made.history.close()


def several(count: int, seed: int, around_s: float = NOON) -> Batch:
    """Of few addresses, ports and protocols; from an hour before to one after, some of them exactly on the hour."""
    chance, batch = np.random.default_rng(seed), batch_of(count)
    begun = around_s + chance.integers(-HOUR_S, HOUR_S, count) + chance.integers(0, 1000, count) / 1000
    batch["begun"] = np.where(chance.random(count) < 0.1, begun // HOUR_S * HOUR_S, begun)
    batch["ended"] = batch["begun"] + np.where(chance.random(count) < 0.5, 0, chance.integers(0, 1000, count))
    for name, most in (("exporter", 2), ("source_low", 4), ("destination_low", 3), ("source_port", 3)):
        batch[name] = chance.integers(0, most, count)
    batch["source_low"] += 0x0A000000
    batch["destination_low"] += 0xC6336400
    batch["ip_version"], batch["protocol"] = chance.choice([4, 6], count), chance.choice([6, 17], count)
    batch["source_high"] = np.where(batch["ip_version"] == 6, 0x20010DB8 << 32, 0)
    batch["direction"], batch["port"] = chance.integers(0, 3, count), chance.integers(-1, 3, count)
    batch["destination_port"] = chance.choice([25, 443], count)
    for name in ("packets", "bytes", "sampling"):
        batch[name] = chance.integers(0, 400 if name == "bytes" else 4, count)
    return batch


def questions(chance: np.random.Generator) -> Iterator[str]:
    """Filters: terms, times that are whole hours and others, joined at random."""
    while True:
        terms = [str(each) for each in chance.choice(_TERMS, chance.integers(0, 3))]
        for side in ("since", "until"):
            at_s = NOON + int(chance.integers(-3, 4)) * HOUR_S + int(chance.choice([0, 0, 0, 1, 1800]))
            terms += [f"{side} {at_s:.0f}"] * int(chance.integers(0, 2))
        words = [("not " if chance.random() < 0.2 else "") + each for each in terms]
        yield (" or " if chance.random() < 0.2 else " ").join(words)


def asked(seed: int) -> list[tuple[str, str]]:
    chance = np.random.default_rng(seed)
    return [
        (filter_, by) for filter_, _ in zip(questions(chance), range(15), strict=False) for by in KEYS[seed % 2 :: 2]
    ]


def answers(filed: Filed, several_: list[tuple[str, str]]) -> list[Answer]:
    return [filed.ask(filter_, by=by, limit=10_000) for filter_, by in several_]


def summaries(filed: Filed) -> list[Path]:
    return sorted(filed.segments._hours.glob("*.sums"))


@contextlib.contextmanager
def unreadable(filed: Filed) -> Iterator[None]:
    """The packed hours: who reads their records fails."""
    packed = {each: each.read_bytes() for each in filed.segments._hours.glob("*.parquet")}
    for each in packed:
        each.write_bytes(b"no records")
    yield
    for each, content in packed.items():
        each.write_bytes(content)


def packed(filed: Filed, *batches: Batch) -> None:
    """An hour for each, and their summaries."""
    for batch in batches:
        filed.write(batch)
        filed.now_s += HOUR_S
        filed.segments.tend()


@pytest.mark.parametrize("seed", range(2))
def test_a_summary_answers_what_the_records_do(filed: Filed, seed: int) -> None:
    for hour in range(4):
        for part in range(2):
            filed.write(several(6000, 100 * seed + 10 * hour + part, filed.now_s))
        filed.now_s += HOUR_S * (hour < 3)
    filed.segments.compact()
    every = asked(seed)
    without = answers(filed, every)
    filed.segments.sum_up()
    assert len(summaries(filed)) == 1 and answers(filed, every) == without, (
        "two hours are as an older version left them"
    )
    for _ in range(3):
        filed.segments.sum_up()
    assert len(summaries(filed)) == 3 and answers(filed, every) == without
    known = 0
    with unreadable(filed):
        for one, answer in zip(every, without, strict=True):
            with contextlib.suppress(duckdb.Error):
                assert answers(filed, [one]) == [answer]
                known += 1
    assert len(every) > known > len(every) // 5


@pytest.mark.parametrize("by", KEYS)
def test_sums_of_whole_hours_are_known_without_records(filed: Filed, by: str) -> None:
    packed(filed, several(12_000, 1), several(12_000, 2))
    whole = ("", "since 2026-11-21T11:00:00Z until 2026-11-21T12:00:00Z", "protocol tcp not direction out")
    before = answers(filed, [(each, by) for each in whole])
    with unreadable(filed):
        assert answers(filed, [(each, by) for each in whole]) == before
        for more in (
            "bytes > 200",
            "mac 02:00:00:00:00:01",
            "since 2026-11-21T11:00:01Z",
            "not until 2026-11-21T12:00:00.001Z",
        ):
            with pytest.raises(duckdb.Error):
                filed.ask(more, by=by)


def test_a_moment_far_from_an_hours_records_leaves_its_summary_exact(filed: Filed) -> None:
    batch = several(12_000, 1)
    batch["begun"] = batch["ended"] = NOON + 60
    packed(filed, batch)
    with unreadable(filed):
        assert filed.ask("since 2026-11-21T11:30:00Z until 2026-11-21T13:30:00Z", by="port").total.records == 12_000
        assert filed.ask("until 2026-11-21T11:59:59Z", by="port").total.records == 0
        for within in ("since 2026-11-21T12:30:00Z", "until 2026-11-21T12:00:01Z", "not since 1795262401"):
            with pytest.raises(duckdb.Error):
                filed.ask(within, by="port")


def test_addresses_that_somebody_made_up_are_not_summed_up(filed: Filed) -> None:
    """A row of a summary is about as large as a record: it stands for many, or is not there."""
    batch = several(12_000, 1)
    batch["begun"] = batch["ended"] = NOON
    batch["source_low"] = np.arange(len(batch))
    packed(filed, batch)
    assert len(summaries(filed)) == 1 and filed.ask(by="source").total.records == 12_000
    with unreadable(filed):
        assert filed.ask(by="destination").total.records == 12_000
        with pytest.raises(duckdb.Error):
            filed.ask(by="source")
    batch = several(12_000, 2)
    for name in ("begun", "ended"):
        batch[name] = np.arange(len(batch)) * HOUR_S
    packed(filed, batch)
    assert filed.ask(by="port").total.records == 24_000 and summaries(filed)[-1].stat().st_size < 4000, "nor times"


def test_a_summary_comes_after_its_hour_and_goes_before_it(tmp_path: Path) -> None:
    first = Filed(tmp_path)
    packed(first, several(12_000, 1))
    (summary,) = summaries(first)
    (hour,) = first.segments._hours.glob("*.parquet")
    first.segments.close()
    # As if an older version had forgotten the hour, and one was killed while it summed another up.
    hour.unlink()
    hour.with_suffix(".unfinished").write_bytes(summary.read_bytes()[:100])
    second = Filed(tmp_path)
    assert not [*second.segments._hours.iterdir()] and second.ask(by="port").total.records == 0
    # The same hour once more, with other records, and a crash before its summary is there.
    second.now_s = NOON
    second.write(several(11_000, 2))
    second.now_s += HOUR_S
    second.segments.compact()
    assert second.ask(by="port").total.records == 11_000
    second.segments.close()
    third = Filed(tmp_path)
    third.now_s = NOON + HOUR_S
    third.segments.tend()
    with unreadable(third):
        assert third.ask(by="port").total.records == 11_000
    third.segments.close()


def test_summaries_are_forgotten_with_their_hours_and_count_as_their_size(filed: Filed) -> None:
    packed(filed, several(12_000, 1), several(12_000, 2))
    whole = sum(each.stat().st_size for each in filed.segments._hours.iterdir())
    filed.segments._config = msgspec.structs.replace(filed.segments._config, most_bytes=whole)
    filed.segments.tend()
    assert len(summaries(filed)) == 2
    filed.segments._config = msgspec.structs.replace(filed.segments._config, most_bytes=whole - 1)
    filed.segments.tend()
    assert len(summaries(filed)) == 1 and filed.ask(by="source").total.records == 12_000
    assert len([*filed.segments._hours.iterdir()]) == 2


def test_a_disk_without_room_for_a_summary_leaves_none(filed: Filed) -> None:
    filed.write(several(12_000, 1))
    filed.now_s += HOUR_S
    filed.segments.compact()
    (hour,) = filed.segments._hours.glob("*.parquet")
    blocked = hour.with_suffix(".unfinished")
    blocked.mkdir()
    with pytest.raises((OSError, duckdb.Error)):
        filed.segments.sum_up()
    blocked.rmdir()
    assert not summaries(filed) and filed.ask(by="source").total.records == 12_000
