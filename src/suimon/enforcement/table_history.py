"""Tables from elsewhere in the history of facts: each row by itself, from when it came until it went.

A table that changes more than its share is not followed for a while: that is a gap of its own, with a beginning and an
end, and then all that is different is written down at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from suimon.model.fact_history import GAP, FactsNow
from suimon.model.fact_tables import Told, id_of
from suimon.policy.facts import CLOCK, OURS, OWNER, Fact
from suimon.resources.fact_history import open_gaps, open_ids, open_kinds
from suimon.resources.fact_tables import list_tables, told_tables
from suimon.store.tx import Tx

CHURN: Final = "it changed more than is kept: what it held is known as it was before, and not since"
_PREFIX: Final = "table "
_UNKEPT: Final = frozenset({id_of(CLOCK, "now"), id_of(OURS, "flows"), id_of(OURS, "flow_peers")})
"""What the time was follows from it, and collectors know themselves what they saw."""
_DAY_S: Final = 86_400.0
_LARGE: Final = 1000
"""Bytes for which a row counts once more."""


def kind_of(source: str, name: str, columns: Sequence[str]) -> str:
    """What the rows of a table with these columns are in the history; "" where none are kept."""
    id_ = id_of(source, name)
    return "" if id_ in _UNKEPT else f"{_PREFIX}{id_} {sha256(msgspec.json.encode(columns)).hexdigest()[:12]}"


class TableHistory:
    """What of the tables is written down. All of them together may change `most_rows` a day, each its share."""

    def __init__(self, tx: Tx, most_rows: int) -> None:
        """From what was written so far."""
        self._most_rows = most_rows
        self._kinds: dict[str, set[str]] = {}
        """By table, those that have rows."""
        self._waiting = {_table_of(kind) for kind in open_gaps(tx, _PREFIX)}
        self._left: dict[str, tuple[float, datetime]] = {}
        """By table, how many rows it may change, and as of when."""
        for kind in open_kinds(tx, _PREFIX):
            self._kinds.setdefault(_table_of(kind), set()).add(kind)

    @property
    def waiting(self) -> bool:
        """Whether there are tables that have to be looked at again, though nothing changes."""
        return bool(self._waiting)

    def changed(self, tx: Tx, causes: Mapping[str, tuple[int, str]], revision: int) -> list[FactsNow]:
        """What has to be written of tables that changed, by id with revision and request; and of those that wait, as
        of `revision`, which is the transaction's own.
        """
        found: list[FactsNow] = []
        for id_ in sorted((causes.keys() | self._waiting) - _UNKEPT):
            at, request = (revision, "") if id_ in self._waiting else causes[id_]
            found += [each._replace(revision=at, request_id=request) for each in self._differences(tx, id_)]
        return found

    def all(self, tx: Tx, revision: int) -> list[FactsNow]:
        """The same of all tables that there are, or were."""
        ids = {one.id for one in list_tables(tx)} | self._kinds.keys()
        return self.changed(tx, dict.fromkeys(sorted(ids), (revision, "")), revision)

    def _differences(self, tx: Tx, id_: str) -> list[FactsNow]:
        told = told_tables(tx, [id_]).get(id_)
        kind = kind_of(told.table.source, told.table.name, told.table.columns) if told else ""
        now = {each.id: each for each in _rows(kind, told)} if told else {}
        known = {each: open_ids(tx, each) for each in self._kinds.get(id_, ())}
        before = known.pop(kind, set())
        came = [row for key, row in now.items() if key not in before]
        gone = [FactsNow(kind, key, "", "", 0) for key in sorted(before - now.keys() - {GAP})]
        gone += [FactsNow(other, key, "", "", 0) for other, keys in known.items() for key in sorted(keys)]
        if told and not self._may(id_, came, len(gone), tx.now):
            self._waiting.add(id_)
            self._kinds.setdefault(id_, set()).add(kind)
            return [FactsNow(kind, GAP, "", CHURN, 0)]
        self._waiting.discard(id_)
        self._kinds[id_] = {kind} if now else set()
        over = [FactsNow(kind, GAP, "", "", 0)] if GAP in before else []
        return [*came, *gone, *over]

    def _may(self, id_: str, came: Collection[FactsNow], gone: int, now: datetime) -> bool:
        """Whether it changed less than its share; the first time that it is seen isn't counted."""
        share = self._most_rows / max(len(self._left), 1)
        if id_ not in self._left:
            self._left[id_] = (share, now)
            return True
        left, at = self._left[id_]
        left = min(left + share * max((now - at).total_seconds(), 0.0) / _DAY_S, share)
        cost = gone + sum(1 + len(each.facts) // _LARGE for each in came)
        self._left[id_] = (left - cost if cost <= left else left, now)
        return cost <= left


def _rows(kind: str, told: Told) -> Iterable[FactsNow]:
    table = told.table
    place = table.columns.index(OWNER) if OWNER in table.columns else None
    for row in told.rows:
        facts = msgspec.json.encode([Fact(table.source, table.name, row)])
        owner = row[place] if place is not None else ""
        whose = owner if isinstance(owner, str) else ""
        yield FactsNow(kind, sha256(facts).hexdigest()[:32], whose, facts.decode(), 0)


def _table_of(kind: str) -> str:
    return kind.removeprefix(_PREFIX).rpartition(" ")[0]
