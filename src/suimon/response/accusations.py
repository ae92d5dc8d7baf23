"""What a finding accuses a port of, as a figure that its host can count now; and what the counted figure says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding
from suimon.model.questions import Look
from suimon.response.senses import Looked, Verification
from suimon.response.verify import BY_ITSELF, LESS, OVERSHOOT

Figure = Literal["sessions", "packets", "kbits", "forged packets"]
_STILL: Final = 0.25
"""This part of what was said is enough: records are sampled, and nobody attacks evenly."""
_SPANS_S: Final = (0.5, 3.0)
_EVENTS: Final = 4
"""It is looked for so long that as many of what is slow would be seen."""
_PROTOCOLS: Final = {"tcp": 6, "udp": 17}
_OF: Final[Mapping[str, tuple[Figure, str, str]]] = {
    "mass_mail": ("sessions", "sessions", "tcp"),
    "brute_force": ("sessions", "sessions", "tcp"),
    "port_scan": ("sessions", "l4_ports", ""),
    "host_scan": ("sessions", "hosts", ""),
    "syn_flood": ("packets", "syn_per_s", ""),
    "udp_flood": ("packets", "packets_per_s", ""),
    "reflection": ("packets", "answers_packets_per_s", ""),
    "heavy_traffic": ("kbits", "kbps", ""),
    "forging": ("forged packets", "packets_per_s", ""),
}
"""By detector: what is counted, which of the finding's numbers says how much, of which protocol. What is no rate by its
name is of the finding's `window_s`.
"""


class Accusation(msgspec.Struct, frozen=True):
    """So much of it a second; of sessions, those of `protocol` to `l4_port` (0: any)."""

    figure: Figure
    direction: Direction
    per_s: float
    protocol: int = 0
    l4_port: int = 0

    def question(self, port_id: str, *, drops: bool) -> Look:
        span_s = min(max(_EVENTS / self.per_s, _SPANS_S[0]), _SPANS_S[1])
        forged = self.figure == "forged packets"
        return Look("", port_id, self.direction, self.protocol, self.l4_port, span_s, drops or forged)


def accused(finding: Finding) -> Accusation | None:
    """None for what a host can't count now: what was used, or what a detector of others says."""
    figure, name, protocol = _OF.get(finding.detector, ("", "", ""))
    said, window_s = finding.numbers.get(name, 0.0), finding.numbers.get("window_s", 0.0)
    if not figure or said <= 0.0:
        return None
    rate = name.endswith(("_per_s", "kbps"))
    if not rate and window_s <= 0.0:
        return None
    direction: Direction = "egress" if finding.role == "source" else "ingress"
    l4_port, suggested = int(finding.numbers.get("l4_port", 0.0)), finding.suggestion
    if finding.detector == "host_scan" and suggested is not None:
        protocol, l4_port = suggested.protocol or "", suggested.port_min or 0
    to = (_PROTOCOLS.get(protocol, 0), l4_port) if figure == "sessions" and 0 <= l4_port < 65536 else (0, 0)
    return Accusation(figure, direction, said if rate else said / max(window_s, 1.0), *to)  # type: ignore[arg-type]


def judged(accusation: Accusation, seen: Sequence[Activity]) -> Looked:
    """Whether it goes on, of what the ports together did just now."""
    now = _a_second(accusation, seen, _tried)
    span_s = max(one.span_s for one in seen)
    words = f"{now:.1f} {accusation.figure} a second within {span_s:.1f} s just now, {accusation.per_s:.1f} were said"
    if accusation.figure == "sessions":
        peers = sum(one.peers for one in seen)
        words += f"; with {peers} others" if _countable(seen) else ", by packets: connections can't be looked at"
    return Looked(now >= accusation.per_s * _STILL, words)


def tried(accusation: Accusation, seen: Sequence[Activity]) -> bool:
    """Whether who is restricted goes on trying. `seen` with drops."""
    if accusation.figure == "sessions":
        now = sum((_dropped(accusation, one) + (one.sessions or 0)) / one.span_s for one in seen)
    else:
        now = _a_second(accusation, seen, _tried)
    return now >= accusation.per_s * _STILL


