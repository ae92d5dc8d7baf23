"""The stages that a `World` compiles with, one file each. Adding a stage is one line here and one in `tables.py`."""

from __future__ import annotations

from typing import Final

from suimon.pipeline import (
    answer,
    antispoof,
    block,
    classify,
    deliver,
    floating,
    limit,
    lookup,
    remote,
    route,
    rules,
    track,
)
from suimon.pipeline.program import Producers

STAGES: Final[dict[str, Producers]] = {
    "classify": classify.PRODUCERS,
    "block": block.PRODUCERS,
    "antispoof": antispoof.PRODUCERS,
    "limit": limit.PRODUCERS,
    "track": track.PRODUCERS,
    "rules": rules.PRODUCERS,
    "answer": answer.PRODUCERS,
    "floating": floating.PRODUCERS,
    "lookup": lookup.PRODUCERS,
    "route": route.PRODUCERS,
    "deliver": deliver.PRODUCERS,
    "remote": remote.PRODUCERS,
}
