"""The gate: may this rule act on this finding now, or this policy as it calls for? Pure; every answer has its reasons.

What it refuses, it refuses to everybody. What it doesn't want to do by itself, it asks a person for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final, Literal

import msgspec

from suimon.model.rulebook import Limits, Mode, Never, Place, Rulebook

WINDOW_S: Final = 3600.0
Verdict = Literal["skip", "refuse", "dry_run", "ask", "act"]
"""`skip`: there is nothing to stop (any more), which isn't worth a note."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the store counts, read in the transaction that acts. `bound` is ports bound by rules in the last hour."""

    ports: int
    bound: int
    would_bind: int = 0
    """Ports that would have been, had what is in dry run acted; asked for by what is in dry run itself."""
    breaker_open: str = ""
    """Why it is open."""
    earlier: int = 0
    """How often this rule, or policy, restricted this subject within `Limits.repeats_within_h`; in dry run, or would
    have."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, why, and for how long. `opens_breaker`: this would have been too much. `would` is what a dry run
    would have been, for the same reasons.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    lasts_s: float = 0.0
    times: int = 1
    """The how manieth time it is, which says by what measure."""
    opens_breaker: bool = False
    would: Verdict | None = None

    @property
    def acts(self) -> bool:
        """Or would: it has to be looked at a second time."""
        return "act" in (self.verdict, self.would)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would do about a finding, or a policy calls for, and what that would bind.

    `by` names the rule or policy for people. `seen_s` is when a finding was seen last; None: it holds, as a call does.
    `offset_s` is how far the clocks of its hosts are off, at the worst.
    """

    by: str
    mode: Mode
    place: Place
    lasts_h: float = 1.0
    then: Mapping[int, float] = {}
    """From which time on another measure is taken, and for how many hours at first."""
    seen_s: float | None = None
    ended: bool = False
    offset_s: float = 0.0
    doubts: tuple[str, ...] = ()
    """Why a person is asked in any case."""


def decide(book: Rulebook, case: Case, counted: Counted, now_s: float) -> Decision:
    """The one place where it is decided whether something happens by itself."""
    lasts_s, times = _lasts_s(case, counted.earlier, book.limits), counted.earlier + 1
    if refused := _refusals(book.never, case):
        return Decision(verdict="refuse", reasons=refused)
    if over := _over(case, book.limits, now_s):
        return Decision(verdict="skip", reasons=(over,))
    if case.mode == "dry_run":
        return _in_dry_run(book, case, counted, now_s)
    asks = _asks(case, counted, book.limits)
    opens = not asks and counted.bound + weight(case.place) > allowance(counted.ports, book.limits)
    if opens:
        asks = (
            f"{counted.bound} ports were restricted by rules within the hour, this would be {weight(case.place)} more, "
            f"and {allowance(counted.ports, book.limits)} are allowed",
        )
    if asks:
        return Decision(verdict="ask", reasons=asks, lasts_s=lasts_s, times=times, opens_breaker=opens)
    reasons = (f"{case.by} says so", *_repeated(case, counted.earlier))
    return Decision(verdict="act", reasons=reasons, lasts_s=lasts_s, times=times)


def _in_dry_run(book: Rulebook, case: Case, counted: Counted, now_s: float) -> Decision:
    """What would be so if all that is in dry run acted."""
    acting = msgspec.structs.replace(case, mode="act")
    together = msgspec.structs.replace(counted, bound=counted.bound + counted.would_bind)
    would = decide(book, acting, together, now_s)
    return msgspec.structs.replace(would, verdict="dry_run", opens_breaker=False, would=would.verdict)


def allowance(ports: int, limits: Limits) -> int:
    """How many ports rules may restrict within an hour, of so many that there are."""
    return max(limits.acts_an_hour, math.floor(limits.share_of_ports * ports))


def weight(place: Place) -> int:
    """How many ports a restriction of it counts for: an address that is nobody's counts as one."""
    return max(1, place.ports)


def duration_s(lasts_h: float, earlier: int, limits: Limits) -> float:
    """Twice as long each time, up to the longest."""
    return 3600.0 * min(lasts_h * 2.0 ** min(earlier, 64), limits.longest_h)


def _lasts_s(case: Case, earlier: int, limits: Limits) -> float:
    """Each measure doubles from when it is taken first."""
    at = max((at for at in case.then if at <= earlier + 1), default=1)
    return duration_s(case.then.get(at, case.lasts_h), earlier + 1 - at, limits)


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
    if not (case.place.ports or case.place.there):
        return ("there is nothing of it in the cloud (any more) that could be restricted",)
    if case.place.target.kind == "address" and len(case.place.projects) > 1:
        return ("several projects have this address",)
    return ()


def _over(case: Case, limits: Limits, now_s: float) -> str:
    """Why there is nothing to stop. A finding of the future is none: somebody's clock is wrong."""
    if case.ended:
        return "it is over already"
    if case.seen_s is None:
        return ""
    if now_s - case.seen_s > limits.fresh_s:
        return f"it was last seen {now_s - case.seen_s:.0f} s ago"
    if case.seen_s - now_s > limits.clock_offset_s:
        return f"it is said to be seen {case.seen_s - now_s:.0f} s from now: a clock is wrong"
    return ""


def _asks(case: Case, counted: Counted, limits: Limits) -> tuple[str, ...]:
    reasons = list(case.doubts)
    if case.mode == "approve":
        reasons.append(f"{case.by} asks")
    if abs(case.offset_s) > limits.clock_offset_s:
        reasons.append(f"the clock of its host is {case.offset_s:.0f} s off: it could not be lifted in time there")
    if counted.breaker_open:
        reasons.append(f"the breaker is open: {counted.breaker_open}")
    return tuple(reasons)


def _repeated(case: Case, earlier: int) -> tuple[str, ...]:
    if not earlier:
        return ()
    so = "by a harsher measure" if any(at <= earlier + 1 for at in case.then) else "for longer"
    return (f"for the {earlier + 1}. time, so {so}",)
