"""How old the facts are that a policy rests on, where they aren't the store's own."""

from __future__ import annotations

from datetime import datetime

from suimon.enforcement.scope import Scope
from suimon.model.fact_tables import FactTable
from suimon.model.policies import VIOLATIONS
from suimon.resources.fact_tables import list_tables
from suimon.store.tx import Tx


def stale_below(tx: Tx, scope: Scope, policies: set[str]) -> dict[str, list[FactTable]]:
    """By policy, the tables that its violations may follow from and that are older than was promised, if any."""
    stale = {(one.source, one.name): one for one in list_tables(tx) if one.stale(tx.now)}
    if not stale:
        return {}
    known = {policy.name for policy in scope.policies.values()}
    reads = {name: scope.engine.reads(name, VIOLATIONS) & stale.keys() for name in policies & known}
    return {name: [stale[table] for table in sorted(tables)] for name, tables in reads.items() if tables}


def age_words(one: FactTable, now: datetime) -> str:
    """What is to be known about a stale table."""
    age_s = one.age_s(now)
    name = f"{one.source}:{one.name}"
    if age_s is None:
        return f"{name} was never read"
    if one.problem:  # Operators see which.
        return f"{name} was read {age_s:.0f} s ago, and could not be since"
    return f"{name} was read {age_s:.0f} s ago, and should be no older than {one.max_age_s} s"
