"""Incidents: what was decided about a finding, what was done, and what came of it, line by line.

The lines are only ever added to. What is done about them is in `remedies`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import BindParameter, and_, bindparam, delete, exists, false, func, or_, select

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import NotFound
from suimon.model.incidents import PRIVATE, Entry, EntryKind, Incident, KeptReport
from suimon.model.months import Month
from suimon.model.report import report
from suimon.model.rulebook import BY_HAND
from suimon.model.things import Restriction
from suimon.resources import subscribers
from suimon.resources.rulebooks import require_operator
from suimon.store.columns import time_text
from suimon.store.tables import INCIDENT_ENTRIES, INCIDENTS, KEPT, PORTS, RESTRICTIONS
from suimon.store.tx import Tx

_LAST: Final = select(func.coalesce(func.max(INCIDENT_ENTRIES.c.number), 0)).where(
    INCIDENT_ENTRIES.c.incident_id == bindparam("incident_id")
)
_BOUND: Final = select(func.coalesce(func.sum(INCIDENTS.c.weight), 0)).where(INCIDENTS.c.acted_at > bindparam("since"))
_WOULD_ACT: Final = and_(INCIDENTS.c.would == "act", INCIDENTS.c.opened_at > bindparam("since"))
_WOULD_BIND: Final = select(func.coalesce(func.sum(INCIDENTS.c.weight), 0)).where(_WOULD_ACT)
_OF_BOTH: Final = and_(INCIDENTS.c.rule == bindparam("rule"), INCIDENTS.c.subject_id == bindparam("subject_id"))
# Who was restricted by mistake is no offender.
_OFFENCES: Final = (_OF_BOTH, func.coalesce(INCIDENTS.c.false_positive, false()).is_(False))
_DONE: Final = INCIDENTS.c.restricted_at > bindparam("since")
_EARLIER: Final = {
    dry: select(func.count()).where(*_OFFENCES, or_(_DONE, _WOULD_ACT) if dry else _DONE) for dry in (False, True)
}
_WOULD_BE_OPEN: Final = (
    select(INCIDENTS.c.id)
    .where(_OF_BOTH, INCIDENTS.c.state == "noted", INCIDENTS.c.closed_at > bindparam("now"))
    .limit(1)
)
_SAID: Final = and_(INCIDENT_ENTRIES.c.at >= bindparam("begin"), INCIDENT_ENTRIES.c.at < bindparam("end"))
_BETWEEN: Final = (
    select(*INCIDENT_ENTRIES.columns)
    .where(_SAID)
    .order_by(INCIDENT_ENTRIES.c.at, INCIDENT_ENTRIES.c.incident_id, INCIDENT_ENTRIES.c.number)
)
_RULES_BETWEEN: Final = select(INCIDENTS.c.id, INCIDENTS.c.rule).where(
    INCIDENTS.c.id.in_(select(INCIDENT_ENTRIES.c.incident_id).where(_SAID))
)
_IN_FORCE: Final = INCIDENTS.c.state == "restricted"
_UNATTENDED: Final = (
    select(*INCIDENTS.columns)
    .outerjoin(PORTS, and_(INCIDENTS.c.subject_kind == "port", PORTS.c.id == INCIDENTS.c.subject_id))
    .where(
        or_(
            and_(INCIDENTS.c.state == "waiting", INCIDENTS.c.answer_by <= bindparam("now")),
            and_(_IN_FORCE, INCIDENTS.c.verify_at <= bindparam("now")),
            and_(_IN_FORCE, INCIDENTS.c.rule != BY_HAND, INCIDENTS.c.ends_at <= bindparam("soon")),
            and_(_IN_FORCE, PORTS.c.binding_host != "", PORTS.c.binding_host != INCIDENTS.c.host),
        )
    )
    .order_by(INCIDENTS.c.opened_at, INCIDENTS.c.id)
)
_LEFT: Final = (
    select(*INCIDENTS.columns)
    .outerjoin(RESTRICTIONS, RESTRICTIONS.c.id == INCIDENTS.c.restriction_id)
    .where(
        or_(
            and_(INCIDENTS.c.state == "waiting", INCIDENTS.c.answer_by <= bindparam("before")),
            and_(_IN_FORCE, RESTRICTIONS.c.state == "expired", RESTRICTIONS.c.released_at <= bindparam("before")),
        )
    )
    .limit(bindparam("most"))
)
_MOST_AT_ONCE: Final = 1000

_WAITING: Final = select(func.count()).where(INCIDENTS.c.state == "waiting")
_BEFORE: Final[BindParameter[str]] = bindparam("before")
_LATER: Final = INCIDENT_ENTRIES.alias("later")
_OLD: Final = and_(
    INCIDENTS.c.closed_at < _BEFORE, ~exists().where(_LATER.c.incident_id == INCIDENTS.c.id, _LATER.c.at >= _BEFORE)
)
"""What was closed before, and nothing was said of since."""
_OLD_ENTRIES: Final = INCIDENT_ENTRIES.c.incident_id.in_(select(INCIDENTS.c.id).where(_OLD))
_OLD_MONTHS: Final = select(func.substr(INCIDENT_ENTRIES.c.at, 1, 7)).where(_OLD_ENTRIES).distinct()
_FORGET: Final = (delete(INCIDENT_ENTRIES).where(_OLD_ENTRIES), delete(INCIDENTS).where(_OLD))


class Line(msgspec.Struct, frozen=True):
    """What is to be added to a timeline."""

    kind: EntryKind
    words: str
    details: dict[str, object] = {}


UNANSWERED: Final = Line("answer", "nobody answered in time", {"approved": False})


def open_incident(tx: Tx, actor: Actor, incident: Incident, lines: Sequence[Line]) -> Incident:
    """Keep a new incident with the first lines of its timeline."""
    tx.insert(incident)
    add_lines(tx, actor, incident, lines)
    return incident


def forget(tx: Tx, before: datetime) -> None:
    """Take away what was closed, and spoken of last, before the month of that time, with its timeline. What the months
    came to that it is about is kept.
    """
    values = {"before": time_text(Month.at(before.timestamp()).begin)}
    for (name,) in tx.rows(_OLD_MONTHS, values):
        if tx.get(KeptReport, name) is None:
            tx.insert(month_report(tx, SYSTEM, Month.named(name)))
    for statement in _FORGET:
        tx.run(statement, values)


def month_report(tx: Tx, actor: Actor, month: Month) -> KeptReport:
    """What happened in it by itself, in figures (`model.report`), and of each rule. Raises Forbidden."""
    require_operator(actor, "see all incidents")
    if kept := tx.get(KeptReport, month.name):
        return kept
    entries = entries_between(tx, actor, month.begin, month.end)
    said = {"begin": time_text(month.begin), "end": time_text(month.end)}
    rules = {str(id_): str(rule) for id_, rule in tx.rows(_RULES_BETWEEN, said)}
    return KeptReport(
        month=month.name,
        figures=msgspec.to_builtins(report(entries)),
        rules={
            rule: msgspec.to_builtins(report(entry for entry in entries if rules[entry.incident_id] == rule))
            for rule in sorted(set(rules.values()))
        },
    )


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


def close_released(tx: Tx, restriction: Restriction) -> None:
    """Its incident is over. A tenant isn't told who released it, nor why: that may name others."""
    by = restriction.released_by
    line = Line("decision", f"{by} released it: {restriction.release_reason}", {"by": by})
    for incident in tx.select(Incident, {"restriction_id": restriction.id, "state": "restricted"}):
        add_lines(tx, SYSTEM, incident, [line])
        close(tx, SYSTEM, incident, Line("release", "released"))


