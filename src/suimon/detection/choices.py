"""What folds say of records, and what they do by numpy; `folds` has what is compiled.

A place here is an index into the columns of a `Looked`; rows are a table's, -1 for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.model.loops import mixed
from suimon.model.records import FROM_GUEST, TO_GUEST

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Bools = NDArray[np.bool_]
Marks = NDArray[np.uint8]

READ: Final = (
    *("port", "direction", "protocol", "tcp_flags", "begun", "ended", "sampling", "packets", "bytes"),
    *("source_port", "destination_port", "source_high", "source_low", "destination_high", "destination_low"),
    "ip_version",
)
FLAGS: Final = 31
"""The TCP flags that tell the steps of a connection; URG and those of ECN (RFC 3168) don't."""


class Columns(NamedTuple):
    """Records from the guest's side; arrays of one length."""

    begun: Floats
    ended: Floats
    sampling: NDArray[np.uint32]
    packets: Floats
    bytes: Floats
    key: Hashes
    """Of its port."""
    peer: Hashes
    """Of the other side's address."""
    peer_high: Hashes
    peer_low: Hashes
    kinds: NDArray[np.uint32]
    own_l4: NDArray[np.uint16]
    peer_l4: NDArray[np.uint16]
    service: NDArray[np.uint16]
    """`peer_l4` of TCP and UDP, 0 for the rest."""
    protocol: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    ip_version: NDArray[np.uint8]
    out: Bools


class Look(NamedTuple):
    """How records are looked at."""

    keys: Hashes
    """Of each port."""
    clock_s: float
    history_s: float
    kinds: NDArray[np.uint32]
    """The classes of each protocol, direction (out: 1), flags, and few packets or several; (256, 2, 32, 2)."""
    several: float
    """So many packets are several."""
    transport: int
    """The class of what has transport ports."""


def looked_of(read: dict[str, NDArray[Any]], how: Look, salt: int) -> Columns:
    direction, port, ended = read["direction"], read["port"], read["ended"]
    known = (port >= 0) & (port < len(how.keys)) & ((direction == FROM_GUEST) | (direction == TO_GUEST))
    known &= (ended > how.clock_s - how.history_s) & (ended <= how.clock_s + 1.0) & (read["begun"] <= ended)
    read = {name: column[known] for name, column in read.items()}
    out, protocol, flags = read["direction"] == FROM_GUEST, read["protocol"], read["tcp_flags"] & np.uint8(FLAGS)
    source, destination = read["source_port"], read["destination_port"]
    high = np.where(out, read["destination_high"], read["source_high"])
    low = np.where(out, read["destination_low"], read["source_low"])
    sampling = np.maximum(read["sampling"], np.uint32(1))
    packets, peer_l4 = read["packets"] * sampling.astype(np.float64), np.where(out, destination, source)
    kinds = how.kinds[protocol, out.astype(np.uint8), flags, (packets >= how.several).astype(np.uint8)]
    return Columns(
        begun=read["begun"],
        ended=read["ended"],
        sampling=sampling,
        packets=packets,
        bytes=read["bytes"] * sampling.astype(np.float64),
        key=how.keys[read["port"]],
        peer=mixed(low, mixed(high, np.uint64(salt))),
        peer_high=high,
        peer_low=low,
        kinds=kinds,
        own_l4=np.where(out, source, destination),
        peer_l4=peer_l4,
        service=np.where(kinds & how.transport != 0, peer_l4, 0).astype(np.uint16),
        protocol=protocol,
        flags=flags,
        ip_version=read["ip_version"],
        out=out,
    )


def marks(l4_ports: Iterable[int]) -> Marks:
    """Some transport ports; a bit each, so that many are near."""
    found: Bools = np.zeros(65536, np.bool_)
    found[list(l4_ports)] = True
    return np.packbits(found, bitorder="little")


class Choice(NamedTuple):
    """The records that are of all `wanted` classes and of none in `but`, and whose transport ports are marked."""

    wanted: int
    but: int = 0
    own: Marks | None = None
    peer: Marks | None = None


