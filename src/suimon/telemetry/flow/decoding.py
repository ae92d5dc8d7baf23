"""Records out of datagrams by C (decoding.c), where there was a compiler: `layout`, `meaning`, `clocks`, `frames` and
`sflow` say the same in numpy, and read what this doesn't know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model import loops
from suimon.model.compiled import AT, NUMBER, Function, library, place
from suimon.model.loops import Index
from suimon.model.records import RECORD, Arena, Batch, numbers_of
from suimon.telemetry.flow.clocks import BOUND_S, LONGEST_S, Header, believed
from suimon.telemetry.flow.datagrams import Bytes, Datagrams, Places
from suimon.telemetry.flow.elements import COUNTS, TAKEN
from suimon.telemetry.flow.layout import VARIABLE, Template, fields
from suimon.telemetry.flow.sequence import Numbered

_SALT: Final = int(np.random.default_rng().integers(1 << 63))
"""Exporters choose their domains: who doesn't know it can't choose any that meet in a table."""
_NUMBER, _WHERE_ZERO, _UPTIME_MS, _UNIX_MS, _UNIX_S, _EXPORT_TIME = range(6)
_FIELDS: Final = RECORD.names or ()
_ADDRESSES: Final = {f"{side}_ip{version}" for side in ("source", "destination") for version in (4, 6)}
_ICMP: Final = ("icmp4", "icmp6")
_TIMES: Final = (("ms", _UNIX_MS), ("s", _UNIX_S), ("uptime_ms", _UPTIME_MS))
"""The first that is there counts."""
_KNOWN: Final = {
    *("", "source_mac", "destination_mac", "ip_version", *_ADDRESSES, *_ICMP, *TAKEN),
    *(name for names in COUNTS.values() for name in names),
    *(f"{which}_{unit}" for which in ("begun", "ended") for unit, _ in _TIMES),
    *("observed_ms", "observed_s"),
}
_SAMPLE: Final = (
    *("ip_version", "protocol", "tcp_flags", "source_port", "destination_port", "source_high", "source_low"),
    *("destination_high", "destination_low", "source_mac", "destination_mac", "packets", "bytes", "sampling", "input"),
    *("output", "exporter", "begun", "ended"),
)
"""As decoding.c's `samples` has them."""
_OF_SAMPLES: Final = numbers_of(*_SAMPLE)
_SAMPLED: Final = frozenset(_SAMPLE)
"""What is written of all of them."""
_OF_RUNS: Final = numbers_of("begun", "ended", "exporter", "sampling")
"""As its `columns`."""


class Program(NamedTuple):
    """What is read of each record: of each field its place, bytes, kind, and the column that it is for.

    `ip_version` is what all of them have, 0 when they say it or nobody knows.
    """

    record_bytes: int
    fields: NDArray[np.int64]
    ip_version: int
    filled: frozenset[str]
    """Columns that are written of all records."""
    written: frozenset[str]
    """Of some."""


class Runs(NamedTuple):
    """`counts[i]` records from `begins[i]` on, one after the other, of that exporter and sampling."""

    begins: Places
    counts: Places
    exporter: NDArray[np.int64]
    sampling: NDArray[np.int64]


class Known:
    """Streams by where their datagrams come from: the halves of an address, and the domain below the version."""

    def __init__(self, streams: Sequence[tuple[int, int, int, int]]) -> None:
        """`streams` are (high, low, version << 32 | domain, stream)."""
        assert _LIBRARY is not None, "there is no decoding.c"
        columns = np.array(streams, np.uint64).reshape(-1, 4).T
        self._of = np.ascontiguousarray(columns[:3])
        self._stream = columns[3].astype(np.int64)
        keys = np.empty(len(streams), np.uint64)
        self._sources = np.array([place(each) for each in self._of], np.int64)
        _LIBRARY.suimon_keys(place(self._sources), len(keys), _SALT, place(keys))
        self._index = Index(keys)
        keys, slots = self._index.table
        told = (place(keys), place(slots), len(slots), *self._sources.tolist(), place(self._stream), _SALT)
        self._told = np.array(told, np.int64)

    def find(self, datagrams: Datagrams) -> tuple[NDArray[np.int64], Places] | None:
        """The version and the stream of each; None when any isn't known, or isn't whole."""
        assert _LIBRARY is not None, "there is no decoding.c"
        if datagrams.cut.any():
            return None
        told, *_held = _datagrams(datagrams.flat, datagrams.begins, datagrams.lengths)
        halves = [np.ascontiguousarray(each) for each in (datagrams.high, datagrams.low)]
        version, stream = np.empty((2, len(datagrams.begins)), np.int64)
        found = _LIBRARY.suimon_streams(
            place(told), *map(place, halves), place(self._told), place(version), place(stream)
        )
        assert found >= 0, "datagrams lie within the bytes"
        return (version, stream) if found else None


