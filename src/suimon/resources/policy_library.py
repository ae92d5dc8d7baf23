"""The library: policies that wait to be made, those that come with Suimon and those that operators put there.

Everybody may read it and make policies of it, each of them his own. What an operator has to say first (which projects,
which ports) are facts in it; whoever makes a policy of it may give his own in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from suimon.model.actor import Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.policies import KINDS, LibraryPolicy, LibraryRule
from suimon.policy.document import is_fact, take_apart
from suimon.policy.syntax import read
from suimon.resources.ids import new_id
from suimon.resources.policies import MOST_CLAUSES, Wanted, WantedClause, note_change, one_clause, require_name
from suimon.store.tx import Tx

MOST_LIBRARY: Final = 100
"""That operators put there."""
_READY: Final = files("suimon.policy") / "library"


def list_library(tx: Tx) -> list[LibraryPolicy]:
    """By name."""
    return sorted([*_ready(), *tx.select(LibraryPolicy)], key=lambda one: one.name)


def find_in_library(tx: Tx, name: str) -> LibraryPolicy:
    """By id or name. Raises NotFound."""
    for one in list_library(tx):
        if name in (one.id, one.name):
            return one
    raise NotFound(f"Library policy {name} could not be found.")


def put_into_library(tx: Tx, actor: Actor, wanted: Wanted) -> LibraryPolicy:
    """Raises Forbidden, BadRequest (PolicyError), and Conflict when there is one of that name, or too many.

    Whether its clauses can be in force is seen when a policy is made of it: that depends on who makes it.
    """
    _require_operator(actor)
    made = _policy(new_id(), wanted)
    others = tx.select(LibraryPolicy)
    if any(other.name == made.name for other in [*_ready(), *others]):
        raise Conflict(f"Library policy with name {made.name} already exists.")
    if len(others) >= MOST_LIBRARY:
        raise Conflict(f"At most {MOST_LIBRARY} policies of your own in the library: take one out first.")
    tx.insert(made)
    note_change(tx, actor, made, "put into the library")
    return made


def replace_in_library(tx: Tx, actor: Actor, name: str, wanted: Wanted) -> LibraryPolicy:
    """It keeps its id; policies that were made of it stay as they are. Raises what `put_into_library` does, and
    NotFound, and Conflict for one that comes with Suimon.
    """
    before = _own(tx, actor, name)
    after = _policy(before.id, wanted)
    if after.name != before.name and any(other.name == after.name for other in list_library(tx)):
        raise Conflict(f"Library policy with name {after.name} already exists.")
    tx.update(before, after)
    note_change(tx, actor, after, "replaced in the library")
    return after


def take_out_of_library(tx: Tx, actor: Actor, name: str) -> LibraryPolicy:
    """Policies that were made of it stay. Raises Forbidden, NotFound, Conflict for one that comes with Suimon."""
    policy = _own(tx, actor, name)
    tx.delete(policy)
    note_change(tx, actor, policy, "taken out of the library")
    return policy


def as_wanted(policy: LibraryPolicy, facts: Sequence[str] = ()) -> Wanted:
    """What makes a policy of it. The tables of these facts have them in the place of the library's.

    Raises BadRequest (PolicyError) for what is no fact, or of a table of which the library has none.
    """
    given: dict[str, list[WantedClause]] = {}
    for text in map(one_clause, facts):
        given.setdefault(_table_of_fact(text), []).append(WantedClause(text=text))
    tables = {table for one in policy.rules if (table := _table_of_fact(one.rule))}
    for table in given:
        if table not in tables:
            raise BadRequest(f"{policy.name} takes facts of {', '.join(sorted(tables))}: these are of {table!r}.")
    kept = [one for one in policy.rules if _table_of_fact(one.rule) not in given]
    ours = [WantedClause(text=one.rule, name=one.name, comment=one.comment) for one in kept]
    return Wanted(
        name=policy.name,
        kind=policy.kind,
        description=policy.description,
        abbreviation=policy.abbreviation,
        clauses=(*(clause for clauses in given.values() for clause in clauses), *ours),
    )


@cache
def _ready() -> tuple[LibraryPolicy, ...]:
    """Those that come with Suimon."""
    found = []
    for file in _READY.iterdir():
        name, _, ending = file.name.rpartition(".")
        if ending == "dl":
            document = take_apart(file.read_text(encoding="utf-8"))
            clauses = tuple(WantedClause(text=one.text, comment=one.comment) for one in document.clauses)
            found.append(_policy(name, Wanted(name=name, description=document.description, clauses=clauses)))
    return tuple(found)


def _policy(id_: str, wanted: Wanted) -> LibraryPolicy:
    require_name(wanted.name)
    if not 0 < len(wanted.clauses) <= MOST_CLAUSES:
        raise BadRequest(f"A library policy has from 1 to {MOST_CLAUSES} rules.")
    return LibraryPolicy(
        id=id_,
        name=wanted.name,
        kind=wanted.kind or KINDS[0],
        description=(wanted.description or "")[:1000],
        abbreviation=(wanted.abbreviation or wanted.name)[:5],
        rules=tuple(
            LibraryRule(
                rule=one_clause(one.text), name=(one.name or "")[:255], comment=(one.comment or "")[:1000]
            )
            for one in wanted.clauses
        ),
    )  # fmt: skip


def _table_of_fact(text: str) -> str:
    """ "": it is no fact."""
    (statement,) = read(text)
    return statement.heads[0].name if is_fact(statement) else ""


def _own(tx: Tx, actor: Actor, name: str) -> LibraryPolicy:
    policy = find_in_library(tx, name)
    _require_operator(actor)
    if policy.ready:
        raise Conflict(f"{policy.name} comes with Suimon: put one of another name into the library.")
    return policy


def _require_operator(actor: Actor) -> None:
    if not actor.admin:
        raise Forbidden("Only operators write the library.")
