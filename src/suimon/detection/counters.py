"""The detectors of samples and drop counters by name, and their thresholds: what controllers have, without numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from suimon.detection import forging, heavy_traffic
from suimon.detection.engine import Engine
from suimon.model.samples import Dropped, Sample

OF_DROPS: Final = {"forging": forging.Forging}
OF_SAMPLES: Final = {"heavy_traffic": heavy_traffic.HeavyTraffic}
SUREST: Final = {"heavy_traffic": heavy_traffic.CONFIDENCE}
"""How sure findings are at most, of detectors that are never quite sure."""


class CounterThresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For each of these detectors its `Config`."""

    forging: forging.Config = forging.Config()
    heavy_traffic: heavy_traffic.Config = heavy_traffic.Config()


def of_samples(thresholds: CounterThresholds) -> Engine[Sequence[Sample]]:
    """What looks at the meters' samples."""
    return Engine(OF_SAMPLES, thresholds)


def of_drops(thresholds: CounterThresholds) -> Engine[Sequence[Dropped]]:
    """What looks at the switches' drop counters."""
    return Engine(OF_DROPS, thresholds)
