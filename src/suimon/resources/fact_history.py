"""The history of facts: written as they change, read for any moment that it reaches back to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, func, or_, select, update

from suimon.model.fact_history import GAP, FactsNow, FactVersion, Moment
from suimon.store.columns import time_text
from suimon.store.tables import FACT_MOMENTS, FACT_VERSIONS, KEPT
from suimon.store.tx import Tx

_V: Final = FACT_VERSIONS.c
_OPEN: Final = (_V.kind == bindparam("kind_"), _V.id.in_(bindparam("ids", expanding=True)), _V.until_revision.is_(None))
_OPEN_IDS: Final = select(_V.id).where(_V.kind == bindparam("kind_"), _V.until_revision.is_(None))
_CLOSE: Final = update(FACT_VERSIONS).where(*_OPEN).values(until_revision=bindparam("upto"))
_OURS: Final = (
    _V.kind.in_(bindparam("kinds", expanding=True)),
    or_(_V.project_id == bindparam("project"), bindparam("all")),
)
_KINDS: Final = (
    select(_V.kind)
    .where(_V.until_revision.is_(None), func.substr(_V.kind, 1, bindparam("length")) == bindparam("prefix"))
    .distinct()
)
_GAPS: Final = (
    select(*_V)
    .where(
        _V.kind.in_(bindparam("kinds", expanding=True)),
        _V.id == GAP,
        _V.revision <= bindparam("last"),
        or_(_V.until_revision.is_(None), _V.until_revision > bindparam("first")),
    )
    .order_by(_V.revision, _V.kind)
)
_KNOWN: Final = (
    select(_V.kind)
    .where(_V.kind.in_(bindparam("kinds", expanding=True)), _V.revision <= bindparam("revision_"))
    .distinct()
)
_AT: Final = (
    select(*_V)
    .where(
        *_OURS,
        _V.id != GAP,
        _V.revision <= bindparam("revision_"),
        or_(_V.until_revision.is_(None), _V.until_revision > bindparam("revision_")),
    )
    .limit(bindparam("most"))
)
_BETWEEN: Final = (
    select(*_V)
    .where(
        *_OURS,
        _V.id != GAP,
        or_(
            _V.revision.between(bindparam("first"), bindparam("last")),
            _V.until_revision.between(bindparam("first"), bindparam("last")),
        ),
    )
    .limit(bindparam("most"))
)
_MOMENT: Final = (
    select(*FACT_MOMENTS.c)
    .where(FACT_MOMENTS.c.at <= bindparam("at_"))
    .order_by(FACT_MOMENTS.c.revision.desc())
    .limit(1)
)
_MOMENTS: Final = (
    select(*FACT_MOMENTS.c)
    .where(FACT_MOMENTS.c.revision.between(bindparam("first"), bindparam("last")))
    .order_by(FACT_MOMENTS.c.revision)
)
_OLDEST_EXCESS: Final = (
    select(_V.until_revision)
    .where(_V.until_revision.is_not(None))
    .order_by(_V.until_revision.desc())
    .limit(1)
    .offset(bindparam("most"))
)
_FORGET: Final = delete(FACT_VERSIONS).where(_V.until_revision <= bindparam("horizon"))
_FORGET_MOMENTS: Final = delete(FACT_MOMENTS).where(FACT_MOMENTS.c.revision < bindparam("horizon"))


def newest_moment(tx: Tx) -> Moment | None:
    """None before the first."""
    return next(iter(tx.select(Moment, order=("-revision",), limit=1)), None)


def note_facts(tx: Tx, changed: Iterable[FactsNow]) -> dict[int, str]:
    """What differs from what was known is so from its revision on. The revisions at which something did, and their
    requests; `note_moments` is told of them when all is written.
    """
    by_kind: dict[str, list[FactsNow]] = {}
    for one in changed:
        by_kind.setdefault(one.kind, []).append(one)
    new: list[FactsNow] = []
    over: list[FactsNow] = []
    for kind, ours in by_kind.items():
        known = tx.select(FactVersion, {"kind": kind, "id": [one.id for one in ours], "until_revision": None})
        before = {one.id: one for one in known}
        differing = [one for one in ours if (before[one.id].facts if one.id in before else "") != one.facts]
        new += differing
        for one in differing:
            if one.id in before and before[one.id].revision == one.revision:
                # Of another release, which had other columns; or a gap that is none.
                tx.delete(before[one.id])
            elif one.id in before:
                over.append(one)
    for revision, kind in sorted({(one.revision, one.kind) for one in over}):
        ids = [one.id for one in over if (one.revision, one.kind) == (revision, kind)]
        tx.run(_CLOSE, {"kind_": kind, "ids": ids, "upto": revision})
    tx.insert_many(
        [
            FactVersion(kind=one.kind, id=one.id, revision=one.revision, project_id=one.project_id, facts=one.facts)
            for one in new
            if one.facts
        ]
    )
    return {one.revision: one.request_id for one in new}


def note_moments(tx: Tx, requests: Mapping[int, str], shape: str, gap: tuple[int, str] | None = None) -> None:
    """By revision the request that changed facts. `gap` is a revision, and why what was between the moment before and
    it is known only as it is then.
    """
    gaps = dict([gap] if gap else [])
    revisions = {*requests, *gaps}
    # Only the last may be there: what had to wait is written as of a revision at which something else changed.
    for before in tx.select(Moment, {"revision": max(revisions)}) if revisions else ():
        if before.revision in gaps:
            tx.delete(before)
        else:
            revisions.remove(before.revision)
    tx.insert_many(
        [
            Moment(revision=each, at=tx.now, request_id=requests.get(each, ""), shape=shape, gap=gaps.get(each, ""))
            for each in sorted(revisions)
        ]
    )


def open_ids(tx: Tx, kind: str) -> set[str]:
    """The things of a kind that have rows by what is known."""
    return {str(row[0]) for row in tx.rows(_OPEN_IDS, {"kind_": kind})}


def open_kinds(tx: Tx, prefix: str) -> set[str]:
    """Those that begin so and have rows, or a gap, by what is known."""
    return {str(row[0]) for row in tx.rows(_KINDS, {"prefix": prefix, "length": len(prefix)})}


def open_gaps(tx: Tx, prefix: str) -> set[str]:
    """The kinds that begin so and aren't known now."""
    return {kind for kind in open_kinds(tx, prefix) if GAP in open_ids(tx, kind)}


