"""Detectors over records that were stored: the same records, thresholds and seed give the same findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from suimon.detection.records import Records
from suimon.detection.seen import Tag
from suimon.detection.thresholds import Thresholds
from suimon.model.findings import Finding
from suimon.model.records import Batch, some

_STEP_S = 0.25


def replay(batch: Batch, tags: Sequence[Tag], thresholds: Thresholds, seed: int = 0) -> Iterator[tuple[float, Finding]]:
    """Each finding with the moment at which it was made, as if every record had come when it ended.

    What still goes on when the records are over is not told as ended.
    """
    records = Records(thresholds, seed)
    order = np.argsort(batch["ended"], kind="stable")
    steps = np.floor(batch["ended"][order] / _STEP_S)
    for part in np.split(order, np.flatnonzero(np.diff(steps)) + 1):
        if len(part):
            now_s = float(batch["ended"][part[-1]])
            found = records.take(some(batch, part), tags, now_s)
            yield from ((now_s, finding) for finding in (*found, *records.flush(now_s)))