def verified(wanted: Mapping[str, object], accusation: Accusation, seen: Sequence[Activity]) -> Verification | None:
    """Whether a restriction bites, by what passes now; `seen` with drops. None when that can't be told."""
    for name, most in (("rate_kbps", wanted.get("rate_kbps")), ("rate_kpps", wanted.get("rate_kpps"))):
        if isinstance(most, int):
            ways: tuple[Direction, ...] = ("egress", "ingress")
            figure: Figure = "kbits" if name == "rate_kbps" else "packets"
            of = [Accusation(figure, way, 1.0) for way in ways if wanted.get("direction") in (None, way)]
            unit = 1.0 if name == "rate_kbps" else 1000.0
            passes = max(_a_second(each, seen, _passed) for each in of) / unit
            dropped = sum(_dropped(each, one) for each in of for one in seen)
            words = f"{passes:.1f} {name[5:]} go through, {most} may; {dropped} packets dropped"
            # What is shaped waits, and is dropped where no meter counts it: who has all of his limit is held by it.
            return _verdict(words, passes <= most * OVERSHOOT, shown=dropped > 0 or passes >= most * LESS)
    if accusation.figure == "forged packets" or (accusation.figure == "sessions" and not _countable(seen)):
        return None
    passes, dropped = _a_second(accusation, seen, _passed), sum(_dropped(accusation, one) for one in seen)
    words = (
        f"{passes:.1f} {accusation.figure} a second pass, {accusation.per_s:.1f} were said; {dropped} packets dropped"
    )
    return _verdict(words, passes <= accusation.per_s * LESS, shown=dropped > 0)


def _verdict(words: str, holds: bool, *, shown: bool) -> Verification:
    """Where nothing was dropped, little passes because little is tried."""
    if holds and not shown:
        return Verification(None, f"{words}: {BY_ITSELF}")
    return Verification(holds, words)


def _countable(seen: Sequence[Activity]) -> bool:
    return all(one.sessions is not None for one in seen)


def _a_second(accusation: Accusation, seen: Sequence[Activity], of: Callable[[Accusation, Activity], float]) -> float:
    return sum(of(accusation, one) / one.span_s for one in seen)


def _tried(accusation: Accusation, one: Activity) -> float:
    """Whatever becomes of it. A session that can't be counted has a packet at least."""
    if accusation.figure == "forged packets":
        return one.forged or 0
    if accusation.figure == "sessions" and one.sessions is not None:
        return one.sessions
    packets, octets = _counted(accusation, one)
    if accusation.direction == "ingress":
        packets += _dropped(accusation, one)
    return octets * 8 / 1000 if accusation.figure == "kbits" else packets


def _passed(accusation: Accusation, one: Activity) -> float:
    """A connection is tracked, and counted, behind what blocks it. Packets that are dropped are as long as others."""
    if accusation.figure == "sessions":
        return one.sessions or 0
    packets, octets = _counted(accusation, one)
    share = min(_let_on(accusation, one), packets) / packets if packets else 0.0
    return share * (octets * 8 / 1000 if accusation.figure == "kbits" else packets)


def _let_on(accusation: Accusation, one: Activity) -> int:
    """Packets. An agent that doesn't tell leaves what its device counted, some of which the switch never got."""
    if accusation.direction == "ingress":
        return one.received_packets
    return max(one.sent_packets - (one.restricted_out or 0), 0) if one.let_on is None else one.let_on


def _counted(accusation: Accusation, one: Activity) -> tuple[int, int]:
    if accusation.direction == "egress":
        return one.sent_packets, one.sent_bytes
    return one.received_packets, one.received_bytes


def _dropped(accusation: Accusation, one: Activity) -> int:
    return (one.restricted_out if accusation.direction == "egress" else one.restricted_in) or 0
