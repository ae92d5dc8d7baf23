"""Samples of one host as bytes: who they are of apart from the numbers, which are packed column by column."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from suimon.model.samples import Sample
from suimon.telemetry.meter.ledger import FIGURES, figures

Whose = tuple[str, str, str]
"""Port, project, network."""
_ROSTER: Final = list[Whose]
_COLUMNS: Final = list[list[int]]


def pack(samples: Iterable[Sample]) -> tuple[bytes, bytes, bytes]:
    """The roster's id, the roster, and the body. All samples end together."""
    ordered = sorted(samples, key=lambda each: (each.port_id, each.project_id, each.network_id))
    roster = msgspec.msgpack.encode([(each.port_id, each.project_id, each.network_id) for each in ordered])
    lasted_ms = [round((each.ended_s - each.begun_s) * 1000) for each in ordered]
    columns = [lasted_ms, *map(list, zip(*map(figures, ordered), strict=True))]
    return blake2b(roster, digest_size=16).digest(), _squeezed(roster), _squeezed(msgspec.msgpack.encode(columns))


def unpack_roster(packed: bytes) -> list[Whose]:
    return msgspec.msgpack.decode(zlib.decompress(packed), type=_ROSTER)


def unpack(roster: Sequence[Whose], body: bytes, host: str, ended_ms: int, wanted: frozenset[str]) -> list[Sample]:
    """The samples of those whose port, project or network is among `wanted`; of all, if that is empty."""
    columns = msgspec.msgpack.decode(zlib.decompress(body), type=_COLUMNS)
    assert len(columns) == 1 + len(FIGURES), "a row of another release"
    at = [number for number, whose in enumerate(roster) if not wanted or not wanted.isdisjoint(whose)]
    ended_s = ended_ms / 1000
    return [
        Sample(
            *roster[each], host, ended_s - columns[0][each] / 1000, ended_s, *(column[each] for column in columns[1:])
        )
        for each in at
    ]


def _squeezed(body: bytes) -> bytes:
    return zlib.compress(body, 1)
