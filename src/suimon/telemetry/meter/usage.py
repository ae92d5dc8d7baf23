"""Sums and rates of samples, step by step, and the 95th percentile as it is billed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

import msgspec

from suimon.model.samples import Sample
from suimon.telemetry.meter.ledger import FIGURES, added, figures

_RATED: Final = ("in_bytes", "out_bytes", "in_outside_bytes", "out_outside_bytes")
_NOTHING: Final = (0,) * len(FIGURES)


class Step(msgspec.Struct, frozen=True):
    """What passed after `begun_s` until `ended_s`, in the order of FIGURES."""

    begun_s: float
    ended_s: float
    sums: tuple[int, ...]


def steps(samples: Iterable[Sample], since_s: float, until_s: float, step_s: int) -> list[Step]:
    """One for each step, also where nothing passed. A sample counts in the step that it ended in, whole."""
    sums = [_NOTHING] * ceil((until_s - since_s) / step_s)
    for sample in samples:
        at = ceil(round((sample.ended_s - since_s) / step_s, 6)) - 1
        if 0 <= at < len(sums):
            sums[at] = added(sums[at], figures(sample))
    return [Step(since_s + at * step_s, since_s + (at + 1) * step_s, each) for at, each in enumerate(sums)]


def totals(taken: Iterable[Step]) -> dict[str, int]:
    summed = _NOTHING
    for each in taken:
        summed = added(summed, each.sums)
    return dict(zip(FIGURES, summed, strict=True))


def percentiles(taken: Sequence[Step], percent: int = 95) -> dict[str, float]:
    """Bits per second that so many percent of the steps don't exceed (nearest rank): one of the steps' own rates."""
    found = {}
    for name in _RATED:
        at = FIGURES.index(name)
        rates = sorted(each.sums[at] * 8 / (each.ended_s - each.begun_s) for each in taken)
        rank = -(-percent * len(rates) // 100)
        found[name.removesuffix("_bytes") + "_bps"] = rates[rank - 1] if rates else 0.0
    return found
