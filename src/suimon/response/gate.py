"""The gate: may this rule act on this finding now? Pure; every answer has its reasons.

What it refuses, it refuses to everybody. What it doesn't want to do by itself, it asks a person for.
"""

from __future__ import annotations

import math
from ipaddress import ip_address, ip_network
from typing import Final, Literal

import msgspec

from suimon.model.findings import Finding
from suimon.model.rulebook import DetectorRule, Limits, Never, Place, Rulebook, UsageRule

WINDOW_S: Final = 3600.0
Verdict = Literal["skip", "refuse", "dry_run", "ask", "act"]
"""`skip`: there is nothing to stop (any more), which isn't worth a note."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the store counts, read in the transaction that acts. `bound` is ports bound by rules in the last hour."""

    ports: int
    bound: int
    breaker_open: str = ""
    """Why it is open."""
    earlier: int = 0
    """How often this rule restricted this subject within `Limits.repeats_within_h`."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, why, and for how long. `opens_breaker`: this would have been too much."""

    verdict: Verdict
    reasons: tuple[str, ...]
    lasts_s: float = 0.0
    opens_breaker: bool = False


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One finding and one rule that is for it. `offset_s` is how far the clocks of its hosts are off, at the worst."""

    finding: Finding
    rule: DetectorRule | UsageRule
    place: Place
    offset_s: float = 0.0


def decide(book: Rulebook, case: Case, counted: Counted, now_s: float) -> Decision:
    """The one place where it is decided whether something happens by itself."""
    lasts_s = duration_s(case.rule, counted.earlier, book.limits)
    if refused := _refusals(book.never, case):
        return Decision(verdict="refuse", reasons=refused)
    if over := _over(case.finding, book.limits, now_s):
        return Decision(verdict="skip", reasons=(over,))
    if case.rule.mode == "dry_run":
        return Decision(verdict="dry_run", reasons=("the rule is in dry run",), lasts_s=lasts_s)
    asks = _asks(case, counted, book.limits)
    opens = not asks and counted.bound + weight(case.place) > allowance(counted.ports, book.limits)
    if opens:
        asks = (
            f"{counted.bound} ports were restricted by rules within the hour, this would be {weight(case.place)} more, "
            f"and {allowance(counted.ports, book.limits)} are allowed",
        )
    if asks:
        return Decision(verdict="ask", reasons=asks, lasts_s=lasts_s, opens_breaker=opens)
    reasons = (f"rule {case.rule.name} says so", *_repeated(counted.earlier))
    return Decision(verdict="act", reasons=reasons, lasts_s=lasts_s)


def allowance(ports: int, limits: Limits) -> int:
    """How many ports rules may restrict within an hour, of so many that there are."""
    return max(limits.acts_an_hour, math.floor(limits.share_of_ports * ports))


def weight(place: Place) -> int:
    """How many ports a restriction of it counts for: an address that is nobody's counts as one."""
    return max(1, place.ports)


def duration_s(rule: DetectorRule | UsageRule, earlier: int, limits: Limits) -> float:
    """Twice as long each time, up to the longest."""
    return 3600.0 * min(rule.do.lasts_h * 2.0 ** min(earlier, 64), limits.longest_h)


def spared(never: Never, place: Place) -> str:
    """Why nobody but a person may touch it; nothing if that isn't so."""
    if place.infrastructure:
        return "the network's own ports are among it"
    if listed := place.port_ids.intersection(never.ports) | place.projects.intersection(never.projects):
        return f"{min(listed)} is never to be touched"
    prefixes = [ip_network(text, strict=False) for text in never.addresses]
    for text in sorted(place.addresses):
        if any(ip_address(text) in prefix for prefix in prefixes):
            return f"{text} is never to be touched"
    return ""


def _refusals(never: Never, case: Case) -> tuple[str, ...]:
    if why := spared(never, case.place):
        return (why,)
    if not case.place.ours:
        return ("it is outside: what cuts an address off from the whole cloud is for people",)
    if not case.place.ports:
        return ("there is nothing of it in the cloud (any more) that could be restricted",)
    if case.place.target.kind == "address" and len(case.place.projects) > 1:
        return ("several projects have this address",)
    return ()


def _over(finding: Finding, limits: Limits, now_s: float) -> str:
    """Why there is nothing to stop. A finding of the future is none: somebody's clock is wrong."""
    if finding.ended:
        return "it is over already"
    if now_s - finding.seen_s > limits.fresh_s:
        return f"it was last seen {now_s - finding.seen_s:.0f} s ago"
    if finding.seen_s - now_s > limits.clock_offset_s:
        return f"it is said to be seen {finding.seen_s - now_s:.0f} s from now: a clock is wrong"
    return ""


def _asks(case: Case, counted: Counted, limits: Limits) -> tuple[str, ...]:
    reasons = []
    if case.rule.mode == "approve":
        reasons.append("the rule asks")
    if abs(case.offset_s) > limits.clock_offset_s:
        reasons.append(f"the clock of its host is {case.offset_s:.0f} s off: it could not be lifted in time there")
    if counted.breaker_open:
        reasons.append(f"the breaker is open: {counted.breaker_open}")
    return tuple(reasons)


def _repeated(earlier: int) -> tuple[str, ...]:
    return (f"for the {earlier + 1}. time, so for longer",) if earlier else ()
