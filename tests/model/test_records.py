"""Records are cut at seconds without a packet lost or made."""

import numpy as np
import pytest

from suimon.model.records import Batch, Cuts, batch_of, scaled, spread


def record(begun: float, ended: float, packets: int, octets: int = 0) -> Batch:
    batch = batch_of(1)
    batch["begun"], batch["ended"], batch["packets"], batch["bytes"] = begun, ended, packets, octets
    return batch


def cuts(batch: Batch, since_s: float = 0.0, until_s: float = 2e9, step_s: float = 1.0) -> Cuts:
    return Cuts(*(np.concatenate(column) for column in zip(*spread(batch, since_s, until_s, step_s), strict=True)))


@pytest.mark.parametrize(
    ("begun", "ended", "packets", "expected"),
    [
        (10.5, 10.5, 3, {10: 3}),
        (10.0, 10.0, 3, {10: 3}),
        (10.0, 11.0, 3, {10: 3}),
        (10.0, 11.5, 3, {10: 2, 11: 1}),
        (10.5, 12.5, 100, {10: 25, 11: 50, 12: 25}),
        (10.0, 20.0, 400_000, dict.fromkeys(range(10, 20), 40_000)),
        (10.5, 12.5, 1, {10: 0, 11: 0, 12: 1}),
        (10.5, 12.5, 0, {10: 0, 11: 0, 12: 0}),
    ],
)
def test_a_record_is_laid_evenly_over_its_duration(
    begun: float, ended: float, packets: int, expected: dict[int, int]
) -> None:
    found = cuts(record(begun, ended, packets, packets * 100))
    assert dict(zip(found.at_s.tolist(), found.packets.tolist(), strict=True)) == expected
    assert found.bytes.sum() == packets * 100


def test_a_window_takes_what_is_in_it() -> None:
    found = cuts(record(10.5, 20.5, 1000), 12, 15)
    assert found.at_s.tolist() == [12, 13, 14]
    assert found.packets.tolist() == [100, 100, 100]


def test_sums_are_kept_over_many_records_and_pieces() -> None:
    chance = np.random.default_rng(7)
    batch = batch_of(20_000)
    batch["begun"] = chance.uniform(1.7e9, 1.7e9 + 1000, len(batch))
    batch["ended"] = batch["begun"] + chance.exponential(30, len(batch))
    batch["packets"] = chance.integers(0, 1 << 40, len(batch))
    pieces = list(spread(batch, 0, 2e9))
    assert len(pieces) > 1
    found = cuts(batch)
    kept = np.zeros(len(batch), np.uint64)
    np.add.at(kept, found.record, found.packets)
    assert (kept == batch["packets"]).all()


def test_an_unknown_sampling_counts_as_reported() -> None:
    batch = np.concatenate([record(1, 1, 5)] * 2)
    batch["sampling"] = [0, 64]
    assert scaled(batch, "packets").tolist() == [5, 320]
