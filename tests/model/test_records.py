"""What records stand for."""

import numpy as np
import pytest

from suimon.model.records import RECORD, batch_of, joined, scaled, some


def test_an_unknown_sampling_counts_as_reported() -> None:
    batch = batch_of(2)
    batch["packets"], batch["sampling"] = 5, [0, 64]
    assert scaled(batch, "packets").tolist() == [5, 320]


def test_records_are_joined_and_chosen_whole() -> None:
    batch = batch_of(6)
    batch["begun"], batch["destination_mac"], batch["port"] = np.arange(6) / 2, np.arange(6) << 40, np.arange(6) - 1
    rows = batch.rows()
    parts = [batch[:1], batch[1:1], batch[1:]]
    assert [len(each) for each in parts] == [1, 0, 5]
    assert joined(parts).rows().tolist() == rows.tolist() and joined(parts[:1]) is parts[0]
    for which in (np.array([5, 0, 5]), batch["begun"] > 1.0):
        assert some(batch, which).rows().tolist() == rows[which].tolist()
    assert all(joined(parts)[name].flags.c_contiguous for name in RECORD.names or ())


def test_a_slice_is_the_same_memory_and_a_step_is_refused() -> None:
    batch = batch_of(3)
    batch[1:2]["bytes"] = 7
    assert batch["bytes"].tolist() == [0, 7, 0]
    with pytest.raises(AssertionError):
        batch[::2]
