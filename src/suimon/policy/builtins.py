"""The builtins: what follows from values alone. Congress's, with its names and signatures.

A question that has no answer (division by zero, text compared with a number, what is no address) gives no row. `now`
is not among them: what it says changes without a change, so time is a table that a clock feeds.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from suimon.policy.values import Stored, StoredRow, Truth, stored

Answer = Callable[..., StoredRow | None]


class Builtin(NamedTuple):
    """`answer(*inputs)` gives the outputs, () if there are none and it holds, None if it doesn't.

    `kinds` says of each input what it must be: a, anything; n, a number; t, text; o, text or a number.
    """

    kinds: str
    outputs: int
    answer: Answer

    @property
    def inputs(self) -> int:
        return len(self.kinds)


MAX_MADE = 1024
"""Characters of a text that a builtin makes: a few clauses that double a text would otherwise fill the memory."""
_NUMBERS = (int, float)
_NO_ANSWER = (TypeError, ValueError, ArithmeticError)


def _test(kinds: str, holds: Callable[[Any, Any], bool]) -> Builtin:
    def answer(x: Stored, y: Stored) -> StoredRow | None:
        try:
            return () if holds(x, y) else None
        except _NO_ANSWER:
            return None

    return Builtin(kinds, 0, answer)


def _value(kinds: str, of: Callable[..., object]) -> Builtin:
    return _values(kinds, 1, lambda *inputs: (of(*inputs),))


def _values(kinds: str, outputs: int, of: Callable[..., tuple[object, ...]]) -> Builtin:
    numeric = [i for i, kind in enumerate(kinds) if kind == "n"]

    def answer(*inputs: Stored) -> StoredRow | None:
        try:
            for i in numeric:
                _number(inputs[i])
            return tuple([_made(value) for value in of(*inputs)])
        except _NO_ANSWER:
            return None

    return Builtin(kinds, outputs, answer)


def _made(value: object) -> Stored:
    if isinstance(value, str) and len(value) > MAX_MADE:
        raise ValueError("text too long")
    return stored(value)


def _number(value: Stored) -> Stored:
    if not isinstance(value, int | float):
        raise TypeError
    return value


def _equal(x: Stored, y: Stored) -> bool:
    """Numbers are equal by size, as they are when compared: 1 and 1.0."""
    return bool(x == y) or (isinstance(x, _NUMBERS) and isinstance(y, _NUMBERS) and not (x < y or x > y))


def _divide(x: Any, y: Any) -> object:
    return x // y if isinstance(x, int) and isinstance(y, int) else float(x) / y


def _larger(x: Any, y: Any) -> object:
    return x if x > y else y


def _join(x: Stored, y: Stored) -> str:
    if not (isinstance(x, str) and isinstance(y, str)):
        raise TypeError
    return x + y


def _float(x: Stored) -> float:
    if isinstance(x, Truth):
        raise TypeError
    return float(x)


def _int(x: Stored) -> int:
    if isinstance(x, Truth) or (isinstance(x, str) and len(x) > 40):
        raise TypeError
    return int(x)


_EPOCH = datetime(1900, 1, 1)
_TIME = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})\d*)?)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)?\s*",
    re.ASCII,
)


@lru_cache(4096)
def _time(written: str) -> datetime:
    match = _TIME.fullmatch(written)
    if match is None:
        raise ValueError(written)
    *parts, fraction = match.groups("0")
    year, month, day, hour, minute, second = map(int, parts)
    return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")))


def _span(written: Stored) -> timedelta:
    """Seconds, or `weeks:days:hours:minutes:seconds` of which the last are given."""
    if not isinstance(written, str):
        return timedelta(seconds=_number(written))
    parts = [int(part) for part in reversed(written.split(":"))]
    units = ("seconds", "minutes", "hours", "days", "weeks")
    return timedelta(**dict(zip(units, parts, strict=False))) if len(parts) <= len(units) else _no_span(written)


def _no_span(written: str) -> timedelta:
    raise ValueError(written)


def _packed(separators: str) -> Callable[..., str]:
    """Joins numbers as they are: `2024-3-1 0:30:0`."""
    return lambda *parts: "".join(f"{int(part)}{mark}" for part, mark in zip(parts, separators + "\n", strict=True))[
        :-1
    ]


def _times(holds: Callable[[datetime, datetime], bool]) -> Builtin:
    return _test("tt", lambda x, y: holds(_time(x), _time(y)))


@lru_cache(16384)
def _address(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if not isinstance(written, str):
        raise TypeError
    return ipaddress.ip_address(written)


@lru_cache(16384)
def _network(written: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not isinstance(written, str):
        raise TypeError
    return ipaddress.ip_network(written, strict=False)


def _overlap(x: str, y: str) -> bool:
    one, other = _network(x), _network(y)
    return one.version == other.version and one.overlaps(other)


def _ordered(holds: Callable[[Any, Any], bool]) -> Builtin:
    """Addresses of version 4 come before those of version 6."""
    return _test("tt", lambda x, y: holds((_address(x).version, _address(x)), (_address(y).version, _address(y))))


def _bounded(kind: Callable[[Stored], Any], name: str) -> Callable[..., str]:
    def complaint(low: Stored, high: Stored, value: Stored) -> str:
        try:
            number = kind(value)
        except _NO_ANSWER:
            return f"{value} is not {name}"
        if low != "" and number < kind(low):
            return f"Should be greater than or equal to {low}"
        return f"Should be less than or equal to {high}" if high != "" and number > kind(high) else ""

    return complaint


def _text_complaint(pattern: str, longest: Stored, quotes: Stored, ignore_case: Stored, value: Stored) -> str:
    """A pattern has no groups and at most two repetitions: others can take for ever on a text made for it."""
    if not isinstance(value, str):
        return f"{value!r} is not a string"
    if pattern and (len(pattern) > 256 or "(" in pattern or len(re.findall(r"[*+?{]", pattern)) > 2):
        raise ValueError(pattern)
    if _true(quotes) and value[:1] in ("'", '"'):
        if len(value) < 2 or value[-1] != value[0]:
            return f"Non-closed quote: {value}"
        value = value[1:-1]
    if longest not in (None, "", 0) and len(value) > longest:
        return f"Value '{value}' exceeds maximum length {longest}"
    if pattern and not re.search(pattern, value[:1024], re.IGNORECASE if _true(ignore_case) else 0):
        return f"Value {value!r} doesn't match regex {pattern!r}"
    return ""


def _true(value: Stored) -> bool:
    return value.value if isinstance(value, Truth) else bool(value)


BUILTINS: dict[str, Builtin] = {
    "lt": _test("oo", operator.lt),
    "lteq": _test("oo", operator.le),
    "gt": _test("oo", operator.gt),
    "gteq": _test("oo", operator.ge),
    "equal": _test("aa", _equal),
    "max": _value("oo", _larger),
    "plus": _value("nn", operator.add),
    "minus": _value("nn", operator.sub),
    "mul": _value("nn", operator.mul),
    "div": _value("nn", _divide),
    "float": _value("o", _float),
    "int": _value("o", _int),
    "concat": _value("tt", _join),
    "len": _value("t", len),
    "unpack_date": _values("t", 3, lambda x: _time(x).timetuple()[:3]),
    "unpack_time": _values("t", 3, lambda x: _time(x).timetuple()[3:6]),
    "unpack_datetime": _values("t", 6, lambda x: _time(x).timetuple()[:6]),
    "pack_date": _value("nnn", _packed("--")),
    "pack_time": _value("nnn", _packed("::")),
    "pack_datetime": _value("nnnnnn", _packed("-- ::")),
    "extract_date": _value("t", lambda x: str(_time(x).date())),
    "extract_time": _value("t", lambda x: str(_time(x).time())),
    "datetime_to_seconds": _value("t", lambda x: int((_time(x) - _EPOCH).total_seconds())),
    "datetime_plus": _value("to", lambda x, y: str(_time(x) + _span(y))),
    "datetime_minus": _value("to", lambda x, y: str(_time(x) - _span(y))),
    "datetime_lt": _times(operator.lt),
    "datetime_lteq": _times(operator.le),
    "datetime_gt": _times(operator.gt),
    "datetime_gteq": _times(operator.ge),
    "datetime_equal": _times(operator.eq),
    "ips_equal": _test("tt", lambda x, y: _address(x) == _address(y)),
    "ips_lt": _ordered(operator.lt),
    "ips_lteq": _ordered(operator.le),
    "ips_gt": _ordered(operator.gt),
    "ips_gteq": _ordered(operator.ge),
    "networks_equal": _test("tt", lambda x, y: _network(x) == _network(y)),
    "networks_overlap": _test("tt", _overlap),
    "ip_in_network": _test("tt", lambda x, y: _address(x) in _network(y)),
    "validate_int": _value("ooa", _bounded(int, "an integer")),
    "validate_float": _value("ooa", _bounded(_float, "a number")),
    "validate_string": _value("toaaa", _text_complaint),
}


def fits(kind: str, value: Stored) -> bool:
    """Whether a constant may stand at an input of this kind."""
    number = isinstance(value, int | float)
    return kind == "a" or (number and kind in "no") or (isinstance(value, str) and kind in "to")
