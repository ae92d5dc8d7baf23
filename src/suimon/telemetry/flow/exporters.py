"""Who may send us records, who does, and what was lost of whom."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from suimon.model.records import Batch
from suimon.telemetry.flow.layout import Template
from suimon.telemetry.flow.sequence import Sequence
from suimon.telemetry.flow.templates import DecodeError, Templates

MOST_STREAMS: Final = 256
"""Of one exporter: observation domains, engines, sub-agents."""
MOST_EXPORTERS: Final = 4096
_MOST_STRANGERS: Final = 1024
_MOST_SAMPLERS: Final = 256
_REACH: Final = {1: 1 << 10, 5: 1 << 15, 9: 1 << 10, 10: 1 << 15}
"""By version, in its unit: sFlow and NetFlow v9 count datagrams, the others records."""
Address = IPv4Address | IPv6Address


class Allowed(msgspec.Struct, frozen=True):
    """An address or prefix that may export. `sampling` is 1 of so many packets, for exporters that don't say it
    (or say it wrong); 0 believes them. `open_vswitch`: its templates are known before it sends them."""

    prefix: str
    sampling: int = 0
    open_vswitch: bool = False


class Losses(msgspec.Struct):
    """What an exporter sent and what became of it."""

    datagrams: int = 0
    records: int = 0
    malformed: int = 0
    """Datagrams that were not what they said, in whole or in part."""
    unknown_sets: int = 0
    """Sets of records whose template did not come in time."""
    queue: int = 0
    """Records that a later stage had no room for."""
    clock: int = 0
    """Records whose time was not believed."""
    unsampled: int = 0
    """Records of which nobody said how many packets they stand for."""


class Stream(msgspec.Struct):
    """One source of numbered datagrams: an exporter's domain (IPFIX), source (v9), engine (v5) or sub-agent (sFlow)."""

    number: int
    exporter: int
    version: int
    domain: int
    sequence: Sequence
    templates: Templates
    sampling: int = 0
    samplers: dict[int, int] = {}

    def learn_sampler(self, sampler: int | None, rate: int) -> None:
        if sampler is None:
            self.sampling = rate
        elif sampler in self.samplers or len(self.samplers) < _MOST_SAMPLERS:
            self.samplers[sampler] = rate


class Exporter(msgspec.Struct):
    """`streams` by (version, domain); `allowed` is None when it may not export any more."""

    address: Address
    allowed: Allowed | None
    losses: Losses
    streams: dict[tuple[int, int], Stream] = {}

    @property
    def lost_on_the_way(self) -> int:
        """By the numbers: datagrams of sFlow and NetFlow v9, records of NetFlow v5 and IPFIX."""
        return sum({id(each.sequence): each.sequence.lost for each in self.streams.values()}.values())


def address(text: str) -> Address:
    """Raises DecodeError when it isn't one."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise DecodeError(str(error)) from error


class Known(NamedTuple):
    """What is known of each stream by whose it is."""

    sampling: NDArray[np.int64]
    """What the operator says of it, 0 for nothing."""
    open_vswitch: NDArray[np.bool_]
    sequence: NDArray[np.unsignedinteger]
    """The first stream that has the same: Open vSwitch's share one. Of 16 bits they are sorted sooner."""