def close_expired(tx: Tx, restriction_ids: Collection[str]) -> None:
    """The incidents of what people restricted are over. What rules and policies did may be prolonged yet."""
    where = {"restriction_id": restriction_ids, "state": "restricted", "rule": BY_HAND}
    for incident in tx.select(Incident, where) if restriction_ids else ():
        close(tx, SYSTEM, incident, Line("release", "the time is over"))


def left_open(tx: Tx, before: datetime) -> list[Incident]:
    """Those whose restriction has been over, or whose time for an answer, since before then: a thousand."""
    rows = tx.rows(_LEFT, {"before": time_text(before), "most": _MOST_AT_ONCE})
    return [KEPT[Incident].codec.decode(row) for row in rows]


def close_left(tx: Tx, before: datetime) -> list[Incident]:
    """Close those: nobody looks after incidents. Nobody knows whether what was restricted goes on."""
    over = Line("release", "the time is over, and nobody looked whether it goes on")
    found = left_open(tx, before)
    return [close(tx, SYSTEM, each, UNANSWERED if each.state == "waiting" else over) for each in found]


def resume(tx: Tx, restriction_ids: Collection[str]) -> None:
    """Incidents whose restrictions a clock that was ahead had ended go on."""
    where = {"restriction_id": restriction_ids, "state": "closed"}
    for incident in tx.select(Incident, where) if restriction_ids else ():
        after = change_incident(tx, incident, state="restricted", closed_at=None)
        add_lines(tx, SYSTEM, after, [Line("restriction", "in force again: a clock that was ahead had ended it")])


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


def bound_since(tx: Tx, since: datetime) -> int:
    """How many ports rules restricted since then; what is of the future, by a clock that was set back, counts too."""
    return int(tx.rows(_BOUND, {"since": time_text(since)})[0][0])


def count_waiting(tx: Tx) -> int:
    """How many wait for a person's answer."""
    return int(tx.rows(_WAITING, {})[0][0])


def would_bind_since(tx: Tx, since: datetime) -> int:
    """How many ports would have been restricted since then by what was in dry run."""
    return int(tx.rows(_WOULD_BIND, {"since": time_text(since)})[0][0])


def would_be_open(tx: Tx, rule: str, subject_id: str) -> bool:
    """Whether the subject would be restricted now, or be asked about, by what the rule said in its dry run."""
    return bool(tx.rows(_WOULD_BE_OPEN, {"rule": rule, "subject_id": subject_id, "now": time_text(tx.now)}))


def restricted_before(tx: Tx, rule: str, subject_id: str, since: datetime, *, dry: bool = False) -> int:
    """How often the rule restricted the subject since then, but for mistakes; `dry`: or would have."""
    values = {"rule": rule, "subject_id": subject_id, "since": time_text(since)}
    return int(tx.rows(_EARLIER[dry], values)[0][0])


def _missing(id_: str) -> NotFound:
    return NotFound(f"Incident {id_} could not be found.", "IncidentNotFound")
