"""sFlow v5 (sflow.org/sflow_version_5.txt): samples of all datagrams at once, each a packet's header or counters."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Arena, Batch, batch_of, some
from suimon.telemetry.flow import decoding
from suimon.telemetry.flow.datagrams import Bytes, Datagrams, Places, Rows, any_of, read
from suimon.telemetry.flow.frames import Kind, parse

LEAST_BYTES: Final = 28
_FLOW, _COUNTERS, _FLOW_EXPANDED, _COUNTERS_EXPANDED = 1, 2, 3, 4
_RAW_HEADER, _IPV4, _IPV6 = 1, 3, 4
_INTERFACE, _OPENFLOW_PORT, _PORT_NAME = 1, 1004, 1005
_MOST_SAMPLES: Final = 256
_MOST_RECORDS: Final = 32
"""Of one sample."""
_UNKNOWN_INTERFACE: Final = 0x3FFFFFFF
NAME_BYTES: Final = 32

COUNTERS: Final = np.dtype(
    [
        ("at", "f8"),  # UTC seconds.
        ("exporter", "u4"),
        ("interface", "u4"),
        ("openflow_port", "u4"),  # 0 when it doesn't say.
        ("in_bytes", "u8"),
        ("in_packets", "u8"),
        ("out_bytes", "u8"),
        ("out_packets", "u8"),
        ("name", f"S{NAME_BYTES}"),
    ]
)
"""Counters of an exporter's interface since it began to count; in and out as the switch sees it."""
_COUNTED: Final = {"in_bytes": (24, 8, 1), "in_packets": (32, 4, 3), "out_bytes": (56, 8, 1), "out_packets": (64, 4, 3)}
"""Where each begins in the record of an interface, its size, and of how many it is the sum: uni-, multi-, broadcast."""
_INTERFACE_BYTES: Final = 88