class Exporters:
    """The table that `exporter` of a record is an index into. Who isn't allowed is counted and gets no place."""

    def __init__(self, allowed: Iterable[Allowed] = ()) -> None:
        self.table: list[Exporter] = []
        self.streams: list[Stream] = []
        self.of_stream = np.empty(0, np.int64)
        """The exporter of each stream."""
        self.strangers: Counter[str] = Counter()
        """Datagrams by address of those who may not send any; of the first thousand, then under "others"."""
        self._places: dict[Address, int] = {}
        self.changes = 0
        """How often there were other streams, or others who may send them."""
        self._known: tuple[int, Known] | None = None
        self.allow(allowed)

    def allow(self, allowed: Iterable[Allowed]) -> None:
        """From now on these; the longest prefix is what counts. Raises ValueError when one is no prefix."""
        networks = [(ip_network(each.prefix), each) for each in allowed]
        self._networks = sorted(networks, key=lambda pair: -pair[0].prefixlen)
        for exporter in self.table:
            exporter.allowed = self._permission(exporter.address)
        self.changes += 1

    def place(self, address: Address) -> int | None:
        """Its index in the table; None when it may not export, or there are too many."""
        found = self._places.get(address)
        if found is not None:
            return found if self.table[found].allowed else None
        allowed = self._permission(address)
        if allowed is None or len(self.table) >= MOST_EXPORTERS:
            return None
        self.table.append(Exporter(address, allowed, Losses()))
        return self._places.setdefault(address, len(self.table) - 1)

    def _permission(self, address: Address) -> Allowed | None:
        return next((each for network, each in self._networks if address in network), None)

    def refuse(self, address: Address, datagrams: int) -> None:
        known = str(address) in self.strangers or len(self.strangers) < _MOST_STRANGERS
        self.strangers[str(address) if known else "others"] += datagrams

    def stream(self, place: int, version: int, domain: int) -> int | None:
        """Its index in `streams`; None when an exporter claims to be too many."""
        exporter = self.table[place]
        found = exporter.streams.get((version, domain))
        if found is None:
            if len(exporter.streams) >= MOST_STREAMS:
                return None
            sequence = self._sequence(exporter, version)
            found = Stream(len(self.streams), place, version, domain, sequence, Templates())
            exporter.streams[version, domain] = found
            self.streams.append(found)
            self.of_stream = np.append(self.of_stream, place)
            self.changes += 1
        return found.number

    def heard(self) -> list[tuple[int, int, int, int]]:
        """As `decoding.Known` has them: the streams of all who may send any."""
        found = []
        for each in self.streams:
            exporter = self.table[each.exporter]
            if exporter.allowed:
                number = int(exporter.address)
                found.append((number >> 64, number & (1 << 64) - 1, each.version << 32 | each.domain, each.number))
        return found

    @property
    def known(self) -> Known:
        if self._known is None or self._known[0] != self.changes:
            first: dict[int, int] = {}
            sequences = [first.setdefault(id(each.sequence), each.number) for each in self.streams]
            known = Known(
                np.array([self.configured_sampling(each) for each in self.streams], np.int64),
                np.array([self.is_open_vswitch(each) for each in self.streams], np.bool_),
                np.array(sequences, np.min_scalar_type(len(sequences))),
            )
            self._known = self.changes, known
        return self._known[1]

    def configured_sampling(self, stream: Stream) -> int:
        """What is known of this exporter whatever it says itself; 0 when that is nothing.

        Open vSwitch's NetFlow counts every packet, and its IPFIX has multiplied the counts of samples already.
        """
        allowed = self.table[stream.exporter].allowed
        if allowed is None or allowed.sampling:
            return allowed.sampling if allowed else 0
        return int(allowed.open_vswitch and stream.version in (5, 10))

    def is_open_vswitch(self, stream: Stream) -> bool:
        """It has ways of its own with templates and numbers."""
        allowed = self.table[stream.exporter].allowed
        return allowed is not None and allowed.open_vswitch

    def _sequence(self, exporter: Exporter, version: int) -> Sequence:
        if version == 10 and exporter.allowed and exporter.allowed.open_vswitch:
            # It numbers the records of all its domains together (seen in 3.1), unlike RFC 7011, section 3.1.
            for stream in exporter.streams.values():
                if stream.version == version:
                    return stream.sequence
        return Sequence(_REACH[version])

    def template(self, stream: Stream, number: int) -> Template | None:
        """Of the stream, or of another of its exporter: Open vSwitch announces templates under one domain only."""
        found = stream.templates.by_id.get(number)
        if found is None:
            others = self.table[stream.exporter].streams.values()
            same = (each.templates.by_id.get(number) for each in others if each.version == stream.version)
            found = next((each for each in same if each), None)
        return found

    def sampling(self, stream: Stream, sampler: int | None = None) -> int:
        """1 of how many packets; 0 when nobody said so, or several did and the record doesn't say whose it is."""
        if sampler is not None and sampler in stream.samplers:
            return stream.samplers[sampler]
        rates = {stream.sampling} if stream.sampling else {*stream.samplers.values()}
        if not rates:
            rates = {each.sampling for each in self.table[stream.exporter].streams.values() if each.sampling}
        return rates.pop() if len(rates) == 1 else 0

    def unqueued(self, batch: Batch) -> None:
        """A later stage had no room for these records."""
        for place, count in zip(*np.unique(batch["exporter"], return_counts=True), strict=True):
            self.table[place].losses.queue += int(count)
