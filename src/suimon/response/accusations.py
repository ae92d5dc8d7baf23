"""What a finding accuses a port of, as a figure that its host can count now; and what the counted figure says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from suimon.model.counts import Activity
from suimon.model.findings import Direction, Finding
from suimon.model.questions import Look
from suimon.response.senses import Looked, Rate, Verification
from suimon.response.verify import BY_ITSELF, EACH, FEW_KPPS, LESS, OVERSHOOT

Figure = Literal["sessions", "packets", "kbits", "forged packets"]
_STILL: Final = 0.25
"""This part of what was said is enough: records are sampled, and nobody attacks evenly."""
_SPANS_S: Final = (0.5, 3.0)
_EVENTS: Final = 4
"""It is looked for so long that as many of what is slow would be seen."""
_PROTOCOLS: Final = {"tcp": 6, "udp": 17}
_KBITS: Final = 12.0
"""Of a packet of 1500 bytes."""


class _Kind(NamedTuple):
    """What a detector says: what is counted, which of its findings' numbers says how much (of the finding's `window_s`,
    if that is no rate by its name), from how much a second it calls it an attack, by a guest and on one, by its
    defaults, and of which protocol and, if it says one, transport ports.
    """

    figure: Figure
    number: str
    source: float
    victim: float
    protocol: str = ""
    l4_ports: tuple[int, ...] = ()


_OF: Final[Mapping[str, _Kind]] = {
    "mass_mail": _Kind("sessions", "sessions", 40 / 30, 40 / 30, "tcp", (25, 465, 587)),
    "brute_force": _Kind("sessions", "sessions", 60 / 60, 60 / 60, "tcp", (22, 3389)),
    "port_scan": _Kind("sessions", "l4_ports", 100 / 10, 100 / 10),
    "host_scan": _Kind("sessions", "hosts", 100 / 10, 100 / 10),
    "syn_flood": _Kind("packets", "syn_per_s", 2_000.0, 4_000.0),
    "udp_flood": _Kind("packets", "packets_per_s", 20_000.0, 20_000.0),
    "reflection": _Kind("packets", "answers_packets_per_s", 5_000 / _KBITS, 20_000 / _KBITS),
    "heavy_traffic": _Kind("kbits", "kbps", 100_000.0, 100_000.0),
    "forging": _Kind("forged packets", "packets_per_s", 300 / 60, 300 / 60),
}


class Accusation(msgspec.Struct, frozen=True):
    """So much of it a second (0: any is too much); of sessions, those of `protocol` to `l4_port` (0: any). Less than
    `least_per_s` is no attack, whatever is said.
    """

    figure: Figure
    direction: Direction
    per_s: float
    protocol: int = 0
    l4_port: int = 0
    least_per_s: float = 0.0
    by: str = "were said"

    @property
    def needed_per_s(self) -> float:
        """So much is enough. Who lies about a guest comes no further than a detector that doesn't."""
        return max(self.per_s * _STILL, self.least_per_s)

    def question(self, port_id: str, *, drops: bool) -> Look:
        span_s = min(max(_EVENTS / self.per_s, _SPANS_S[0]), _SPANS_S[1]) if self.per_s else _SPANS_S[1]
        forged = self.figure == "forged packets"
        return Look("", port_id, self.direction, self.protocol, self.l4_port, span_s, drops or forged)


def accused(finding: Finding) -> Accusation | None:
    """None for what a host can't count now: what was used, what others' detectors say, and what lacks its figures."""
    kind = _OF.get(finding.detector)
    if kind is None:
        return None
    said, window_s = finding.numbers.get(kind.number, 0.0), finding.numbers.get("window_s", 0.0)
    rate = kind.number.endswith(("_per_s", "kbps"))
    if said <= 0.0 or not (rate or window_s > 0.0):
        return None
    direction: Direction = "egress" if finding.role == "source" else "ingress"
    l4_port, protocol, suggested = int(finding.numbers.get("l4_port", 0.0)), kind.protocol, finding.suggestion
    if kind.l4_ports and l4_port not in kind.l4_ports:
        return None
    if finding.detector == "host_scan" and suggested is not None:
        protocol, l4_port = suggested.protocol or "", suggested.port_min or 0
    to = (_PROTOCOLS.get(protocol, 0), l4_port) if kind.figure == "sessions" and 0 <= l4_port < 65536 else (0, 0)
    least_per_s = kind.source if direction == "egress" else kind.victim
    return Accusation(kind.figure, direction, said if rate else said / max(window_s, 1.0), *to, least_per_s)


def imposed(wanted: Mapping[str, object], before: Sequence[Rate]) -> Accusation | None:
    """What a restriction itself is held to, where no finding says a figure: its limit, that no connection is opened to
    what it blocks, that less passes than did `before` the quarantine. None for several L4 ports: they can't be asked.
    """
    direction: Direction = "ingress" if wanted.get("direction") == "ingress" else "egress"
    l4_port = wanted.get("port_min")
    if wanted["kind"] == "port_block":
        if not isinstance(l4_port, int) or wanted.get("port_max", l4_port) != l4_port:
            return None
        return Accusation("sessions", direction, 0.0, _PROTOCOLS[str(wanted["protocol"])], l4_port, by="may")
    if wanted["kind"] == "quarantine":
        kpps = sum(one.kpps for one in before if one.direction == direction)
        return Accusation("packets", direction, kpps * 1000, by="did before") if kpps >= FEW_KPPS else None
    return Accusation("packets", direction, 1.0)


def judged(accusation: Accusation, seen: Sequence[Activity]) -> Looked:
    """Whether it goes on, of what the ports together did just now."""
    now = _a_second(accusation, seen, _tried)
    span_s = max(one.span_s for one in seen)
    words = f"{now:.1f} {accusation.figure} a second within {span_s:.1f} s just now, {accusation.per_s:.1f} were said"
    if accusation.figure == "sessions":
        peers = sum(one.peers for one in seen)
        words += f"; with {peers} others" if _countable(seen) else ", by packets: connections can't be looked at"
    return Looked(now >= accusation.needed_per_s, words)


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
            # Of several ports each has the limit for itself, as each way has.
            passes = max(_a_second(each, [one], _passed) for each in of for one in seen) / unit
            dropped = sum(_dropped(each, one) for each in of for one in seen)
            words = f"{passes:.1f} {name[5:]} {EACH} go through, {most} may; {dropped} packets dropped"
            # What is shaped waits, and is dropped where no meter counts it: who has all of his limit is held by it.
            return _verdict(words, passes <= most * OVERSHOOT, shown=dropped > 0 or passes >= most * LESS)
    if accusation.figure == "forged packets" or (accusation.figure == "sessions" and not _countable(seen)):
        return None
    passes, dropped = _a_second(accusation, seen, _passed), sum(_dropped(accusation, one) for one in seen)
    words = (
        f"{passes:.1f} {accusation.figure} a second pass, {accusation.per_s:.1f} {accusation.by}; "
        f"{dropped} packets dropped"
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
