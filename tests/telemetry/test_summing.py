"""What is summed up in C while an hour is packed is what DuckDB sums up of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from suimon.model.records import Batch
from suimon.telemetry.history import packing, summaries, summing
from tests.compiled import built
from tests.telemetry.test_history import NOON, Filed
from tests.telemetry.test_summaries import several

_SUMS = "sum_records, sum_packets, sum_bytes, sum_sampled::BIGINT, sum_unscaled::BIGINT"


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (packing, summing):
            patch.setattr(module, "_LIBRARY", built(module, tmp_path_factory.mktemp("compiled")))
        yield


def summed(filed: Filed, *batches: Batch) -> tuple[Path, Path]:
    """Summaries of an hour of those: by C, then by DuckDB."""
    for batch in batches:
        filed.write(batch)
    filed.now_s += 3600
    filed.segments.compact()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "sum_up", None)
        filed.segments.sum_up()
    (hour,) = filed.segments._hours.glob("*.parquet")
    other = hour.with_suffix(".other")
    with duckdb.connect() as cursor:
        summaries.sum_up(cursor, f"read_parquet('{hour}')", other)
    return summaries.summary_of(hour), other


def rows(summary: Path) -> dict[str, list[tuple[Any, ...]]]:
    """By kind; nothing of columns that are not of it."""
    found = {}
    for kind in summaries.KINDS:
        of = f"FROM read_parquet('{summary}') WHERE kind = '{summaries.name_of(kind)}'"
        try:
            read = duckdb.sql(f"SELECT {', '.join(kind)}, begun_ms, duration_ms, {_SUMS} {of}")
        except duckdb.BinderException:  # DuckDB's has no columns of kinds that are not there.
            continue
        if several := read.fetchall():
            found[summaries.name_of(kind)] = sorted(several, key=repr)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_duckdb_sums_up(filed: Filed, seed: int) -> None:
    ours, other = map(rows, summed(filed, several(20_000, seed), several(9000, 10 + seed)))
    assert ours == other and len(ours) == len(summaries.KINDS)


def test_what_lasts_longest_and_counts_most(filed: Filed) -> None:
    batch = several(4000, 5)
    batch["begun"] = np.where(np.arange(4000) % 2, 0.0, NOON)
    batch["ended"] = batch["begun"] + np.where(np.arange(4000) % 3, 4_294_967.0, 1e9)
    batch["packets"] = np.where(np.arange(4000) % 4, 1 << 40, 1 << 63)
    batch["source_high"] = (1 << 64) - 1
    ours, other = map(rows, summed(filed, batch))
    assert ours == other and ours


def test_addresses_that_are_made_up_leave_other_kinds(filed: Filed) -> None:
    batch = several(100_000, 6)
    batch["source_low"] = np.arange(len(batch))
    ours, other = map(rows, summed(filed, batch))
    assert ours == other and len(ours) == len(summaries.KINDS) - 1


@pytest.mark.parametrize("most", [summing._FIRST, summing._MOST])
def test_a_kind_of_too_many_rows_is_left_out(filed: Filed, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing, "_MOST", most)
    batch = several(100_000, 7)
    batch["source_low"], batch["source_high"], batch["direction"] = np.arange(len(batch)) // 20, 0, 1
    batch["begun"], batch["ended"], batch["protocol"], batch["ip_version"] = NOON, NOON, 6, 4
    ours, other = map(rows, summed(filed, batch))
    lost = summaries.name_of(summaries.KINDS[3])
    assert ours == {name: those for name, those in other.items() if name != lost or most > summing._FIRST}
    assert len(other[lost]) == 5000


def test_it_is_of_the_hour_that_was_packed_last(filed: Filed) -> None:
    for hour in range(2):
        filed.write(several(20_000, hour, filed.now_s))
        filed.now_s += 3600
    filed.segments.compact()
    for _ in range(2):
        filed.segments.sum_up()
    every = [rows(summaries.summary_of(each)) for each in filed.segments._hours.glob("*.parquet")]
    assert [sum(row[-5] for row in each[summaries.name_of(summaries.KINDS[0])]) for each in every] == [
        20_000,
        20_000,
    ]
    assert every[0] != every[1]
