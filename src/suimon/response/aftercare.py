"""What becomes of incidents that are open: answers that nobody gave, verification, the end of their time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

from suimon.model.actor import SYSTEM
from suimon.model.incidents import DOES_NOT_BITE, Incident, NotedFinding, runbook
from suimon.model.policies import Called
from suimon.model.rulebook import BY_HAND, USAGE
from suimon.model.things import Restriction
from suimon.resources import restrictions
from suimon.resources.incidents import Line, add_lines, change_incident, close
from suimon.resources.remedies import end_restriction, host_of, rule_actor, verify_soon
from suimon.resources.rulebooks import rulebook
from suimon.response.senses import Verification
from suimon.store.tx import Tx

Step = Literal["nothing", "unanswered", "released", "moved", "prolong", "end"]
AHEAD: Final = timedelta(seconds=30)
"""So long before its end it is decided whether a restriction goes on: hosts lift it by themselves at the end."""


def ends(tx: Tx, id_: str) -> bool:
    """Whether its restriction is about to end, as far as what is reported goes."""
    incident = tx.get(Incident, id_)
    if incident is None or incident.state != "restricted" or incident.ends_at is None or incident.rule == BY_HAND:
        return False
    return incident.ends_at - AHEAD <= tx.now < incident.ends_at and due(tx, id_) == "nothing"


def due(tx: Tx, id_: str, *, tries: bool = False) -> Step:
    """What is due of one incident now, but for verifying it. `tries`: its host says that it goes on, though nobody
    reports it any more.
    """
    incident = tx.get(Incident, id_)
    if incident is None:
        return "nothing"
    if incident.state == "waiting":
        return "unanswered" if incident.answer_by is not None and incident.answer_by <= tx.now else "nothing"
    if incident.state != "restricted":
        return "nothing"
    restriction = tx.get(Restriction, incident.restriction_id or "")
    if restriction is None or restriction.state == "released":
        return "released"
    if (host := host_of(tx, incident)) and host != incident.host:
        return "moved"
    if incident.ends_at is None or incident.ends_at - AHEAD > tx.now:
        return "nothing"
    if incident.rule == BY_HAND:  # Whoever asked for it said how long.
        return "end" if incident.ends_at <= tx.now else "nothing"
    fresh = timedelta(seconds=rulebook(tx)[1].limits.fresh_s)
    if tries or going_on(tx, incident, tx.now - fresh) or _is_called(tx, incident):
        return "prolong"
    return "end" if incident.ends_at <= tx.now else "nothing"


def attend(tx: Tx, id_: str, *, tries: bool = False) -> Incident | None:
    """Do what is due of it."""
    step, incident = due(tx, id_, tries=tries), tx.get(Incident, id_)
    if incident is None or step == "nothing":
        return incident
    restriction = tx.get(Restriction, incident.restriction_id or "")
    if step == "unanswered":
        return close(tx, SYSTEM, incident, Line("answer", "nobody answered in time", {"approved": False}))
    if step == "moved":
        return verify_soon(tx, incident)
    if step == "prolong" and restriction is not None:
        return _prolong(tx, incident, restriction)
    if step == "end":
        if incident.rule == BY_HAND:
            return end_restriction(tx, SYSTEM, incident, "the time is over")
        return end_restriction(tx, rule_actor(incident.rule), incident, "the time is over, and it has stopped")
    by, why = (restriction.released_by, restriction.release_reason) if restriction else ("", "the restriction is gone")
    # Of restrictions a tenant isn't told who released them, nor why: that may name others.
    add_lines(tx, SYSTEM, incident, [Line("decision", f"{by or 'nobody'} released it: {why}", {"by": by})])
    return close(tx, SYSTEM, incident, Line("release", "released"))


def note_verification(tx: Tx, id_: str, found: Verification) -> Incident | None:
    """What was measured, unless it moved or was prolonged meanwhile: then it is measured again. A restriction that
    doesn't bite is an alarm.
    """
    incident = tx.get(Incident, id_)
    if incident is None or incident.state != "restricted" or incident.verify_at is None or incident.verify_at > tx.now:
        return None
    after = change_incident(tx, incident, bites=found.bites, verify_at=None)
    lines = [Line("verification", found.words, {"bites": found.bites})]
    if found.bites is False:
        words = f"the restriction does not bite: {found.words}"
        lines.append(Line("alarm", words, {"runbook": runbook(DOES_NOT_BITE)}))
    add_lines(tx, SYSTEM, after, lines)
    return after


def going_on(tx: Tx, incident: Incident, since: datetime) -> bool | None:
    """Whether it was reported after that, under its finding's id or another one. What was used up is used up; None:
    there is no finding.
    """
    finding = tx.get(NotedFinding, incident.finding_id)
    if finding is None:
        return None
    if finding.detector.startswith(USAGE):
        return False
    where = {"detector": finding.detector, "subject_id": finding.subject_id}
    return any(not one.ended and one.seen_at > since for one in tx.select(NotedFinding, where))


def _is_called(tx: Tx, incident: Incident) -> bool:
    call = tx.get(Called, incident.finding_id)
    return call is not None and call.vanished_at is None


def _prolong(tx: Tx, incident: Incident, restriction: Restriction) -> Incident:
    lasts_s = incident.wanted.get("duration_s")
    assert isinstance(lasts_s, int) and incident.ends_at is not None
    until = max(incident.ends_at, tx.now) + timedelta(seconds=lasts_s)
    restrictions.prolong(tx, rule_actor(incident.rule), restriction.id, until)
    after = verify_soon(tx, change_incident(tx, incident, ends_at=until))
    words = f"the time is over, but it goes on: until {until:%Y-%m-%d %H:%M:%S} UTC"
    add_lines(tx, SYSTEM, after, [Line("prolonged", words)])
    return after
