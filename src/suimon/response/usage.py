"""Usage rules: sums of the meter become findings, which go through the gate as any other, and warnings.

What was used before or during a restriction is paid for: after it, counting begins anew. Otherwise whoever was limited
to 10 Mbit/s for a day would have used too much by that alone. What a person refused, or nobody answered, is decided,
too: it is asked again about as much as that once more.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import SYSTEM
from suimon.model.findings import Finding, Subject
from suimon.model.incidents import Incident
from suimon.model.rulebook import USAGE, UsageRule, is_for
from suimon.resources.alarms import Told, tell_once
from suimon.resources.findings import note_used
from suimon.resources.incidents import Line
from suimon.resources.places import place_of
from suimon.resources.rulebooks import rulebook
from suimon.response.senses import Senses
from suimon.store.store import Store
from suimon.store.tx import Tx

_FAMILY: Final = UUID("b7c1d1f2-51a4-5a0b-9f0e-2f6d1f9a7c55")
"""The UUID namespace in which a rule, a subject and a window become a finding's id (RFC 9562, section 5.5)."""
_GB: Final = 1e9


class Used(msgspec.Struct, frozen=True):
    """What one subject used since `begun_s`. `anew_s`: when something was decided about it last; 0: never, within the
    time that counts.
    """

    subject: Subject
    used: int
    begun_s: float
    anew_s: float = 0.0


async def note_usage(store: Store, senses: Senses, now: datetime) -> None:
    """Findings and warnings for all that is over, or nearly over, what rules allow. Raises TimeoutError."""
    now_s = now.timestamp()
    for rule in (await store.read(rulebook))[1].usage:
        begun_s = now_s - rule.within_h * 3600.0
        floor = rule.more_than_gb * _GB * rule.warn_at
        sums = await senses.used(rule, now_s)
        for id_ in sorted(id_ for id_, used in sums.items() if used >= floor):
            found = Used(Subject(rule.per, id_), sums[id_], begun_s)
            begins_s = await store.read(lambda tx, one=found, rule=rule: _counts_from(tx, rule, one))  # type: ignore[misc]
            if begins_s > begun_s:
                anew = await senses.used_since(rule, id_, begins_s, now_s) if begins_s < now_s else 0
                found = Used(found.subject, anew, begins_s, begins_s)
            if found.used >= floor:
                await store.write(lambda tx, one=found, rule=rule: _note(tx, rule, one), SYSTEM)  # type: ignore[misc]


def _counts_from(tx: Tx, rule: UsageRule, found: Used) -> float:
    """From when on it is counted: when the last restriction by this rule ended, or the last decision not to restrict
    was made in its present mode; never while there is, or may be, a restriction.
    """
    where = {"rule": rule.name, "subject_id": found.subject.id}
    begins_s = found.begun_s
    for one in tx.select(Incident, where):
        if one.state in ("waiting", "restricted"):
            return math.inf
        if one.closed_at is not None and (one.restricted_at is not None or one.mode == rule.mode):
            begins_s = max(begins_s, one.closed_at.timestamp())
    return begins_s


def _note(tx: Tx, rule: UsageRule, found: Used) -> None:
    place = place_of(tx, found.subject)
    if not is_for(rule, place):
        return
    window = math.floor(tx.now.timestamp() / (rule.within_h * 3600.0))
    used_gb, id_ = found.used / _GB, f"{rule.name}/{found.subject.id}/{window}/{found.anew_s:.3f}"
    words = (
        f"{found.subject.kind} {found.subject.id} used {used_gb:.3f} of {rule.more_than_gb:g} GB "
        f"{'to and from the outside ' if rule.outside else ''}within {rule.within_h:g} h"
    )
    numbers = {"used_gb": round(used_gb, 3), "allowed_gb": rule.more_than_gb, "within_h": rule.within_h}
    if found.used > rule.more_than_gb * _GB:
        finding = Finding(
            id=f"{USAGE}{uuid5(_FAMILY, id_)}",
            detector=f"{USAGE}{rule.name}",
            subject=found.subject,
            role="source",
            project_id=place.project_id,
            since_s=found.begun_s,
            seen_s=tx.now.timestamp(),
            confidence=1.0,
            numbers=numbers,
            words=words,
            evidence=(),
        )
        note_used(tx, finding)
    elif rule.mode != "dry_run":
        # Once in each window, and each time that it is counted anew.
        told = Told(rule.name, found.subject.kind, found.subject.id, place.project_id, mode="warn")
        tell_once(tx, SYSTEM, f"warning/{id_}", told, Line("warning", words, dict(numbers)))
