"""Statements as the driver takes them, so that one that was executed before costs little more than what it does.

For each execution SQLAlchemy works out what the statement's lists expand to, how values and columns are converted and
what the columns are called: several times the work of SQLite itself. Here it does that once for each statement and the
lengths of its lists: as many values as the next power of two, of which the last is repeated, since a list is what
something is IN. A statement's first execution, and one with long lists, is left to SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, methodcaller
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ClauseElement

_LONGEST_LIST: Final = 64
_Convert = Callable[[Any], Any]


class _Form(NamedTuple):
    """A statement for lists of certain lengths: its text, and how values go in and columns come out."""

    text: str
    fixed: Mapping[str, Any]
    lists: Mapping[str, Sequence[str]]
    order: Sequence[str] | None
    converted: Mapping[str, _Convert]
    columns: Sequence[tuple[int, _Convert]]

    def bound(self, values: Mapping[str, Any]) -> Any:
        named = {**self.fixed, **values}
        for name, expanded in self.lists.items():
            named.update(zip(expanded, _padded(named.pop(name), len(expanded)), strict=True))
        for name, convert in self.converted.items():
            named[name] = convert(named[name])
        return named if self.order is None else [*map(named.__getitem__, self.order)]

    def read(self, row: Sequence[Any]) -> Sequence[Any]:
        read = list(row)
        for at, convert in self.columns:
            read[at] = convert(read[at])
        return read


class _Shape(NamedTuple):
    """A statement with values of certain names: which of them are lists, and its form by how long these are."""

    lists: Sequence[str]
    forms: dict[tuple[int, ...], _Form | None]
    """None for one that only SQLAlchemy can execute."""


_shapes: WeakKeyDictionary[Executable, dict[tuple[str, ...], _Shape]] = WeakKeyDictionary()
"""By statement, then by dialect and names of the values."""
_all_rows: Final = methodcaller("fetchall")
_row_count: Final = attrgetter("rowcount")


def rows(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """What the statement gives. Raises DBAPIError."""
    form = _form(connection.dialect, statement, values)
    if form is None:
        return connection.execute(statement, values).fetchall()
    found: Sequence[Sequence[Any]] = _run(connection, form.text, form.bound(values), _all_rows)
    return [form.read(row) for row in found] if form.columns else found


def count(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
    """How many rows a statement changes that gives none. Raises DBAPIError."""
    form = _form(connection.dialect, statement, values)
    if form is None:
        return connection.execute(statement, values).rowcount
    return int(_run(connection, form.text, form.bound(values), _row_count))


def insert(connection: Connection, table: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with these columns, in one statement. Raises DBAPIError."""
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES {places(len(rows), len(names))}"  # noqa: S608 (our names)
    _run(connection, _marked(connection, text), [row[name] for row in rows for name in names], _row_count)


def rows_of_text(connection: Connection, text: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """What a statement gives that is a text already, with a `?` for each value. Raises DBAPIError."""
    found: Sequence[Sequence[Any]] = _run(connection, _marked(connection, text), values, _all_rows)
    return found


def places(rows: int, columns: int) -> str:
    """What follows VALUES. SQLAlchemy takes longer to make this of many rows than a database to write them."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def _marked(connection: Connection, text: str) -> str:
    return text if connection.dialect.paramstyle == "qmark" else text.replace("?", "%s")


def control(connection: Connection, text: str) -> None:
    """A statement without values, as BEGIN. Raises DBAPIError."""
    _run(connection, text, (), _row_count)


def _run(connection: Connection, text: str, bound: Any, take: Callable[[Any], Any]) -> Any:
    dialect, driver = connection.dialect, connection.connection
    if heard := driver.info.get("trace"):
        heard(text)
    cursor = driver.cursor()
    try:
        cursor.execute(text, bound)
        return take(cursor)
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, driver, cursor)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            text,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error
    finally:
        cursor.close()


def _form(dialect: Dialect, statement: Executable, values: Mapping[str, Any]) -> _Form | None:
    shapes = _shapes.get(statement)
    if shapes is None:
        _shapes[statement] = {}
        return None
    names = (dialect.name, *values)
    shape = shapes.get(names)
    if shape is None:
        lists = [name for name, value in values.items() if isinstance(value, list)]
        shape = shapes[names] = _Shape(lists, {})
    lengths = tuple([_room(values[name]) for name in shape.lists]) if shape.lists else ()
    if lengths and max(lengths) > _LONGEST_LIST:
        return None
    if lengths not in shape.forms:
        full = {name: _padded(values[name], length) for name, length in zip(shape.lists, lengths, strict=True)}
        shape.forms[lengths] = _made(dialect, statement, {**values, **full})
    return shape.forms[lengths]


def _room(values: Sequence[Any]) -> int:
    """The next power of two: so few texts do for lists of all lengths."""
    return 1 << (len(values) - 1).bit_length() if values else 0


def _padded(values: Sequence[Any], length: int) -> Sequence[Any]:
    return values if len(values) == length else [*values, *[values[-1]] * (length - len(values))]


def _made(dialect: Dialect, statement: Executable, values: Mapping[str, Any]) -> _Form | None:
    assert isinstance(statement, ClauseElement)
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(values))
    state = compiled.construct_expanded_state(dict(values))
    lists = {name: tuple(each) for name, each in state.parameter_expansion.items() if name in values}
    # Values that are part of the text: a constant (what texts are joined with) stays there, one of the caller's can't.
    spelled = {compiled.bind_names[each] for each in compiled.literal_execute_params}
    if spelled & values.keys() or lists.keys() != {name for name, value in values.items() if isinstance(value, list)}:
        return None
    given = {*values, *(each for expanded in lists.values() for each in expanded)}
    fixed = {name: value for name, value in state.parameters.items() if name not in given}
    converted = {name: convert for name, convert in state.processors.items() if name in state.parameters}
    return _Form(state.statement, fixed, lists, state.positiontup, converted, _columns(dialect, statement))


def _columns(dialect: Dialect, statement: Any) -> list[tuple[int, _Convert]]:
    """Those that the driver gives otherwise than we mean them (SQLite's booleans)."""
    types = [column.type for column in getattr(statement, "selected_columns", ())]
    converts = (each.dialect_impl(dialect).result_processor(dialect, None) for each in types)
    return [(at, convert) for at, convert in enumerate(converts) if convert]
