"""What is done about incidents, and undone: by rules and policies, and by people who approve, deny, mark or undo.

Each is done in one transaction with the line that says so: once, whoever dies meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from suimon.model.actor import Actor
from suimon.model.errors import Conflict
from suimon.model.findings import Subject
from suimon.model.incidents import Incident, NotedFinding
from suimon.model.policies import Called
from suimon.model.rulebook import BY_HAND, USAGE, Limits
from suimon.model.things import Port, Restriction
from suimon.resources import actions, restrictions
from suimon.resources.calls import undoable
from suimon.resources.ids import new_id
from suimon.resources.incidents import Line, add_lines, change_incident, close, find_incident, open_incident
from suimon.resources.places import place_of
from suimon.resources.rulebooks import require_operator, require_words, rulebook
from suimon.store.tx import Tx

POLICY: Final = "policy:"
"""How the rules of incidents begin that policies called for; the policy's name follows."""
_ASKED: Final = (
    "kind", "target_kind", "target", "reason", "direction", "rate_kbps", "rate_kpps", "protocol", "port_min",
    "port_max",
)  # fmt: skip


def rule_actor(rule: str) -> Actor:
    """A rule or a policy, as the author of what it does."""
    return Actor(rule if rule.startswith(POLICY) else f"rule:{rule}", "", frozenset({"admin"}))


def carry_out(tx: Tx, actor: Actor, incident: Incident) -> Incident:
    """Make the restriction, or do the action, that the incident wants, and say so in its timeline.

    Raises what `create_restrictions` and the acts do, as the target may be gone, or have too many already, and Conflict
    when the policy doesn't call for it any more.
    """
    call = tx.get(Called, incident.finding_id)
    if call is not None and call.vanished_at is not None:
        raise Conflict(f"The policy {call.policy} calls for this no more.")
    return _act(tx, actor, incident) if "action" in incident.wanted else _restrict(tx, actor, incident)


def restrict(tx: Tx, actor: Actor, wanted: Sequence[Mapping[str, Any]]) -> list[Restriction]:
    """What a person asks for himself, each with an incident, which is verified and told of as a rule's. Raises as
    `create_restrictions`.
    """
    made, (version, book) = restrictions.create_restrictions(tx, actor, wanted), rulebook(tx)
    for one in made:
        _open_by_hand(tx, actor, one, version, book.limits)
    return made


def execute(tx: Tx, actor: Actor, name: str, row: Sequence[actions.Value]) -> Incident:
    """One action now, as a person asks for it. Raises Forbidden, NotFound, BadRequest, and what the act does."""
    require_operator(actor, "have actions done")
    action = actions.action_of(name)
    args = actions.arguments_of(action, row)
    subject = action.subject(args)
    place = place_of(tx, subject)
    incident = Incident(
        id=new_id(),
        rule=BY_HAND,
        rulebook_version=rulebook(tx)[0],
        finding_id="",
        subject_kind=subject.kind,
        subject_id=subject.id,
        project_id=place.project_id,
        state="waiting",
        mode="act",
        opened_at=tx.now,
        weight=max(1, place.ports) if action.binds else 1,
        wanted=wanted_of(name, args, f"{actor.user_id} asked for it."),
    )
    open_incident(tx, actor, incident, [Line("decision", f"{actor.user_id} asked for {name}")])
    return carry_out(tx, actor, incident)


def wanted_of(name: str, args: actions.Arguments, reason: str, lasts_s: float = 0.0) -> dict[str, object]:
    """What an incident of this action wants: a restriction, or the action itself. `lasts_s` as it was decided."""
    action = actions.action_of(name)
    if action.wanted is None:
        return {"action": name, "arguments": list(args.values()), "reason": reason}
    duration_s = round(lasts_s or args.get("hours", 1) * 3600.0)
    return {**action.wanted(args), "duration_s": duration_s, "reason": reason[:1000]}


def undo(tx: Tx, actor: Actor, id_: str, why: str) -> Incident:
    """Take back what was done. Raises Forbidden, NotFound, BadRequest, and Conflict when nothing can be undone (any
    more).
    """
    require_operator(actor, "undo what was done")
    require_words(why)
    incident = find_incident(tx, id_)
    if not _is_in_force(incident):
        raise Conflict(f"Of incident {id_} there is nothing to undo.")
    return _taken_back(tx, actor, incident, why)


def done_since(tx: Tx, actor: Actor, since: datetime | None) -> list[Incident]:
    """What actions were done at that time or later (None: whenever) and can be undone, the newest first: a thousand.
    Raises Forbidden.
    """
    require_operator(actor, "undo what was done")
    return undoable(tx, since, restrictions.MOST_AT_ONCE)


def end_restriction(tx: Tx, actor: Actor, incident: Incident, why: str) -> Incident:
    """Close the incident, and release what is still in force of it."""
    closed = close(tx, actor, incident, Line("release", why))
    found = tx.get(Restriction, incident.restriction_id or "")
    if found is not None and found.state == "active":
        restrictions.release(tx, actor, found.id, why)
    return closed


def verify_soon(tx: Tx, incident: Incident) -> Incident:
    """What is restricted is looked at (again), where it is now."""
    return _looked_at_soon(tx, incident, rulebook(tx)[1].limits)


def host_of(tx: Tx, incident: Incident) -> str:
    """Where the port is that it is about; nowhere if it is about none."""
    port = tx.get(Port, incident.subject_id) if incident.subject_kind == "port" else None
    return port.binding_host if port else ""


