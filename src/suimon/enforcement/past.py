"""What facts were at a moment, for whoever may see them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from suimon.enforcement.scope import Sources
from suimon.enforcement.table_history import kind_of
from suimon.model.errors import BadRequest
from suimon.model.fact_history import FactVersion, Moment
from suimon.model.policies import CLOUD
from suimon.model.touches import KIND_OF
from suimon.policy.changes import Row
from suimon.policy.facts import SOURCES, Fact, seen_columns, types_of
from suimon.resources.fact_history import gaps_of, known_kinds, moment_at, moments, versions_at, versions_between
from suimon.store.tx import Tx

Table = tuple[str, str]
"""(source, table)."""
_decode: Final = msgspec.json.Decoder(tuple[Fact, ...]).decode
_ALL_REVISIONS: Final = (0, 2**63 - 1)


class Past:
    """Of some tables, as the cloud's policies would have them, or a project's, which don't see the `hidden` columns."""

    def __init__(
        self, tables: Iterable[Table], project_id: str, hidden: Collection[str], sources: Sources = SOURCES
    ) -> None:
        """`sources` has the columns of tables from elsewhere."""
        self._tables = frozenset(tables)
        self._outside = {
            kind: table
            for table in self._tables
            if not types_of(*table) and (kind := kind_of(*table, sources[table[0]][table[1]]))
        }
        self._kinds = {KIND_OF[type_] for table in self._tables for type_ in types_of(*table)} | self._outside.keys()
        self._project = None if project_id == CLOUD else project_id
        self._seen = None if project_id == CLOUD else seen_columns(hidden)

    @property
    def known(self) -> bool:
        """Whether the history has anything of them."""
        return bool(self._kinds)

    def at(self, tx: Tx, revision: int, most: int) -> list[FactVersion]:
        """What was so then. Raises BadRequest when that is more than `most` things."""
        return _bounded(versions_at(tx, revision, self._kinds, self._project, most + 1), most)

    def between(self, tx: Tx, revisions: tuple[int, int], most: int) -> list[FactVersion]:
        """What began or ended at one of these, both included. Raises BadRequest when it is more than `most`."""
        return _bounded(versions_between(tx, revisions, self._kinds, self._project, most + 1), most)

    def unknown(self, tx: Tx, revision: int) -> set[Table]:
        """The tables from elsewhere of which there is nothing by then."""
        known = {self._outside[kind] for kind in known_kinds(tx, self._outside.keys(), revision)}
        return {table for table in self._tables if not types_of(*table)} - known

    def gaps(self, tx: Tx, revisions: tuple[int, int]) -> list[tuple[str, FactVersion]]:
        """The tables from elsewhere that weren't known from one revision to another, both included."""
        found = gaps_of(tx, self._outside.keys(), revisions)
        return [(":".join(self._outside[one.kind]), one) for one in found]

    def facts(self, version: FactVersion) -> list[Fact]:
        """Its rows, in these tables; none of another release's columns."""
        if version.kind in self._outside:
            return list(_decode(version.facts))
        found = [fact for fact in _decode(version.facts) if fact[:2] in self._tables and _fits(fact)]
        if self._seen is None:
            return found
        return [
            Fact(fact.source, fact.table, tuple(fact.row[place] for place in self._seen[fact[:2]]))
            for fact in found
            if fact[:2] in self._seen
        ]

    def rows(self, tx: Tx, revision: int, most: int) -> list[Row]:
        """Of all its tables, sorted."""
        found = [fact.row for version in self.at(tx, revision, most) for fact in self.facts(version)]
        return sorted(found, key=str)


def known_at(tx: Tx, at: datetime) -> Moment:
    """The last moment until then. Raises BadRequest when the history doesn't reach back to it."""
    found = moment_at(tx, at)
    if found is None:
        first: Sequence[Moment] = moments(tx, *_ALL_REVISIONS)[:1]
        begins = f"begins at {first[0].at.isoformat()}" if first else "hasn't begun"
        raise BadRequest(f"What facts were at {at.isoformat()} is not known: their history {begins}.")
    return found


def gap_words(table: str, gap: FactVersion) -> str:
    """What is to be known about it."""
    until = "now" if gap.until_revision is None else f"revision {gap.until_revision}"
    return f"{table} from revision {gap.revision} until {until}: {gap.facts}"


def _fits(fact: Fact) -> bool:
    return len(fact.row) == len(SOURCES[fact.source][fact.table])


def _bounded(found: list[FactVersion], most: int) -> list[FactVersion]:
    if len(found) > most:
        raise BadRequest("That is too much at once: ask of a shorter time, or of fewer tables.")
    return found
