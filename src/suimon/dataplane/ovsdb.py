"""A small client of the Open vSwitch database (RFC 7047): one monitor, transactions, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Never

import msgspec
import structlog

from suimon.dataplane.jsonrpc import Framer, Message, receive

log = structlog.get_logger()

DATABASE: Final = "Open_vSwitch"
_MONITOR: Final = "monitor"
_SCHEMA: Final = "schema"
"""The ids of the one monitor request and of the question for the schema; those of transactions are numbers."""
Row = dict[str, Any]
"""Columns by name, as JSON: an atom, ["set", […]], ["map", [[key, value], …]] or ["uuid", "…"]."""
TableUpdates = dict[str, dict[str, "RowUpdate"]]
"""By table and row uuid."""
Operation = dict[str, Any]


class RowUpdate(msgspec.Struct):
    """RFC 7047, 4.1.6: `new` is absent for a deleted row, else has every monitored column."""

    old: Row | None = None
    new: Row | None = None


class _Outcome(msgspec.Struct):
    """One operation's result, of which we need to know only whether it failed."""

    error: str | None = None
    details: str | None = None


class TransactionRefused(Exception):
    """Nothing of the transaction came true; str() says why, in the database's words."""


class _Table(msgspec.Struct):
    columns: dict[str, msgspec.Raw]


class _Schema(msgspec.Struct):
    """RFC 7047, 3.2."""

    version: str
    tables: dict[str, _Table]


class Config(msgspec.Struct, frozen=True):
    """`database` is one of those that the server has."""

    timeout_s: float = 10.0
    max_message_bytes: int = 1 << 28
    database: str = DATABASE


class Connection:
    """One connection to `db.sock`: `run()` opens it and serves it until it closes, then ends with an exception.

    `on_update` hears first of all that the monitored columns hold, then of every change, in order, and of a
    transaction's changes before the transaction returns. Transactions wait for that first complete read; they raise
    TransactionRefused, TimeoutError, or ConnectionError once the connection is gone.

    A database of another schema may have more than is monitored. Of columns in `spared` it may have none: they then
    look empty. One that lacks another is of an Open vSwitch too old for us.
    """

    def __init__(
        self,
        config: Config,
        path: Path,
        monitored: Mapping[str, Sequence[str]],
        on_update: Callable[[TableUpdates], None],
        spared: Collection[tuple[str, str]] = (),
    ) -> None:
        self._config, self._path, self._monitored, self._on_update = config, path, monitored, on_update
        self._spared = spared
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()
        self._last_id = 0
        self._answers: dict[int, asyncio.Future[Message]] = {}

    async def run(self) -> Never:
        """Raises OSError when the socket can't be opened, ConnectionError when it closes or talks nonsense."""
        async with asyncio.timeout(self._config.timeout_s):
            reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        framer = Framer(self._config.max_message_bytes)
        try:
            await self._monitor()
            while True:
                for message in await receive(reader, framer):
                    await self._take(message)
        except (EOFError, ValueError, LookupError, TypeError) as error:
            raise ConnectionResetError(f"database connection {self._path} ended: {error}") from error
        finally:
            self._writer.close()
            self._up.set()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError(f"database connection {self._path} ended"))

    async def transact(self, operations: Sequence[Operation]) -> None:
        """All of them or none."""
        async with asyncio.timeout(self._config.timeout_s):
            await self._up.wait()
            self._last_id += 1
            request_id = self._last_id
            answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            self._answers[request_id] = answer
            try:
                await self._send(
                    {"id": request_id, "method": "transact", "params": [self._config.database, *operations]}
                )
                message = await answer
            finally:
                del self._answers[request_id]
        if message.failed:
            raise TransactionRefused(bytes(message.error).decode())
        outcomes = msgspec.json.decode(message.result, type=list[_Outcome | None])
        for outcome in outcomes:
            if outcome is not None and outcome.error is not None:
                raise TransactionRefused(f"{outcome.error}: {outcome.details or 'no details'}")

    async def _monitor(self) -> None:
        wanted = {table: [{"columns": columns}] for table, columns in self._monitored.items()}
        await self._send({"id": _MONITOR, "method": "monitor", "params": [self._config.database, None, wanted]})

    async def _monitor_what_is_there(self, schema: _Schema) -> None:
        """After a refusal: without the columns that can be spared."""
        known = {(table, column) for table, found in schema.tables.items() for column in found.columns}
        asked = {(table, column) for table, columns in self._monitored.items() for column in columns}
        lacking = sorted(".".join(each) for each in asked - known)
        needed = sorted(".".join(each) for each in asked - known - set(self._spared))
        if needed or not lacking:
            what = f"has no {', '.join(needed)}: this Open vSwitch is too old" if needed else "can't be monitored"
            raise ValueError(f"the database's schema {schema.version} {what}")
        log.warning("schema_lacks_columns", version=schema.version, columns=lacking, effect="they are taken as empty")
        self._monitored = {
            table: [column for column in columns if (table, column) in known]
            for table, columns in self._monitored.items()
        }
        await self._monitor()

    async def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError(f"database connection {self._path} is closed")
        self._writer.write(msgspec.json.encode(message))
        await self._writer.drain()

    async def _take(self, message: Message) -> None:
        match message:
            case Message(method="echo", params=params):
                await self._send({"id": message.id, "result": params, "error": None})
            case Message(method="update", params=[_, updates]):
                self._on_update(_decoded(updates))
            case Message(method=None, id="schema"):
                await self._monitor_what_is_there(msgspec.json.decode(message.result, type=_Schema))
            case Message(method=None, id=str()) if message.failed:
                await self._send({"id": _SCHEMA, "method": "get_schema", "params": [self._config.database]})
            case Message(method=None, id=str()):
                self._on_update(_decoded(message.result))
                self._up.set()
            case Message(method=None, id=int(request_id)) if request_id in self._answers:
                if not self._answers[request_id].done():
                    self._answers[request_id].set_result(message)


def _decoded(updates: msgspec.Raw) -> TableUpdates:
    return msgspec.json.decode(updates, type=dict[str, dict[str, RowUpdate]])


def text(row: Row, column: str) -> str:
    """A column of at most one string; "" when it has none."""
    value = next(iter(members(row, column)), "")
    return value if isinstance(value, str) else ""


def number(row: Row, column: str) -> int | None:
    """A column of at most one integer."""
    value = next(iter(members(row, column)), None)
    return value if isinstance(value, int) else None


def members(row: Row, column: str) -> tuple[Any, ...]:
    """A set column; a set of exactly one is written as that one (RFC 7047, 5.1). Row references come as their uuid."""
    match row.get(column):
        case ["set", [*values]]:
            return tuple(map(_atom, values))
        case None:
            return ()
        case value:
            return (_atom(value),)


def mapping(row: Row, column: str) -> dict[str, Any]:
    match row.get(column):
        case ["map", [*pairs]]:
            return {str(key): _atom(value) for key, value in pairs}
    return {}


def as_set(values: Sequence[Any]) -> list[Any]:
    return ["set", list(values)]


def as_map(values: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in values.items()]]


def reference(uuid: str) -> list[str]:
    return ["uuid", uuid]


def named(name: str) -> list[str]:
    """A row that the same transaction inserts under this `uuid-name`."""
    return ["named-uuid", name]


def where_uuid(uuid: str) -> list[Any]:
    return [["_uuid", "==", ["uuid", uuid]]]


def _atom(value: Any) -> Any:
    match value:
        case ["uuid", str(uuid)]:
            return uuid
    return value
