"""The change log: written once per transaction, read from a revision on, shortened from its old end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from suimon.store import prepared
from suimon.store.tables import CHANGES

Touch = tuple[str, str, str]
"""(kind, id, scope)."""


class Change(NamedTuple):
    """One line of the log."""

    revision: int
    kind: str
    id: str
    scope: str
    request_id: str


_AFTER = (
    select(*(CHANGES.c[name] for name in Change._fields))
    .where(CHANGES.c.revision >= bindparam("revision"))
    .order_by(CHANGES.c.revision, CHANGES.c.kind, CHANGES.c.id, CHANGES.c.scope)
)
_OLDEST_EXCESS = select(CHANGES.c.revision).order_by(CHANGES.c.revision.desc()).limit(1).offset(bindparam("keep"))
_DELETE_UPTO = delete(CHANGES).where(CHANGES.c.revision <= bindparam("upto"), CHANGES.c.revision < bindparam("newest"))
_ROWS_A_STATEMENT = 5000


def append(connection: Connection, touches: Iterable[Touch], request_id: str) -> int:
    """Write all of them under the next revision, which is returned.

    The revision is computed in the statement itself: on SQLite the write lock is held, so no other can be given out.
    """
    ordered = sorted(touches)
    first, rest = ordered[:_ROWS_A_STATEMENT], ordered[_ROWS_A_STATEMENT:]
    revision = _append(connection, first, 1, request_id)
    while rest:
        part, rest = rest[:_ROWS_A_STATEMENT], rest[_ROWS_A_STATEMENT:]
        _append(connection, part, 0, request_id)
    return revision


def _append(connection: Connection, touches: Sequence[Touch], step: int, request_id: str) -> int:
    # `column1` … are what both SQLite and PostgreSQL call the columns of a VALUES list.
    text = (
        "INSERT INTO changes (revision, kind, id, scope, request_id) "  # noqa: S608 (only our own names and numbers)
        "SELECT newest.revision, touched.column1, touched.column2, touched.column3, ? "
        f"FROM (SELECT coalesce(max(revision), 0) + {step} AS revision FROM changes) AS newest, "
        f"(VALUES {prepared.places(len(touches), 3)}) AS touched "
        "RETURNING revision"
    )
    values = [request_id, *(value for touch in touches for value in touch)]
    return int(prepared.rows_of_text(connection, text, values)[0][0])


def after(connection: Connection, revision: int) -> list[Change] | None:
    """What was logged after `revision`, in order. None when the log no longer reaches back, or never came so far."""
    found = [Change(*row) for row in prepared.rows(connection, _AFTER, {"revision": revision})]
    # Revisions have no gaps and the newest is kept: the log reaches back if it starts at `revision` or right behind it.
    oldest, newest = (found[0].revision, found[-1].revision) if found else (1, 0)
    if not oldest - 1 <= revision <= newest:
        return None
    return [change for change in found if change.revision > revision]


def shorten(connection: Connection, keep: int, newest: int) -> int:
    """Forget all but the newest `keep` rows (whole revisions; never the newest revision). How many rows went."""
    excess = connection.execute(_OLDEST_EXCESS, {"keep": keep}).scalar()
    if excess is None:
        return 0
    return connection.execute(_DELETE_UPTO, {"upto": excess, "newest": newest}).rowcount
