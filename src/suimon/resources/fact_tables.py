"""Tables of facts that come from outside: kept whole, or left as they were. Operators' business only.

A reading that says what was known already changes the table's age and wakes nobody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from math import isfinite
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, select

from suimon.model.actor import SYSTEM, Actor
from suimon.model.errors import BadRequest, Conflict, Forbidden, NotFound
from suimon.model.fact_tables import KIND, FactRows, FactSource, FactTable, Reading, Row, Told, Unread, id_of
from suimon.model.policies import Policy
from suimon.resources.policies import RESERVED
from suimon.store.tables import CLAUSES, FACT_ROWS
from suimon.store.tx import Tx

MOST_SOURCES: Final = 100
MOST_TABLES: Final = 100
"""Of one source."""
MOST_COLUMNS: Final = 64
MOST_ROWS: Final = 200_000
MOST_BYTES: Final = 32 << 20
MOST_TEXT: Final = 10_000
"""Characters of one value."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MOST_INT: Final = 2**63 - 1
_DROP_ROWS: Final = delete(FACT_ROWS).where(FACT_ROWS.c.id.in_(bindparam("ids", expanding=True)))
_ROWS: Final = select(FACT_ROWS.c.id, FACT_ROWS.c.rows).where(FACT_ROWS.c.id.in_(bindparam("ids", expanding=True)))
_NAMING: Final = select(CLAUSES.c.id).where(CLAUSES.c.text.like(bindparam("pattern"))).limit(1)
_decode = msgspec.json.Decoder(tuple[Row, ...]).decode


def create_source(tx: Tx, actor: Actor, wanted: FactSource) -> FactSource:
    """Raises Forbidden, BadRequest, and Conflict when something has that name already, or there are too many."""
    _require_operator(actor)
    if not _NAME.fullmatch(wanted.name) or wanted.name in RESERVED:
        raise BadRequest(
            f"{wanted.name[:80]!r} can't be a data source's name: letters, digits and _, and none of ours."
        )
    if tx.get(FactSource, wanted.name) is not None:
        raise Conflict(f"Data source {wanted.name} already exists.")
    if tx.select(Policy, {"name": wanted.name}, limit=1):
        # In a clause the two could not be told apart.
        raise Conflict(f"There is a policy called {wanted.name}.")
    if len(tx.select(FactSource)) >= MOST_SOURCES:
        raise Conflict(f"At most {MOST_SOURCES} data sources: delete one first.")
    tx.insert(wanted)
    return wanted


def delete_source(tx: Tx, actor: Actor, name: str) -> None:
    """With its tables. Clauses that read them are not in force then. Raises Forbidden, NotFound."""
    _require_operator(actor)
    source = get_source(tx, name)
    if tables := tx.select(FactTable, {"source": name}):
        tx.run(_DROP_ROWS, {"ids": [table.id for table in tables]})
        tx.delete_many(tables)
        for table in tables:
            tx.touch(KIND, table.id, "")
    tx.delete(source)


def get_source(tx: Tx, name: str) -> FactSource:
    """Raises NotFound."""
    found = tx.get(FactSource, name)
    if found is None:
        raise NotFound(f"Data source {name} could not be found.")
    return found


def list_sources(tx: Tx) -> list[FactSource]:
    """By name."""
    return tx.select(FactSource, order=("name",))


def list_tables(tx: Tx, source: str = "") -> list[FactTable]:
    """Of one source, or all there are; without their rows."""
    return tx.select(FactTable, {"source": source} if source else {}, order=("id",))


def told_tables(tx: Tx, ids: Collection[str] | None = None) -> dict[str, Told]:
    """By id, with their rows; those that there are and that were ever complete."""
    tables = {one.id: one for one in tx.select(FactTable, {} if ids is None else {"id": ids}) if one.columns}
    rows = {str(row[0]): str(row[1]) for row in tx.rows(_ROWS, {"ids": list(tables)})} if tables else {}
    return {id_: Told(table, _decode(rows.get(id_, "[]"))) for id_, table in tables.items()}


def push_rows(tx: Tx, actor: Actor, source: str, tables: Sequence[Reading]) -> None:
    """What somebody tells of a source of his own; all or nothing. Raises Forbidden, NotFound, BadRequest, Conflict."""
    _require_operator(actor)
    found = get_source(tx, source)
    if found.driver != "push":
        raise BadRequest(f"The tables of {source} are read by Suimon itself: nobody pushes them.")
    keep_readings(tx, [msgspec.structs.replace(one, max_age_s=found.max_age_s) for one in tables])


