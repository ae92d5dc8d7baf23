"""Structs as rows: each field of a frozen struct is a column, converted both ways by what its type says.

Texts, numbers and truths are kept as they are; times as UTC text of fixed width, so that the database can compare
them; tuples and mappings whole, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Text
from sqlalchemy.types import TypeEngine

T = TypeVar("T", bound=msgspec.Struct)
Convert = Callable[[Any], Any]


class Codec(Generic[T]):
    """The two directions for one struct type: `encode(thing)` gives the row's values, `decode(row)` the struct."""

    def __init__(self, type_: type[T]) -> None:
        self.type = type_
        self.fields = type_.__struct_fields__
        hints = get_type_hints(type_)
        self._hints = {field: _without_none(hints[field]) for field in self.fields}
        self._writers = {field: write for field in self.fields if (write := _writer(self._hints[field][0]))}
        readers = [_reader(self._hints[field][0]) for field in self.fields]
        self._readers = [(index, read) for index, read in enumerate(readers) if read]

    def columns(self, key: Sequence[str], foreign: Mapping[str, Any]) -> list[Column[Any]]:
        """SQLAlchemy columns in the order of the struct's fields; `foreign` maps a field to its ForeignKey."""
        made = []
        for field in self.fields:
            kind, nullable = self._hints[field]
            references = [foreign[field]] if field in foreign else []
            made.append(
                Column(field, _sql_type(kind), *references, primary_key=field in key, nullable=nullable, quote=None)
            )
        return made

    def encode(self, thing: T) -> dict[str, Any]:
        """The values of all columns by name."""
        row = msgspec.structs.asdict(thing)
        for field, write in self._writers.items():
            if row[field] is not None:
                row[field] = write(row[field])
        return row

    def encode_value(self, field: str, value: Any) -> Any:
        """One value as its column keeps it, for comparing with it."""
        write = self._writers.get(field)
        return value if write is None or value is None else write(value)

    def reader(self, field: str) -> Convert | None:
        """What makes the field's value of what its column keeps, unless that is None; None: it is kept as it is."""
        return _reader(self._hints[field][0])

    def decode(self, row: Sequence[Any]) -> T:
        """A struct of the row's first values, which are the struct's columns in order."""
        values = list(row)
        for index, read in self._readers:
            if values[index] is not None:
                values[index] = read(values[index])
        return self.type(**dict(zip(self.fields, values, strict=False)))


def digits_of(number: int, bits: int) -> str:
    """An address as `ip_allocations` has it: hexadecimal digits of fixed width, so that they can be compared."""
    return f"{number:0{bits // 4}x}"


def address_digits(ip: str) -> str:
    """The same of one that is written as usual."""
    address = ip_address(ip)
    return digits_of(int(address), address.max_prefixlen)


def time_text(moment: datetime) -> str:
    """A UTC time as text whose order is the order of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (UnionType, Union) and NoneType in get_args(hint):
        (kind,) = [argument for argument in get_args(hint) if argument is not NoneType]
        return kind, True
    return hint, False


def _is_whole(kind: Any) -> bool:
    """Whether a value of this type is kept as JSON."""
    return get_origin(kind) in (tuple, dict, list, frozenset) or kind in (tuple, dict, list, frozenset)


def _sql_type(kind: Any) -> TypeEngine[Any]:
    if kind is bool:
        return Boolean()
    if kind is int:
        return BigInteger()
    if kind in (str, datetime) or get_origin(kind) is Literal or _is_whole(kind):
        return Text()
    raise TypeError(f"no column type for {kind}")


def _writer(kind: Any) -> Convert | None:
    if kind is datetime:
        return time_text
    if _is_whole(kind):
        return lambda value: msgspec.json.encode(value).decode()
    return None


def _reader(kind: Any) -> Convert | None:
    if kind is datetime:
        return datetime.fromisoformat
    if _is_whole(kind):
        return msgspec.json.Decoder(kind).decode
    return None