class Hash(NamedTuple):
    """What tells things apart: what it is `of`, then columns by `letters`, the first of which is mixed in first."""

    of: str
    """One of OF."""
    letters: str = ""
    plus: int = 0


OF: Final = ("port", "peer", "key")
"""A record's port, the address of its peer, or its key in a fold's table."""


class Amount(NamedTuple):
    """Of each record something to be added."""

    metrics: tuple[int, int]
    """What it is of records to the guest, and from it."""
    column: str
    """One of COUNTED."""
    kinds: int = 0
    """Only of records of all these classes."""


COUNTED: Final = ("packets", "bytes", "sampled")
"""`sampled` is packets, but no more than the sampling: as one is that was really seen."""


class Rows(NamedTuple):
    """The records that a fold takes, and their rows; arrays are good until a fold of the same `known` finds others."""

    chosen: Integers
    """Their places."""
    of: Integers
    """The row of each, -1 for none."""
    own: Integers
    """Which rows those are, each once, in no order."""
    first: Integers
    """Where in `chosen` each is first."""


def chosen_of(columns: Columns, choice: Choice) -> Integers:
    held = (columns.kinds & np.uint32(choice.wanted | choice.but)) == choice.wanted
    for marked, l4 in ((choice.own, columns.own_l4), (choice.peer, columns.peer_l4)):
        if marked is not None:
            held &= np.unpackbits(marked, bitorder="little")[l4] == 1
    return np.flatnonzero(held)


LETTERS: Final[Mapping[str, str]] = {
    **{"p": "peer", "o": "own_l4", "l": "peer_l4", "s": "service", "t": "protocol", "d": "out"},
    **{"O": "own_l4", "L": "peer_l4"},
}
"""The large ones are with the direction."""


def hashes_of(columns: Columns, made: Hash, chosen: Integers, keys: Hashes | None = None) -> Hashes:
    if made.of == "key":
        assert keys is not None, "a key isn't of itself"
        found = keys
    else:
        found = (columns.key if made.of == "port" else columns.peer)[chosen]
    for letter in made.letters:
        values = getattr(columns, LETTERS[letter])[chosen]
        if letter.isupper():
            values = values.astype(np.uint64) * np.uint64(2) + columns.out[chosen]
        found = mixed(values, found)
    return found + np.uint64(made.plus)


def values_of(columns: Columns, amount: Amount) -> Floats:
    match amount.column:
        case "packets":
            values = columns.packets
        case "bytes":
            values = columns.bytes
        case _:
            values = np.minimum(columns.packets, columns.sampling)
    return np.where(columns.kinds & np.uint32(amount.kinds) == amount.kinds, values, 0.0)


def first_of(rows: Integers) -> tuple[Integers, Integers]:
    """The different rows, and where each is first. They are few numbers, so that counting finds them soonest."""
    own, place_of = np.flatnonzero(np.bincount(rows + 1)[1:]), np.empty(rows.max(initial=-1) + 2, np.int64)
    place_of[rows[::-1] + 1] = np.arange(len(rows))[::-1]
    return own, place_of[own + 1]


def seconds_of(columns: Columns, chosen: Integers) -> tuple[Integers, Integers]:
    """The first and the last that each record has a share in: what ends as a second begins has none in that, unless it
    began there. Before 1970 there are none.
    """
    first = np.floor(np.maximum(columns.begun[chosen], 0.0)).astype(np.int64)
    return first, np.maximum(np.ceil(columns.ended[chosen]).astype(np.int64) - 1, first)


def shares_of(
    first: Integers, last: Integers, begun: Floats, ended: Floats, since: Integers
) -> tuple[Integers, Integers, Floats]:
    """The seconds from its `since` on in which each record has a share: which record, when, how much."""
    counts = last - since + 1
    nth = np.repeat(np.arange(len(counts)), counts)
    second = np.arange(len(nth)) - np.repeat(np.cumsum(counts) - counts - since, counts)
    overlap = np.minimum(ended[nth], second + 1) - np.maximum(begun[nth], second)
    longer = (first < last)[nth]
    return nth, second, np.divide(overlap, (ended - begun)[nth], out=np.ones(len(nth)), where=longer)
