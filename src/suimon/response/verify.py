"""Whether a restriction bites: by the counters of the ports before and after it, and by whether it is still reported.

Counters fall, too, when a guest stops by itself: that less passes shows something only while it goes on.
"""

from __future__ import annotations

from typing import Final

from suimon.response.senses import Rate, Verification

OVERSHOOT: Final = 1.25
"""How much over its limit a rate may be: limits shape on average, and what is counted begins with a burst."""
LESS: Final = 0.5
"""What blocks has at least halved what went through; and who is limited uses at least so much of what he may."""
FEW_KPPS: Final = 0.01
"""A quarantine leaves DHCP, DNS and metadata: of who sent no more than this, it may be all that he sent."""
BY_ITSELF: Final = "it may have stopped by itself"


def verify(wanted: dict[str, object], before: Rate | None, after: Rate | None, *, goes_on: bool | None) -> Verification:
    """`goes_on`: it was reported again well after the restriction was made; None: nobody reported anything."""
    measured = _measured(wanted, before, after, goes_on=goes_on)
    if measured is not None:
        return measured
    if goes_on:
        return Verification(False, "it is still reported, and no counters say that less goes through")
    if goes_on is None:
        return Verification(None, "no counters say anything of it")
    return Verification(None, f"it is reported no more: {BY_ITSELF}")


def _measured(
    wanted: dict[str, object], before: Rate | None, after: Rate | None, *, goes_on: bool | None
) -> Verification | None:
    """By the counters; None when they say nothing about it."""
    if after is None:
        return None
    for name, rate in (("rate_kbps", after.kbps), ("rate_kpps", after.kpps)):
        limit = wanted.get(name)
        if isinstance(limit, int):
            words = f"{rate:.1f} {name[5:]} go through, {limit} may"
            if rate > limit * OVERSHOOT:
                return Verification(False, words)
            return _held(words, shown=goes_on or rate >= limit * LESS)
    if before is None or before.kpps < FEW_KPPS:
        return None
    words = f"{before.kpps:.3f} kpps went through before, {after.kpps:.3f} after"
    if after.kpps <= before.kpps * LESS:
        return _held(words, shown=goes_on)
    # Who is blocked on one transport port may go on sending as much on others.
    return None if wanted["kind"] == "port_block" else Verification(False, words)


def _held(words: str, *, shown: bool | None) -> Verification:
    return Verification(True, words) if shown else Verification(None, f"{words}: {BY_ITSELF}")
