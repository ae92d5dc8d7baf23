"""What is written as Parquet is what DuckDB reads."""

import itertools
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from suimon.telemetry.history import pages
from suimon.telemetry.history.parquet import Coded, Column, Known, Writer
from tests.compiled import built

_KINDS = {
    **{"signed": "BIGINT", "long": "UBIGINT", "word": "UINTEGER", "short": "USMALLINT"},
    **{"byte": "UTINYINT", "text": "VARCHAR", "sum": "DOUBLE"},
}
_TEXTS = ("", "a", "ä" * 200, *map(str, range(5)))


def rows(count: int) -> dict[str, Column]:
    chance = np.random.default_rng(count)
    long = chance.integers(0, 1 << 64, count, np.uint64)
    long[chance.random(count) < 0.3] = 0
    signed = long.view(np.int64) >> chance.integers(0, 64)
    word, short = (long >> np.uint64(shift) for shift in (32, 48))
    table = np.array([3, -1, *range(len(_TEXTS))], np.int32)
    text = Coded(Known(_TEXTS), table, chance.integers(-1, len(table) + 1, count).astype(np.int32))
    plain = {"signed": signed, "long": long, "word": word.astype(np.uint32), "short": short.astype(np.uint16)}
    return {**plain, "byte": (long & np.uint64(0x81)).astype(np.uint8), "text": text, "sum": long.astype(np.float64)}


def values(column: Column) -> list[Any]:
    if not isinstance(column, Coded):
        return list(column.tolist())
    return [None if at < 0 else np.asarray(column.known.texts, object)[at] for at in column.which.tolist()]


def written(path: Path, groups: list[dict[str, Column]]) -> None:
    with path.open("wb") as file:
        made = Writer(file, _KINDS)
        for group in groups:
            made.add(group)
        made.close()


@pytest.mark.parametrize("counts", [(), (1,), (2, 128, 129), (130, 31, 257), (5000, 1)])
def test_what_is_written_is_read(tmp_path: Path, counts: tuple[int, ...]) -> None:
    groups = [rows(count) for count in counts]
    written(tmp_path / "some.parquet", groups)
    read = duckdb.sql(f"SELECT * FROM '{tmp_path}/some.parquet'")
    assert dict(zip(read.columns, map(str, read.types), strict=True)) == _KINDS
    wanted = [tuple(row) for group in groups for row in zip(*map(values, group.values()), strict=True)]
    assert read.fetchall() == wanted
    if counts:
        # By what the file says of the least and the greatest, parts are left unread.
        told = max(wanted, key=lambda row: row[1])
        found = duckdb.sql(f"SELECT * FROM '{tmp_path}/some.parquet' WHERE \"long\" >= {told[1]}::UBIGINT")
        assert found.fetchall() == [told]


def test_a_column_may_be_null_altogether(tmp_path: Path) -> None:
    none = Coded(Known(()), np.empty(0, np.int32), np.full(9, -1, np.int32))
    written(tmp_path / "none.parquet", [{**rows(9), "text": none}])
    assert duckdb.sql(f"SELECT text FROM '{tmp_path}/none.parquet'").fetchall() == [(None,)] * 9


@pytest.mark.parametrize("known", [1, 2, 300, 4096, 4097])
@pytest.mark.parametrize("apart", [1, 15, 1 << 40])
def test_few_numbers_are_kept_once(tmp_path: Path, known: int, apart: int) -> None:
    chance = np.random.default_rng(known)
    long = 5 + apart * np.concatenate([np.arange(known), chance.integers(0, known, 20_000 - known)]).astype(np.uint64)
    signed, small = chance.permutation(long).astype(np.int64) - 1000, (long % np.uint64(251)).astype(np.uint8)
    plain = {"signed": signed, "long": long, "word": long.astype(np.uint32), "short": long.astype(np.uint16)}
    written(tmp_path / "few.parquet", [{**rows(20_000), **plain, "byte": small}])
    read = duckdb.sql(f"SELECT * EXCLUDE (text) FROM '{tmp_path}/few.parquet'").fetchnumpy()
    assert all((np.asarray(read[name]) == column).all() for name, column in {**plain, "byte": small}.items())
    asked = f"SELECT encodings, total_compressed_size FROM parquet_metadata('{tmp_path}/few.parquet') LIMIT 2"
    for encodings, size in duckdb.sql(asked).fetchall():
        assert ("DICTIONARY" in encodings) == (known <= 4096)
        assert known > 1 or size < 100, "of one number there are no indexes"


def test_without_a_compiler_the_file_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [rows(count) for count in (1, 300, 128, 9000)]
    # Of no text, of one, and of as many as have indexes of 8 bits and of 9: of all rows, of some, of none.
    for known, least in itertools.product((0, 1, 2, 256, 257), (0, -1)):
        keys = np.random.default_rng(known).integers(least, known or 1, 5000).astype(np.int32)
        text = Coded(Known((_TEXTS * 33)[:known]), np.arange(known, dtype=np.int32), keys)
        # As many numbers as a dictionary has, and one more.
        long = np.arange(5000, dtype=np.uint64) % np.uint64(4096 - least) << np.uint64(16)
        groups.append({**rows(5000), "long": long, "text": text})
    monkeypatch.setattr(pages, "_LIBRARY", built(pages, tmp_path))
    written(tmp_path / "compiled", groups)
    monkeypatch.setattr(pages, "_LIBRARY", None)
    written(tmp_path / "plain", groups)
    assert (tmp_path / "compiled").read_bytes() == (tmp_path / "plain").read_bytes()
