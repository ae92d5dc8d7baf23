"""What was violated when, and which actions were called for: written as engines tell of it, but for their end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlalchemy import and_, bindparam, delete, or_, select

from suimon.model.actor import Actor
from suimon.model.errors import NotFound
from suimon.model.policies import Called, News, Violation
from suimon.resources.ids import new_id
from suimon.store.columns import time_text
from suimon.store.tables import CALLS, KEPT, VIOLATIONS
from suimon.store.tx import Tx

_AT: Final = (
    select(*VIOLATIONS.columns)
    .where(
        and_(
            VIOLATIONS.c.appeared_at <= bindparam("at"),
            or_(VIOLATIONS.c.vanished_at.is_(None), VIOLATIONS.c.vanished_at > bindparam("at")),
            or_(VIOLATIONS.c.project_id == bindparam("project"), bindparam("all")),
        )
    )
    .order_by(VIOLATIONS.c.appeared_at.desc(), VIOLATIONS.c.id)
    .limit(bindparam("most"))
)
_FORGET: Final = tuple(delete(table).where(table.c.vanished_at < bindparam("before")) for table in (VIOLATIONS, CALLS))


def note_violations(tx: Tx, news: Iterable[News]) -> None:
    """Go on with the history, in the order of the news. What is known already is not begun again."""
    for type_, ordered in _by_type(news).items():
        known = tx.select(type_, {"digest": {_digest(one) for one in ordered}}) if ordered else []
        open_ = {one.digest: one for one in known if one.vanished_at is None}
        for one in ordered:
            digest = _digest(one)
            if one.appeared and digest not in open_:
                open_[digest] = _begin(tx, digest, one)
            elif not one.appeared and digest in open_:
                _end(tx, open_.pop(digest), one.revision)


def settle_violations(tx: Tx, wrong: Iterable[News], revision: int) -> None:
    """Make the history agree with all that is wrong, and called for, at this revision."""
    for type_, news in _by_type(wrong).items():
        now = {_digest(one): one for one in news}
        open_ = {one.digest: one for one in tx.select(type_, {"vanished_at": None})}
        for digest in open_.keys() - now.keys():
            _end(tx, open_[digest], revision)
        for digest in [each for each in now if each not in open_]:
            _begin(tx, digest, now[digest])


def forget_violations(tx: Tx, before: datetime) -> None:
    """Those that were over before that."""
    for statement in _FORGET:
        tx.run(statement, {"before": time_text(before)})


def get_violation(tx: Tx, actor: Actor, id_: str) -> Violation:
    """Raises NotFound."""
    found = tx.get(Violation, id_)
    if found is None or not (actor.admin or found.project_id == actor.viewer):
        raise NotFound(f"Violation {id_} could not be found.")
    return found


def list_violations(tx: Tx, actor: Actor, limit: int = 100, *, ended: bool = False) -> list[Violation]:
    """What is violated, or with `ended` was besides; the newest first."""
    where: dict[str, object] = {} if actor.admin else {"project_id": actor.viewer}
    if not ended:
        where["vanished_at"] = None
    return tx.select(Violation, where, order=("-appeared_at", "id"), limit=limit)


def violations_at(tx: Tx, actor: Actor, at: datetime, limit: int = 100) -> list[Violation]:
    """What was violated then."""
    values = {"at": time_text(at), "project": actor.viewer, "all": actor.admin, "most": limit}
    return [KEPT[Violation].codec.decode(row) for row in tx.rows(_AT, values)]


def list_calls(tx: Tx, actor: Actor, limit: int = 100) -> list[Called]:
    """Which actions policies called for, the newest first."""
    where = {} if actor.admin else {"project_id": actor.viewer}
    return tx.select(Called, where, order=("-appeared_at", "id"), limit=limit)


def _by_type(news: Iterable[News]) -> dict[type[Violation], list[News]]:
    sorts: dict[type[Violation], list[News]] = {Violation: [], Called: []}
    for one in news:
        sorts[Called if one.action else Violation].append(one)
    return sorts


def _begin(tx: Tx, digest: str, news: News) -> Violation:
    values: dict[str, Any] = {
        "id": new_id(),
        "digest": digest,
        "project_id": news.project_id,
        "policy": news.policy,
        "row": msgspec.json.encode(news.row).decode(),
        "why": news.why,
        "appeared_at": tx.now,
        "appeared_revision": news.revision,
        "request_id": news.request_id,
    }
    made = Called(**values, action=news.action) if news.action else Violation(**values)
    tx.insert(made)
    return made


def _end(tx: Tx, violation: Violation, revision: int) -> None:
    tx.update(violation, msgspec.structs.replace(violation, vanished_at=tx.now, vanished_revision=revision))


def _digest(news: News) -> str:
    what = (news.project_id, news.policy, news.row, *([news.action] if news.action else ()))
    return sha256(msgspec.json.encode(what)).hexdigest()
