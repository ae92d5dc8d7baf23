"""The thresholds of all detectors, as a file of them has them; without numpy."""

from __future__ import annotations

from suimon.detection import configs
from suimon.detection.counters import CounterThresholds
from suimon.detection.threshold_file import read_as


class Thresholds(CounterThresholds, frozen=True, forbid_unknown_fields=True):
    """For each detector its `Config`; `thresholds.yaml` has the same defaults and says what they mean."""

    mass_mail: configs.MassMail = configs.MassMail()
    port_scan: configs.PortScan = configs.PortScan()
    host_scan: configs.HostScan = configs.HostScan()
    syn_flood: configs.SynFlood = configs.SynFlood()
    udp_flood: configs.UdpFlood = configs.UdpFlood()
    reflection: configs.Reflection = configs.Reflection()
    brute_force: configs.BruteForce = configs.BruteForce()


def read(text: str) -> Thresholds:
    """The defaults with what the text changes. Raises `ThresholdsError`."""
    return read_as(Thresholds, text)[0]
