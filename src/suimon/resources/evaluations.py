"""What policies denied, and staged ones would have denied: the newest, and how often since each is in its mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, func, select

from suimon.model.actor import Actor
from suimon.model.policies import CLOUD, OUTCOMES, Evaluation, Policy, Tally
from suimon.store.columns import time_text
from suimon.store.tables import CALLS, EVALUATIONS, POLICIES, TALLIES
from suimon.store.tx import Tx

MOST_OF_CLOUD: Final = 20_000
"""Kept of what the cloud's policies decided."""
MOST_OF_PROJECT: Final = 1_000
_NEWEST: Final = select(func.coalesce(func.max(EVALUATIONS.c.number), 0)).where(
    EVALUATIONS.c.project_id == bindparam("project")
)
_DROP: Final = delete(EVALUATIONS).where(
    EVALUATIONS.c.project_id == bindparam("project"), EVALUATIONS.c.number <= bindparam("upto")
)
_CALLED: Final = (
    select(POLICIES.c.id, func.count())
    .join(TALLIES, TALLIES.c.policy_id == POLICIES.c.id)
    .join(CALLS, (CALLS.c.project_id == POLICIES.c.project_id) & (CALLS.c.policy == POLICIES.c.name))
    .where(POLICIES.c.id.in_(bindparam("ids", expanding=True)), CALLS.c.appeared_at >= TALLIES.c.since)
    .group_by(POLICIES.c.id)
)
_FORGET: Final = delete(EVALUATIONS).where(EVALUATIONS.c.at < bindparam("before"))


def note_evaluations(tx: Tx, found: Iterable[Evaluation]) -> None:
    """Keep them, and count them for policies that there still are. The oldest beyond what is kept go."""
    by_project: dict[str, list[Evaluation]] = {}
    for one in found:
        by_project.setdefault(one.project_id, []).append(one)
    for project_id, ours in by_project.items():
        newest = int(tx.rows(_NEWEST, {"project": project_id})[0][0])
        tx.insert_many([msgspec.structs.replace(one, number=newest + n) for n, one in enumerate(ours, 1)])
        most = MOST_OF_CLOUD if project_id == CLOUD else MOST_OF_PROJECT
        if (upto := newest + len(ours) - most) > 0:
            tx.run(_DROP, {"project": project_id, "upto": upto})
        more = Counter((one.policy_id, one.outcome) for one in ours)
        for id_, tally in tallies(tx, {one.policy_id for one in ours}).items():
            counts = {outcome: getattr(tally, outcome) + more[id_, outcome] for outcome in OUTCOMES}
            tx.update(tally, msgspec.structs.replace(tally, **counts))


def begin_tally(tx: Tx, policy: Policy) -> None:
    """It comes into its mode just now."""
    if before := tallies(tx, [policy.id]).get(policy.id):
        tx.update(before, Tally(policy_id=policy.id, since=tx.now))
    else:
        tx.insert(Tally(policy_id=policy.id, since=tx.now))


def tallies(tx: Tx, policy_ids: Collection[str]) -> dict[str, Tally]:
    """By policy."""
    return {one.policy_id: one for one in tx.select(Tally, {"policy_id": sorted(policy_ids)})} if policy_ids else {}


def called(tx: Tx, policy_ids: Collection[str]) -> dict[str, int]:
    """By policy, how many actions it called for since it is in its mode; who called for none isn't there."""
    return {id_: int(n) for id_, n in tx.rows(_CALLED, {"ids": sorted(policy_ids)})} if policy_ids else {}


def list_evaluations(tx: Tx, actor: Actor, where: Mapping[str, str], limit: int = 100) -> list[Evaluation]:
    """The newest first; `where` names a policy, an outcome, or both. All for operators, else the project's."""
    seen = dict(where) if actor.admin else {**where, "project_id": actor.viewer}
    return tx.select(Evaluation, seen, order=("-at", "-number"), limit=limit)


def forget_evaluations(tx: Tx, before: datetime) -> None:
    """Those of before that."""
    tx.run(_FORGET, {"before": time_text(before)})
