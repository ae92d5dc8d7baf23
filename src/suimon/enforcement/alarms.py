"""What somebody had to look at lately: the alarms of the last day, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
from sqlalchemy import bindparam, select

from suimon.enforcement.gathering import Batch
from suimon.model.attributes import when
from suimon.model.fact_tables import Reading, Row
from suimon.model.incidents import ALARMS, Entry, Incident
from suimon.policy.facts import OURS, OUTSIDE
from suimon.store.columns import time_text
from suimon.store.store import Store
from suimon.store.tables import INCIDENT_ENTRIES, KEPT
from suimon.store.tx import Tx

_TABLE: Final = "alarms"
_MOST: Final = 1000
"""The newest."""
_LINES: Final = (
    select(*INCIDENT_ENTRIES.c)
    .where(INCIDENT_ENTRIES.c.at >= bindparam("since"), INCIDENT_ENTRIES.c.kind.in_(("alarm", "breaker")))
    .order_by(INCIDENT_ENTRIES.c.at.desc(), INCIDENT_ENTRIES.c.incident_id, INCIDENT_ENTRIES.c.number)
    .limit(_MOST)
)


class AlarmsConfig(msgspec.Struct, frozen=True):
    """`keep_h`: most alarms have no end; so long they are some."""

    every_s: float = 10.0
    keep_h: float = 24.0


class Alarms:
    """A `gathering.Source`. An alarm is called as its runbook is (`host-clock-off`)."""

    named = (f"{OURS}:{_TABLE}",)

    def __init__(self, config: AlarmsConfig, store: Store) -> None:
        self._config = config
        self._store = store

    async def read(self) -> Sequence[Batch]:
        """Raises Unavailable."""
        rows = await self._store.read(self._rows)
        columns, age_s = OUTSIDE[OURS][_TABLE], round(self._config.every_s * 6)
        return [[Reading(source=OURS, name=_TABLE, columns=columns, rows=rows, max_age_s=age_s)]]

    def pause_s(self) -> float:
        return self._config.every_s

    def _rows(self, tx: Tx) -> list[Row]:
        since = time_text(tx.now - timedelta(hours=self._config.keep_h))
        lines = [KEPT[Entry].codec.decode(row) for row in tx.rows(_LINES, {"since": since})]
        ids = sorted({one.incident_id for one in lines})
        incidents = {one.id: one for one in tx.select(Incident, {"id": ids})} if ids else {}
        return [
            (name, of.subject_kind, of.subject_id, of.id, when(line.at), line.words)
            for line in lines
            if (name := _name(line)) in ALARMS and (of := incidents.get(line.incident_id)) and not _cleared(of)
        ]


def _name(line: Entry) -> str:
    return str(line.details.get("runbook", "")).rpartition("#")[2]


def _cleared(incident: Incident) -> bool:
    """It was of something that went on, and is over."""
    return incident.mode == "alarm" and incident.ends_at is not None and incident.state == "closed"
