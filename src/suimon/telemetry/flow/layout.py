"""Records of one template read at once: where each field begins is computed for all of them, field by field."""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.flow.datagrams import Bytes, Places, Rows, read, within
from suimon.telemetry.flow.elements import LENGTHS, LONGEST_NUMBER, NAMES

VARIABLE: Final = 0xFFFF
"""The length of a field that says its own (RFC 7011, section 7)."""
_ENTERPRISE: Final = 0x8000
_LONG: Final = 255
_MOST_WALKED: Final = 4096
"""Fields of one set, one after the other. No datagram has so many of three bytes; empty ones only cost time."""

Columns = dict[str, NDArray[Any]]
"""By the names of `elements.py`; IPv6 addresses as two, `…_high` and `…_low`."""
Read = Callable[[str, int], NDArray[Any]]
"""(dtype, bytes into the field) → that part of the field, of every record."""


class Template(NamedTuple):
    """The field specifiers as they came on the wire; `scope` is how many of them are an options template's scope."""

    spec: bytes
    scope: int
    version: int


class Field(NamedTuple):
    """`name` is empty when nobody asks what is in it."""

    name: str
    length: int


class Records(NamedTuple):
    """`owner` is the set that a record was in; `broken` are sets whose last record isn't whole."""

    owner: Places
    columns: Columns
    broken: Places


@lru_cache(maxsize=1024)
def fields(template: Template) -> tuple[Field, ...]:
    """Whoever learned the template has seen that its specifiers are whole."""
    found, seen, at = [], set(), 0
    for position in range(len(template.spec)):
        if at == len(template.spec):
            break
        element, length = struct.unpack_from("!HH", template.spec, at)
        ours = not (template.version == 10 and element & _ENTERPRISE)
        at += 4 if ours else 8
        # Scopes of NetFlow v9 have numbers of their own (RFC 3954, section 6.1).
        ours = ours and not (template.version == 9 and position < template.scope)
        name = NAMES.get(element, "") if ours else ""
        readable = length == LENGTHS[name] if name in LENGTHS else 0 < length <= LONGEST_NUMBER
        found.append(Field(name if readable and name not in seen else "", length))
        seen.add(found[-1].name)
    return tuple(found)


def least_bytes(template: Template) -> int:
    """Of one record."""
    return sum(1 if field.length == VARIABLE else field.length for field in fields(template))


def fits(flat: Bytes, begins: Places, ends: Places, template: Template) -> bool:
    """Whether these sets are whole records of this template and nothing else."""
    cursor = begins
    while (open_ := cursor < ends).any():
        _, after = _walk(flat, cursor, ends, template)
        cursor = np.where(open_, after, cursor)
    return bool((cursor == ends).all())


def records(flat: Bytes, begins: Places, ends: Places, template: Template) -> Records:
    """All records of sets that lie in `flat` from `begins` to `ends`; what remains of a set is its padding."""
    if any(field.length == VARIABLE for field in fields(template)):
        return _uneven(flat, begins, ends, template)
    size = least_bytes(template)
    owner, at = within(begins, (ends - begins) // size, size)
    rows = Rows(flat, size, at)
    columns: Columns = {}
    offset = 0
    for name, length in fields(template):
        if name:
            _add(columns, name, length, _from_rows(rows, offset))
        offset += length
    return Records(owner, columns, np.empty(0, np.int64))


def _from_rows(rows: Rows, offset: int) -> Read:
    return lambda dtype, at: rows.field(dtype, offset + at)


def _uneven(flat: Bytes, begins: Places, ends: Places, template: Template) -> Records:
    """Record by record, but of all sets at once: exporters with fields of variable length send few to a set."""
    least, owner = least_bytes(template), np.arange(len(begins))
    owners, pieces, broken = list[Places](), list[Columns](), list[Places]()
    cursor = begins
    rounds = -(-_MOST_WALKED // len(fields(template)))
    while len(owner := owner[ends[owner] - cursor[owner] >= least]):
        if len(owners) == rounds:
            broken.append(owner)
            break
        columns, after = _walk(flat, cursor[owner], ends[owner], template)
        whole = after <= ends[owner]
        broken.append(owner[~whole])
        pieces.append({name: column[whole] for name, column in columns.items()})
        cursor = cursor.copy()
        cursor[owner] = after
        owner = owner[whole]
        owners.append(owner)
    if not pieces:
        pieces = [_walk(flat, begins[:0], ends[:0], template)[0]]
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    none = np.empty(0, np.int64)
    return Records(np.concatenate([none, *owners]), joined, np.concatenate([none, *broken]))


def _walk(flat: Bytes, cursor: Places, ends: Places, template: Template) -> tuple[Columns, Places]:
    """One record from each place: its columns, and where the next begins (behind the end if this isn't whole)."""
    columns: Columns = {}
    for name, length in fields(template):
        # What begins behind its end is judged by the caller; until then it is read from where the end is.
        at = np.minimum(cursor, ends)
        if length == VARIABLE:
            short = read(flat, "u1", at).astype(np.int64)
            long = read(flat, ">u2", at + 1).astype(np.int64)
            cursor = cursor + np.where(short == _LONG, 3 + long, 1 + short)
            continue
        if name:
            _add(columns, name, length, _from_places(flat, at))
        cursor = cursor + length
    return columns, cursor


def _from_places(flat: Bytes, places: Places) -> Read:
    return lambda dtype, at: read(flat, dtype, places + at)


def _add(columns: Columns, name: str, length: int, of: Read) -> None:
    if length == 16:
        columns[f"{name}_high"], columns[f"{name}_low"] = of(">u8", 0), of(">u8", 8)
    else:
        columns[name] = _number(length, of)


def _number(length: int, of: Read) -> NDArray[Any]:
    """Numbers may be sent in fewer bytes than they have (RFC 7011, section 6.2), of any count."""
    if length in (1, 2, 4, 8):
        return of(f">u{length}", 0)
    found: NDArray[Any] = np.uint64(0)  # type: ignore[assignment]
    at = 0
    for size in (4, 2, 1):
        if length - at >= size:
            found = (found << np.uint64(8 * size)) | of(f">u{size}", at).astype(np.uint64)
            at += size
    return found
