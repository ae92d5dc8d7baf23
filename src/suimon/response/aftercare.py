"""What becomes of incidents that are open: answers that nobody gave, verification, the end of their time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

from suimon.model.actor import SYSTEM
from suimon.model.incidents import DOES_NOT_BITE, Incident, NotedFinding, runbook
from suimon.model.policies import Called
from suimon.model.rulebook import BY_HAND, USAGE
from suimon.resources import restrictions
from suimon.resources.incidents import UNANSWERED, Line, add_lines, change_incident, close
from suimon.resources.remedies import end_restriction, host_of, rule_actor, verify_soon
from suimon.resources.rulebooks import rulebook
from suimon.response.senses import Verification
from suimon.store.tx import Tx

Step = Literal["nothing", "unanswered", "moved", "prolong", "end"]
AHEAD: Final = timedelta(seconds=30)
"""So long before its end it is decided whether a restriction goes on: hosts lift it by themselves at the end."""


def ends(tx: Tx, id_: str) -> bool:
    """Whether its time is nearly over, or is, unless its host says that it goes on."""
    return due(tx, id_) != "prolong" and due(tx, id_, tries=True) == "prolong"


def due(tx: Tx, id_: str, *, tries: bool | None = None) -> Step:
    """What is due of one incident now, but for verifying it. `tries`: whether it goes on, as its host counts it; that
    it is told again shows nothing.
    """
    incident = tx.get(Incident, id_)
    if incident is None:
        return "nothing"
    if incident.state == "waiting":
        return "unanswered" if incident.answer_by is not None and incident.answer_by <= tx.now else "nothing"
    if incident.state != "restricted":
        return "nothing"
    if (host := host_of(tx, incident)) and host != incident.host:
        return "moved"
    if incident.ends_at is None or incident.ends_at - AHEAD > tx.now:
        return "nothing"
    if incident.rule == BY_HAND:  # Whoever asked for it said how long.
        return "nothing"
    if (tries and not _is_used_up(tx, incident)) or _is_called(tx, incident):
        return "prolong"
    return "end" if incident.ends_at <= tx.now else "nothing"


def attend(tx: Tx, id_: str, *, tries: bool | None = None) -> Incident | None:
    """Do what is due of it."""
    step, incident = due(tx, id_, tries=tries), tx.get(Incident, id_)
    if incident is None or step == "nothing":
        return incident
    if step == "unanswered":
        return close(tx, SYSTEM, incident, UNANSWERED)
    if step == "moved":
        return verify_soon(tx, incident)
    if step == "prolong":
        return _prolong(tx, incident)
    uncounted = tries is None and is_reported(tx, incident)
    words = "it is still reported, but can't be counted now" if uncounted else "it has stopped"
    return end_restriction(tx, rule_actor(incident.rule), incident, f"the time is over, and {words}")


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


def is_reported(tx: Tx, incident: Incident, since: datetime | None = None) -> bool | None:
    """Whether it was reported after that (None: lately), under its finding's id or another one. What was used up is
    used up; None: there is no finding.
    """
    finding = tx.get(NotedFinding, incident.finding_id)
    if finding is None:
        return None
    if _is_used_up(tx, incident):
        return False
    since = since or tx.now - timedelta(seconds=rulebook(tx)[1].limits.fresh_s)
    where = {"detector": finding.detector, "subject_id": finding.subject_id}
    return any(not one.ended and one.seen_at > since for one in tx.select(NotedFinding, where))


def _is_used_up(tx: Tx, incident: Incident) -> bool:
    finding = tx.get(NotedFinding, incident.finding_id)
    return finding is not None and finding.detector.startswith(USAGE)


def _is_called(tx: Tx, incident: Incident) -> bool:
    call = tx.get(Called, incident.finding_id)
    return call is not None and call.vanished_at is None


def _prolong(tx: Tx, incident: Incident) -> Incident:
    lasts_s = incident.wanted.get("duration_s")
    assert isinstance(lasts_s, int) and incident.ends_at is not None and incident.restriction_id is not None
    until = max(incident.ends_at, tx.now) + timedelta(seconds=lasts_s)
    restrictions.prolong(tx, rule_actor(incident.rule), incident.restriction_id, until)
    after = verify_soon(tx, change_incident(tx, incident, ends_at=until))
    words = f"the time is over, but it goes on: until {until:%Y-%m-%d %H:%M:%S} UTC"
    add_lines(tx, SYSTEM, after, [Line("prolonged", words)])
    return after
