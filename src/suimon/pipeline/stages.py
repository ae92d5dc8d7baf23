"""The stages that a `World` compiles with, one file each. Adding a stage is one line here and one in `tables.py`."""

from __future__ import annotations

from typing import Final

from suimon.pipeline import (
    answer,
    antispoof,
    block,
    claims,
    classify,
    count,
    deliver,
    discovery,
    fit,
    floating,
    gateway,
    gateway6,
    guard,
    legs,
    limit,
    local_ip,
    lookup,
    migration,
    remote,
    restrict,
    route,
    route6,
    rules,
    services,
    track,
    who_has,
)
from suimon.pipeline.program import Producers

STAGES: Final[dict[str, Producers]] = {
    "classify": classify.PRODUCERS,
    "block": block.PRODUCERS,
    "restrict": restrict.PRODUCERS,
    "antispoof": antispoof.PRODUCERS,
    "guard": guard.PRODUCERS,
    "claims": claims.PRODUCERS,
    "limit": limit.PRODUCERS,
    "track": track.PRODUCERS,
    "count": count.PRODUCERS,
    "rules": rules.PRODUCERS,
    "answer": answer.PRODUCERS,
    "who_has": who_has.PRODUCERS,
    "discovery": discovery.PRODUCERS,
    "fit": fit.PRODUCERS,
    "floating": floating.PRODUCERS,
    "local_ip": local_ip.PRODUCERS,
    "gateway": gateway.PRODUCERS,
    "gateway6": gateway6.PRODUCERS,
    "lookup": lookup.PRODUCERS,
    "migration": migration.PRODUCERS,
    "route": route.PRODUCERS,
    "route6": route6.PRODUCERS,
    "legs": legs.PRODUCERS,
    "services": services.PRODUCERS,
    "deliver": deliver.PRODUCERS,
    "remote": remote.PRODUCERS,
}
