"""The compiled folds and numpy's find the same, of whatever records."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from suimon.detection import folds
from suimon.detection.folds import Amount, Cells, Keyed, Marks, Rings
from suimon.detection.seen import FLAGGED, IS_TCP, OUT, TRIED, Seen, keys_of
from suimon.model.records import Batch, batch_of
from tests.compiled import both as by_both
from tests.compiled import built
from tests.detection.traffic import EPOCH, tags

PORTS = 5


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "_LIBRARY", built(folds, tmp_path_factory.mktemp("folds")))
        yield


both = partial(by_both, folds)
"""By folds.c, then by numpy."""


def whatever(count: int, seed: int = 3) -> Batch:
    """Records of all kinds, some of no port, no direction or no time, some long."""
    chance, batch = np.random.default_rng(seed), batch_of(count)
    for name in ("source_port", "destination_port"):
        batch[name] = chance.choice([0, 22, 53, 1023, 40000, 65535], count)
    for name in ("source_high", "source_low", "destination_high", "destination_low"):
        batch[name] = chance.choice([0, 7, 1 << 63], count)
    batch["protocol"], batch["tcp_flags"] = chance.choice([1, 6, 6, 17, 58, 255], count), chance.integers(0, 256, count)
    batch["packets"], batch["bytes"] = chance.integers(0, 1 << 63, count), (1 << 64) - 1
    batch["sampling"], batch["direction"] = chance.choice([0, 1, 512], count), chance.choice([0, 1, 1, 2, 2, 3], count)
    batch["port"] = chance.integers(-1, PORTS + 1, count)
    batch["ended"] = EPOCH + np.round(chance.random(count) * 125 - 122, 1)
    batch["begun"] = batch["ended"] - np.round(chance.choice([0, 0.5, 3, 70, 1e300, -1], count), 1)
    batch["ended"][chance.random(count) < 0.01] = np.nan
    return batch


def looking(batch: Batch) -> Seen:
    return Seen(batch, tags(PORTS), keys_of(tags(PORTS), 9), EPOCH, seed=9)


def same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and bool((one == other).all())


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_records_as_detectors_look_at_them(count: int) -> None:
    batch = whatever(count)
    compiled, plain = both(lambda: looking(batch))
    assert compiled.skipped == plain.skipped
    assert count < 100 or count // 10 < len(plain) < count
    for name, one, other in zip(folds.Columns._fields, compiled.looked.columns, plain.looked.columns, strict=True):
        assert same(one, other), name


@pytest.mark.parametrize("wanted", [0, OUT, IS_TCP | FLAGGED, TRIED])
@pytest.mark.parametrize("marks", [None, Marks(True, [22, 65535]), Marks(False, [0, 53])])
def test_records_of_some_classes(wanted: int, marks: Marks | None) -> None:
    seen = looking(whatever(3000))
    compiled, plain = both(lambda: seen.chosen(wanted, OUT & ~wanted, marks))
    assert same(compiled, plain)
    assert 0 < len(plain) < len(seen)


@pytest.mark.parametrize("letters", ["", "o", "l", "d", "pt", "st", "odp"])
def test_hashes_of_records(letters: str) -> None:
    batch = whatever(3000)
    chosen = np.flatnonzero(np.random.default_rng(1).random(len(looking(batch))) < 0.4)
    compiled, plain = both(lambda: looking(batch).hashes(chosen, letters))
    assert same(compiled, plain)
    assert len(np.unique(plain)) >= PORTS


def keyed(batch: Batch) -> list[Any]:
    """All that a table says while its keys change."""
    seen, drawn, table, held = looking(batch), np.random.default_rng(4), Keyed(64), np.zeros(64, np.bool_)
    told: list[Any] = []
    for turn in range(30):
        chosen = np.flatnonzero(drawn.random(len(seen)) < 0.2)
        keys = (drawn.integers(0, 101, len(chosen)) << 40).astype(np.uint64)
        (of, own, first), missed = table.rows(seen.looked, chosen, keys)
        order, known = np.argsort(own), table.known(chosen, keys)
        told.append([each.tolist() for each in (of, own[order], first[order], missed, table.find(keys), *known)])
        new, at = np.unique(keys[missed], return_index=True)
        rows = drawn.permutation(64)[: len(new)] if turn % 2 else np.flatnonzero(~held)[: len(new)]
        held[rows] = True
        count = len(rows)
        table.claim(seen.looked, rows, chosen[missed[at[:count]]], new[:count], np.flatnonzero(held))
        told.append([table.ended_s.tolist(), table.scale.tolist(), (table.turns == table.turn).tolist(), len(table)])
        told.append(table.origins.tolist())
    return told


def test_rows_of_keys() -> None:
    compiled, plain = both(lambda: keyed(whatever(2000)))
    assert compiled == plain
    assert any(-1 in each[0] and max(each[0]) > 0 for each in plain[::3])


def test_cells_that_things_hit() -> None:
    seen = looking(whatever(3000))

    def hit() -> Cells:
        cells, drawn = Cells(8, 16), np.random.default_rng(7)
        for _ in range(4):
            chosen = np.flatnonzero(drawn.random(len(seen)) < 0.02)
            rows, things = drawn.integers(-1, 6, len(chosen)), drawn.integers(0, 1 << 63, len(chosen)).astype(np.uint64)
            before = cells.hit.copy()
            cells.most[:] = 0
            cells.add(seen.looked, chosen, rows, things)
            assert (cells.most >= (cells.hit > before).sum(axis=1)).all()
        cells.most[:] = cells.hit.any(axis=1)
        cells.clear(np.array([2, 7]))
        return cells

    compiled, plain = both(hit)
    assert same(compiled.hit, plain.hit)
    assert plain.hit[3].any() and not plain.hit[2].any()


def test_amounts_over_seconds() -> None:
    seen = looking(whatever(4000))

    def laid() -> Rings:
        rings, drawn = Rings(6, 64, 3), np.random.default_rng(8)
        chosen = np.flatnonzero(drawn.random(len(seen)) < 0.5)
        rows = drawn.integers(-1, 6, len(chosen))
        amounts = [Amount((0, 1), drawn.random(len(chosen)) * 1e6), Amount((2, 2), drawn.random(len(chosen)))]
        rings.lay(int(EPOCH) - 63, seen.looked, chosen, rows, amounts)
        return rings

    compiled, plain = both(laid)
    assert (compiled.amounts == plain.amounts).all()
    assert all((each.most >= plain.amounts.sum(axis=0, dtype=np.float64) - 1e-3).all() for each in (compiled, plain))
    assert (plain.amounts.sum(axis=0) > 0).all()
    assert plain.amounts.any(axis=(1, 2)).sum() == 64, "some last for longer than the ring has seconds"
