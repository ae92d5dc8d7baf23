"""Bytes that are nearly right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

_EDGES = (0, 1, 4, 0x7F, 0x80, 0xFE, 0xFF)


def mutated(valid: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """The valid ones themselves first, then `count` that follow from them; the same for the same seed."""
    yield from valid
    chance = Random(seed)
    for _ in range(count):
        raw = bytearray(chance.choice(valid))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            chance.choice(_MUTATIONS)(raw, chance, valid)
        yield bytes(raw)


def _set(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    if raw:
        raw[chance.randrange(len(raw))] = chance.choice((*_EDGES, chance.randrange(256)))


def _flip(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    if raw:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def _cut(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    del raw[chance.randint(0, len(raw)) :]


def _take_out(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    at = chance.randint(0, len(raw))
    del raw[at : at + chance.randint(1, 16)]


def _repeat(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    at = chance.randint(0, len(raw))
    raw[at:at] = raw[at : at + chance.randint(1, 64)] * chance.choice((1, 1, 2, 20))


def _insert(raw: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    at = chance.randint(0, len(raw))
    raw[at:at] = chance.randbytes(chance.randint(1, 16))


def _splice(raw: bytearray, chance: Random, valid: Sequence[bytes]) -> None:
    other, at = chance.choice(valid), chance.randint(0, len(raw))
    raw[at:] = other[chance.choice((at, chance.randint(0, len(other)))) :]


_MUTATIONS = (_set, _set, _flip, _cut, _take_out, _repeat, _insert, _splice)
