"""The language of `suimon flows search`, turned into an SQL condition with parameters: no text gets into the SQL.

    port 4d1f… and (destination_port 25,465,587 or protocol icmp) and not destination 10.0.0.0/8 and bytes > 1000

A term is a field, an operator (`=` unless said) and values, of which any will do. `and` may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Final

import msgspec

LONGEST: Final = 2000
_DEEPEST: Final = 20
_MOST_VALUES: Final = 200
_MOST_DIGITS: Final = 12
"""Of a time in seconds: milliseconds of more would not fit a column."""
_TOKEN: Final = re.compile(r"\s*([()]|[<>]=?|!?=|[^\s()<>=!]+)")
_OPERATORS: Final = {"=", "!=", "<", "<=", ">", ">="}
_WORDS: Final = {"and", "or", "not", "(", ")"} | _OPERATORS
PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "sctp": 132}
_DIRECTIONS: Final = {"out": 1, "egress": 1, "in": 2, "ingress": 2}
_HIGHEST: Final = (1 << 64) - 1
Values = list[object]


class FilterError(Exception):
    """The filter makes no sense; str() says where."""


class Condition(msgspec.Struct, frozen=True):
    """`sql` has a `?` for each of `parameters`. `since_s` and `until_s` bound what can match, where that is sure;
    `moments` are what it compares records' "begun" and "ended" with, in milliseconds.
    """

    sql: str = "1 = 1"
    parameters: tuple[object, ...] = ()
    since_s: float | None = None
    until_s: float | None = None
    moments: tuple[tuple[str, int], ...] = ()

    def and_(self, other: Condition) -> Condition:
        return _all_of([self, other])


def parsed(text: str) -> Condition:
    """Of an empty text, what lets all through. Raises FilterError."""
    if len(text) > LONGEST:
        raise FilterError(f"a filter has {LONGEST} characters at most")
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(f"{text[at:].strip()[:20]!r} is no word of a filter")
        tokens.append(found[1])
        at = found.end()
    if not tokens:
        return Condition()
    reader = _Reader(tokens)
    condition = reader.any(0)
    if reader.next is not None:
        raise FilterError(f"{reader.next!r} is not expected here")
    return condition


def equal(field: str, value: str) -> Condition:
    """That a field has this value, whatever is in it. Raises FilterError."""
    sql, parameters = _FIELDS[field](field, "=", value)
    return Condition(f"({sql})", tuple(parameters))


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> str:
        if self.next is None:
            raise FilterError("something is missing at the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def any(self, depth: int) -> Condition:
        found = [self._all(depth)]
        while self.next == "or":
            self.take()
            found.append(self._all(depth))
        if len(found) == 1:
            return found[0]
        return Condition(f"({' OR '.join(each.sql for each in found)})", _parameters(found), moments=_moments(found))

    def _all(self, depth: int) -> Condition:
        found = [self._one(depth)]
        while self.next not in (None, ")", "or"):
            if self.next == "and":
                self.take()
            found.append(self._one(depth))
        return _all_of(found)

    def _one(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise FilterError(f"a filter is {_DEEPEST} levels deep at most")
        word = self.take()
        if word == "not":
            found = self._one(depth + 1)
            return Condition(_none(found.sql), found.parameters, moments=found.moments)
        if word == "(":
            found = self.any(depth + 1)
            if self.take() != ")":
                raise FilterError("a parenthesis is not closed")
            return found
        return self._term(word)

    def _term(self, field: str) -> Condition:
        if field not in _FIELDS and field not in _TIMES:
            raise FilterError(f"{field!r} is no field; there are {', '.join([*_FIELDS, *_TIMES])}")
        operator = self.take() if self.next in _OPERATORS else "="
        value = self.take()
        if value in _WORDS:
            raise FilterError(f"{field} needs a value, not {value!r}")
        if field in _TIMES:
            return _TIMES[field](_seconds(value))
        values = value.split(",")
        if len(values) > _MOST_VALUES:
            raise FilterError(f"{field} has {_MOST_VALUES} values at most")
        positive = "=" if operator == "!=" else operator
        made = [_FIELDS[field](field, positive, each) for each in values]
        sql = f"({' OR '.join(f'({each})' for each, _ in made)})"
        parameters = tuple(each for _, these in made for each in these)
        return Condition(_none(sql) if operator == "!=" else sql, parameters)


def _all_of(found: Sequence[Condition]) -> Condition:
    """Side by side: one in the other, two hundred of them are deeper than ClickHouse reads."""
    since = [each.since_s for each in found if each.since_s is not None]
    until = [each.until_s for each in found if each.until_s is not None]
    sql = f"({' AND '.join(each.sql for each in found)})"
    bounds = max(since, default=None), min(until, default=None)
    return Condition(sql, _parameters(found), *bounds, moments=_moments(found))


def _parameters(found: Iterable[Condition]) -> tuple[object, ...]:
    return tuple(parameter for each in found for parameter in each.parameters)


def _moments(found: Iterable[Condition]) -> tuple[tuple[str, int], ...]:
    return tuple(moment for each in found for moment in each.moments)


def _none(sql: str) -> str:
    """What is unknown (a port where there is none, a column that an older file lacks) is not what was asked for."""
    return f"(NOT coalesce({sql}, 1 = 0))"


def _address(field: str, operator: str, value: str) -> tuple[str, Values]:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise FilterError(f"{field} {value[:50]!r} is neither an address nor a CIDR") from None
    _only_equal(field, operator)
    first, last = int(network.network_address), int(network.broadcast_address)
    sides = ("source", "destination") if field == "address" else (field,)
    bounds: Values = [first >> 64, last >> 64, first & _HIGHEST, last & _HIGHEST]
    one = "ip_version = {0} AND {1}_high BETWEEN ? AND ? AND {1}_low BETWEEN ? AND ?"
    return " OR ".join(f"({one.format(network.version, side)})" for side in sides), bounds * len(sides)


def _number(most: int) -> Callable[[str, str, str], tuple[str, Values]]:
    def made(field: str, operator: str, value: str) -> tuple[str, Values]:
        sides = ("source_port", "destination_port") if field == "l4_port" else (field,)
        first, dash, last = value.partition("-")
        numbers: Values = [_whole(field, each, most) for each in ([first, last] if dash else [first])]
        if dash:
            _only_equal(field, operator)
        compare = "BETWEEN ? AND ?" if dash else f"{operator} ?"
        return " OR ".join(f"({side} {compare})" for side in sides), numbers * len(sides)

    return made


def _named(names: dict[str, int]) -> Callable[[str, str, str], tuple[str, Values]]:
    def made(field: str, operator: str, value: str) -> tuple[str, Values]:
        _only_equal(field, operator)
        return f"{field} = ?", [names[value] if value in names else _whole(field, value, 255)]

    return made


def _text(column: str) -> Callable[[str, str, str], tuple[str, Values]]:
    def made(field: str, operator: str, value: str) -> tuple[str, Values]:
        _only_equal(field, operator)
        if not value:
            raise FilterError(f"{field} has an empty value")
        return f"{column} = ?", [value]

    return made


def _mac(field: str, operator: str, value: str) -> tuple[str, Values]:
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", value):
        raise FilterError(f"{field} {value[:50]!r} is no MAC address")
    _only_equal(field, operator)
    sides = ("source_mac", "destination_mac") if field == "mac" else (field,)
    return " OR ".join(f"({side} = ?)" for side in sides), [int(value.replace(":", ""), 16)] * len(sides)


def _since(at_s: float) -> Condition:
    at_ms = int(at_s * 1000)
    return Condition("(begun_ms + duration_ms >= ?)", (at_ms,), since_s=at_s, moments=(("ended", at_ms),))


def _until(at_s: float) -> Condition:
    at_ms = int(at_s * 1000)
    return Condition("(begun_ms < ?)", (at_ms,), until_s=at_s, moments=(("begun", at_ms),))


def _seconds(value: str) -> float:
    """UTC seconds of an ISO 8601 time (UTC unless it says otherwise), or seconds themselves."""
    try:
        if value.isdecimal() and len(value) <= _MOST_DIGITS:
            return float(value)
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FilterError(f"{value[:50]!r} is no time, as in 2026-11-21T12:00:00Z") from None


def _whole(field: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdecimal()) or len(value) > 20 or int(value) > most:
        raise FilterError(f"{field} {value[:50]!r} is not a number up to {most}")
    return int(value)


def _only_equal(field: str, operator: str) -> None:
    if operator != "=":
        raise FilterError(f"{field} can be compared with = and != only")


_TIMES: Final = {"since": _since, "until": _until}
_FIELDS: Final[dict[str, Callable[[str, str, str], tuple[str, Values]]]] = {
    **dict.fromkeys(("source", "destination", "address"), _address),
    **dict.fromkeys(("source_port", "destination_port", "l4_port"), _number(65535)),
    **dict.fromkeys(("packets", "bytes"), _number((1 << 63) - 1)),
    **dict.fromkeys(("sampling", "input", "output"), _number((1 << 32) - 1)),
    **dict.fromkeys(("tcp_flags", "ip_version"), _number(255)),
    **dict.fromkeys(("source_mac", "destination_mac", "mac"), _mac),
    **{name: _text(f"{name}_id") for name in ("port", "project", "network")},
    **{name: _text(name) for name in ("host", "exporter")},
    "protocol": _named(PROTOCOLS),
    "direction": _named(_DIRECTIONS),
}
