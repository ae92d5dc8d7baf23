"""What Prometheus asks and is answered by remote read, as protocol buffers (its prompb/remote.proto and types.proto).

Of the request what is asked, of the answer samples: the form that every version accepts. Written by hand, since these
are a few fields (docs/decisions/0057).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from suimon.api.snappy import SnappyError, varint, written

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_QUERIES: Final = 100
_SIGN: Final = 1 << 63


class ProtobufError(ValueError):
    """It is no such message."""


class Matcher(msgspec.Struct, frozen=True):
    """`kind`: 0 is equal, 1 is not, 2 matches, 3 doesn't match (a regular expression, of the whole value)."""

    kind: int
    name: str
    value: str


class Query(msgspec.Struct, frozen=True):
    """Times in milliseconds since 1970. `step_ms` and `range_ms` are hints: how far apart values are wanted, and over
    how long a time each looks back; 0 when it doesn't say."""

    start_ms: int
    end_ms: int
    matchers: tuple[Matcher, ...]
    step_ms: int = 0
    range_ms: int = 0


Series = tuple[Mapping[str, str], Sequence[tuple[int, float]]]
"""Labels, and values by milliseconds since 1970, in order."""


def queries(message: bytes) -> list[Query]:
    """Raises ProtobufError."""
    try:
        found = [_query(each) for number, each in _fields(message) if number == 1]
    except (IndexError, SnappyError, UnicodeDecodeError) as error:
        raise ProtobufError(str(error)) from error
    if len(found) > _MOST_QUERIES:
        raise ProtobufError(f"more than {_MOST_QUERIES} queries")
    return found


def answered(results: Iterable[Iterable[Series]]) -> bytes:
    """A ReadResponse: of each query its series."""
    return b"".join(_nested(1, b"".join(_nested(1, _series(each)) for each in result)) for result in results)


def _query(message: bytes | int) -> Query:
    told, hints = dict[int, int](), dict[int, int]()
    matchers = []
    for number, value in _fields(message):
        if number == 3:
            matchers.append(_matcher(value))
        elif number == 4:
            hints = _numbers(value)
        elif isinstance(value, int):
            told[number] = _signed(value)
    return Query(told.get(1, 0), told.get(2, 0), tuple(matchers), hints.get(1, 0), hints.get(7, 0))


def _matcher(message: bytes | int) -> Matcher:
    texts, kind = {}, 0
    for number, value in _fields(message):
        if isinstance(value, bytes):
            texts[number] = value.decode()
        elif number == 1:
            kind = value
    if kind > 3:
        raise ProtobufError(f"there is no matcher of type {kind}")
    return Matcher(kind, texts.get(2, ""), texts.get(3, ""))


def _numbers(message: bytes | int) -> dict[int, int]:
    return {number: _signed(value) for number, value in _fields(message) if isinstance(value, int)}


def _signed(number: int) -> int:
    return number - 2 * _SIGN if number >= _SIGN else number


def _fields(message: bytes | int) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) in order; values of fixed width are nobody's here. Raises IndexError, ProtobufError."""
    if isinstance(message, int):
        raise ProtobufError("a number where a message belongs")
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            number, at = varint(message, at)
            yield key >> 3, number
        elif kind == _BYTES:
            length, at = varint(message, at)
            if at + length > len(message):
                raise ProtobufError("it ends too early")
            yield key >> 3, message[at : at + length]
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ProtobufError(f"there is no wire type {kind}")


def _series(series: Series) -> bytes:
    labels, values = series
    named = (_nested(1, name.encode()) + _nested(2, labels[name].encode()) for name in sorted(labels))
    told = (_key(1, _FIXED64) + struct.pack("<d", value) + _key(2, _VARINT) + written(at_ms) for at_ms, value in values)
    return b"".join([*(_nested(1, each) for each in named), *(_nested(2, each) for each in told)])


def _nested(number: int, message: bytes) -> bytes:
    return _key(number, _BYTES) + written(len(message)) + message


def _key(number: int, kind: int) -> bytes:
    return written(number << 3 | kind)
