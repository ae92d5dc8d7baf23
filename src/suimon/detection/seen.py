"""Records as detectors look at them: from the guest's side, counts scaled by the sampling, hashed once for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from suimon.model.loops import Spans, mixed
from suimon.model.records import FROM_GUEST, TO_GUEST, Batch, some

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_OPENING: Final = FIN | SYN | RST | PSH | ACK
"""The flags that tell the steps of a connection; URG and those of ECN (RFC 3168) don't."""

_READ: Final = (
    *("port", "direction", "protocol", "tcp_flags", "begun", "ended", "sampling", "packets", "bytes"),
    *("source_port", "destination_port", "source_high", "source_low", "destination_high", "destination_low"),
)

HISTORY_S: Final = 120.0
"""Records that ended longer ago are no news; those that end in more than a second are of a wrong clock."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Bools = NDArray[np.bool_]


class Tag(Protocol):
    """Whose a record is; `telemetry` has the table that `port` of a record points into."""

    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...


class Seen:
    """The records of one batch that are of a cloud port, with their direction, and in time; arrays of one length."""

    def __init__(self, batch: Batch, tags: Sequence[Tag], keys: Hashes, clock_s: float, seed: int = 0) -> None:
        read = {name: batch[name] for name in _READ}
        direction, port = read["direction"], read["port"]
        known = (port >= 0) & (port < len(tags)) & ((direction == FROM_GUEST) | (direction == TO_GUEST))
        known &= (read["ended"] > clock_s - HISTORY_S) & (read["ended"] <= clock_s + 1.0)
        known &= read["begun"] <= read["ended"]
        self._places: Integers | None = None if known.all() else np.flatnonzero(known)
        if self._places is not None:
            read = {name: column[self._places] for name, column in read.items()}
        self.skipped = len(batch) - len(read["port"])
        self.tags, self.keys, self.clock_s = tags, keys, clock_s
        self.port: Integers = read["port"].astype(np.int64)
        self.out: Bools = read["direction"] == FROM_GUEST
        self.protocol: NDArray[np.uint8] = read["protocol"]
        self.flags: NDArray[np.uint8] = read["tcp_flags"] & np.uint8(_OPENING)
        self.begun: Floats = read["begun"]
        self.ended: Floats = read["ended"]
        self.sampling: Floats = np.maximum(read["sampling"], 1).astype(np.float64)
        self.packets: Floats = read["packets"] * self.sampling
        self.bytes: Floats = read["bytes"] * self.sampling
        source, destination = read["source_port"], read["destination_port"]
        self.own_l4: NDArray[np.uint16] = np.where(self.out, source, destination)
        self.peer_l4: NDArray[np.uint16] = np.where(self.out, destination, source)
        self._read, self._batch, self._salt = read, batch, np.uint64(seed)

    def __len__(self) -> int:
        return len(self.port)

    @cached_property
    def first_second(self) -> Integers:
        """The second in which each record begins."""
        return np.floor(self.begun).astype(np.int64)

    @cached_property
    def last_second(self) -> Integers:
        """The last one that it has a share in: what ends as a second begins has none in it, unless it began there."""
        return np.maximum(np.ceil(self.ended).astype(np.int64) - 1, self.first_second)

    def spans(self, chosen: Integers) -> Spans:
        """When those were."""
        return Spans(self.first_second, self.last_second, self.begun, self.ended).some(chosen)

    @cached_property
    def peer(self) -> Hashes:
        """A hash of the other side's address. Who doesn't know the seed can't choose addresses of one hash."""
        high = np.where(self.out, self._read["destination_high"], self._read["source_high"])
        low = np.where(self.out, self._read["destination_low"], self._read["source_low"])
        return mixed(low, mixed(high, self._salt))

    @cached_property
    def probe(self) -> Bools:
        """May ask a stranger: TCP from the guest that acknowledges nothing, or whatever else without known flags.

        All packets of a connection acknowledge something, but for its first and some resets (RFC 9293, 3.10.7).
        """
        bare: Bools = (self.flags & (ACK | RST)) == 0
        return self.out & (~self.flagged | bare)

    @cached_property
    def answered(self) -> Bools:
        """Tells that the other side took part: of TCP what comes after the handshake, of the rest what came in."""
        later = ((self.flags & (ACK | RST)) == ACK) & (self.flags != (SYN | ACK))
        found: Bools = np.where(self.flagged, later, ~self.out)
        return found

    @cached_property
    def flagged(self) -> Bools:
        """TCP whose flags are known; some exporters leave them 0."""
        found: Bools = (self.protocol == TCP) & (self.flags != 0)
        return found

    @cached_property
    def opened_here(self) -> Bools:
        """TCP from the guest that isn't just its part of a handshake, or its refusal, that another side began.

        Whoever forges sources could make a guest say SYN-ACK or RST to anybody.
        """
        refused = ((self.flags & RST) != 0) & ((self.flags & (SYN | FIN | PSH)) == 0)
        found: Bools = self.out & (self.protocol == TCP) & ~refused & (self.flags != (SYN | ACK))
        return found

    def whole(self, indexes: Integers) -> NDArray[np.void]:
        """The records as they came, as rows of RECORD."""
        return some(self._batch, indexes if self._places is None else self._places[indexes]).rows()

    def tag_of(self, key: int) -> Tag:
        """Whose key it is, of a port that is in the table."""
        return self.tags[int(np.flatnonzero(self.keys == np.uint64(key))[0])]


def peer_text(record: np.void) -> str:
    """The other side's address of one record."""
    side = "destination" if record["direction"] == FROM_GUEST else "source"
    number = int(record[f"{side}_high"]) << 64 | int(record[f"{side}_low"])
    return str(IPv6Address(number) if record["ip_version"] == 6 else IPv4Address(number & 0xFFFFFFFF))


def keys_of(tags: Sequence[Tag], seed: int) -> Hashes:
    """A number for each port that stays its own, wherever in the table it is."""
    salt = seed.to_bytes(8, "little")
    digests = [blake2b(tag.id.encode(), digest_size=8, key=salt).digest() for tag in tags]
    return np.frombuffer(b"".join(digests), np.uint64)
