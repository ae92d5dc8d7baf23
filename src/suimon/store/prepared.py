"""Statements as the driver takes them, so that one that was executed before costs little more than what it does.

For each execution SQLAlchemy works out what the statement's lists expand to, how values and columns are converted and
what the columns are called: several times the work of SQLite itself. Here it does that once for each statement and the
lengths of its lists. A statement's first execution, and one with long lists, is left to SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ClauseElement

_LONGEST_LIST: Final = 4
_Convert = Callable[[Any], Any]
_Shape = tuple[str, tuple[str, ...], tuple[int, ...]]
"""Dialect, names of the values, and how long each is that is a list (or -1)."""


class _Form(NamedTuple):
    """A statement for lists of certain lengths: its text, and how values go in and columns come out."""

    text: str
    fixed: Mapping[str, Any]
    lists: Mapping[str, Sequence[str]]
    order: Sequence[str] | None
    converted: Mapping[str, _Convert]
    columns: Sequence[tuple[int, _Convert]]

    def bound(self, values: Mapping[str, Any]) -> Any:
        named = dict(self.fixed)
        for name, value in values.items():
            if name in self.lists:
                named.update(zip(self.lists[name], value, strict=True))
            else:
                named[name] = value
        for name, convert in self.converted.items():
            named[name] = convert(named[name])
        return named if self.order is None else [named[name] for name in self.order]

    def read(self, row: Sequence[Any]) -> Sequence[Any]:
        read = list(row)
        for at, convert in self.columns:
            read[at] = convert(read[at])
        return read


_forms: WeakKeyDictionary[Executable, dict[_Shape, _Form | None]] = WeakKeyDictionary()
"""By statement; None for one that only SQLAlchemy can execute."""


def rows(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """What the statement gives. Raises DBAPIError."""
    form = _form(connection.dialect, statement, values)
    if form is None:
        return connection.execute(statement, values).fetchall()
    found: Sequence[Sequence[Any]] = _executed(connection, form, values, lambda cursor: cursor.fetchall())
    return [form.read(row) for row in found] if form.columns else found


def count(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
    """How many rows a statement changes that gives none. Raises DBAPIError."""
    form = _form(connection.dialect, statement, values)
    if form is None:
        return connection.execute(statement, values).rowcount
    return int(_executed(connection, form, values, lambda cursor: cursor.rowcount))


def control(connection: Connection, text: str) -> None:
    """A statement without values, as BEGIN. Raises DBAPIError."""
    _run(connection, text, (), lambda cursor: None)


def _executed(connection: Connection, form: _Form, values: Mapping[str, Any], take: Callable[[Any], Any]) -> Any:
    heard = connection.info.get("trace")
    if heard:
        heard(form.text)
    return _run(connection, form.text, form.bound(values), take)


def _run(connection: Connection, text: str, bound: Any, take: Callable[[Any], Any]) -> Any:
    dialect, driver = connection.dialect, connection.connection
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
    lengths = tuple(len(value) if isinstance(value, list) else -1 for value in values.values())
    if any(length > _LONGEST_LIST for length in lengths):
        return None
    known = _forms.get(statement)
    if known is None:
        _forms[statement] = {}
        return None
    shape = (dialect.name, tuple(values), lengths)
    if shape not in known:
        known[shape] = _made(dialect, statement, values)
    return known[shape]


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
