"""What records stand for."""

import numpy as np
import pytest

from suimon.model.records import RECORD, batch_of, joined, pieces, scaled, some


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


def test_pieces_have_all_records_in_order() -> None:
    batch = batch_of(11)
    batch["bytes"] = np.arange(11)
    parts = [batch[:2], batch[2:2], batch[2:3], batch[3:10], batch[10:]]
    for most, lengths in ((1, [1] * 11), (3, [3, 3, 3, 2]), (11, [11]), (12, [11])):
        made = list(pieces(parts, most))
        assert [len(each) for each in made] == lengths
        assert [number for each in made for number in each["bytes"].tolist()] == list(range(11))
    assert not list(pieces([batch[:0]], 3))


def test_a_slice_is_the_same_memory_and_a_step_is_refused() -> None:
    batch = batch_of(3)
    batch[1:2]["bytes"] = 7
    assert batch["bytes"].tolist() == [0, 7, 0]
    with pytest.raises(AssertionError):
        batch[::2]
