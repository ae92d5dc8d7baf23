"""NetFlow v9 (RFC 3954) and IPFIX (RFC 7011): what sets are in the datagrams, found in all of them at once."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suimon.telemetry.flow import decoding
from suimon.telemetry.flow.clocks import Header
from suimon.telemetry.flow.datagrams import Bytes, Places, read

HEADER_BYTES: Final = {9: 20, 10: 16}
_MOST_SETS: Final = 128
"""Of one datagram; what has more is made to cost us time."""
_SET_HEADER_BYTES: Final = 4


class Sets(NamedTuple):
    """In the order of their datagrams, and within one as they stand there. `begins` is behind the set's header."""

    datagram: Places
    number: Places
    begins: Places
    ends: Places

    def some(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Sets":
        return Sets(*(column[which] for column in self))


def sets(flat: Bytes, begins: Places, lengths: Places, version: int) -> tuple[Sets, NDArray[np.bool_]]:
    """Each datagram has a whole header. Also, which datagrams are not what they say."""
    if decoding.compiled():
        columns, broken = decoding.sets(flat, begins, lengths, version, _MOST_SETS)
        return Sets(*columns), broken
    ends = begins + lengths
    broken = np.zeros(len(begins), bool)
    if version == 10:
        said = read(flat, ">u2", begins + 2).astype(np.int64)
        broken = said != lengths
        ends = begins + np.minimum(np.maximum(said, HEADER_BYTES[10]), lengths)
    cursor = begins + HEADER_BYTES[version]
    active, found = np.arange(len(begins)), []
    for _ in range(_MOST_SETS):
        # NetFlow v9 may pad a datagram; fewer bytes than a set's header are that.
        active = active[ends[active] - cursor[active] >= _SET_HEADER_BYTES]
        if not len(active):
            break
        at = cursor[active]
        length = read(flat, ">u2", at + 2).astype(np.int64)
        whole = (length > _SET_HEADER_BYTES) & (at + length <= ends[active])
        broken[active[~whole]] = True
        active, at, length = active[whole], at[whole], length[whole]
        found.append(Sets(active, read(flat, ">u2", at).astype(np.int64), at + _SET_HEADER_BYTES, at + length))
        cursor[active] += length
    broken[active] |= ends[active] - cursor[active] >= _SET_HEADER_BYTES
    if not found:
        return Sets(*(np.empty(0, np.int64) for _ in range(4))), broken
    every = Sets(*(np.concatenate(column) for column in zip(*found, strict=True)))
    return every.some(np.lexsort((every.begins, every.datagram))), broken


def header(flat: Bytes, begins: Places, version: int, arrived_s: NDArray[np.float64]) -> tuple[Header, Places]:
    """What each datagram says of its time; and its number in the sequence."""
    if version == 9:
        uptime_ms = read(flat, ">u4", begins + 4).astype(np.int64)
        exported_s, number = read(flat, ">u4", begins + 8), read(flat, ">u4", begins + 12)
    else:
        uptime_ms = np.zeros(len(begins), np.int64)
        exported_s, number = read(flat, ">u4", begins + 4), read(flat, ">u4", begins + 8)
    return Header(arrived_s, exported_s.astype(np.float64), uptime_ms), number.astype(np.int64)
