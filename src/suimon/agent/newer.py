"""What a newer controller says, or a newer agent left on disk, and this version has no word for: passed over, and told.

A controller tells an agent of no kind that came after its schema; this is for a host that went back to an older
version, and for a controller that does not keep to that.
"""

from __future__ import annotations

from typing import Final, TypeVar, get_args

import msgspec
import structlog

from suimon.model.view import Object

log = structlog.get_logger()

T = TypeVar("T")

_KINDS: Final = frozenset(str(each.__struct_config__.tag) for each in get_args(Object))


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes, field: str) -> T:
    """What `raw` says, without those objects in its list `field` whose kind is unknown. Raises as the decoder does for
    everything else that it can't read.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        told = msgspec.json.decode(raw)
        named = told.get(field) if isinstance(told, dict) else None
        objects = named if isinstance(named, list) else []
        unknown = [each for each in objects if _is_unknown(each)]
        if not unknown:
            raise
        kinds = sorted({each["type"][:40] for each in unknown})[:10]
        log.warning("unknown_kinds", kinds=kinds, objects=len(unknown), effect="none here; upgrade this host's agent")
        known = [each for each in objects if not _is_unknown(each)]
        return decoder.decode(msgspec.json.encode({**told, field: known}))


def _is_unknown(thing: object) -> bool:
    return isinstance(thing, dict) and isinstance(thing.get("type"), str) and thing["type"] not in _KINDS
