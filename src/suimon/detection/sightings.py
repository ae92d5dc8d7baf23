"""What a detector sees at one moment, and the sentences and filters that go with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from suimon.model.findings import Role, Subject, Suggestion


class More(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a sighting."""

    confidence: float
    numbers: dict[str, float]
    words: str
    evidence: tuple[str, ...] = ()
    suggestion: Suggestion | None = None


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """Something above its threshold. What has the same subject, role and `about` is the same thing going on."""

    subject: Subject
    role: Role
    project_id: str | None
    about: str = ""
    """What tells apart two things of one subject: a transport port, a peer."""
    since_s: float
    seen_s: float
    more: Callable[[], More]
    """Asked for when it is told, as most aren't: so it holds nothing that is good for one step only."""


def sure_by(count: float) -> float:
    """The confidence that `count` packets or sessions give which were really seen, not estimated: 0.5 by 3 of them."""
    return round(float(count / (count + 3.0)), 3)


def block_of_outside(address: str) -> Suggestion:
    """All that can be done about somebody outside; it is for people, since it is so for the whole cloud."""
    return Suggestion(kind="port_block", target_kind="outside_address", target=address)


def records_of(port_id: str, since_s: float, until_s: float, *terms: str) -> str:
    """A filter of `suimon flows search`: the port's records of that time which have all of `terms`."""
    span = f"since {_text(int(since_s))} and until {_text(int(until_s) + 1)}"
    return " and ".join((f"port {port_id}", *terms, span))


@lru_cache(1024)
def _text(moment_s: int) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
