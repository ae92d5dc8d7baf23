"""What belongs to no restriction: incidents that are over as soon as they are told, for subscribers to hear."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import SYSTEM, Actor
from suimon.model.incidents import CLOCK_OFF, DETECTOR_FAILED, USAGE_LATE, Incident, runbook
from suimon.resources.incidents import Line, open_incident
from suimon.resources.rulebooks import rulebook
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which the name of what is told becomes its incident's id (RFC 9562, section 5.5)."""


class Told(msgspec.Struct, frozen=True):
    """What the incident has for its rule, whom it is about, and whose half it is in; None: operators'."""

    rule: str
    subject_kind: str
    subject_id: str
    project_id: str | None = None
    mode: str = "alarm"


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
        state="closed",
        mode=told.mode,
        opened_at=tx.now,
        weight=0,
        wanted={},
        closed_at=tx.now,
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


def tell_detector(tx: Tx, detector: str, where: str, times: int, reason: str) -> None:
    """Let operators know that a detector throws, once a day. `where`: `a controller`, or `collector NAME`."""
    words = f"detector {detector} of {where} has failed {times} times, and was begun anew: {reason[:500]}"
    line = Line("alarm", words, {"runbook": runbook(DETECTOR_FAILED), "detector": detector, "times": times})
    tell_alarm(tx, SYSTEM, f"detector/{tx.now:%Y-%m-%d}/{where}/{detector}", ("cloud", ""), line)


def tell_usage_late(tx: Tx, late_s: float) -> None:
    """Let everybody know that usage rules wait for their sums, once a day."""
    words = f"usage rules have not been looked at for {late_s:.0f} s more than they should be"
    line = Line("alarm", words, {"runbook": runbook(USAGE_LATE), "late_s": round(late_s, 3)})
    tell_alarm(tx, SYSTEM, f"{USAGE_LATE}/{tx.now:%Y-%m-%d}", ("controller", ""), line)
