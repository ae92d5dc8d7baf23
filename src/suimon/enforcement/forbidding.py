"""What proactive policies say of a transaction, and what would follow: its own changes, tried on their engines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec
import structlog

from suimon.enforcement.ages import age_words, stale_below
from suimon.enforcement.scope import Key, Scope
from suimon.enforcement.words import atom, spelled
from suimon.model.errors import Forbidden
from suimon.model.policies import VIOLATIONS, Evaluation, Policy
from suimon.policy.changes import Row
from suimon.policy.engine import TooMuch
from suimon.store.tx import Tx

_MOST_CONSEQUENCES: Final = 10
log = structlog.get_logger()


def judge(
    tx: Tx, scope: Scope, things: Mapping[Key, msgspec.Struct | None], public: Collection[str]
) -> list[Evaluation]:
    """What enforced and staged policies have against these changes, each for one thing that they would make wrong."""
    try:
        return list(_judged(tx, scope, things, public))
    except TooMuch as error:
        # The change is let in: a clause that is too much must not stop everybody's work.
        log.error("policy_not_asked", project=scope.project_id, reason=error.message)
        return []


def refuse(policies: Mapping[str, Policy], found: Iterable[Evaluation]) -> None:
    """Raises Forbidden if any of these is a denial."""
    for one in found:
        if one.outcome == "denied":
            policy = policies[one.policy_id]
            words = f"{policy.name} of {policy.author} forbids this: {policy.description}".rstrip(": ")
            raise Forbidden(f"The policy {words}\n{one.why}", "PolicyForbids")


def consequences(scope: Scope, things: Mapping[Key, msgspec.Struct | None], public: Collection[str]) -> list[str]:
    """What would be wrong by these changes, and what no longer, in words, ten of each."""
    told: list[str] = []
    with scope.engine.trial(scope.fact_changes(things, public)) as difference:
        for tables, words in ((difference.vanished, "vanishes"), (difference.appeared, "appears")):
            found = [
                f"{atom(('', table), row)} of {policy} {words}"
                for (policy, table), rows in sorted(tables.items())
                for row in rows
                if table == VIOLATIONS
            ]
            more = len(found) - _MOST_CONSEQUENCES
            told += [*found[:_MOST_CONSEQUENCES], *([f"and {more} more {words}"] if more > 0 else [])]
    return told


def _judged(
    tx: Tx, scope: Scope, things: Mapping[Key, msgspec.Struct | None], public: Collection[str]
) -> Iterator[Evaluation]:
    with scope.engine.trial(scope.fact_changes(things, public)) as difference:
        for policy in scope.watchful:
            for row in difference.appeared.get((policy.name, VIOLATIONS), ())[:1]:
                yield _evaluation(tx, scope, policy, row)


def _evaluation(tx: Tx, scope: Scope, policy: Policy, row: Row) -> Evaluation:
    why = scope.engine.explain(policy.name, VIOLATIONS, row)
    stale = stale_below(tx, scope, {policy.name}).get(policy.name, ())
    made = Evaluation(
        project_id=scope.project_id,
        policy_id=policy.id,
        policy=policy.name,
        outcome="denied" if policy.mode == "enforced" else "would_deny",
        row=atom(("", VIOLATIONS), row),
        clause=why.clause if why else "",
        why="\n".join([spelled(why, scope.sources) if why else "", *(age_words(one, tx.now) for one in stale)]),
        at=tx.now,
        user_id=tx.actor.user_id,
        request_id=tx.actor.request_id,
    )
    told = {"policy": policy.name, "row": made.row, "request": made.request_id}
    log.info("policy_forbade" if made.outcome == "denied" else "policy_would_forbid", project=scope.project_id, **told)
    return made
