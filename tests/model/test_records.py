"""What records stand for."""

import numpy as np

from suimon.model.records import batch_of, joined, scaled, some


def test_an_unknown_sampling_counts_as_reported() -> None:
    batch = batch_of(2)
    batch["packets"], batch["sampling"] = 5, [0, 64]
    assert scaled(batch, "packets").tolist() == [5, 320]


def test_records_are_joined_and_chosen_whole() -> None:
    batch = batch_of(6)
    batch["begun"], batch["destination_mac"], batch["port"] = np.arange(6) / 2, np.arange(6) << 40, np.arange(6) - 1
    parts = [batch[:1], batch[1:1], batch[1:]]
    assert joined(parts).tolist() == batch.tolist() and joined(parts[:1]) is parts[0]
    assert joined([batch[::2], batch[1::2]]).tolist() == [*batch[::2].tolist(), *batch[1::2].tolist()]
    for which in (np.array([5, 0, 5]), batch["begun"] > 1.0):
        assert some(batch, which).tolist() == batch[which].tolist()
