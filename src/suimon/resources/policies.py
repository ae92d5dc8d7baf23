"""Policies and their clauses: who may write which, and who wrote what when.

Whether a clause can be evaluated is checked by `enforcement` before the transaction is committed.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.fact_tables import FactSource
from suimon.model.policies import CLOUD, KINDS, MODES, Acts, Clause, Kind, LibraryPolicy, Mode, Policy, PolicyChange
from suimon.policy.syntax import read
from suimon.resources.evaluations import begin_tally
from suimon.resources.ids import new_id
from suimon.store.tx import Tx

MOST_POLICIES: Final = 100
"""Of one project, or of the cloud."""
MOST_CLAUSES: Final = 1000
"""Of one policy."""
MOST_TEXT: Final = 10_000
"""Characters of one clause."""
STANDING: Final[dict[str, Kind]] = {"classification": "nonrecursive", "action": "action"}
"""The cloud's policies that Congress's users find there."""
RESERVED: Final = frozenset({"neutronv2", "keystone", "suimon", "nova", "clock", "builtin"})
"""What clauses mean by these names are no policies."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A policy to be made, and what its clauses say."""

    name: str
    kind: Kind | None = None
    description: str | None = None
    abbreviation: str | None = None
    clauses: tuple[WantedClause, ...] = ()


class WantedClause(msgspec.Struct, frozen=True, kw_only=True):
    """A clause to be made."""

    text: str
    name: str | None = None
    comment: str | None = None


def scope_of(actor: Actor) -> str:
    """Whose policies the actor writes: an operator the cloud's, others their project's."""
    return CLOUD if actor.admin else actor.project_id


def create_policy(tx: Tx, actor: Actor, wanted: Wanted) -> tuple[Policy, list[Clause]]:
    """Raises Forbidden, BadRequest, and Conflict when there is one of that name, or too many."""
    _require_writer(actor)
    scope = scope_of(actor)
    require_name(wanted.name)
    if tx.get(FactSource, wanted.name) is not None:
        raise Conflict(f"There is a data source called {wanted.name}.")
    others = tx.select(Policy, {"project_id": scope})
    if any(other.name == wanted.name for other in others):
        raise Conflict(f"Policy with name {wanted.name} already exists.")
    if len(others) >= MOST_POLICIES:
        raise Conflict(f"At most {MOST_POLICIES} policies: delete one first.")
    made = Policy(
        id=new_id(),
        project_id=scope,
        name=wanted.name,
        kind=wanted.kind or KINDS[0],
        description=(wanted.description or "")[:1000],
        abbreviation=(wanted.abbreviation or wanted.name)[:5],
        acts="never" if scope else "ask",
        made_at=tx.now,
        author=actor.user_id,
    )
    tx.insert(made)
    begin_tally(tx, made)
    note_change(tx, actor, made, "created")
    return made, [insert_clause(tx, actor, made.id, clause) for clause in wanted.clauses]


def delete_policy(tx: Tx, actor: Actor, name: str) -> Policy:
    """With its clauses; its history stays. Raises Forbidden, NotFound, and Conflict for a standing one."""
    policy = _own(tx, actor, name)
    if policy.project_id == CLOUD and policy.name in STANDING:
        raise Conflict(f"The policy {policy.name} can't be deleted.")
    clauses = tx.select(Clause, {"policy_id": policy.id})
    tx.delete_many(clauses)
    tx.delete(policy)
    note_change(tx, actor, policy, "deleted", _diff("-", *clauses))
    return policy


