"""Alarms that belong to no restriction: incidents that are over as soon as they are told, for subscribers to hear."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from suimon.model.actor import SYSTEM, Actor
from suimon.model.incidents import CLOCK_OFF, Incident, runbook
from suimon.resources.incidents import Line, open_incident
from suimon.resources.rulebooks import rulebook
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which an alarm's name becomes its incident's id (RFC 9562, section 5.5)."""


def tell_alarm(tx: Tx, actor: Actor, name: str, subject: tuple[str, str], line: Line) -> None:
    """Once for each name, which begins with what the incident has for its rule. `subject` is a kind and an id."""
    if tx.get(Incident, id_ := str(uuid5(_FAMILY, name))) is not None:
        return
    kind, subject_id = subject
    incident = Incident(
        id=id_,
        rule=name.partition("/")[0],
        rulebook_version=rulebook(tx)[0],
        finding_id="",
        subject_kind=kind,
        subject_id=subject_id,
        project_id=None,
        state="closed",
        mode="alarm",
        opened_at=tx.now,
        weight=0,
        wanted={},
        closed_at=tx.now,
    )
    open_incident(tx, actor, incident, [line])


def tell_clock(tx: Tx, host: str, offset_s: float) -> None:
    """Let everybody know that a host's clock is off, once a day."""
    words = f"the clock of host {host} is {abs(offset_s):.0f} s {'ahead' if offset_s > 0 else 'behind'}"
    line = Line("alarm", words, {"runbook": runbook(CLOCK_OFF), "offset_s": offset_s})
    tell_alarm(tx, SYSTEM, f"clock/{tx.now:%Y-%m-%d}/{host}", ("host", host), line)
