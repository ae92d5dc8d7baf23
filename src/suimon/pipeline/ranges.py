"""Port ranges as the (value, mask) pairs that a flow can match."""

from collections.abc import Iterator


def masks(first: int, last: int, bits: int = 16) -> Iterator[tuple[int, int]]:
    """The fewest aligned blocks that cover first..last, both included; at most 2 * bits - 2 of them."""
    full = (1 << bits) - 1
    while first <= last:
        size = first & -first or 1 << bits
        while size > last - first + 1:
            size >>= 1
        yield first, full & ~(size - 1)
        first += size
