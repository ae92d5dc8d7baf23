"""Whether a restriction bites: by the counters of the ports before and after it, and by whether it is still reported.

Counters fall, too, when a guest stops by itself: that less passes shows something only while it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from suimon.response.senses import Rate, Verification

OVERSHOOT: Final = 1.25
"""How much over its limit a rate may be: limits shape on average, and what is counted begins with a burst."""
LESS: Final = 0.5
"""What blocks has at least halved what went through; and who is limited uses at least so much of what he may."""
FEW_KPPS: Final = 0.01
"""A quarantine leaves DHCP, DNS and metadata: of who sent no more than this, it may be all that he sent."""
EACH: Final = "of one port and way, at most,"
BY_ITSELF: Final = "it may have stopped by itself"


def verify(
    wanted: dict[str, object], before: Sequence[Rate], after: Sequence[Rate], *, goes_on: bool | None
) -> Verification:
    """By the rates of each port, in the ways that are restricted; none where they aren't known. `goes_on`: it was
    reported again well after the restriction was made; None: nobody reported anything.
    """
    measured = _measured(wanted, before, after, goes_on=goes_on)
    if measured is not None:
        return measured
    if goes_on:
        return Verification(False, "it is still reported, and no counters say that less goes through")
    if goes_on is None:
        return Verification(None, "no counters say anything of it")
    return Verification(None, f"it is reported no more: {BY_ITSELF}")


def _measured(
    wanted: dict[str, object], before: Sequence[Rate], after: Sequence[Rate], *, goes_on: bool | None
) -> Verification | None:
    """By the counters; None when they say nothing about it."""
    if not after:
        return None
    for name in ("rate_kbps", "rate_kpps"):
        if isinstance(limit := wanted.get(name), int):
            return _limited(name[5:], limit, after, goes_on=goes_on)
    earlier, later = (sum(one.kpps for one in rates) for rates in (before, after))
    if earlier < FEW_KPPS:
        return None
    words = f"{earlier:.3f} kpps went through before, {later:.3f} after"
    if later <= earlier * LESS:
        return _held(words, shown=goes_on)
    # Who is blocked on one transport port may go on sending as much on others, and whoever is blocked may go on trying.
    sure_before, sure = (sum(one.kpps for one in rates if one.direction == "ingress") for rates in (before, after))
    if wanted["kind"] == "port_block" or sure <= sure_before * LESS:
        return None
    return Verification(False, words)


def _limited(unit: str, limit: int, after: Sequence[Rate], *, goes_on: bool | None) -> Verification:
    """Each port and way has the limit for itself. Bits are shaped on the interface, whosever they are."""
    bits = unit == "kbps"
    rates = [(one.direction == "ingress" and (bits or not one.shared), one.kbps if bits else one.kpps) for one in after]
    most = max(rate for _, rate in rates)
    passed = max((rate for is_its_own, rate in rates if is_its_own), default=0.0)
    if passed > limit * OVERSHOOT:
        return Verification(False, f"{passed:.1f} {unit} {EACH} go through, {limit} may")
    if most > limit * OVERSHOOT:
        words = "how much is dropped, or is a trunk's subports', isn't known"
        return Verification(None, f"{most:.1f} {unit} {EACH} are sent or got, {limit} may: {words}")
    return _held(f"{most:.1f} {unit} {EACH} go through, {limit} may", shown=goes_on or most >= limit * LESS)


def _held(words: str, *, shown: bool | None) -> Verification:
    return Verification(True, words) if shown else Verification(None, f"{words}: {BY_ITSELF}")
