"""What records stand for."""

from suimon.model.records import batch_of, scaled


def test_an_unknown_sampling_counts_as_reported() -> None:
    batch = batch_of(2)
    batch["packets"], batch["sampling"] = 5, [0, 64]
    assert scaled(batch, "packets").tolist() == [5, 320]
