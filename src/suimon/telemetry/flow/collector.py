"""Datagrams in, records out: finds whose they are, decodes them by protocol, and counts what is lost and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.loops import groups
from suimon.model.records import TOGETHER, Arena, Batch, batch_of, joined, some
from suimon.telemetry.flow import decoding, netflow5, sflow, templated
from suimon.telemetry.flow.clocks import Header
from suimon.telemetry.flow.datagrams import SLACK, Bytes, Datagrams, Places, read
from suimon.telemetry.flow.decoding import Known, Program, Runs
from suimon.telemetry.flow.exporters import Exporters, address
from suimon.telemetry.flow.held import Held, Waiting
from suimon.telemetry.flow.layout import Columns, Template, fits, records
from suimon.telemetry.flow.meaning import meant, samplers, sampling_options
from suimon.telemetry.flow.open_vswitch import known_templates
from suimon.telemetry.flow.sequence import Numbered
from suimon.telemetry.flow.sequence import rows as numbered_rows
from suimon.telemetry.flow.templated import Sets
from suimon.telemetry.flow.templates import FIRST_ID, Announced, DecodeError, Kept, announced, dumped, loaded

_LEAST_BYTES: Final = {1: sflow.LEAST_BYTES, 5: netflow5.HEADER_BYTES, **templated.HEADER_BYTES}
"""By version; sFlow's five is in four bytes, so its first two are 0: here it is 1."""
_UNKNOWN: Final = -1
_NOBODY_KNOWS: Final = -(1 << 40)
_MOST_LAYOUTS: Final = 128
"""That an exporter's records of one `take` may have, counted again after each change: each costs as much as thousands
of records. Exporters have a few, Open vSwitch 88, and change them when they are configured.
"""


