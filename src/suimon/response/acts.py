"""What the gate decides, done in the transaction that it was decided in.

Two controllers, a restart, any order: what was done before is counted in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import SYSTEM, Actor
from suimon.model.findings import Finding
from suimon.model.incidents import Incident, NotedFinding
from suimon.model.rulebook import DetectorRule, Place, Rulebook, UsageRule, rules_for
from suimon.resources.breaker import breaker, open_breaker
from suimon.resources.findings import finding_of
from suimon.resources.incidents import Line, bound_since, open_incident, restrict, restricted_before
from suimon.resources.places import count_ports, place_of
from suimon.resources.rulebooks import rulebook
from suimon.response.gate import WINDOW_S, Case, Counted, Decision, decide, weight
from suimon.response.senses import Looked
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which a rule, its mode and a finding become an incident's id (RFC 9562, section 5.5)."""
_OPEN: Final = ("waiting", "restricted")


class Proposal(msgspec.Struct, frozen=True):
    """A finding and a rule that is for it, with what the gate says before the second look."""

    finding: Finding
    rule: DetectorRule | UsageRule
    place: Place
    decision: Decision
    offset_s: float = 0.0


class Seen(msgspec.Struct, frozen=True):
    """What isn't in the store: the second look (None: not needed), and how far the hosts' clocks are off."""

    looked: Looked | None
    offset_s: float = 0.0


def rule_actor(rule: str) -> Actor:
    """A rule, as the author of what it does."""
    return Actor(f"rule:{rule}", "", frozenset({"admin"}))


def incident_id(rule: DetectorRule | UsageRule, finding: Finding) -> str:
    """One incident for each finding and rule, and for each mode that the rule had while the finding went on."""
    return str(uuid5(_FAMILY, f"{rule.name}/{rule.mode}/{finding.id}"))


def proposals(tx: Tx, finding: Finding, offsets: Mapping[str, float]) -> list[Proposal]:
    """What could be done about a finding: nothing that was decided, or is going on, already. `offsets` are those of
    hosts' clocks, in seconds.
    """
    _, book = rulebook(tx)
    place = place_of(tx, finding.subject)
    offset_s = max((offsets.get(host, 0.0) for host in place.hosts), key=abs, default=0.0)
    made = []
    for rule in rules_for(book, finding, place):
        if not _known(tx, rule, finding):
            case = Case(finding=finding, rule=rule, place=place, offset_s=offset_s)
            decision = decide(book, case, _counted(tx, book, case), _now_s(tx))
            made.append(Proposal(finding, rule, place, decision, offset_s))
    return made


def settle(tx: Tx, finding_id: str, rule_name: str, seen: Seen) -> Incident | None:
    """Decide again, by what is so now, and do it. None when there is nothing (any more) to decide."""
    version, book = rulebook(tx)
    noted = tx.get(NotedFinding, finding_id)
    if noted is None:
        return None
    finding = finding_of(noted)
    place = place_of(tx, finding.subject)
    rule = next((rule for rule in rules_for(book, finding, place) if rule.name == rule_name), None)
    if rule is None or _known(tx, rule, finding):
        return None
    case = Case(finding=finding, rule=rule, place=place, offset_s=seen.offset_s)
    decision = decide(book, case, _counted(tx, book, case), _now_s(tx))
    holds = seen.looked.holds if seen.looked else None
    if decision.verdict == "skip" or (decision.verdict == "act" and holds is None):
        return None
    if decision.verdict == "act" and seen.looked and not holds:
        decision = Decision(verdict="refuse", reasons=(f"it did not hold at the second look: {seen.looked.words}",))
    return _done(tx, _incident(tx, case, decision, (version, book)), case, decision, seen)


def _done(tx: Tx, incident: Incident, case: Case, decision: Decision, seen: Seen) -> Incident:
    actor = rule_actor(case.rule.name)
    finding = case.finding
    late = incident.opened_at.timestamp() - finding.since_s
    told: dict[str, object] = {"finding_id": finding.id, "confidence": finding.confidence, "late_s": round(late, 3)}
    told["numbers"] = finding.numbers
    said = f"{decision.verdict}: {'; '.join(decision.reasons)}"
    looked = [Line("evidence", f"second look: {seen.looked.words}")] if seen.looked else []
    lines = [
        Line("finding", finding.words, told),
        Line("evidence", "; ".join(finding.evidence) or "no records named", {"records": list(finding.evidence)}),
        *looked,
        Line("decision", said, {"verdict": decision.verdict, "reasons": list(decision.reasons)}),
    ]
    if decision.opens_breaker:
        open_breaker(tx, SYSTEM, f"{decision.reasons[0]} (incident {incident.id})")
    open_incident(tx, actor, incident, lines)
    return restrict(tx, actor, incident) if decision.verdict == "act" else incident


def _incident(tx: Tx, case: Case, decision: Decision, book: tuple[int, Rulebook]) -> Incident:
    rule, finding, limits = case.rule, case.finding, book[1].limits
    acts, asks = decision.verdict == "act", decision.verdict == "ask"
    return Incident(
        id=incident_id(rule, finding),
        rule=rule.name,
        rulebook_version=book[0],
        finding_id=finding.id,
        subject_kind=finding.subject.kind,
        subject_id=finding.subject.id,
        project_id=case.place.project_id,
        state="waiting" if acts or asks else "noted" if decision.verdict == "dry_run" else "closed",
        mode=rule.mode,
        opened_at=tx.now,
        weight=weight(case.place),
        wanted=_wanted(case, decision.lasts_s),
        answer_by=tx.now + timedelta(hours=limits.answer_within_h) if asks else None,
        acted_at=tx.now if acts else None,
    )


def _wanted(case: Case, lasts_s: float) -> dict[str, object]:
    """The restriction, as a person would ask for it."""
    do, finding, place = case.rule.do, case.finding, case.place
    told = {
        "kind": do.kind,
        "target_kind": place.target.kind,
        "target": place.target.id,
        "direction": None if do.kind == "quarantine" or do.direction == "both" else do.direction,
        "rate_kbps": do.rate_kbps,
        "rate_kpps": do.rate_kpps,
        "protocol": do.protocol,
        "port_min": do.port_min,
        "port_max": do.port_max,
        "duration_s": round(lasts_s) or None,
        "reason": finding.words[:1000] or finding.detector,
        "finding_id": finding.id,
        "evidence": [text[:1024] for text in finding.evidence[:50]],
    }
    return {name: value for name, value in told.items() if value is not None}


def _counted(tx: Tx, book: Rulebook, case: Case) -> Counted:
    now, state = tx.now, breaker(tx)
    repeats = now - timedelta(hours=book.limits.repeats_within_h)
    return Counted(
        ports=count_ports(tx),
        bound=bound_since(tx, now - timedelta(seconds=WINDOW_S)),
        breaker_open=state.why if state and state.is_open else "",
        earlier=restricted_before(tx, case.rule.name, case.finding.subject.id, repeats),
    )


def _known(tx: Tx, rule: DetectorRule | UsageRule, finding: Finding) -> bool:
    if tx.get(Incident, incident_id(rule, finding)):
        return True
    where = {"rule": rule.name, "subject_id": finding.subject.id, "state": _OPEN}
    return bool(tx.select(Incident, where, limit=1))


def _now_s(tx: Tx) -> float:
    return tx.now.timestamp()
