"""Incidents: what was decided about a finding, what was done, and what came of it, line by line.

The lines are only ever added to. What is done about them is in `remedies`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import and_, bindparam, delete, func, or_, select

from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.incidents import PRIVATE, Entry, EntryKind, Incident
from suimon.resources import subscribers
from suimon.resources.rulebooks import require_operator
from suimon.store.columns import time_text
from suimon.store.tables import INCIDENT_ENTRIES, INCIDENTS, KEPT, PORTS, RESTRICTIONS
from suimon.store.tx import Tx

_LAST: Final = select(func.coalesce(func.max(INCIDENT_ENTRIES.c.number), 0)).where(
    INCIDENT_ENTRIES.c.incident_id == bindparam("incident_id")
)
_BOUND: Final = select(func.coalesce(func.sum(INCIDENTS.c.weight), 0)).where(INCIDENTS.c.acted_at > bindparam("since"))
_EARLIER: Final = select(func.count()).where(
    and_(
        INCIDENTS.c.rule == bindparam("rule"),
        INCIDENTS.c.subject_id == bindparam("subject_id"),
        INCIDENTS.c.restricted_at > bindparam("since"),
        # Who was restricted by mistake is no offender.
        or_(INCIDENTS.c.false_positive.is_(None), INCIDENTS.c.false_positive.is_(False)),
    )
)
_BETWEEN: Final = (
    select(*INCIDENT_ENTRIES.columns)
    .where(and_(INCIDENT_ENTRIES.c.at >= bindparam("begin"), INCIDENT_ENTRIES.c.at < bindparam("end")))
    .order_by(INCIDENT_ENTRIES.c.at, INCIDENT_ENTRIES.c.incident_id, INCIDENT_ENTRIES.c.number)
)
_IN_FORCE: Final = INCIDENTS.c.state == "restricted"
_UNATTENDED: Final = (
    select(*INCIDENTS.columns)
    .outerjoin(RESTRICTIONS, RESTRICTIONS.c.id == INCIDENTS.c.restriction_id)
    .outerjoin(PORTS, and_(INCIDENTS.c.subject_kind == "port", PORTS.c.id == INCIDENTS.c.subject_id))
    .where(
        or_(
            and_(INCIDENTS.c.state == "waiting", INCIDENTS.c.answer_by <= bindparam("now")),
            and_(_IN_FORCE, INCIDENTS.c.verify_at <= bindparam("now")),
            and_(_IN_FORCE, INCIDENTS.c.ends_at <= bindparam("soon")),
            and_(_IN_FORCE, func.coalesce(RESTRICTIONS.c.state, "gone") != "active"),
            and_(_IN_FORCE, PORTS.c.binding_host != "", PORTS.c.binding_host != INCIDENTS.c.host),
        )
    )
    .order_by(INCIDENTS.c.opened_at, INCIDENTS.c.id)
)

_WAITING: Final = select(func.count()).where(INCIDENTS.c.state == "waiting")
_CLOSED: Final = INCIDENTS.c.closed_at < bindparam("before")
_FORGET: Final = (
    delete(INCIDENT_ENTRIES).where(INCIDENT_ENTRIES.c.incident_id.in_(select(INCIDENTS.c.id).where(_CLOSED))),
    delete(INCIDENTS).where(_CLOSED),
)


class Line(msgspec.Struct, frozen=True):
    """What is to be added to a timeline."""

    kind: EntryKind
    words: str
    details: dict[str, object] = {}


def open_incident(tx: Tx, actor: Actor, incident: Incident, lines: Sequence[Line]) -> Incident:
    """Keep a new incident with the first lines of its timeline."""
    tx.insert(incident)
    add_lines(tx, actor, incident, lines)
    return incident


def forget(tx: Tx, before: datetime) -> None:
    """Take away what was closed before that time, with its timeline."""
    for statement in _FORGET:
        tx.run(statement, {"before": time_text(before)})


def change_incident(tx: Tx, incident: Incident, **fields: object) -> Incident:
    """The incident with these fields set."""
    after = msgspec.structs.replace(incident, **fields)
    tx.update(incident, after)
    return after


def add_lines(tx: Tx, actor: Actor, incident: Incident, lines: Sequence[Line]) -> None:
    """Go on with its timeline, and tell whoever wants to know."""
    number = int(tx.rows(_LAST, {"incident_id": incident.id})[0][0])
    entries = [
        Entry(
            incident_id=incident.id,
            number=number + place,
            at=tx.now,
            kind=line.kind,
            author=actor.user_id,
            words=line.words,
            details=line.details,
            project_id=None if line.kind in PRIVATE else incident.project_id,
        )
        for place, line in enumerate(lines, 1)
    ]
    tx.insert_many(entries)
    subscribers.tell(tx, incident, entries)


def close(tx: Tx, actor: Actor, incident: Incident, line: Line) -> Incident:
    """Its last line, but for what people say of it later."""
    took = (tx.now - incident.restricted_at).total_seconds() if incident.restricted_at else None
    details = {**line.details, **({"restricted_s": round(took, 3)} if took is not None else {})}
    after = change_incident(tx, incident, state="closed", closed_at=tx.now, verify_at=None, answer_by=None)
    add_lines(tx, actor, after, [Line(line.kind, line.words, details)])
    return after


def list_incidents(tx: Tx, actor: Actor, where: Mapping[str, object] | None = None, limit: int = 100) -> list[Incident]:
    """The newest first: all for operators, others see those of their project that came to something."""
    asked = dict(where or {})
    if not actor.admin:
        asked["project_id"] = actor.viewer
        asked.setdefault("mode", ("act", "approve", "warn"))
    return tx.select(Incident, asked, order=("-opened_at", "id"), limit=limit)


def get_incident(tx: Tx, actor: Actor, id_: str) -> tuple[Incident, list[Entry]]:
    """With its timeline, or the tenant's half of it. Raises NotFound."""
    incident = find_incident(tx, id_)
    if not actor.admin and (incident.project_id is None or incident.project_id != actor.viewer):
        raise _missing(id_)
    where = {"incident_id": id_} if actor.admin else {"incident_id": id_, "project_id": actor.viewer}
    entries = tx.select(Entry, where, order=("number",))
    if not entries:
        raise _missing(id_)
    return incident, entries


