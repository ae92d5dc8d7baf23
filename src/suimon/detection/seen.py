"""Records as detectors look at them: from the guest's side, counts scaled, classed and hashed once for all."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from suimon.detection import choices, folds
from suimon.detection.choices import Bools, Floats, Hashes, Integers
from suimon.detection.room import Room
from suimon.model.records import Batch

__all__ = ["Bools", "Floats", "Hashes", "Integers"]

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

HISTORY_S: Final = 120.0
"""Records that ended longer ago are no news; those that end in more than a second are of a wrong clock."""

OUT, IS_TCP, IS_UDP, TRANSPORT, TRIED = 1, 2, 4, 8, 16
"""Classes of records, as bits: from the guest; of those protocols; with transport ports; those or a ping."""
FLAGGED: Final = 32
"""TCP whose flags are known; some exporters leave them 0."""
PROBE: Final = 64
"""May ask a stranger: TCP from the guest that acknowledges nothing, or whatever else without known flags.

All packets of a connection acknowledge something, but for its first and some resets (RFC 9293, 3.10.7).
"""
ANSWERED: Final = 128
"""Tells that the other side took part: of TCP what comes after the handshake, of the rest what came in."""
OPENED_HERE: Final = 256
"""TCP from the guest that isn't just its part of a handshake, or its refusal, that another side began.

Whoever forges sources could make a guest say SYN-ACK or RST to anybody.
"""
BEGINS, CLOSES = 512, 1024
"""What asks for a connection; what ends one."""
WENT_ON: Final = 2048
"""TCP that tells of more than an attempt to connect, or its refusal; where flags aren't known, several packets."""
_SEVERAL: Final = 3.0


def _classes() -> NDArray[np.uint32]:
    """Those of each protocol, direction, flags, and few packets or several."""
    shape = (256, 2, choices.FLAGS + 1, 2)
    protocol, direction, flags, several = np.ix_(*(np.arange(each) for each in shape))
    tcp, udp, out = protocol == TCP, protocol == UDP, direction == 1
    flagged = tcp & (flags != 0)
    later = ((flags & (ACK | RST)) == ACK) & (flags != (SYN | ACK))
    refused = ((flags & RST) != 0) & ((flags & (SYN | FIN | PSH)) == 0)
    # Who gives up resets a session that carried something (PSH); without that the reset refused it.
    went_on = ((flags & ACK) != 0) & (flags != (SYN | ACK)) & (((flags & RST) == 0) | ((flags & PSH) != 0))
    held = {
        OUT: out,
        IS_TCP: tcp,
        IS_UDP: udp,
        TRANSPORT: tcp | udp,
        TRIED: tcp | udp | (protocol == ICMP) | (protocol == ICMP6),
        FLAGGED: flagged,
        PROBE: out & (~flagged | ((flags & (ACK | RST)) == 0)),
        ANSWERED: np.where(flagged, later, ~out),
        OPENED_HERE: out & tcp & ~refused & (flags != (SYN | ACK)),
        BEGINS: flagged & ((flags & (SYN | ACK | RST)) == SYN),
        CLOSES: flagged & ((flags & (FIN | RST)) != 0) & ((flags & SYN) == 0),
        WENT_ON: tcp & np.where(flagged, went_on, several == 1),
    }
    found = np.zeros(shape, np.uint32)
    for kind, where in held.items():
        found |= np.where(where, np.uint32(kind), np.uint32(0))
    return found


_CLASSES: Final = _classes()
CLIENT: Final = choices.marks(range(1024, 65536))
"""The transport ports that clients are given (RFC 6335 and before it)."""


class Tag(Protocol):
    """Whose a record is; `telemetry` has the table that `port` of a record points into."""

    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...


class Seen:
    """The records of some batches that are of a cloud port, with their direction, and in time; arrays of one length, in
    which those that folds take come first.

    In a `room` that others look in, too, they can be read until the next does.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        tags: Sequence[Tag],
        keys: Hashes,
        clock_s: float,
        room: Room | None = None,
    ) -> None:
        how = choices.Look(keys, clock_s, HISTORY_S, _CLASSES, _SEVERAL, TRANSPORT)
        self.looked = folds.Looked(batches, how, room)
        self.skipped = sum(map(len, batches)) - len(self)
        self.tags, self.keys, self.clock_s = tags, keys, clock_s

    def __len__(self) -> int:
        return self.looked.count

    @property
    def columns(self) -> choices.Columns:
        return self.looked.columns

    @property
    def taken(self) -> choices.Columns:
        """The same of those that folds take; behind them, whatever."""
        return self.looked.taken

    def tag_of(self, key: int) -> Tag:
        """Whose key it is, of a port that is in the table."""
        return self.tags[int(np.flatnonzero(self.keys == np.uint64(key))[0])]


def address_text(version: int, high: int, low: int) -> str:
    """An address as people write it."""
    return str(IPv6Address(high << 64 | low) if version == 6 else IPv4Address(low & 0xFFFFFFFF))


def keys_of(tags: Sequence[Tag], seed: int) -> Hashes:
    """A number for each port that stays its own, wherever in the table it is."""
    salt = seed.to_bytes(8, "little")
    digests = [blake2b(tag.id.encode(), digest_size=8, key=salt).digest() for tag in tags]
    return np.frombuffer(b"".join(digests), np.uint64)
