"""What the gate decides, done in the transaction that it was decided in.

Two controllers, a restart, any order: what was done before is counted in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import msgspec

from suimon.model.actor import SYSTEM
from suimon.model.findings import Finding
from suimon.model.incidents import Incident, NotedFinding, runbook
from suimon.model.rulebook import USAGE, DetectorRule, Place, UsageRule, measure_of, rules_for
from suimon.model.things import Restriction
from suimon.resources.breaker import breaker, open_breaker
from suimon.resources.findings import finding_of
from suimon.resources.incidents import (
    Line,
    bound_since,
    open_incident,
    restricted_before,
    would_be_open,
    would_bind_since,
)
from suimon.resources.places import count_ports, place_of
from suimon.resources.remedies import carry_out, rule_actor
from suimon.resources.rulebooks import rulebook
from suimon.response.gate import WINDOW_S, Case, Counted, Decision, decide, weight
from suimon.response.senses import Looked
from suimon.store.tx import Tx

_FAMILY: Final = UUID("0d5b1d0c-6a5e-5d2a-8a63-55f0a8c0c1e7")
"""The UUID namespace in which a rule, its mode and a finding become an incident's id (RFC 9562, section 5.5)."""
_OPEN: Final = ("waiting", "restricted")


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """A case, and what its incident says of it: by whom, about what, and the first lines of its timeline.

    `source` is the id of the finding, or of the call. `times` is how often what was done about it ended by itself: when
    it goes on after that, it is another matter.
    """

    case: Case
    rule: str
    source: str
    subject_kind: str
    subject_id: str
    lines: tuple[Line, ...]
    times: int = 0

    @property
    def id(self) -> str:
        """One incident for each source and rule, and for each mode that the rule had while it went on."""
        again = f"/{self.times}" if self.times else ""
        return str(uuid5(_FAMILY, f"{self.rule}/{self.case.mode}/{self.source}{again}"))


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


def weigh(tx: Tx, matter: Matter) -> Decision:
    """What the gate says, by what is counted in this transaction."""
    _, book = rulebook(tx)
    now, state, dry = tx.now, breaker(tx), matter.case.mode == "dry_run"
    hour = now - timedelta(seconds=WINDOW_S)
    repeats = now - timedelta(hours=book.limits.repeats_within_h)
    counted = Counted(
        ports=count_ports(tx),
        bound=bound_since(tx, hour),
        would_bind=would_bind_since(tx, hour) if dry else 0,
        breaker_open=state.why if state and state.is_open else "",
        earlier=restricted_before(tx, matter.rule, matter.subject_id, repeats, dry=dry),
    )
    return decide(book, matter.case, counted, now.timestamp())


def settled(tx: Tx, matter: Matter, decision: Decision, wanted: dict[str, object]) -> Incident:
    """The decision as an incident, and what was decided done. Raises what the act does."""
    version, book = rulebook(tx)
    acts, asks, noted = (decision.verdict == each for each in ("act", "ask", "dry_run"))
    answer_within = timedelta(hours=book.limits.answer_within_h)
    would_last = {"act": timedelta(seconds=decision.lasts_s), "ask": answer_within}.get(
        decision.would or "", timedelta()
    )
    incident = Incident(
        id=matter.id,
        rule=matter.rule,
        rulebook_version=version,
        finding_id=matter.source,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        project_id=matter.case.place.project_id,
        state="waiting" if acts or asks else "noted" if noted else "closed",
        mode=matter.case.mode,
        opened_at=tx.now,
        weight=weight(matter.case.place),
        wanted=wanted,
        answer_by=tx.now + answer_within if asks else None,
        acted_at=tx.now if acts else None,
        closed_at=None if acts or asks else tx.now + would_last,
        would=_would(decision) if matter.case.mode == "dry_run" else None,
    )
    if decision.opens_breaker:
        open_breaker(tx, SYSTEM, f"{decision.reasons[0]} (incident {incident.id})")
    said = f"would {decision.would}" if noted else decision.verdict
    told: dict[str, object] = {"verdict": decision.verdict, "reasons": list(decision.reasons)}
    told |= {"would": decision.would} if noted else {}
    line = Line("decision", f"{said}: {'; '.join(decision.reasons)}", told)
    open_incident(tx, rule_actor(matter.rule), incident, [*matter.lines, line])
    return carry_out(tx, rule_actor(matter.rule), incident) if acts else incident


def case_of(rule: DetectorRule | UsageRule, finding: Finding, place: Place, offset_s: float = 0.0) -> Case:
    """What a rule that is for a finding would do."""
    return Case(
        by=f"rule {rule.name}",
        mode=rule.mode,
        place=place,
        lasts_h=rule.do.lasts_h,
        then={step.at: step.do.lasts_h for step in rule.then},
        seen_s=finding.seen_s,
        ended=finding.ended,
        offset_s=offset_s,
    )