class Collector:
    """One caller at a time: what it takes is decoded at once, and the records are the caller's."""

    def __init__(self, exporters: Exporters) -> None:
        self.exporters = exporters
        self.waiting = Waiting()
        self._arena = Arena(TOGETHER)
        self._known: tuple[int, Known] | None = None
        """Of how many changes, and the streams that there are since."""
        self.templates_changed = False
        """Since `templates` was asked last."""
        self.counters: list[NDArray[np.void]] = []
        """Interface counters of sFlow that came in the last `take`; arrays of `sflow.COUNTERS`."""

    def take(self, datagrams: Datagrams) -> Batch:
        """The records of these datagrams, and of earlier ones that waited for a template which they bring."""
        self.counters = []
        version, stream = self._found(datagrams) or self._identified(datagrams)
        found: list[Batch] = []
        decoders = {1: self._sflow, 5: self._netflow5, 9: self._templated, 10: self._templated}
        if len(stream) and stream.min() >= 0 and version.min() == version.max():  # Mostly.
            found += decoders[int(version[0])](datagrams, stream)
        else:
            for number, decode in decoders.items():
                which = np.flatnonzero((version == number) & (stream >= 0))
                if len(which):
                    found += decode(datagrams.some(which), stream[which])
        if len(datagrams.lengths):
            self._expire(float(datagrams.arrived_s[-1]))
        return joined(found or [batch_of(0)])

    def templates(self) -> bytes:
        """What to keep on disk."""
        self.templates_changed = False
        table, streams = self.exporters.table, self.exporters.streams
        return dumped(
            [
                Kept(str(table[stream.exporter].address), stream.version, stream.domain, number, each.spec, each.scope)
                for stream in streams
                for number, each in stream.templates.by_id.items()
            ]
        )

    def restore(self, kept: bytes) -> None:
        """What `templates` gave, of exporters that are still allowed. Raises DecodeError when it isn't that."""
        for each in loaded(kept):
            place = self.exporters.place(address(each.exporter))
            number = None if place is None else self.exporters.stream(place, each.version, each.domain)
            if number is not None:
                self.exporters.streams[number].templates.learn(Announced(each.number, each.template))

    def _found(self, datagrams: Datagrams) -> tuple[NDArray[np.int64], Places] | None:
        """As `_identified`, when all of them are of streams that are known."""
        if not decoding.compiled():
            return None
        if self._known is None or self._known[0] != self.exporters.changes:
            self._known = self.exporters.changes, Known(self.exporters.heard())
        found = self._known[1].find(datagrams)
        if found is not None:
            self._count("datagrams", self.exporters.of_stream[found[1]])
        return found

    def _identified(self, datagrams: Datagrams) -> tuple[NDArray[np.int64], Places]:
        """The version and the stream of each datagram; stream -1 when it is lost."""
        flat, begins, lengths = datagrams.flat, datagrams.begins, datagrams.lengths
        version = np.where(lengths >= 4, read(flat, ">u2", begins), 0).astype(np.int64)
        version[(version == 0) & (lengths >= 4) & (read(flat, ">u4", begins) == 5)] = 1
        least = np.full(len(begins), 1 << 20)
        for number, size in _LEAST_BYTES.items():
            least[version == number] = size
        good = (lengths >= least) & ~datagrams.cut
        domain = np.zeros(len(begins), np.int64)
        for number, at in (
            (5, begins + 20),
            (9, begins + 16),
            (10, begins + 12),
            (1, sflow.sub_agent_at(flat, begins)),
        ):
            which = good & (version == number)
            domain[which] = read(flat, ">u2" if number == 5 else ">u4", at[which])
        place = self._places(datagrams)
        good &= place != _UNKNOWN
        self._count("malformed", place[~good])
        stream = np.full(len(begins), _UNKNOWN)
        which = np.flatnonzero(good)
        # As one number: a domain has 32 bits, a version four.
        keys = place[which] << 36 | version[which] << 32 | domain[which]
        first, back = groups(keys)
        numbers = [self.exporters.stream(key >> 36, key >> 32 & 15, key & 0xFFFFFFFF) for key in keys[first].tolist()]
        stream[which] = np.array([_UNKNOWN if n is None else n for n in numbers], np.int64)[back]
        self._count("malformed", place[which][stream[which] == _UNKNOWN])
        return version, stream

    def _places(self, datagrams: Datagrams) -> Places:
        # Halves first, since both don't fit one number.
        first, back = groups(groups(datagrams.high)[1] << 32 | groups(datagrams.low)[1])
        sources, places = zip(datagrams.high[first].tolist(), datagrams.low[first].tolist(), strict=True), []
        for (high, low), count in zip(sources, np.bincount(back).tolist(), strict=True):
            source = IPv6Address(high << 64 | low) if high else IPv4Address(low)
            place = self.exporters.place(source)
            if place is None:
                self.exporters.refuse(source, count)
            else:
                self.exporters.table[place].losses.datagrams += count
            places.append(_UNKNOWN if place is None else place)
        return np.array(places, np.int64)[back]

    def _netflow5(self, datagrams: Datagrams, stream: Places) -> Iterator[Batch]:
        begins = datagrams.begins
        headers = netflow5.headers(datagrams.flat, begins, datagrams.lengths, datagrams.arrived_s)
        self._broken(stream, headers.broken)
        number, counts = (
            read(datagrams.flat, *field).astype(np.int64) for field in ((">u4", begins + 16), (">u2", begins + 2))
        )
        # Open vSwitch gives the number of the last record (seen in 3.1) where others give that of the first.
        number = np.where(self.exporters.known.open_vswitch[stream], number - counts + 1, number)
        self._numbered(Numbered(stream, number, counts))
        if decoding.compiled():
            runs = _Runs(headers.begins, headers.counts, stream, headers.sampling)
            yield self._filled(netflow5.PROGRAM, datagrams.flat, runs, headers.times)
        else:
            decoded = netflow5.decode(datagrams.flat, headers)
            yield self._owned(decoded.batch, stream, headers.counts, decoded.doubted)

    def _sflow(self, datagrams: Datagrams, stream: Places) -> Iterator[Batch]:
        exporter = self.exporters.of_stream[stream]
        decoded = sflow.decode(datagrams, exporter, self.exporters.known.sampling[stream], self._arena)
        self._broken(stream, decoded.broken)
        self._numbered(Numbered(stream, decoded.number, np.ones(len(stream), np.int64)))
        self._count("records", exporter, decoded.counts)
        if decoded.unsampled.any():
            self._count("unsampled", exporter, decoded.unsampled)
        if len(decoded.counters):
            decoded.counters["exporter"] = exporter[decoded.counters_owner]
            self.counters.append(decoded.counters)
        yield decoded.batch

    def _templated(self, datagrams: Datagrams, stream: Places) -> Iterator[Batch]:
        flat, begins = datagrams.flat, datagrams.begins
        version = int(read(flat, ">u2", begins[:1])[0])
        sets, broken = templated.sets(flat, begins, datagrams.lengths, version)
        header, number = templated.header(flat, begins, version, datagrams.arrived_s)
        reading = _Reading(self, flat, stream, header)
        wanted: set[tuple[int, int]] = set()
        start = 0
        for control in np.flatnonzero(sets.number < FIRST_ID).tolist():
            datagram = int(sets.datagram[control])
            own = self.exporters.streams[int(stream[datagram])]
            if reading.is_spent(own.exporter):
                # What follows is not read, so what it says later must not be taken for what was known before.
                own.templates.forget()
                self.templates_changed = True
                continue
            number_of_set, body = int(sets.number[control]), flat[sets.begins[control] : sets.ends[control]].tobytes()
            if own.templates.has_all_of(number_of_set, body):
                continue
            try:
                for each in announced(version, number_of_set, body, own.templates.by_id):
                    if own.templates.changes(each):
                        # What was sent before means what its template said then.
                        yield from reading.decode(sets.some(slice(start, control)), own.exporter)
                        start = control
                    if own.templates.learn(each):
                        self.templates_changed = True
                        wanted.add((own.exporter, each.id))
                own.templates.learned(number_of_set, body)
            except DecodeError:
                broken[datagram] = True
        yield from reading.decode(sets.some(slice(start, None)))
        broken[reading.broken] = True
        self._broken(stream, broken)
        step = np.ones(len(stream), np.int64) if version == 9 else reading.counted
        self._numbered(Numbered(stream, number, step))
        yield from self._released(wanted)

    def _released(self, wanted: set[tuple[int, int]]) -> Iterator[Batch]:
        """Records that waited for these templates."""
        held = self.waiting.take(wanted) if len(self.waiting) else []
        if not held:
            return
        flat = np.frombuffer(b"".join(each.body for each in held) + bytes(SLACK), np.uint8)
        lengths = np.array([len(each.body) for each in held], np.int64)
        number = np.array([each.number for each in held], np.int64)
        begins = np.cumsum(lengths) - lengths
        header = Header(
            np.array([each.arrived_s for each in held]),
            np.array([each.exported_s for each in held]),
            np.array([each.uptime_ms for each in held], np.int64),
        )
        reading = _Reading(self, flat, np.array([each.stream for each in held], np.int64), header)
        yield from reading.decode(Sets(np.arange(len(held)), number, begins, begins + lengths))

    def _filled(self, program: Program, flat: Bytes, runs: _Runs, header: Header) -> Batch:
        """Records of one layout, with their exporter and the sampling that the operator said."""
        begins, counts, stream, told = runs
        configured = self.exporters.known.sampling[stream]
        owned = Runs(begins, counts, self.exporters.of_stream[stream], np.where(configured, configured, told))
        batch, doubted = decoding.filled(program, flat, owned, header, self._arena)
        self._count("records", owned.exporter, counts)
        self._count("unsampled", owned.exporter, np.where(owned.sampling == 0, counts, 0))
        if doubted is not None:
            self._count("clock", batch["exporter"][doubted])
        return batch

    def _owned(
        self, batch: Batch, stream: Places, counts: NDArray[np.int64], doubted: NDArray[np.bool_] | None = None
    ) -> Batch:
        """Fills in the exporter and the sampling that the operator said, of so many records of each stream."""
        exporter = self.exporters.of_stream[stream]
        batch["exporter"] = np.repeat(exporter, counts)
        if doubted is not None and doubted.any():
            self._count("clock", batch["exporter"][doubted])
        configured = self.exporters.known.sampling[stream]
        if configured.any():
            told = np.repeat(configured, counts)
            batch["sampling"] = np.where(told, told, batch["sampling"])
        self._count("records", exporter, counts)
        if not batch["sampling"].all():
            self._count("unsampled", batch["exporter"][batch["sampling"] == 0])
        return batch

    def _numbered(self, of: Numbered) -> None:
        rows = decoding.rows if decoding.compiled() else numbered_rows
        (stream, number, step), begins = rows(of, self.exporters.known.sequence)
        for begin, end in pairwise([*begins, len(number)]):
            self.exporters.streams[stream[begin]].sequence.take_row(number[begin:end], step[begin:end])

    def _broken(self, stream: Places, broken: NDArray[np.bool_]) -> None:
        if broken.any():
            self._count("malformed", self.exporters.of_stream[stream[broken]])

    def _expire(self, now_s: float) -> None:
        if len(self.waiting):
            self._count("unknown_sets", [each.exporter for each in self.waiting.expired(now_s)])

    def _count(self, loss: str, places: Iterable[int] | NDArray[Any], amounts: NDArray[np.int64] | None = None) -> None:
        """So many, or one, for each of these exporters; -1 is nobody's."""
        counts = np.bincount(np.asarray(places, np.int64) - _UNKNOWN, amounts)[-_UNKNOWN:]
        for place in np.flatnonzero(counts).tolist():
            losses = self.exporters.table[place].losses
            setattr(losses, loss, getattr(losses, loss) + int(counts[place]))