def approve(tx: Tx, actor: Actor, id_: str, why: str) -> Incident:
    """A person says yes to what is waiting. Raises Forbidden, NotFound, BadRequest, and Conflict when nothing waits."""
    incident = _waiting(tx, actor, id_, why)
    add_lines(tx, actor, incident, [Line("answer", f"approved: {why}", {"approved": True})])
    return carry_out(tx, actor, incident)


def deny(tx: Tx, actor: Actor, id_: str, why: str) -> Incident:
    """A person says no. Raises as `approve` does."""
    incident = _waiting(tx, actor, id_, why)
    return close(tx, actor, incident, Line("answer", f"denied: {why}", {"approved": False}))


def mark(tx: Tx, actor: Actor, id_: str, why: str, *, false_positive: bool) -> Incident:
    """A person says whether it was right. What was a mistake is undone. Raises Forbidden, NotFound, and as `undo`."""
    require_operator(actor, "judge incidents")
    require_words(why)
    incident = find_incident(tx, id_)
    after = change_incident(tx, incident, false_positive=false_positive)
    add_lines(tx, actor, after, [Line("mark", why, {"false_positive": false_positive})])
    return _taken_back(tx, actor, after, why) if false_positive and _is_in_force(after) else after


def _act(tx: Tx, actor: Actor, incident: Incident) -> Incident:
    action = actions.action_of(str(incident.wanted["action"]))
    row = incident.wanted["arguments"]
    assert action.do is not None and isinstance(row, list)
    done = action.do(tx, actor, actions.arguments_of(action, row))
    after = change_incident(tx, incident, state="acted", done_at=tx.now, undo=done.undo, answer_by=None)
    details: Mapping[str, object] = {"ports": incident.weight, **_took(tx, incident)}
    add_lines(tx, actor, after, [Line("action", done.words, dict(details))])
    return after


def _restrict(tx: Tx, actor: Actor, incident: Incident) -> Incident:
    by = {"author": incident.rule, "author_kind": "rule"} if incident.acted_at is not None else {}
    wanted = {**restrictions.SPEC.for_create(incident.wanted, actor), **by}
    made = restrictions.create_restrictions(tx, actor, [wanted])[0]
    return _in_force(tx, actor, incident, made, rulebook(tx)[1].limits)


def _in_force(tx: Tx, actor: Actor, incident: Incident, made: Restriction, limits: Limits) -> Incident:
    after = change_incident(
        tx,
        incident,
        state="restricted",
        restriction_id=made.id,
        restricted_at=tx.now,
        ends_at=made.expires_at,
        answer_by=None,
    )
    after = _looked_at_soon(tx, after, limits)
    until = f"{made.expires_at:%Y-%m-%d %H:%M:%S} UTC" if made.expires_at else "its release"
    words = f"{made.kind} of {made.target_kind} {made.target} until {until}"
    told = {"restriction_id": made.id, "ports": incident.weight, **_took(tx, incident)}
    add_lines(tx, actor, after, [Line("restriction", words, told)])
    return after


def _looked_at_soon(tx: Tx, incident: Incident, limits: Limits) -> Incident:
    at = tx.now + timedelta(seconds=limits.verify_after_s)
    return change_incident(tx, incident, verify_at=at, host=host_of(tx, incident))


def _open_by_hand(tx: Tx, actor: Actor, made: Restriction, version: int, limits: Limits) -> None:
    """The reason stands for a finding: the tenant reads it, but not who restricted him, nor what shows it."""
    place = place_of(tx, Subject(made.target_kind, made.target))  # type: ignore[arg-type]
    incident = Incident(
        id=new_id(),
        rule=BY_HAND,
        rulebook_version=version,
        finding_id=made.finding_id,
        subject_kind=made.target_kind,
        subject_id=made.target,
        project_id=made.project_id or None,
        state="waiting",
        mode="act",
        opened_at=tx.now,
        weight=max(1, place.ports),
        wanted={name: value for name in _ASKED if (value := getattr(made, name)) is not None},
    )
    named = ([f"finding {made.finding_id}"] if made.finding_id else []) + list(made.evidence)
    lines = [
        Line("finding", made.reason),
        Line("evidence", "; ".join(named) or "no records named", {"records": list(made.evidence)}),
        Line("decision", f"{actor.user_id} asked for it"),
    ]
    _in_force(tx, actor, open_incident(tx, actor, incident, lines), made, limits)


def _took(tx: Tx, incident: Incident) -> dict[str, float]:
    """`took_s` since it began, of what has a beginning: usage says since when it was counted."""
    finding, call = tx.get(NotedFinding, incident.finding_id), tx.get(Called, incident.finding_id)
    if finding and finding.detector.startswith(USAGE):
        return {}
    since = finding.since if finding else call.appeared_at if call else tx.now
    return {"took_s": round((tx.now - since).total_seconds(), 3)}


def _is_in_force(incident: Incident) -> bool:
    return incident.state == "restricted" or (incident.undo is not None and incident.undone_at is None)


def _taken_back(tx: Tx, actor: Actor, incident: Incident, why: str) -> Incident:
    """Whoever calls for it again is asked about it."""
    if incident.state == "restricted":
        return end_restriction(tx, actor, change_incident(tx, incident, undone_at=tx.now), why)
    assert incident.undo is not None
    words = actions.undo(tx, actor, incident.undo)
    return close(tx, actor, change_incident(tx, incident, undone_at=tx.now), Line("release", f"{why}: {words}"))


def _waiting(tx: Tx, actor: Actor, id_: str, why: str) -> Incident:
    require_operator(actor, "answer for incidents")
    require_words(why)
    incident = find_incident(tx, id_)
    if incident.state != "waiting" or (incident.answer_by is not None and incident.answer_by <= tx.now):
        raise Conflict(f"Incident {id_} waits for no answer (any more).")
    return incident
