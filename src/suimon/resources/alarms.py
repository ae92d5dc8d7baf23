"""What belongs to no restriction: incidents for subscribers to hear. They are over as soon as they are told, but for
alarms of what goes on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import bindparam, select

from suimon.model.actor import SYSTEM, Actor
from suimon.model.incidents import CLOCK_OFF, DETECTOR_FAILED, OWN_CLOCK_OFF, USAGE_LATE, Incident, State, runbook
from suimon.resources.incidents import Line, change_incident, close, open_incident
from suimon.resources.rulebooks import rulebook
from suimon.store.columns import time_text
from suimon.store.tables import INCIDENTS
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which the name of what is told becomes its incident's id (RFC 9562, section 5.5)."""

CALM: Final = timedelta(hours=1)
"""What has not been so for so long is over."""
_OVER: Final = select(INCIDENTS.c.id).where(INCIDENTS.c.state == "alarm", INCIDENTS.c.ends_at <= bindparam("now"))


class Told(msgspec.Struct, frozen=True):
    """What the incident has for its rule, whom it is about, and whose half it is in; None: operators'. It is over as
    soon as it is told, or goes on until `ends_at`.
    """

    rule: str
    subject_kind: str
    subject_id: str
    project_id: str | None = None
    mode: str = "alarm"
    state: State = "closed"
    ends_at: datetime | None = None


def tell_once(tx: Tx, actor: Actor, name: str, told: Told, line: Line) -> None:
    """Once for each name."""
    if tx.get(Incident, id_ := str(uuid5(_FAMILY, name))) is not None:
        return
    incident = Incident(
        id=id_,
        rule=told.rule,
        rulebook_version=rulebook(tx)[0],
        finding_id="",
        subject_kind=told.subject_kind,
        subject_id=told.subject_id,
        project_id=told.project_id,
        state=told.state,
        mode=told.mode,
        opened_at=tx.now,
        weight=0,
        wanted={},
        closed_at=tx.now if told.state == "closed" else None,
        ends_at=told.ends_at,
    )
    open_incident(tx, actor, incident, [line])


def tell_alarm(tx: Tx, actor: Actor, name: str, subject: tuple[str, str], line: Line) -> None:
    """To operators, once for each name, which begins with what the incident has for its rule. `subject`: kind, id."""
    tell_once(tx, actor, name, Told(name.partition("/")[0], *subject), line)


def tell_clock(tx: Tx, host: str, offset_s: float) -> None:
    """Let everybody know that a host's clock is off, once a day."""
    words = f"the clock of host {host} is {abs(offset_s):.0f} s {'ahead' if offset_s > 0 else 'behind'}"
    line = Line("alarm", words, {"runbook": runbook(CLOCK_OFF), "offset_s": offset_s})
    tell_alarm(tx, SYSTEM, f"clock/{tx.now:%Y-%m-%d}/{host}", ("host", host), line)


def tell_detector(tx: Tx, detector: str, where: tuple[str, str], times: int, reason: str) -> None:
    """Let operators know that a detector throws, once until it has not for CALM. `where`: as an incident's subject, a
    controller or collector.
    """
    who = f"{where[0]} {where[1]}" if where[1] else f"a {where[0]}"
    words = f"detector {detector} of {who} has failed {times} times, and was begun anew: {reason[:500]}"
    details = {"runbook": runbook(DETECTOR_FAILED), "detector": detector, "times": times}
    _tell_while(tx, f"detector:{detector}", where, Line("alarm", words, details))


def tell_own_clock(tx: Tx, controller: str, offset_s: float, words: str) -> None:
    """Let operators know that the clock of a controller's machine is off, once until it has not been for CALM."""
    how = "ahead" if offset_s > 0 else "behind"
    line = f"the clock of controller {controller} is {abs(offset_s):.0f} s {how}: {words}"
    details = {"runbook": runbook(OWN_CLOCK_OFF), "offset_s": round(offset_s, 3)}
    _tell_while(tx, "own-clock", ("controller", controller), Line("alarm", line, details))


def _tell_while(tx: Tx, rule: str, where: tuple[str, str], line: Line) -> None:
    """An alarm that goes on for as long as it is told, and CALM."""
    # It needn't be written each time.
    ends_at = tx.now + CALM + CALM / 4
    same = {"rule": rule, "subject_kind": where[0], "subject_id": where[1], "state": "alarm"}
    for known in tx.select(Incident, same):
        if known.ends_at is None or known.ends_at < tx.now + CALM:
            change_incident(tx, known, ends_at=ends_at)
        return
    told = Told(rule, *where, state="alarm", ends_at=ends_at)
    tell_once(tx, SYSTEM, f"{rule}/{where}/{tx.now.isoformat()}", told, line)


def over(tx: Tx) -> list[Incident]:
    """Alarms of what has not been so for long enough."""
    return tx.select(Incident, {"id": [id_ for (id_,) in tx.rows(_OVER, {"now": time_text(tx.now)})]})


def clear(tx: Tx) -> list[Incident]:
    """End those, and let operators know. They are returned."""
    words = f"this has not been so any more for {CALM.total_seconds() / 60:.0f} minutes at least"
    return [close(tx, SYSTEM, one, Line("cleared", words)) for one in over(tx)]


def tell_usage_late(tx: Tx, late_s: float) -> None:
    """Let everybody know that usage rules wait for their sums, once a day."""
    words = f"usage rules have not been looked at for {late_s:.0f} s more than they should be"
    line = Line("alarm", words, {"runbook": runbook(USAGE_LATE), "late_s": round(late_s, 3)})
    tell_alarm(tx, SYSTEM, f"{USAGE_LATE}/{tx.now:%Y-%m-%d}", ("controller", ""), line)