def gaps_of(tx: Tx, kinds: Collection[str], revisions: tuple[int, int]) -> list[FactVersion]:
    """When these were not known between two revisions, both included."""
    first, last = revisions
    return _versions(tx.rows(_GAPS, {"kinds": sorted(kinds), "first": first, "last": last})) if kinds else []


def known_kinds(tx: Tx, kinds: Collection[str], revision: int) -> set[str]:
    """Those of which the history has anything by then."""
    rows = tx.rows(_KNOWN, {"kinds": sorted(kinds), "revision_": revision}) if kinds else ()
    return {str(row[0]) for row in rows}


def moment_at(tx: Tx, at: datetime) -> Moment | None:
    """The last one until then; None: the history doesn't reach back so far."""
    found = tx.rows(_MOMENT, {"at_": time_text(at)})
    return KEPT[Moment].codec.decode(found[0]) if found else None


def moments(tx: Tx, first: int, last: int) -> list[Moment]:
    """In order, both included."""
    return [KEPT[Moment].codec.decode(row) for row in tx.rows(_MOMENTS, {"first": first, "last": last})]


def versions_at(tx: Tx, revision: int, kinds: Collection[str], project: str | None, most: int) -> list[FactVersion]:
    """What was so then, of these kinds; all, or one project's. At most so many: one more says that there are more."""
    return _versions(tx.rows(_AT, {"revision_": revision, **_ours(kinds, project), "most": most}))


def versions_between(
    tx: Tx, revisions: tuple[int, int], kinds: Collection[str], project: str | None, most: int
) -> list[FactVersion]:
    """Those that began or ended at one of these revisions, both included; in no order."""
    first, last = revisions
    return _versions(tx.rows(_BETWEEN, {"first": first, "last": last, **_ours(kinds, project), "most": most}))


def forget_facts(tx: Tx, before: datetime, most: int) -> None:
    """What was over by then, and the oldest of more than `most` versions that are over."""
    horizons = [moment.revision] if (moment := moment_at(tx, before)) else []
    horizons += [int(row[0]) for row in tx.rows(_OLDEST_EXCESS, {"most": most})]
    if horizons:
        tx.run(_FORGET, {"horizon": max(horizons)})
        tx.run(_FORGET_MOMENTS, {"horizon": max(horizons)})


def _ours(kinds: Collection[str], project: str | None) -> dict[str, object]:
    return {"kinds": sorted(kinds), "project": project or "", "all": project is None}


def _versions(rows: Sequence[Sequence[object]]) -> list[FactVersion]:
    return [KEPT[FactVersion].codec.decode(row) for row in rows]
