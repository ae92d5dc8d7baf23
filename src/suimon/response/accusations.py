"""What a finding accuses a port of, as a figure that its host can count now; and what the counted figure says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from suimon.detection.thresholds import Thresholds
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


class Kind(NamedTuple):
    """What a detector says: what is counted, which of its findings' numbers says how much (of the finding's `window_s`,
    if that is no rate by its name), from how much a second it calls it an attack, by a guest and on one, and of which
    protocol and, if it says one, transport ports.
    """

    figure: Figure
    number: str
    source: float
    victim: float
    protocol: str = ""
    l4_ports: tuple[int, ...] = ()


Kinds = Mapping[str, Kind]


def kinds_by(said: Thresholds) -> Kinds:
    """By detector, as these thresholds have it. Of reflection, packets are as long as Ethernet's may be."""
    mail, login, syn, udp = said.mass_mail, said.brute_force, said.syn_flood, said.udp_flood
    mails = min(mail.sessions, mail.servers) / mail.window_s
    logins = login.sessions / login.window_s
    ports, hosts = said.port_scan.l4_ports / said.port_scan.window_s, said.host_scan.hosts / said.host_scan.window_s
    mirrored = (said.reflection.source_kbps / _KBITS, said.reflection.victim_kbps / _KBITS)
    heavy, forged = said.heavy_traffic.least_kbps, said.forging.packets / said.forging.window_s
    return {
        "mass_mail": Kind("sessions", "sessions", mails, mails, "tcp", mail.l4_ports),
        "brute_force": Kind("sessions", "sessions", logins, logins, "tcp", login.l4_ports),
        "port_scan": Kind("sessions", "l4_ports", ports, ports),
        "host_scan": Kind("sessions", "hosts", hosts, hosts),
        "syn_flood": Kind("packets", "syn_per_s", syn.out_syn_per_s, syn.in_syn_per_s),
        "udp_flood": Kind("packets", "packets_per_s", udp.out_kpps * 1000, udp.in_kpps * 1000),
        "reflection": Kind("packets", "answers_packets_per_s", *mirrored),
        "heavy_traffic": Kind("kbits", "kbps", heavy, heavy),
        "forging": Kind("forged packets", "packets_per_s", forged, forged),
    }


DEFAULTS: Final = kinds_by(Thresholds())


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


FELT: Final = Accusation("packets", "egress", 0.0)
"""Says nothing; asked with drops, whether a restriction is felt."""


def accused(finding: Finding, kinds: Kinds = DEFAULTS) -> Accusation | None:
    """None for what a host can't count now: what was used, what others' detectors say, and what lacks its figures."""
    kind = kinds.get(finding.detector)
    if kind is None:
        return None
    said, window_s = finding.numbers.get(kind.number, 0.0), finding.numbers.get("window_s", -1.0)
    rate = kind.number.endswith(("_per_s", "kbps"))
    # All that one datagram of sFlow tells of came within no time.
    if said <= 0.0 or not (rate or window_s >= 0.0):
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


def goes_on(
    wanted: Mapping[str, object], accusation: Accusation | None, seen: Sequence[Activity], *, reported: bool
) -> bool:
    """Whether who is restricted goes on trying, as much as he was restricted for. `seen` with drops.

    Where that can't be counted (it is no figure, or it is shaped, which drops where no meter counts), the restriction
    has to be felt, and it has to be still `reported`.
    """
    shaped = accusation is not None and accusation.direction == "ingress" and wanted.get("rate_kbps") is not None
    if accusation is None or (shaped and accusation.figure != "sessions"):
        return reported and _is_felt(wanted, seen)
    if accusation.figure == "sessions":
        now = sum((_dropped(accusation, one) + (one.sessions or 0)) / one.span_s for one in seen)
    else:
        now = _a_second(accusation, seen, _tried)
    return now >= accusation.needed_per_s


def _is_felt(wanted: Mapping[str, object], seen: Sequence[Activity]) -> bool:
    if limited := _limited(wanted, seen):
        return limited.is_felt
    return any(one.restricted_out or one.restricted_in for one in seen)


class _Limited(NamedTuple):
    """Of a limit of so many `unit`: what passes of one port and way at most, and how many packets are dropped."""

    unit: str
    most: int
    passes: float
    dropped: int

    @property
    def is_felt(self) -> bool:
        # What is shaped waits, and is dropped where no meter counts it: who has all of his limit is held by it.
        return self.dropped > 0 or self.passes >= self.most * LESS


def _limited(wanted: Mapping[str, object], seen: Sequence[Activity]) -> _Limited | None:
    for name, most in (("rate_kbps", wanted.get("rate_kbps")), ("rate_kpps", wanted.get("rate_kpps"))):
        if isinstance(most, int):
            ways: tuple[Direction, ...] = ("egress", "ingress")
            figure: Figure = "kbits" if name == "rate_kbps" else "packets"
            of = [Accusation(figure, way, 1.0) for way in ways if wanted.get("direction") in (None, way)]
            unit = 1.0 if name == "rate_kbps" else 1000.0
            # Of several ports each has the limit for itself, as each way has.
            passes = max(_a_second(each, [one], _passed) for each in of for one in seen) / unit
            return _Limited(name[5:], most, passes, sum(_dropped(each, one) for each in of for one in seen))
    return None


def verified(wanted: Mapping[str, object], accusation: Accusation, seen: Sequence[Activity]) -> Verification | None:
    """Whether a restriction bites, by what passes now; `seen` with drops. None when that can't be told."""
    if limited := _limited(wanted, seen):
        unit, most, passes, dropped = limited
        words = f"{passes:.1f} {unit} {EACH} go through, {most} may; {dropped} packets dropped"
        return _verdict(words, passes <= most * OVERSHOOT, shown=limited.is_felt)
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
        return one.received_packets if one.let_in is None else one.let_in
    return max(one.sent_packets - (one.restricted_out or 0), 0) if one.let_on is None else one.let_on


def _counted(accusation: Accusation, one: Activity) -> tuple[int, int]:
    if accusation.direction == "egress":
        return one.sent_packets, one.sent_bytes
    return one.received_packets, one.received_bytes


def _dropped(accusation: Accusation, one: Activity) -> int:
    return (one.restricted_out if accusation.direction == "egress" else one.restricted_in) or 0