class _Runs(NamedTuple):
    """As `decoding.Runs`, but the sampling is what they say themselves."""

    begins: Places
    counts: Places
    stream: Places
    sampling: NDArray[np.int64]


class _Reading:
    """Sets of some datagrams, decoded by the templates of the moment."""

    def __init__(self, collector: Collector, flat: NDArray[np.uint8], stream: Places, header: Header) -> None:
        self._collector, self._exporters = collector, collector.exporters
        self._flat, self._stream, self._header = flat, stream, header
        self.counted = np.zeros(len(stream), np.int64)
        """Records of each datagram; negative when nobody knows."""
        self.broken = np.zeros(len(stream), bool)
        self._layouts = Counter[int]()
        """By exporter, how many were decoded."""

    def is_spent(self, exporter: int) -> bool:
        """Whether it had as many layouts as it may."""
        return self._layouts[exporter] >= _MOST_LAYOUTS

    def decode(self, sets: Sets, cause: int = _UNKNOWN) -> Iterator[Batch]:
        """By the templates that are known now, as `cause` changes one; others' layouts are not counted then."""
        sets = sets.some(sets.number >= FIRST_ID)
        if not len(sets.number):
            return
        keys = self._stream[sets.datagram] << 16 | sets.number
        first, back = groups(keys)
        of: dict[Template, list[int]] = {}
        decoded, lost = set[tuple[int, Template | None]](), np.zeros(len(first), bool)
        for place, (stream, number) in enumerate(divmod(key, 1 << 16) for key in keys[first].tolist()):
            own = self._exporters.streams[stream]
            template = self._exporters.template(own, number)
            if template is None and own.version == 10 and self._exporters.is_open_vswitch(own):
                template = self._built_in(sets.some(np.flatnonzero(back == place)), number)
            new = (own.exporter, template) not in decoded
            if new and self.is_spent(own.exporter):
                lost[place] = True
            elif template is None:
                self._hold(sets.some(np.flatnonzero(back == place)))
            else:
                self._layouts[own.exporter] += new and cause in (_UNKNOWN, own.exporter)
                decoded.add((own.exporter, template))
                of.setdefault(template, []).append(place)
        self._lose(sets.some(np.flatnonzero(lost[back])))
        # What options say about sampling is for the records beside them, too.
        for template in sorted(of, key=lambda each: not each.scope):
            these = np.zeros(len(first), bool)
            these[of[template]] = True
            yield from self._decoded(sets.some(np.flatnonzero(these[back])), template)

    def _lose(self, sets: Sets) -> None:
        self.broken[sets.datagram] = True
        self.counted[sets.datagram] = _NOBODY_KNOWS

    def _built_in(self, sets: Sets, number: int) -> Template | None:
        each = known_templates(number)
        return next((template for template in each if fits(self._flat, sets.begins, sets.ends, template)), None)

    def _decoded(self, sets: Sets, template: Template) -> Iterator[Batch]:
        program = decoding.program(template) if decoding.compiled() else None
        if program is None:
            yield from self._read(sets, template)
            return
        counts, stream = (sets.ends - sets.begins) // program.record_bytes, self._stream[sets.datagram]
        self.counted += np.bincount(sets.datagram, counts, len(self.counted)).astype(np.int64)
        runs = _Runs(sets.begins, counts, stream, self._rates(stream))
        header = self._header.some(sets.datagram)
        yield self._collector._filled(program, self._flat, runs, header)

    def _read(self, sets: Sets, template: Template) -> Iterator[Batch]:
        """What numpy alone knows to read."""
        found = records(self._flat, sets.begins, sets.ends, template)
        self.broken[sets.datagram[found.broken]] = True
        owner = sets.datagram[found.owner]
        self.counted += np.bincount(owner, minlength=len(self.counted))
        stream = self._stream[owner]
        if template.scope:
            for each, sampler, rate in sampling_options(found.columns, stream):
                self._exporters.streams[each].learn_sampler(sampler, rate)
            return
        batch, doubted = meant(found.columns, self._header.some(owner))
        self._sample(batch, stream, samplers(found.columns))
        if (again := self._again(found.columns, stream)).any():
            batch, stream, doubted = some(batch, ~again), stream[~again], doubted[~again]
        yield self._collector._owned(batch, stream, np.ones(len(batch), np.int64), doubted)

    def _again(self, columns: Columns, stream: Places) -> NDArray[np.bool_]:
        """Which records tell of packets where they left, that others told of where they came in.

        What Open vSwitch samples by default, and what it takes `enable-output-sampling` to mean, is not for sure.
        """
        left: NDArray[Any] = columns.get("flow_direction", np.zeros(len(stream), np.uint8)) == 1
        return left & self._exporters.known.open_vswitch[stream]

    def _sample(self, batch: Batch, stream: Places, which: NDArray[np.int64] | None) -> None:
        """Where the record itself doesn't say: what its exporter's options said."""
        if which is None:
            told = self._rates(stream)
            if told.any():
                batch["sampling"] = np.where(batch["sampling"], batch["sampling"], told)
            return
        silent = np.flatnonzero(batch["sampling"] == 0)
        stream = stream[silent]
        keys, back = np.unique(np.stack([stream, which[silent]]), axis=1, return_inverse=True)
        streams = self._exporters.streams
        rates = [self._exporters.sampling(streams[each], sampler) for each, sampler in keys.T.tolist()]
        batch["sampling"][silent] = np.array(rates, np.int64)[back.ravel()]

    def _rates(self, stream: Places) -> NDArray[np.int64]:
        """1 of how many packets each of these streams said; each is asked once. They are few and densely numbered."""
        rates = np.zeros(len(self._exporters.streams), np.int64)
        for each in np.flatnonzero(np.bincount(stream)).tolist():
            rates[each] = self._exporters.sampling(self._exporters.streams[each])
        found: NDArray[np.int64] = rates[stream]
        return found

    def _hold(self, sets: Sets) -> None:
        self.counted[sets.datagram] = _NOBODY_KNOWS
        for datagram, number, begin, end in zip(*(column.tolist() for column in sets), strict=True):
            stream = int(self._stream[datagram])
            exporter = self._exporters.streams[stream].exporter
            body = self._flat[begin:end].tobytes()
            arrived_s, exported_s, uptime_ms = (column[datagram].item() for column in self._header)
            if not self._collector.waiting.put(Held(stream, exporter, number, body, arrived_s, exported_s, uptime_ms)):
                self._collector._count("unknown_sets", [exporter])