def keep_readings(tx: Tx, readings: Iterable[Reading]) -> None:
    """They are so now; all or nothing. Raises BadRequest, and Conflict when a table has other columns by now."""
    for reading in readings:
        texts = _checked(reading)
        _ensure_source(tx, reading)
        before = tx.get(FactTable, id_ := id_of(reading.source, reading.name))
        if before is None and len(tx.select(FactTable, {"source": reading.source})) >= MOST_TABLES:
            raise Conflict(f"At most {MOST_TABLES} tables in a data source.")
        if before and before.columns and before.columns != reading.columns and reading.source not in RESERVED:
            # Clauses count on them.
            raise Conflict(
                f"{reading.source}:{reading.name} has the columns {', '.join(before.columns)}, not "
                f"{', '.join(reading.columns)}. To have others, delete the data source first."
            )
        rows = f"[{','.join(texts)}]"
        digest = sha256(f"{reading.columns}{rows}".encode()).hexdigest()
        after = FactTable(
            id=id_,
            source=reading.source,
            name=reading.name,
            columns=reading.columns,
            many=len(texts),
            digest=digest,
            max_age_s=reading.max_age_s,
            read_at=tx.now,
        )
        tx.insert(after) if before is None else tx.update(before, after)
        if before is None or before.digest != digest:
            tx.run(_DROP_ROWS, {"ids": [id_]})
            tx.insert(FactRows(id=id_, rows=rows))
            tx.touch(KIND, id_, "")


def note_unread(tx: Tx, unread: Iterable[Unread]) -> list[Unread]:
    """Why they are no newer; their rows stay. Those of which that wasn't known yet."""
    news = []
    for one in unread:
        with suppress(BadRequest, Conflict):  # It may be just that.
            _ensure_source(tx, one)
        before = tx.get(FactTable, id_ := id_of(one.source, one.name))
        problem = one.problem[:1000]
        if before is None:
            tx.insert(FactTable(id=id_, source=one.source, name=one.name, problem=problem))
        elif before.problem != problem:
            tx.update(before, msgspec.structs.replace(before, problem=problem))
        else:
            continue
        news.append(one)
    return news


def is_read(tx: Tx, tables: Collection[str]) -> bool:
    """Whether a clause names one of these tables (`clock:now`); it may be in a comment."""
    return any(tx.rows(_NAMING, {"pattern": f"%{table}%"}) for table in tables)


def _ensure_source(tx: Tx, one: Reading | Unread) -> None:
    """Files bring their source with them. Raises BadRequest, and Conflict when it is another's."""
    if one.driver is None:
        return
    source = tx.get(FactSource, one.source)
    if source is None:
        create_source(tx, SYSTEM, FactSource(name=one.source, driver=one.driver, made_at=tx.now, author=""))
    elif source.driver != one.driver:
        raise Conflict(f"The data source {one.source} is of the driver {source.driver}.")


def _checked(reading: Reading) -> list[str]:
    """The rows as JSON, sorted, each once. Raises BadRequest."""
    name = f"{reading.source}:{reading.name}"
    if not all(map(_NAME.fullmatch, reading.name.split("."))):
        raise BadRequest(f"{reading.name[:80]!r} can't be a table's name: letters, digits and _.")
    if not 0 < len(reading.columns) <= MOST_COLUMNS or len({*reading.columns}) < len(reading.columns):
        raise BadRequest(f"{name} needs from 1 to {MOST_COLUMNS} columns, each once.")
    if wrong := [column for column in reading.columns if not _NAME.fullmatch(column)]:
        raise BadRequest(f"{wrong[0][:80]!r} can't be a column's name: letters, digits and _.")
    texts: dict[str, None] = {}
    size = 0
    for number, row in enumerate(reading.rows, 1):
        if len(row) != len(reading.columns):
            raise BadRequest(f"Row {number} of {name} has {len(row)} values for {len(reading.columns)} columns.")
        for value in row:
            if words := _doubt(value):
                raise BadRequest(f"Row {number} of {name}: {words}.")
        text = msgspec.json.encode(row).decode()
        size += len(text) + 1
        texts[text] = None
        if len(texts) > MOST_ROWS or size > MOST_BYTES:
            raise BadRequest(f"{name} has more than {MOST_ROWS} rows or {MOST_BYTES} bytes.")
    return sorted(texts)


def _doubt(value: object) -> str:
    match value:
        case None | bool():
            return ""
        case str():
            return f"a text has at most {MOST_TEXT} characters" if len(value) > MOST_TEXT else ""
        case int():
            return "" if -_MOST_INT <= value <= _MOST_INT else "an integer has at most 63 bits"
        case float():
            return "" if isfinite(value) else "a number is finite"
    return "a value is a text, a number, true, false or null"


def _require_operator(actor: Actor) -> None:
    if not actor.admin:
        raise Forbidden("Only operators write data sources.")