class Ways(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may come of a policy; None leaves it as it is."""

    mode: Mode | None = None
    proactive: bool | None = None
    acts: Acts | None = None


def change_policy(tx: Tx, actor: Actor, name: str, ways: Ways) -> Policy:
    """Put it into another mode, let it forbid or act. Raises Forbidden, NotFound."""
    before = _own(tx, actor, name)
    assert ways.mode is None or ways.mode in MODES
    if before.project_id != CLOUD and ways.acts in ("ask", "act"):
        raise Forbidden("Only the cloud's policies act.")
    said = {way: value for way, value in msgspec.structs.asdict(ways).items() if value is not None}
    after = msgspec.structs.replace(before, **said)
    if after != before:
        tx.update(before, after)
        begin_tally(tx, after)
        note_change(tx, actor, after, f"{after.mode}{', proactive' if after.proactive else ''}, acts: {after.acts}")
    return after


def stop_enforcing(tx: Tx, actor: Actor) -> list[Policy]:
    """Stage all that the actor may write and that is enforced. Raises Forbidden."""
    _require_writer(actor)
    enforced = [one for one in list_policies(tx, actor) if one.mode == "enforced"]
    return [change_policy(tx, actor, one.id, Ways(mode="staged")) for one in enforced]


def insert_clause(tx: Tx, actor: Actor, policy_name: str, wanted: WantedClause) -> Clause:
    """Raises Forbidden, NotFound, BadRequest (PolicyError), Conflict when there is such a clause or too many."""
    policy = _own(tx, actor, policy_name)
    text = one_clause(wanted.text)
    others = tx.select(Clause, {"policy_id": policy.id})
    if len(others) >= MOST_CLAUSES:
        raise Conflict(f"At most {MOST_CLAUSES} clauses in a policy.")
    if any(other.text == text for other in others):
        raise Conflict(f"Rule already exists in policy {policy.name}: {text}")
    made = Clause(
        id=new_id(),
        policy_id=policy.id,
        name=(wanted.name or "")[:255],
        comment=(wanted.comment or "")[:1000],
        text=text,
        made_at=tx.now,
        author=actor.user_id,
    )
    tx.insert(made)
    note_change(tx, actor, policy, "clause inserted", _diff("+", made))
    return made


def delete_clause(tx: Tx, actor: Actor, policy_name: str, id_: str) -> Clause:
    """Raises Forbidden, NotFound."""
    policy = _own(tx, actor, policy_name)
    clause = _clause(tx, policy, id_)
    tx.delete(clause)
    note_change(tx, actor, policy, "clause deleted", _diff("-", clause))
    return clause


def list_policies(tx: Tx, actor: Actor) -> list[Policy]:
    """All for operators, the cloud's first; else the project's."""
    where = {} if actor.admin else {"project_id": actor.viewer}
    return tx.select(Policy, where, order=("project_id", "name"))


def find_policy(tx: Tx, actor: Actor, name: str) -> Policy:
    """By id or name; an operator's name is the cloud's before a project's. Raises NotFound."""
    found = [one for one in list_policies(tx, actor) if name in (one.id, one.name)]
    if not found:
        raise NotFound(f"Policy {name} could not be found.")
    return found[0]


def list_clauses(tx: Tx, actor: Actor, policy_name: str) -> list[Clause]:
    """The oldest first. Raises NotFound."""
    return tx.select(Clause, {"policy_id": find_policy(tx, actor, policy_name).id}, order=("made_at", "id"))


def get_clause(tx: Tx, actor: Actor, policy_name: str, id_: str) -> Clause:
    """Raises NotFound."""
    return _clause(tx, find_policy(tx, actor, policy_name), id_)


def require_name(name: str) -> None:
    """Raises BadRequest for what can't be a policy's."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise BadRequest(f"{name[:80]!r} can't be a policy's name: letters, digits and _, and no data source's.")


def one_clause(text: str) -> str:
    """As it is kept. Raises BadRequest (PolicyError) for what is too long, can't be read, or is several."""
    text = text.strip()
    if not text or len(text) > MOST_TEXT:
        raise BadRequest(f"A clause has from 1 to {MOST_TEXT} characters.")
    if (many := len(read(text))) != 1:
        # Two texts that share a clause could not be told apart when one of them goes.
        raise BadRequest(f"Write one rule at a time: these are {many}.")
    return text


def list_changes(tx: Tx, actor: Actor, limit: int = 100) -> list[PolicyChange]:
    """Who changed what, the newest first."""
    where = {} if actor.admin else {"project_id": actor.viewer}
    return tx.select(PolicyChange, where, order=("-at", "id"), limit=limit)


def note_change(tx: Tx, actor: Actor, policy: Policy | LibraryPolicy, words: str, diff: str = "") -> None:
    """Write down who changed what."""
    tx.insert(
        PolicyChange(
            id=new_id(),
            project_id=policy.project_id if isinstance(policy, Policy) else CLOUD,
            policy=policy.name,
            at=tx.now,
            author=actor.user_id,
            words=words,
            diff=diff,
        )
    )


def ensure_standing(tx: Tx) -> None:
    """Make the policies that Congress's users find there."""
    there = {policy.name for policy in tx.select(Policy, {"project_id": CLOUD})}
    for name, kind in STANDING.items():
        if name not in there:
            create_policy(tx, SYSTEM, Wanted(name=name, kind=kind))


def _own(tx: Tx, actor: Actor, name: str) -> Policy:
    """One that the actor may change."""
    policy = find_policy(tx, actor, name)
    _require_writer(actor)
    return policy


def _require_writer(actor: Actor) -> None:
    if not (actor.admin or (actor.project_id and actor.roles & {"member", "manager"})):
        raise Forbidden("Only members of a project write its policies.")


def _clause(tx: Tx, policy: Policy, id_: str) -> Clause:
    found = tx.get(Clause, id_)
    if found is None or found.policy_id != policy.id:
        raise NotFound(f"Rule {id_} could not be found in policy {policy.name}.")
    return found


def _diff(sign: str, *clauses: Clause) -> str:
    return "\n".join(f"{sign}{line}" for clause in clauses for line in clause.text.splitlines())