def _datagrams(flat: Bytes, begins: Places, lengths: Places) -> tuple[NDArray[np.int64], Places, Places]:
    """As decoding.c's `datagrams`, and what has to be held for it."""
    begins, lengths = np.ascontiguousarray(begins), np.ascontiguousarray(lengths)
    return np.array([place(flat), len(flat), place(begins), place(lengths), len(begins)], np.int64), begins, lengths


def sets(
    flat: Bytes, begins: Places, lengths: Places, version: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """As `templated.sets`: the datagram, number, begin and end of each, at most so many of one datagram."""
    assert _LIBRARY is not None, "there is no decoding.c"
    told, *_held = _datagrams(flat, begins, lengths)
    count, room = 2 * len(begins), -1
    while count > room:
        room, found, broken = count, np.empty((4, count), np.int64), np.zeros(len(begins), np.bool_)
        into = np.array([place(each) for each in found], np.int64)
        count = _LIBRARY.suimon_sets(place(told), version, most, place(into), room, place(broken))
        assert count >= 0, "datagrams have whole headers and lie within the bytes"
    return found[:, :count], broken


def rows(of: Numbered, sequence: NDArray[np.unsignedinteger]) -> tuple[Numbered, list[int]]:
    """As `sequence.rows`."""
    assert _LIBRARY is not None, "there is no decoding.c"
    ours, shared = [np.ascontiguousarray(each, np.int64) for each in of], sequence.astype(np.int64)
    found = np.empty((4, len(of.stream)), np.int64)
    told, into = (np.array([place(each) for each in those], np.int64) for those in (ours, found[:3]))
    places = np.zeros(len(shared) + 1, np.int64)
    asked = place(shared), len(shared), place(told), len(of.stream), place(places), place(into), place(found[3])
    count = _LIBRARY.suimon_rows(*asked)
    return Numbered(*found[:3]), found[3, :count].tolist()


def compiled() -> bool:
    """Whether there is what decoding.c was made to, and what it looks into."""
    return _LIBRARY is not None and loops.compiled()


@lru_cache(maxsize=1024)
def program(template: Template) -> Program | None:
    """None for records of variable size, and for those that say of themselves what numpy alone knows to read."""
    size, of = 0, {}
    for name, length in fields(template):
        if name not in _KNOWN or length == VARIABLE:
            return None
        if name:
            of[name] = size, length
        size += length
    if template.scope or any({f"{side}_ip4", f"{side}_ip6"} <= of.keys() for side in ("source", "destination")):
        return None
    version = 6 if "source_ip6" in of else 4 if "source_ip4" in of else 0
    return _program(size, (*_numbers(of, said_version=not version), *_times(of)), version)


def _numbers(of: dict[str, tuple[int, int]], *, said_version: bool) -> Iterable[tuple[int, int, int, str]]:
    plain = {name: name for name in (*TAKEN, "source_mac", "destination_mac")}
    plain |= {column: next((name for name in names if name in of), "") for column, names in COUNTS.items()}
    if said_version:
        plain["ip_version"] = "ip_version"
    plain |= {f"{side}_low": f"{side}_ip4" for side in ("source", "destination")}
    for column, name in plain.items():
        if name in of:
            yield (*of[name], _NUMBER, column)
    for side in ("source", "destination"):
        if (there := of.get(f"{side}_ip6")) is not None:
            yield there[0], 8, _NUMBER, f"{side}_high"
            yield there[0] + 8, 8, _NUMBER, f"{side}_low"
    for name in _ICMP:
        if name in of:
            yield (*of[name], _WHERE_ZERO, "destination_port")


def _times(of: dict[str, tuple[int, int]]) -> Iterable[tuple[int, int, int, str]]:
    """As `clocks.said`."""

    def first(which: str, *units: tuple[str, int]) -> tuple[int, int, int] | None:
        return next(((*of[f"{which}_{unit}"], kind) for unit, kind in units if f"{which}_{unit}" in of), None)

    ended = first("ended", *_TIMES) or first("observed", *_TIMES[:2]) or (0, 1, _EXPORT_TIME)
    yield (*(first("begun", *_TIMES) or ended), "begun")
    yield (*ended, "ended")


def _program(record_bytes: int, told: Sequence[tuple[int, int, int, str]], ip_version: int) -> Program:
    rows = [
        (offset, width, kind, RECORD[column].itemsize, _FIELDS.index(column)) for offset, width, kind, column in told
    ]
    filled = {column for _, _, kind, column in told if kind != _WHERE_ZERO} | {"exporter", "sampling"}
    if ip_version:
        filled.add("ip_version")
    written = frozenset(column for *_, column in told)
    return Program(record_bytes, np.array(rows, np.int64), ip_version, frozenset(filled), written)


def of_layout(layout: np.dtype[np.void], ip_version: int) -> Program:
    """Records that are fixed: fields of those names, times by uptime."""
    of = {name: (offset, kind.itemsize) for name, (kind, offset, *_) in (layout.fields or {}).items()}
    plain = [(*where, _NUMBER, name) for name, where in of.items() if name in _FIELDS]
    return _program(layout.itemsize, (*plain, *_times(of)), ip_version)


def filled(
    program: Program, flat: Bytes, runs: Runs, header: Header, arena: Arena
) -> tuple[Batch, NDArray[np.bool_] | None]:
    """The records of these runs, which lie in `flat` with SLACK bytes behind them. `header` is that of each run's
    datagram. Also, of which records the time was not believed; None when it was of all.
    """
    assert _LIBRARY is not None, "there is no decoding.c"
    batch = arena.batch(int(runs.counts.sum()), program.filled, program.written)
    told = program.fields.copy()
    told[:, 4] = batch.places(told[:, 4])
    exporter, sampling, uptime_ms = (np.ascontiguousarray(each, np.int64) for each in (*runs[2:], header.uptime_ms))
    said = [np.ascontiguousarray(each, np.float64) for each in (header.arrived_s, header.exported_s)]
    begins, counts = np.ascontiguousarray(runs.begins), np.ascontiguousarray(runs.counts)
    ours = (begins, counts, exporter, sampling, uptime_ms, *said)
    assert all(len(each) == len(begins) for each in ours), "one of each for each run"
    of = np.array([place(each) for each in ours], np.int64)
    into = batch.places(_OF_RUNS)
    wanted = program.record_bytes, place(told), len(told), place(into), len(batch), BOUND_S, LONGEST_S
    doubtful = _LIBRARY.suimon_records(place(flat), len(flat), place(of), len(begins), *wanted)
    assert doubtful >= 0, "runs lie within the bytes"
    if program.ip_version:
        batch["ip_version"] = program.ip_version
    if not doubtful:
        return batch, None
    owner = np.repeat(np.arange(len(counts)), counts)
    batch["begun"], batch["ended"], doubted = believed(batch["begun"], batch["ended"], header.some(owner))
    return batch, doubted


class Sampled(NamedTuple):
    """Of each datagram `number` is that in its sequence, `counts` are its records, and `unsampled` those of which
    nobody said how many packets they stand for; `others` are samples of counters: their datagram, kind, begin and end.
    """

    batch: Batch
    number: NDArray[np.int64]
    counts: NDArray[np.int64]
    unsampled: NDArray[np.int64]
    others: NDArray[np.int64]
    broken: NDArray[np.bool_]


def sampled(datagrams: Datagrams, exporter: Places, sampling: NDArray[np.int64], arena: Arena) -> Sampled:
    """The packets that datagrams of sFlow tell of; each has at least the bytes that `sflow` says. `sampling` is what
    the operator says of each, 0 for nothing.
    """
    assert _LIBRARY is not None, "there is no decoding.c"
    flat, given = datagrams.flat, (datagrams.begins, datagrams.lengths, exporter, sampling, datagrams.arrived_s)
    ours = [np.ascontiguousarray(each) for each in given]
    number, counts, unsampled = np.empty((3, len(exporter)), np.int64)
    broken = np.zeros(len(exporter), np.bool_)
    of = np.array([place(each) for each in (*ours, number, counts, unsampled, broken)], np.int64)
    others = ctypes.c_int64(0)
    told = place(flat), len(flat), place(of), len(exporter)
    most = _LIBRARY.suimon_most_samples(*told, ctypes.addressof(others))
    assert most >= 0, "datagrams lie within the bytes"
    batch, rest = arena.batch(most, _SAMPLED), np.empty((4, others.value), np.int64)
    into, of_others = batch.places(_OF_SAMPLES), np.array([place(each) for each in rest], np.int64)
    count = _LIBRARY.suimon_samples(*told, place(into), most, place(of_others), ctypes.addressof(others))
    assert 0 <= count <= most, "there are at most as many"
    return Sampled(arena.first(batch, count), number, counts, unsampled, rest[:, : others.value], broken)


_FUNCTIONS: Final = {
    "suimon_records": Function(
        (AT, NUMBER, AT, NUMBER, NUMBER, AT, NUMBER, AT, NUMBER, ctypes.c_double, ctypes.c_double), NUMBER
    ),
    "suimon_keys": Function((AT, NUMBER, ctypes.c_uint64, AT)),
    "suimon_streams": Function((AT, AT, AT, AT, AT, AT), NUMBER),
    "suimon_sets": Function((AT, NUMBER, NUMBER, AT, NUMBER, AT), NUMBER),
    "suimon_rows": Function((AT, NUMBER, AT, NUMBER, AT, AT, AT), NUMBER),
    "suimon_most_samples": Function((AT, NUMBER, AT, NUMBER, AT), NUMBER),
    "suimon_samples": Function((AT, NUMBER, AT, NUMBER, AT, NUMBER, AT, AT), NUMBER),
}


def _loaded(folder: str) -> ctypes.CDLL | None:
    return library(folder, __file__, _FUNCTIONS)


_LIBRARY = _loaded(__file__.rpartition("/")[0])
