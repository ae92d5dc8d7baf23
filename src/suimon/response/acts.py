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
from suimon.model.rulebook import USAGE, DetectorRule, Place, UsageRule, rules_for
from suimon.resources.breaker import breaker, open_breaker
from suimon.resources.findings import finding_of
from suimon.resources.incidents import Line, bound_since, open_incident, restricted_before
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

    `source` is the id of the finding, or of the call.
    """

    case: Case
    rule: str
    source: str
    subject_kind: str
    subject_id: str
    lines: tuple[Line, ...]

    @property
    def id(self) -> str:
        """One incident for each source and rule, and for each mode that the rule had while it went on."""
        return str(uuid5(_FAMILY, f"{self.rule}/{self.case.mode}/{self.source}"))


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
    now, state = tx.now, breaker(tx)
    repeats = now - timedelta(hours=book.limits.repeats_within_h)
    counted = Counted(
        ports=count_ports(tx),
        bound=bound_since(tx, now - timedelta(seconds=WINDOW_S)),
        breaker_open=state.why if state and state.is_open else "",
        earlier=restricted_before(tx, matter.rule, matter.subject_id, repeats),
    )
    return decide(book, matter.case, counted, now.timestamp())


def settled(tx: Tx, matter: Matter, decision: Decision, wanted: dict[str, object]) -> Incident:
    """The decision as an incident, and what was decided done. Raises what the act does."""
    version, book = rulebook(tx)
    acts, asks = decision.verdict == "act", decision.verdict == "ask"
    incident = Incident(
        id=matter.id,
        rule=matter.rule,
        rulebook_version=version,
        finding_id=matter.source,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        project_id=matter.case.place.project_id,
        state="waiting" if acts or asks else "noted" if decision.verdict == "dry_run" else "closed",
        mode=matter.case.mode,
        opened_at=tx.now,
        weight=weight(matter.case.place),
        wanted=wanted,
        answer_by=tx.now + timedelta(hours=book.limits.answer_within_h) if asks else None,
        acted_at=tx.now if acts else None,
        closed_at=tx.now if decision.verdict == "refuse" else None,
    )
    if decision.opens_breaker:
        open_breaker(tx, SYSTEM, f"{decision.reasons[0]} (incident {incident.id})")
    said = f"{decision.verdict}: {'; '.join(decision.reasons)}"
    line = Line("decision", said, {"verdict": decision.verdict, "reasons": list(decision.reasons)})
    open_incident(tx, rule_actor(matter.rule), incident, [*matter.lines, line])
    return carry_out(tx, rule_actor(matter.rule), incident) if acts else incident


def case_of(rule: DetectorRule | UsageRule, finding: Finding, place: Place, offset_s: float = 0.0) -> Case:
    """What a rule that is for a finding would do."""
    return Case(
        by=f"rule {rule.name}",
        mode=rule.mode,
        place=place,
        lasts_h=rule.do.lasts_h,
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
        matter = _matter(rule, finding, place, offset_s)
        if not _known(tx, matter):
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
    matter = _matter(rule, finding, place, seen.offset_s)
    if _known(tx, matter):
        return None
    decision = weigh(tx, matter)
    holds = seen.looked.holds if seen.looked else None
    if decision.verdict == "skip" or (decision.verdict == "act" and holds is None):
        return None
    if decision.verdict == "act" and seen.looked and not holds:
        decision = Decision(verdict="refuse", reasons=(f"it did not hold at the second look: {seen.looked.words}",))
    lines = _lines(finding, _heard_s(tx, finding), seen)
    told = msgspec.structs.replace(matter, lines=lines)
    return settled(tx, told, decision, _wanted(rule, finding, place, decision.lasts_s))


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


def _wanted(rule: DetectorRule | UsageRule, finding: Finding, place: Place, lasts_s: float) -> dict[str, object]:
    """The restriction, as a person would ask for it."""
    do = rule.do
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


def _known(tx: Tx, matter: Matter) -> bool:
    if tx.get(Incident, matter.id):
        return True
    where = {"rule": matter.rule, "subject_id": matter.subject_id, "state": _OPEN}
    return bool(tx.select(Incident, where, limit=1))
