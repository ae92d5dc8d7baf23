"""Findings as detectors tell them: kept by their id, each once, as it was told last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Select, and_, bindparam, delete, func, or_, select

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Forbidden
from suimon.model.findings import Finding
from suimon.model.incidents import NotedFinding
from suimon.model.rulebook import USAGE
from suimon.store.columns import time_text
from suimon.store.tables import FINDINGS, KEPT
from suimon.store.tx import Tx

MOST_AT_ONCE: Final = 1000
MOST_KEPT: Final = 100_000
MOST_BYTES: Final = 16 * 1024
"""Of one finding."""
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
_LIVE: Final = (
    select(*FINDINGS.columns)
    .where(and_(FINDINGS.c.seen_at >= bindparam("since"), FINDINGS.c.ended.is_(False)))
    .where(
        or_(
            FINDINGS.c.noted_at > bindparam("at"),
            and_(FINDINGS.c.noted_at == bindparam("at"), FINDINGS.c.id > bindparam("id")),
        )
    )
    .order_by(FINDINGS.c.noted_at, FINDINGS.c.id)
    .limit(bindparam("most"))
)

_COUNT: Final = select(func.count()).select_from(FINDINGS)
_OLDEST: Final = select(FINDINGS.c.id).order_by(FINDINGS.c.seen_at, FINDINGS.c.id).limit(bindparam("most"))
_OLD: Final = select(FINDINGS.c.id).where(FINDINGS.c.seen_at < bindparam("before"))
_FORGET: Final = {which: delete(FINDINGS).where(FINDINGS.c.id.in_(which)) for which in (_OLDEST, _OLD)}


def note_findings(tx: Tx, actor: Actor, findings: Sequence[Finding]) -> list[NotedFinding]:
    """Keep what detectors say; what is known already is brought up to date, and nothing goes back in time.

    Raises Forbidden for whoever is neither an operator nor a service, BadRequest: also of what only `note_used` says.
    """
    if not (actor.admin or "service" in actor.roles):
        raise Forbidden("Only detectors and operators may tell findings.")
    if len(findings) > MOST_AT_ONCE:
        raise BadRequest(f"At most {MOST_AT_ONCE} findings at once.")
    # No second look asks hosts about those: nobody else may say one, nor take its id.
    if any(text.startswith(USAGE) for finding in findings for text in (finding.id, finding.detector)):
        raise BadRequest(f"What was used only the controller finds: no id and no detector of others begins {USAGE!r}.")
    return _note(tx, findings)


def note_used(tx: Tx, finding: Finding) -> None:
    """Keep what a usage rule finds by the controller's own meter. Its id and its detector begin with `USAGE`."""
    _note(tx, [finding])


def _note(tx: Tx, findings: Sequence[Finding]) -> list[NotedFinding]:
    newest = {finding.id: finding for finding in sorted(findings, key=lambda one: one.seen_s)}
    known = {one.id: one for one in tx.select(NotedFinding, {"id": newest.keys()})}
    noted = [_noted(finding, known.get(finding.id), tx.now) for finding in newest.values()]
    tx.insert_many([one for one in noted if one.id not in known])
    for one in noted:
        before = known.get(one.id)
        if before is None:
            # Whoever acts on findings waits for the log.
            tx.touch("finding", one.id, "")
        elif before != one:
            tx.update(before, one)
            if one.ended != before.ended:
                tx.touch("finding", one.id, "")
    return noted


def forget(tx: Tx, before: datetime) -> None:
    """Take away what was seen for the last time before that."""
    _forget(tx, _OLD, {"before": time_text(before)})


def surplus(tx: Tx, most: int = MOST_KEPT) -> int:
    """How many there are beyond those that are kept."""
    return max(int(tx.rows(_COUNT, {})[0][0]) - most, 0)


def drop_surplus(tx: Tx, most: int = MOST_KEPT) -> int:
    """Take away those that were seen longest ago; how many. Incidents stay, as they tell what was found."""
    return _forget(tx, _OLDEST, {"most": too_many}) if (too_many := surplus(tx, most)) else 0


def list_findings(tx: Tx, actor: Actor, limit: int = 100) -> list[NotedFinding]:
    """The newest first: all for operators, others see those about their project."""
    where = {} if actor.admin else {"project_id": actor.viewer}
    return tx.select(NotedFinding, where, order=("-noted_at", "id"), limit=limit)


def live_findings(tx: Tx, since: datetime, most: int, after: NotedFinding | None = None) -> list[NotedFinding]:
    """Those that go on: seen since then and not said to have ended. The first to be noted first, behind `after`."""
    at, id_ = (time_text(after.noted_at), after.id) if after else ("", "")
    rows = tx.rows(_LIVE, {"since": time_text(since), "at": at, "id": id_, "most": most})
    return [KEPT[NotedFinding].codec.decode(row) for row in rows]


def finding_of(noted: NotedFinding) -> Finding:
    """As it was told."""
    return msgspec.json.decode(noted.body, type=Finding)


def _noted(finding: Finding, before: NotedFinding | None, now: datetime) -> NotedFinding:
    _check(finding)
    seen_at = datetime.fromtimestamp(finding.seen_s, UTC)
    # What was looked at about one would be held against another.
    if before and (before.detector, before.subject_kind, before.subject_id) != (
        finding.detector, finding.subject.kind, finding.subject.id
    ):  # fmt: skip
        raise BadRequest(f"Finding {finding.id} is about another already.")
    if before and (before.seen_at > seen_at or before.ended):
        return before
    return NotedFinding(
        id=finding.id,
        detector=finding.detector,
        subject_kind=finding.subject.kind,
        subject_id=finding.subject.id,
        project_id=finding.project_id,
        since=datetime.fromtimestamp(finding.since_s, UTC),
        seen_at=seen_at,
        ended=finding.ended,
        noted_at=before.noted_at if before else now,
        body=msgspec.json.encode(finding).decode(),
    )


def _forget(tx: Tx, which: Select[tuple[str]], values: dict[str, object]) -> int:
    """How many it were."""
    for (id_,) in tx.rows(which, values):
        tx.touch("finding", id_, "")
    return tx.run(_FORGET[which], values)


def _check(finding: Finding) -> None:
    texts = {finding.id: 64, finding.detector: 128, finding.subject.id: 255}
    if not all(0 < len(text) <= most for text, most in texts.items()):
        raise BadRequest("A finding has an id of 64 characters at most, a detector of 128 and a subject of 255.")
    numbers = (finding.since_s, finding.seen_s, finding.confidence, *finding.numbers.values())
    if not all(math.isfinite(number) for number in numbers) or not 0 <= finding.confidence <= 1:
        raise BadRequest(f"The numbers of finding {finding.id} are none.")
    if not 0 <= finding.since_s <= finding.seen_s < _LATEST:
        raise BadRequest(f"Finding {finding.id} was seen before it began.")
    if len(msgspec.json.encode(finding)) > MOST_BYTES:
        raise BadRequest(f"Finding {finding.id} has more than {MOST_BYTES} bytes.")
