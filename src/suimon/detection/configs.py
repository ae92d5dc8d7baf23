"""What the detectors of flow records take for an attack: their thresholds, which `thresholds.yaml` explains.

Apart from the detectors, for who has no numpy: controllers look a second time by them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class MassMail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=1, le=600)] = 30
    sessions: Annotated[int, Meta(ge=2, le=300)] = 300
    servers: Annotated[int, Meta(ge=2, le=300)] = 40
    l4_ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = (25, 465, 587)
    relay_share: Annotated[float, Meta(gt=0, le=10)] = 0.5
    relay_factor: Annotated[float, Meta(ge=1, le=20)] = 10.0
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class PortScan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=2, le=300)] = 10
    l4_ports: Annotated[int, Meta(ge=10, le=1000)] = 100
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class HostScan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=2, le=300)] = 10
    hosts: Annotated[int, Meta(ge=10, le=1000)] = 100
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class SynFlood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=1, le=30)] = 2
    out_syn_per_s: Annotated[float, Meta(ge=1, le=1e9)] = 2000.0
    in_syn_per_s: Annotated[float, Meta(ge=1, le=1e9)] = 4000.0
    syn_share: Annotated[float, Meta(gt=0, le=1)] = 0.2
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class UdpFlood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=1, le=30)] = 2
    out_kpps: Annotated[float, Meta(gt=0, le=1e6)] = 20.0
    in_kpps: Annotated[float, Meta(gt=0, le=1e6)] = 20.0
    answered_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class Reflection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=1, le=30)] = 2
    source_kbps: Annotated[float, Meta(ge=1, le=1e9)] = 5_000.0
    source_amplification: Annotated[float, Meta(ge=1, le=1e6)] = 10.0
    source_mean_bytes: Annotated[float, Meta(ge=0, le=65535)] = 250.0
    victim_kbps: Annotated[float, Meta(ge=1, le=1e9)] = 20_000.0
    victim_asked_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 60


class BruteForce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = True
    window_s: Annotated[int, Meta(ge=5, le=60)] = 60
    """At most what rates remember of a row, less what they look back."""
    sessions: Annotated[int, Meta(ge=5, le=1000)] = 60
    session_bytes: Annotated[float, Meta(ge=100, le=1e9)] = 10_000.0
    l4_ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = (22, 3389)
    quiet_s: Annotated[int, Meta(ge=1, le=86400)] = 120
