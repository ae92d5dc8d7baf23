"""The thresholds of all detectors, as a file of them has them."""

from __future__ import annotations

from suimon.detection import (
    brute_force,
    host_scan,
    mass_mail,
    port_scan,
    reflection,
    syn_flood,
    udp_flood,
)
from suimon.detection.counters import CounterThresholds
from suimon.detection.threshold_file import read_as


class Thresholds(CounterThresholds, frozen=True, forbid_unknown_fields=True):
    """For each detector its `Config`; `thresholds.yaml` has the same defaults and says what they mean."""

    mass_mail: mass_mail.Config = mass_mail.Config()
    port_scan: port_scan.Config = port_scan.Config()
    host_scan: host_scan.Config = host_scan.Config()
    syn_flood: syn_flood.Config = syn_flood.Config()
    udp_flood: udp_flood.Config = udp_flood.Config()
    reflection: reflection.Config = reflection.Config()
    brute_force: brute_force.Config = brute_force.Config()


def read(text: str) -> Thresholds:
    """The defaults with what the text changes. Raises `ThresholdsError`."""
    return read_as(Thresholds, text)[0]
