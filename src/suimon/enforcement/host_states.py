"""How hosts are, as they reported it: up or not, what they hold back or refuse, and which drift they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from suimon.distribution.presence import HostState
from suimon.enforcement.gathering import Batch
from suimon.model.attributes import when
from suimon.model.fact_tables import Reading, Row, Unread
from suimon.policy.facts import OURS, OUTSIDE
from suimon.resources.hosts import noted_states
from suimon.store.store import Store

_STATES: Final = "host_states"
_DRIFTS: Final = "drifts"


class HostStatesConfig(msgspec.Struct, frozen=True):
    """How often the states are looked at that controllers note."""

    every_s: float = 10.0


class HostStates:
    """A `gathering.Source`. A drift is one of the newest 50 that a host found, repaired or not."""

    named = (f"{OURS}:{_STATES}", f"{OURS}:{_DRIFTS}")

    def __init__(self, config: HostStatesConfig, store: Store) -> None:
        self._config = config
        self._store = store

    async def read(self) -> Sequence[Batch]:
        """Of all hosts. Raises Unavailable."""
        noted = await self._store.read(noted_states)
        try:
            states = [msgspec.json.decode(text, type=HostState) for _, text in sorted(noted.items())]
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            # A controller of another release wrote it.
            return [[Unread(source=OURS, name=name, problem=str(error)) for name in (_STATES, _DRIFTS)]]
        rows: dict[str, list[Row]] = {
            _STATES: [(one.host, one.up, one.linked, one.held, len(one.failures), len(one.orphans)) for one in states],
            _DRIFTS: [
                (one.host, when(each.found_at), each.owner, each.missing, each.changed, each.extra, each.repaired)
                for one in states
                for each in one.drifts
            ],
        }
        age_s = round(self._config.every_s * 6)
        return [
            [
                Reading(source=OURS, name=name, columns=OUTSIDE[OURS][name], rows=held, max_age_s=age_s)
                for name, held in rows.items()
            ]
        ]

    def pause_s(self) -> float:
        return self._config.every_s
