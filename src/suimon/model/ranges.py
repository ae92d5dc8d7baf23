"""Sets of whole numbers as sorted, inclusive ranges that neither overlap nor touch."""

from __future__ import annotations

from collections.abc import Collection, Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as possible."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def without(ranges: Iterable[Range], numbers: Collection[int]) -> list[Range]:
    """The ranges with these numbers taken out."""
    holes = sorted(set(numbers))
    found: list[Range] = []
    for first, last in merged(ranges):
        start = first
        for hole in holes:
            if start <= hole <= last:
                if start < hole:
                    found.append((start, hole - 1))
                start = hole + 1
        if start <= last:
            found.append((start, last))
    return found


def minus(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """The numbers of `ranges` that are in none of `taken`."""
    holes = merged(taken)
    found: list[Range] = []
    for first, last in merged(ranges):
        start = first
        for hole_first, hole_last in holes:
            if start <= hole_last and hole_first <= last:
                if start < hole_first:
                    found.append((start, hole_first - 1))
                start = hole_last + 1
        if start <= last:
            found.append((start, last))
    return found


def lowest(ranges: Iterable[Range], count: int) -> list[int]:
    """The lowest `count` numbers; fewer when there are no more."""
    found: list[int] = []
    for first, last in merged(ranges):
        found += range(first, min(last, first + count - len(found) - 1) + 1)
        if len(found) == count:
            break
    return found


def contains(ranges: Iterable[Range], number: int) -> bool:
    """Whether the number is in one of them."""
    return any(first <= number <= last for first, last in ranges)


def outside(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """The ranges with all numbers of the holes taken out."""
    found: list[Range] = []
    taken = merged(holes)
    n = 0
    for first, last in merged(ranges):
        start = first
        if n and taken[n - 1][1] >= first:
            n -= 1
        while n < len(taken) and taken[n][0] <= last:
            if taken[n][0] > start:
                found.append((start, taken[n][0] - 1))
            start = max(start, taken[n][1] + 1)
            n += 1
        if start <= last:
            found.append((start, last))
    return found