def unattended(tx: Tx, ahead: timedelta) -> list[Incident]:
    """Those that something may have to be done about now: they end within `ahead`, or ended, or their port moved. The
    oldest first. What is restricted by hand, for good, is mostly none of them.
    """
    rows = tx.rows(_UNATTENDED, {"now": time_text(tx.now), "soon": time_text(tx.now + ahead)})
    return [KEPT[Incident].codec.decode(row) for row in rows]


def find_incident(tx: Tx, id_: str) -> Incident:
    """Whosever it is. Raises NotFound."""
    incident = tx.get(Incident, id_)
    if incident is None:
        raise _missing(id_)
    return incident


def entries_between(tx: Tx, actor: Actor, begin: datetime, end: datetime) -> list[Entry]:
    """All that happened from then until before then, in its order. Raises Forbidden."""
    require_operator(actor, "see all incidents")
    rows = tx.rows(_BETWEEN, {"begin": time_text(begin), "end": time_text(end)})
    return [KEPT[Entry].codec.decode(row) for row in rows]


def rules_of(tx: Tx, ids: Collection[str]) -> dict[str, str]:
    """By incident, the rule that it is about."""
    return {one.id: one.rule for one in tx.select(Incident, {"id": ids})} if ids else {}


def bound_since(tx: Tx, since: datetime) -> int:
    """How many ports rules restricted since then; what is of the future, by a clock that was set back, counts too."""
    return int(tx.rows(_BOUND, {"since": time_text(since)})[0][0])


def count_waiting(tx: Tx) -> int:
    """How many wait for a person's answer."""
    return int(tx.rows(_WAITING, {})[0][0])


def restricted_before(tx: Tx, rule: str, subject_id: str, since: datetime) -> int:
    """How often the rule restricted the subject since then, but for mistakes."""
    values = {"rule": rule, "subject_id": subject_id, "since": time_text(since)}
    return int(tx.rows(_EARLIER, values)[0][0])


def _missing(id_: str) -> NotFound:
    return NotFound(f"Incident {id_} could not be found.", "IncidentNotFound")
