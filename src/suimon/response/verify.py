"""Does a restriction bite? Judged from what was measured before and after it, and from whether it is still reported."""

from __future__ import annotations

from typing import Final

from suimon.response.senses import Rate, Verification

OVERSHOOT: Final = 1.25
"""How much over its limit a rate may be: limits shape on average, and what is counted begins with a burst."""
LESS: Final = 0.5
"""What blocks has at least halved what went through."""


def verify(wanted: dict[str, object], before: Rate | None, after: Rate | None, *, goes_on: bool) -> Verification:
    """`goes_on`: it was reported again well after the restriction was made."""
    measured = _measured(wanted, before, after)
    if measured is not None:
        return measured
    if goes_on:
        return Verification(False, "it is still reported, and no counters say that less goes through")
    if after is None:
        return Verification(None, "it is reported no more; no counters to measure by")
    return Verification(True, "it is reported no more")


def _measured(wanted: dict[str, object], before: Rate | None, after: Rate | None) -> Verification | None:
    """By the counters; None when they say nothing about it."""
    if after is None:
        return None
    for name, rate in (("rate_kbps", after.kbps), ("rate_kpps", after.kpps)):
        limit = wanted.get(name)
        if isinstance(limit, int):
            return Verification(rate <= limit * OVERSHOOT, f"{rate:.1f} {name[5:]} go through, {limit} may")
    if before is None or not before.kpps:
        return None
    less = after.kpps <= before.kpps * LESS
    words = f"{before.kpps:.3f} kpps went through before, {after.kpps:.3f} after"
    # Who is blocked on one transport port may go on sending as much on others.
    return Verification(True, words) if less else None if wanted["kind"] == "port_block" else Verification(False, words)
