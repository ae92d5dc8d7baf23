"""Frames as lines: those of `model.view`, put together from objects and scopes that were encoded before."""

from __future__ import annotations

from typing import Final

import msgspec

from suimon.distribution.difference import Difference
from suimon.model import view

_ENCODER: Final = msgspec.json.Encoder()


class Origin(msgspec.Struct, frozen=True):
    """Which store, in which epoch, speaks up to which revision."""

    store: str
    epoch: int
    revision: int


class _Position(Origin, frozen=True):
    scopes: msgspec.Raw
    schema: int


class _Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    position: _Position
    objects: tuple[msgspec.Raw, ...]
    accepted: bool


class _Delta(msgspec.Struct, frozen=True, tag="delta"):
    position: _Position
    dropped: tuple[str, ...]
    deleted: tuple[view.Key, ...]
    objects: tuple[msgspec.Raw, ...]
    requests: tuple[str, ...]


def encode_scopes(scopes: frozenset[str]) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(sorted(scopes)))


def snapshot(origin: Origin, scopes: msgspec.Raw, difference: Difference, accepted: bool) -> bytes:
    """A `view.Snapshot`; the difference is one from nothing."""
    return line(_Snapshot(_position(origin, scopes, difference.schema), difference.objects, accepted))


def delta(origin: Origin, scopes: msgspec.Raw, difference: Difference, requests: tuple[str, ...]) -> bytes:
    """A `view.Delta`."""
    position = _position(origin, scopes, difference.schema)
    return line(_Delta(position, difference.dropped, difference.deleted, difference.objects, requests))


def line(frame: msgspec.Struct) -> bytes:
    return _ENCODER.encode(frame) + b"\n"


def _position(origin: Origin, scopes: msgspec.Raw, schema: int) -> _Position:
    return _Position(origin.store, origin.epoch, origin.revision, scopes, schema)
