"""Records as detectors look at them: from the guest's side, counts scaled by the sampling, hashed once for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from suimon.model.records import FROM_GUEST, TO_GUEST, Batch

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_OPENING: Final = FIN | SYN | RST | PSH | ACK
"""The flags that tell the steps of a connection; URG and those of ECN (RFC 3168) don't."""

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
        direction, port = batch["direction"], batch["port"]
        known = (port >= 0) & (port < len(tags)) & ((direction == FROM_GUEST) | (direction == TO_GUEST))
        known &= (batch["ended"] > clock_s - HISTORY_S) & (batch["ended"] <= clock_s + 1.0)
        known &= batch["begun"] <= batch["ended"]
        own = batch if known.all() else batch[known]
        self.skipped = len(batch) - len(own)
        self.tags, self.keys, self.clock_s = tags, keys, clock_s
        self.port: Integers = own["port"].astype(np.int64)
        self.out: Bools = own["direction"] == FROM_GUEST
        self.protocol: NDArray[np.uint8] = own["protocol"].copy()
        self.flags: NDArray[np.uint8] = own["tcp_flags"] & np.uint8(_OPENING)
        self.begun: Floats = own["begun"].copy()
        self.ended: Floats = own["ended"].copy()
        self.sampling: Floats = np.maximum(own["sampling"], 1).astype(np.float64)
        self.packets: Floats = own["packets"] * self.sampling
        self.bytes: Floats = own["bytes"] * self.sampling
        source, destination = own["source_port"], own["destination_port"]
        self.own_l4: NDArray[np.uint16] = np.where(self.out, source, destination)
        self.peer_l4: NDArray[np.uint16] = np.where(self.out, destination, source)
        self._own, self._salt = own, np.uint64(seed)

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

    @cached_property
    def peer(self) -> Hashes:
        """A hash of the other side's address. Who doesn't know the seed can't choose addresses of one hash."""
        high = np.where(self.out, self._own["destination_high"], self._own["source_high"])
        low = np.where(self.out, self._own["destination_low"], self._own["source_low"])
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

    def whole(self, indexes: Integers) -> Batch:
        """The records as they came."""
        return self._own[indexes]

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


def mixed(values: NDArray[Any], salt: Hashes | np.uint64) -> Hashes:
    """Hashes of values and of what they are to be told apart by (the finalizer of splitmix64)."""
    with np.errstate(over="ignore"):
        x: Hashes = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + salt
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
