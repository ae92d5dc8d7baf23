"""What a trunk's parent had itself: its device counts what its subports send and get, too, which flows count for them.

That is taken off, so that all ports of a trunk together are what the device counted. Flows tell a second late: what
can't be taken off now is owed, and taken off what comes. Limits drop behind the flows, which then count more than the
device: no more is owed than subports had in their busiest reading.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Final

import msgspec
from msgspec.structs import replace

from suimon.model.samples import Sample

Amounts = tuple[int, int, int, int]
"""Bytes and packets in, bytes and packets out."""
NONE: Final[Amounts] = (0, 0, 0, 0)


class Debt(msgspec.Struct, frozen=True, array_like=True):
    """What is owed of what subports had, and the most that they had in one reading."""

    owed: Amounts = NONE
    most: Amounts = NONE


def amounts(one: Sample) -> Amounts:
    return one.in_bytes, one.in_packets, one.out_bytes, one.out_packets


def plus(one: Amounts, other: Amounts) -> Amounts:
    return _each(add, one, other)


def own(one: Sample, debt: Debt, subports: Amounts) -> tuple[Sample, Debt]:
    """The parent's sample without what its subports had meanwhile and what was owed; and what is owed now."""
    due, total = plus(debt.owed, subports), amounts(one)
    if due == NONE:
        return one, debt
    i_bytes, i_packets, o_bytes, o_packets = (max(has - off, 0) for has, off in zip(total, due, strict=True))
    i_outside, o_outside = min(one.in_outside_bytes, i_bytes), min(one.out_outside_bytes, o_bytes)
    mine = replace(
        one,
        in_bytes=i_bytes,
        in_packets=i_packets,
        out_bytes=o_bytes,
        out_packets=o_packets,
        in_outside_bytes=i_outside,
        in_outside_packets=min(one.in_outside_packets, i_packets),
        out_outside_bytes=o_outside,
        out_outside_packets=min(one.out_outside_packets, o_packets),
        in_unsplit_bytes=min(one.in_unsplit_bytes, i_bytes - i_outside),
        out_unsplit_bytes=min(one.out_unsplit_bytes, o_bytes - o_outside),
    )
    most = _each(max, debt.most, subports)
    late = _each(lambda off, has: max(off - has, 0), due, total)
    return mine, Debt(_each(min, late, most), most)


def _each(of: Callable[[int, int], int], one: Amounts, other: Amounts) -> Amounts:
    i_bytes, i_packets, o_bytes, o_packets = map(of, one, other)
    return i_bytes, i_packets, o_bytes, o_packets