class Samples(NamedTuple):
    """Things that say their kind and length, one after the other: samples, and the records within each."""

    owner: Places
    kind: Places
    begins: Places
    ends: Places

    def of(self, *kinds: int) -> "Samples":
        which = any_of(self.kind, kinds)
        return self if which.all() else self.some(which)

    def some(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Samples":
        return Samples(*(column[which] for column in self))


class Decoded(NamedTuple):
    """Of each datagram `number` is that in its sequence, `counts` are its records, in whose order they are, and
    `unsampled` those of which nobody said how many packets they stand for. `counters_owner` is the datagram of
    counters; `broken` are those that lied."""

    batch: Batch
    number: NDArray[np.int64]
    counts: NDArray[np.int64]
    unsampled: NDArray[np.int64]
    counters: NDArray[np.void]
    counters_owner: Places
    broken: NDArray[np.bool_]


def sub_agent_at(flat: Bytes, begins: Places) -> Places:
    """Where each datagram has its sub-agent's id; then come its number in the sequence, uptime and count of samples."""
    return begins + np.where(read(flat, ">u4", begins + 4) == 2, 24, 12)


def decode(datagrams: Datagrams, exporter: Places, sampling: NDArray[np.int64], arena: Arena) -> Decoded:
    """Each datagram has at least LEAST_BYTES, and an exporter; `sampling` is what the operator says of it, 0 for
    nothing."""
    flat, arrived_s = datagrams.flat, datagrams.arrived_s
    if decoding.compiled():
        batch, number, counts, unsampled, others, broken = decoding.sampled(datagrams, exporter, sampling, arena)
        counters, counters_owner = _counters(flat, Samples(*others), arrived_s, broken)
        return Decoded(batch, number, counts, unsampled, counters, counters_owner, broken)
    begins, ends = datagrams.begins, datagrams.begins + datagrams.lengths
    address = read(flat, ">u4", begins + 4)
    at = sub_agent_at(flat, begins)
    number = read(flat, ">u4", at + 4).astype(np.int64)
    broken = ((address != 1) & (address != 2)) | (at + 16 > ends)
    said = np.where(broken, 0, read(flat, ">u4", np.minimum(at + 12, ends)))
    samples = _things(flat, _Spans(at + 16, ends, said), _MOST_SAMPLES, broken)
    batch, owner = _flows(flat, samples, arrived_s, broken)
    batch["exporter"] = exporter[owner]
    batch["sampling"] = np.where(sampling[owner], sampling[owner], batch["sampling"])
    counts, unsampled = (np.bincount(each, minlength=len(begins)) for each in (owner, owner[batch["sampling"] == 0]))
    counters, counters_owner = _counters(flat, samples, arrived_s, broken)
    return Decoded(batch, number, counts, unsampled, counters, counters_owner, broken)


class _Spans(NamedTuple):
    begins: Places
    ends: Places
    counts: NDArray[np.uint32]
    """Of things that should be there."""


def _things(flat: Bytes, spans: _Spans, most: int, broken: NDArray[np.bool_]) -> Samples:
    """What is in each span; `broken` learns of spans whose things are not all there."""
    cursor, ends, counts = spans
    cursor, active, found = cursor.copy(), np.arange(len(cursor)), []
    for number in range(most + 1):
        active = active[counts[active] > number]
        if not len(active):
            break
        at = np.minimum(cursor[active], ends[active])
        head = Rows(flat, 8, at)
        length = head.field(">u4", 4).astype(np.int64)
        whole = (at + 8 + length <= ends[active]) & (number < most)
        broken[active[~whole]] = True
        active, at, end = active[whole], at[whole] + 8, at[whole] + 8 + length[whole]
        found.append(Samples(active, head.field(">u4", 0)[whole].astype(np.int64), at, end))
        cursor[active] = end
    if not found:
        return Samples(*(np.empty(0, np.int64) for _ in range(4)))
    every = Samples(*(np.concatenate(column) for column in zip(*found, strict=True)))
    if len(found) == 1:
        return every
    # Where they stand in their span is known from the round in which they were found: nothing has to be sorted.
    before = np.cumsum(sums := np.bincount(every.owner)) - sums
    order = np.empty(len(every.owner), np.int64)
    order[before[every.owner] + np.repeat(np.arange(len(found)), [len(each.owner) for each in found])] = np.arange(
        len(order)
    )
    return every.some(order)


def _flows(
    flat: Bytes, samples: Samples, arrived_s: NDArray[np.float64], broken: NDArray[np.bool_]
) -> tuple[Batch, Places]:
    flows = samples.of(_FLOW, _FLOW_EXPANDED)
    size = np.where(flows.kind == _FLOW_EXPANDED, 44, 32)
    short = flows.begins + size > flows.ends
    broken[flows.owner[short]] = True
    flows, size = flows.some(~short), size[~short]
    head = _Head(Rows(flat, 44, flows.begins), flows.kind == _FLOW_EXPANDED)
    torn = np.zeros(len(flows.owner), bool)
    spans = _Spans(flows.begins + size, flows.ends, head.one_of(28, 40))
    inside = _things(flat, spans, _MOST_RECORDS, torn).of(_RAW_HEADER, _IPV4, _IPV6)
    # The first that tells of the packet is enough; a raw header comes first where there are several.
    first = np.diff(inside.owner, prepend=-1) > 0
    inside = inside if first.all() else inside.some(first)
    batch = batch_of(len(inside.owner))
    whole = _packets(flat, inside, batch)
    torn[inside.owner[~whole]] = True
    broken[flows.owner[torn]] = True
    batch["packets"] = 1
    sample, owner = inside.owner, flows.owner[inside.owner]
    batch["sampling"] = head.one_of(8, 12)[sample]
    batch["input"], batch["output"] = head.interface(20, 24)[sample], head.interface(24, 32)[sample]
    batch["begun"] = batch["ended"] = arrived_s[owner]
    return (batch, owner) if whole.all() else (some(batch, whole), owner[whole])


class _Head(NamedTuple):
    """Samples of flows up to their records, with the fields of the plain or of the expanded form."""

    rows: Rows
    wide: NDArray[np.bool_]

    def one_of(self, plain_at: int, wide_at: int) -> NDArray[np.uint32]:
        plain = self.rows.field(">u4", plain_at)
        return np.where(self.wide, self.rows.field(">u4", wide_at), plain) if self.wide.any() else plain

    def interface(self, plain_at: int, wide_at: int) -> NDArray[np.uint32]:
        """0 when it is unknown, none (the packet was dropped), or several: the upper bits, or the format, say so."""
        first = self.one_of(plain_at, wide_at)
        value, form = first & 0x3FFFFFFF, first >> 30
        if self.wide.any():
            value, form = (
                np.where(self.wide, self.rows.field(">u4", wide_at + 4), value),
                np.where(self.wide, first, form),
            )
        single = (form == 0) & (value != _UNKNOWN_INTERFACE) & (value != 0xFFFFFFFF)
        return np.where(single, value, 0).astype(np.uint32)


def _packets(flat: Bytes, inside: Samples, batch: Batch) -> NDArray[np.bool_]:
    """Fills what the packet says into `batch`, and its length; which records were whole."""
    raw = inside.kind == _RAW_HEADER
    room = inside.ends - inside.begins
    whole = room >= np.where(raw, 16, np.where(inside.kind == _IPV4, 32, 56))
    fields = Rows(flat, 16, inside.begins)
    protocol, length, stripped, header = (fields.field(">u4", at).astype(np.int64) for at in (0, 4, 8, 12))
    whole &= ~raw | (header <= room - 16)
    kind = np.select(
        [raw & whole & (protocol == wire) for wire in (1, 11, 12)], [Kind.ETHERNET, Kind.IPV4, Kind.IPV6], 0
    )
    begins = inside.begins + 16
    parse(flat, begins, np.where(whole & raw, begins + header, begins), kind, batch)
    # The frame's length is with its checksum and whatever else was stripped before it was sampled.
    batch["bytes"] = np.where(raw, np.maximum(length - stripped, 0), protocol)
    if not raw.all():
        _plain(flat, inside, batch, whole)
    return whole


def _plain(flat: Bytes, inside: Samples, batch: Batch, whole: NDArray[np.bool_]) -> None:
    """Agents that don't give the header tell the fields of IP."""
    for kind, size, version in ((_IPV4, 4, 4), (_IPV6, 16, 6)):
        which = np.flatnonzero((inside.kind == kind) & whole)
        at = inside.begins[which] + 8
        batch["ip_version"][which] = version
        batch["protocol"][which] = read(flat, ">u4", at - 4)
        for number, name in enumerate(("source", "destination")):
            place = at + number * size
            if size == 16:
                batch[f"{name}_high"][which] = read(flat, ">u8", place)
            batch[f"{name}_low"][which] = read(flat, ">u8", place + 8) if size == 16 else read(flat, ">u4", place)
            batch[f"{name}_port"][which] = read(flat, ">u4", at + 2 * size + 4 * number)
        batch["tcp_flags"][which] = read(flat, ">u4", at + 2 * size + 8)


def _counters(
    flat: Bytes, samples: Samples, arrived_s: NDArray[np.float64], broken: NDArray[np.bool_]
) -> tuple[NDArray[np.void], Places]:
    if not len(samples.owner):
        return np.empty(0, COUNTERS), samples.owner
    told = samples.of(_COUNTERS, _COUNTERS_EXPANDED)
    head = np.where(told.kind == _COUNTERS_EXPANDED, 16, 12)
    short = told.begins + head > told.ends
    broken[told.owner[short]] = True
    told, head = told.some(~short), head[~short]
    torn = np.zeros(len(told.owner), bool)
    counts = read(flat, ">u4", told.begins + head - 4)
    inside = _things(flat, _Spans(told.begins + head, told.ends, counts), _MOST_RECORDS, torn)
    broken[told.owner[torn]] = True
    found: NDArray[np.void] = np.zeros(len(told.owner), COUNTERS)
    found["at"] = arrived_s[told.owner]
    known = _count(flat, inside, found)
    return found[known], told.owner[known]


def _count(flat: Bytes, inside: Samples, found: NDArray[np.void]) -> Places:
    """Fills in what each sample's records say; which samples tell of an interface."""
    sizes = inside.ends - inside.begins
    for kind, least in ((_INTERFACE, _INTERFACE_BYTES), (_OPENFLOW_PORT, 12), (_PORT_NAME, 4)):
        which = (inside.kind == kind) & (sizes >= least)
        owner, at = inside.owner[which], inside.begins[which]
        if kind == _OPENFLOW_PORT:
            found["openflow_port"][owner] = read(flat, ">u4", at + 8)
        elif kind == _PORT_NAME:
            for sample, begin, end in zip(owner.tolist(), at.tolist(), inside.ends[which].tolist(), strict=True):
                length = min(int.from_bytes(flat[begin : begin + 4].tobytes(), "big"), end - begin - 4, NAME_BYTES)
                found["name"][sample] = flat[begin + 4 : begin + 4 + length].tobytes()
        else:
            found["interface"][owner] = read(flat, ">u4", at)
            for name, (offset, size, parts) in _COUNTED.items():
                found[name][owner] = sum(_counter(flat, at + offset + size * part, size) for part in range(parts))
            known = owner
    return np.unique(known)


def _counter(flat: Bytes, at: Places, size: int) -> NDArray[np.uint64]:
    """All ones are a counter that the agent doesn't have."""
    value = read(flat, f">u{size}", at).astype(np.uint64)
    return np.where(value == np.uint64((1 << 8 * size) - 1), np.uint64(0), value)