def proposals(tx: Tx, finding: Finding, offsets: Mapping[str, float]) -> list[Proposal]:
    """What could be done about a finding: nothing that was decided, or is going on, already. `offsets` are those of
    hosts' clocks, in seconds.
    """
    _, book = rulebook(tx)
    place = place_of(tx, finding.subject)
    offset_s = max((offsets.get(host, 0.0) for host in place.hosts), key=abs, default=0.0)
    made = []
    for rule in rules_for(book, finding, place):
        matter = _undecided(tx, finding, _matter(rule, finding, place, offset_s))
        if matter is not None:
            made.append(Proposal(finding, rule, place, weigh(tx, matter), offset_s))
    return made


def settle(tx: Tx, finding_id: str, rule_name: str, seen: Seen) -> Incident | None:
    """Decide again, by what is so now, and do it. None when there is nothing (any more) to decide."""
    _, book = rulebook(tx)
    noted = tx.get(NotedFinding, finding_id)
    if noted is None:
        return None
    finding = finding_of(noted)
    place = place_of(tx, finding.subject)
    rule = next((rule for rule in rules_for(book, finding, place) if rule.name == rule_name), None)
    if rule is None:
        return None
    matter = _undecided(tx, finding, _matter(rule, finding, place, seen.offset_s))
    if matter is None:
        return None
    decision = weigh(tx, matter)
    holds = seen.looked.holds if seen.looked else None
    if decision.verdict == "skip" or (decision.acts and holds is None):
        return None
    if decision.acts and seen.looked and not holds:
        decision = _doubted(decision, seen.looked)
    lines = _lines(finding, _heard_s(tx, finding), seen)
    told = msgspec.structs.replace(matter, lines=lines)
    return settled(tx, told, decision, _wanted(rule, finding, place, decision))


def _doubted(decision: Decision, looked: Looked) -> Decision:
    why = (f"it did not hold at the second look: {looked.words}",)
    if decision.verdict == "dry_run":
        return msgspec.structs.replace(decision, reasons=why, would="refuse")
    return msgspec.structs.replace(decision, reasons=why, verdict="refuse")


def _would(decision: Decision) -> str:
    """In words, with why not."""
    would = decision.would or decision.verdict
    return would if would == "act" else f"{would}: {'; '.join(decision.reasons)}"


def _matter(rule: DetectorRule | UsageRule, finding: Finding, place: Place, offset_s: float) -> Matter:
    return Matter(
        case=case_of(rule, finding, place, offset_s),
        rule=rule.name,
        source=finding.id,
        subject_kind=finding.subject.kind,
        subject_id=finding.subject.id,
        lines=(),
    )


def _heard_s(tx: Tx, finding: Finding) -> float:
    """When the controller heard of it first."""
    noted = tx.get(NotedFinding, finding.id)
    return (noted.noted_at if noted else tx.now).timestamp()


def _lines(finding: Finding, heard_s: float, seen: Seen) -> tuple[Line, ...]:
    told: dict[str, object] = {"finding_id": finding.id, "confidence": finding.confidence}
    told |= {"numbers": finding.numbers, "runbook": runbook(finding.detector)}
    if not finding.detector.startswith(USAGE):  # It says since when was counted, not when it was too much.
        told |= {"late_s": round(heard_s - finding.since_s, 3)}
    looked = [Line("evidence", f"second look: {seen.looked.words}")] if seen.looked else []
    return (
        Line("finding", finding.words, told),
        Line("evidence", "; ".join(finding.evidence) or "no records named", {"records": list(finding.evidence)}),
        *looked,
    )


def _wanted(rule: DetectorRule | UsageRule, finding: Finding, place: Place, decision: Decision) -> dict[str, object]:
    """The restriction, as a person would ask for it."""
    do = measure_of(rule, decision.times)
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
        "duration_s": round(decision.lasts_s) or None,
        "reason": finding.words[:1000] or finding.detector,
        "finding_id": finding.id,
        "evidence": [text[:1024] for text in finding.evidence[:50]],
    }
    return {name: value for name, value in told.items() if value is not None}


def _undecided(tx: Tx, finding: Finding, matter: Matter) -> Matter | None:
    """As it is to be decided now; None when it was, or something is done about the subject already."""
    where = {"rule": matter.rule, "subject_id": matter.subject_id}
    if tx.select(Incident, {**where, "state": _OPEN}, limit=1):
        return None
    if matter.case.mode == "dry_run" and would_be_open(tx, matter.rule, matter.subject_id):
        return None
    before = tx.select(Incident, {**where, "finding_id": finding.id, "mode": matter.case.mode})
    if not all(_ended_before(tx, one, finding.seen_s) for one in before):
        return None
    return msgspec.structs.replace(matter, times=len(before))


def _ended_before(tx: Tx, incident: Incident, at_s: float) -> bool:
    """Whether it restricted somebody, and its time was over before that: no person ended it."""
    restriction = tx.get(Restriction, incident.restriction_id or "")
    if restriction is None or incident.closed_at is None or incident.closed_at.timestamp() >= at_s:
        return False
    return restriction.state == "expired" or restriction.released_by == rule_actor(incident.rule).user_id
