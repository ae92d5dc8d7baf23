"""An hour is packed by our own C as by DuckDB; small files may say anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from suimon.model.records import Batch, batch_of
from suimon.telemetry.history import packing, parts, runs
from suimon.telemetry.history.columns import COLUMNS, TEXTS
from suimon.telemetry.history.parquet import Coded, Known, Writer
from suimon.telemetry.history.parts import NONE, Numbers, Part, Unreadable
from tests.compiled import built
from tests.telemetry.test_history import NOON, Filed, records

_TYPES = {"UTINYINT": "u1", "USMALLINT": "u2", "UINTEGER": "u4", "UBIGINT": "u8", "BIGINT": "i8"}


@pytest.fixture(scope="module", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_LIBRARY", built(packing, tmp_path_factory.mktemp("packing")))
        yield


def anything(count: int, seed: int) -> Batch:
    """Of few ports or none; each other column of few numbers, many, or all that there can be."""
    chance, batch = np.random.default_rng(seed), batch_of(count)
    batch["begun"] = NOON + chance.random(count) * 3600
    batch["ended"] = batch["begun"] + chance.random(count) * chance.choice([0, 1, 1e9])
    batch["exporter"], batch["port"] = chance.integers(0, 2, count), chance.integers(-1, 3, count)
    for name in COLUMNS:
        if name not in (*TEXTS, "begun_ms", "duration_ms"):
            kind = batch[name].dtype
            most = int(chance.choice([1, 3, 5000, np.iinfo(kind).max]))
            batch[name] = chance.integers(0, min(most, np.iinfo(kind).max), count, kind, endpoint=True)
    return batch


def packed(filed: Filed) -> list[tuple[Any, ...]]:
    """The hour's records as they lie in its file."""
    filed.now_s += 3600
    filed.segments.compact()
    (hour,) = filed.segments._hours.glob("*.parquet")
    assert not list(filed.segments._open.iterdir())
    return duckdb.sql(f"SELECT {', '.join(COLUMNS)} FROM '{hour}'").fetchall()


