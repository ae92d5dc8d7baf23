"""What a detector says: who does, or suffers, what, since when, how sure, and what would stop it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SubjectKind = Literal[
    "port", "address", "network", "project", "host",
    "router", "security_group", "security_group_rule", "floating_ip", "cloud",
]  # fmt: skip
"""Detectors find the first five; policies act on the others, too."""
Role = Literal["source", "victim"]
Direction = Literal["egress", "ingress"]
"""As Neutron says it: egress is what a guest sends, ingress what is sent to it."""


DETECTORS: Final = (
    "brute_force", "forging", "heavy_traffic", "host_scan", "mass_mail", "port_scan", "reflection", "syn_flood",
    "udp_flood",
)  # fmt: skip
"""All that there are; of what others call themselves nothing is done by itself."""


class Subject(msgspec.Struct, frozen=True):
    """Whom a finding is about: a resource by its id, a host by its name, or an address by its text."""

    kind: SubjectKind
    id: str


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """The restriction that would stop it, in the fields of a restriction, which takes it as it is; None is "not asked
    for".

    A detector suggests the narrowest that it can: one transport port of one guest before all of a guest.
    """

    kind: Literal["rate_limit", "packet_rate_limit", "port_block", "quarantine"]
    target_kind: Literal["port", "project", "network", "address", "outside_address"]
    target: str
    direction: Direction | None = None
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    rate_kbps: int | None = None
    rate_kpps: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes on, told again while it lasts under the same id, and once more as ended.

    `since_s` is when it began as far as the records show, `seen_s` the last moment at which it was seen to go on;
    both are UTC seconds of the records, not of whoever read them. `numbers` are named with their units.
    """

    id: str
    detector: str
    """The file under `detection/`, which is also the section of the runbook."""
    subject: Subject
    role: Role
    project_id: str | None = None
    since_s: float
    seen_s: float
    ended: bool = False
    """It has been quiet for as long as the detector's `quiet_s`: this is the last that is heard of it."""
    confidence: float
    """0 to 1. What sampling leaves open lowers it."""
    numbers: dict[str, float]
    words: str
    """One sentence for a person, with the figures that matter."""
    evidence: tuple[str, ...]
    """Filters of `suimon flows search` that show the records behind it."""
    suggestion: Suggestion | None = None