def sought(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What records are in order by."""
    of = dict(zip(COLUMNS, row, strict=True))
    return (of["port_id"] is None, of["port_id"] or "", *(of[name] for name in runs.ORDER[1:]))


@pytest.mark.parametrize("seed", range(6))
def test_all_records_are_kept_and_in_order(filed: Filed, seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 6000, 4)
    for part, size in enumerate(sizes.tolist()):
        filed.write(anything(size, 100 * seed + part))
    before = duckdb.sql(f"SELECT {', '.join(COLUMNS)} FROM '{filed.segments._open}/*.parquet'").fetchall()
    after = packed(filed)
    assert len(after) == sum(sizes) and sorted(map(repr, after)) == sorted(map(repr, before))
    assert [*map(sought, after)] == sorted(map(sought, after))


def test_what_does_not_fit_in_memory_is_packed_run_by_run(filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST", 1000)
    monkeypatch.setattr(runs, "_TOGETHER", 300)
    for part in range(5):
        filed.write(anything(400, part))
    before = duckdb.sql(f"SELECT {', '.join(COLUMNS)} FROM '{filed.segments._open}/*.parquet'").fetchall()
    found = packed(filed)
    assert sorted(map(repr, found)) == sorted(map(repr, before))
    after = [*map(sought, found)]
    pieces = [after[:800], after[800:1600], after[1600:]]
    assert pieces == [sorted(each) for each in pieces] and after != sorted(after)
    chunks = duckdb.sql(f"SELECT count(*) FROM parquet_metadata('{filed.segments._hours}/*.parquet')").fetchall()
    assert chunks == [((3 + 3 + 2) * len(COLUMNS),)]


@pytest.mark.parametrize("by", [packing.ready, lambda: False], ids=["C", "DuckDB"])
def test_answers_are_the_same_by_whatever_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: Any, filed: Filed
) -> None:
    monkeypatch.setattr(packing, "ready", by)
    filed.write(anything(3000, 1))
    asked = [("", "source"), ("port port-1", "destination"), ("not port port-0", "port"), ("port port-2", "host")]
    before = [filed.ask(filter_, by=by_, limit=10_000) for filter_, by_ in asked]
    packed(filed)
    assert [filed.ask(filter_, by=by_, limit=10_000) for filter_, by_ in asked] == before


def test_groups_say_of_which_ports_they_are(filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_TOGETHER", 300)
    filed.write(anything(2000, 3))
    packed(filed)
    hour = f"'{filed.segments._hours}/*.parquet'"
    rows = f"SELECT file_row_number // 300 AS part, port_id FROM read_parquet({hour}, file_row_number = true)"
    ends = f"SELECT part, min(port_id), max(port_id), count(*) - count(port_id) FROM ({rows}) GROUP BY part"
    said = f"SELECT row_group_id, stats_min_value, stats_max_value, stats_null_count FROM parquet_metadata({hour})"
    found = duckdb.sql(f"{ends} HAVING count(port_id) > 0 ORDER BY part").fetchall()
    assert len(found) > 3 and found[-1][3] > 0, "a group has both, and the ones after it no port"
    told = duckdb.sql(f"{said} WHERE path_in_schema = 'port_id' ORDER BY ALL").fetchall()
    assert told[: len(found)] == found and {each[1:] for each in told[len(found) :]} == {(None, None, None)}


@pytest.mark.parametrize("few", [1, 2, 1000])
@pytest.mark.parametrize("count", [1, 200_000])
def test_columns_come_into_order_whichever_parts_them(count: int, few: int) -> None:
    chance = np.random.default_rng(count + few)
    keys = [chance.integers(0, few, count, "u4"), chance.integers(0, 3, count, "u1")]
    keys += [chance.integers(0, 1 << 16, count, "u2"), chance.integers(0, 1 << 64, count, "u8") >> np.uint64(few % 64)]
    others: list[NDArray[Any]] = [np.arange(count, dtype="i8"), chance.random(count)]
    order = np.lexsort(keys[::-1])
    wanted = [each[order].tolist() for each in (*keys, *others)]
    packing.arrange(keys, others, np.empty(count + 3, np.uint64))
    assert [each.tolist() for each in (*keys, *others)] == wanted


@pytest.mark.parametrize("kind", _TYPES)
def test_what_was_written_is_read(tmp_path: Path, kind: str) -> None:
    chance = np.random.default_rng(7)
    for shift in range(0, 8 * np.dtype(_TYPES[kind]).itemsize, 7):
        for count in (1, 2, 33, 129, 5000):
            many = np.frombuffer(chance.bytes(count * np.dtype(_TYPES[kind]).itemsize), _TYPES[kind])
            values = many >> np.dtype(_TYPES[kind]).type(shift)
            texts = Coded(Known(("a", "", "ä")), np.array([2, 1, 0], np.int32), chance.integers(-1, 3, count, "i4"))
            path = tmp_path / "some"
            with path.open("wb") as file:
                writer = Writer(file, {"number": kind, "text": "VARCHAR"})
                writer.add({"number": values, "text": texts})
                writer.close()
            numbers = Numbers()
            part = Part(path, {"number": values.dtype, "text": np.dtype("u4")}, {"text": numbers})
            ((rows, chunks),) = part.groups()
            found, which = np.empty(count, values.dtype), np.empty(count, np.uint32)
            part.read(chunks["number"], "number", found)
            part.read(chunks["text"], "text", which)
            assert rows == count and found.tolist() == values.tolist()
            names = dict(enumerate(numbers.texts)) | {NONE: None}
            assert [names[each] for each in which.tolist()] == [
                None if at < 0 else texts.known.texts[at] for at in texts.which.tolist()
            ]


def test_what_a_file_says_that_is_not_so_is_an_error_that_names_it(filed: Filed, tmp_path: Path) -> None:
    filed.write(anything(700, 5))
    (part,) = filed.segments._open.iterdir()
    whole, chance = part.read_bytes(), np.random.default_rng(9)
    into = (tmp_path / "into").open("wb")
    for turn in range(1500):
        wrong = bytearray(whole)
        for at in chance.integers(0, len(wrong), 1 + turn % 4).tolist():
            wrong[at] = int(chance.choice([0, 255, chance.integers(256), wrong[at] ^ 1, wrong[at] + 1 & 255]))
        if turn % 5 == 0:
            wrong = wrong[: chance.integers(len(wrong))]
        part.write_bytes(wrong)
        into.seek(0)
        try:
            runs.pack([part], into, lambda: None)  # A number may be another one: nothing says which was meant.
        except Unreadable as error:
            assert str(part) in str(error)
    into.close()


def small(path: Path, count: int = 100) -> Part:
    """A file of numbers, some of a few and some of many, and of texts."""
    numbers, few = np.arange(count, dtype="u8") << np.uint64(40), np.arange(count, dtype="u2") % np.uint16(5)
    texts = Coded(Known(("a", "b")), np.arange(2, dtype="i4"), np.arange(count, dtype="i4") % np.int32(3))
    with path.open("wb") as file:
        writer = Writer(file, {"number": "UBIGINT", "few": "USMALLINT", "text": "VARCHAR"})
        writer.add({"number": numbers, "few": few, "text": texts})
        writer.close()
    return read(path)


def read(path: Path, **more: str) -> Part:
    columns = {"number": "u8", "few": "u2", "text": "u4", **more}
    return Part(path, {name: np.dtype(kind) for name, kind in columns.items()}, {"text": Numbers()})


def test_what_is_said_of_a_whole_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some"
    part = small(path)
    whole = path.read_bytes()
    with pytest.raises(Unreadable, match=f"{path}: other columns"):
        read(path, another="u8")
    for wrong in (b"", b"PAR2" + whole[4:], whole[:-1] + b"2", whole[:3]):
        path.write_bytes(wrong)
        with pytest.raises(Unreadable, match="not whole"):
            read(path)
    for length in (1 << 31, len(whole)):
        path.write_bytes(whole[:-8] + length.to_bytes(4, "little") + whole[-4:])
        with pytest.raises(Unreadable, match="nothing of ours"):
            read(path)
    with monkeypatch.context() as patch, pytest.raises(Unreadable, match=f"{path}: .*decode"):
        patch.setattr(parts, "_struct", lambda *_: ({2: [{}, {4: 7}]}, 0))
        read(path)
    monkeypatch.setattr(parts, "MOST_ROWS", 99)
    with pytest.raises(Unreadable, match="groups of other lengths"):
        list(part.groups())


@pytest.mark.parametrize("name", ["number", "few", "text"])
def test_what_a_page_says_is_looked_at(tmp_path: Path, name: str) -> None:
    part = small(tmp_path / "some")
    ((rows, chunks),) = part.groups()
    kind = part._columns[name]
    with pytest.raises(Unreadable, match="a page of other length"):
        part.read(chunks[name], name, np.empty(rows + 1, kind))
    page, _ = part._page(chunks[name][3][9], 5)
    page[4 * (name == "number") + 6 * (name == "text") :] = 255
    with pytest.raises(Unreadable, match=f"{name} is not whole"):
        part.read(chunks[name], name, np.empty(rows, kind))
    part._view = part._view[: chunks[name][3][9] + 20]
    with pytest.raises(Unreadable, match="a page beyond the end"):
        part.read(chunks[name], name, np.empty(rows, kind))


def test_what_texts_say_is_looked_at() -> None:
    page = b"\1\0\0\0a"
    assert Numbers().of(page, 1).tolist() == [0]
    for wrong, many in ((page + b"b", 1), (page[:-1], 1)):
        with pytest.raises(ValueError, match="other texts"):
            Numbers().of(wrong, many)
    with pytest.raises(ValueError, match="more texts than it has room for"):
        Numbers().of(page, 2)
    known, into = np.zeros(1, np.uint32), np.empty(8, np.uint32)
    for wrong in (b"\xff\xff\xff\xff", b"\0\0\0\0\1", b"\2\0\0\0\x12\1\1\x10\1", b"\2\0\0\0\x10\1"):
        assert not parts._texts(np.frombuffer(wrong + b"\0" * packing.SLACK, np.uint8), known, into)


def test_structs_are_as_deep_as_ours() -> None:
    for wrong in (b"\x19" * 5000, b"\x1c" * 5000):
        with pytest.raises(ValueError, match="nothing of ours"):
            parts._struct(memoryview(wrong), 0)


def test_what_we_cannot_read_duckdb_packs(filed: Filed, capsys: pytest.CaptureFixture[str]) -> None:
    filed.write(records())
    (part,) = filed.segments._open.iterdir()
    older = part.with_suffix(".older")
    duckdb.sql(f"COPY (SELECT * EXCLUDE (sampling) FROM '{part}') TO '{older}' (FORMAT parquet)")
    older.rename(part)
    filed.write(records())
    assert len(packed(filed)) == 8
    assert part.name in capsys.readouterr().out


def test_what_nobody_can_read_stays(filed: Filed) -> None:
    filed.write(records())
    (part,) = filed.segments._open.iterdir()
    part.write_bytes(part.read_bytes()[:-40])
    filed.now_s += 3600
    with pytest.raises(duckdb.Error):
        filed.segments.compact()
    assert [*filed.segments._open.iterdir()] == [part] and not list(filed.segments._hours.iterdir())


def test_closing_ends_packing(filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    filed.write(records())
    monkeypatch.setattr(runs, "arrange", lambda *_: filed.segments.close())
    filed.now_s += 3600
    with pytest.raises(InterruptedError):
        filed.segments.compact()
    assert len(list(filed.segments._open.iterdir())) == 1 and not list(filed.segments._hours.iterdir())
