"""Detectors beside a collector: what they find also goes to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from suimon.detection.engine import Fault, Tally
from suimon.detection.records import Records
from suimon.detection.seen import Tag
from suimon.model.findings import Finding
from suimon.model.records import Batch

log = structlog.get_logger()


class Watching:
    """`take` is told of each batch; `look` sees what was gathered, and what has ended, when no more comes."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._logged: dict[str, int] = {}

    @property
    def tallies(self) -> Mapping[str, Tally]:
        return self._records.engine.tallies

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self._records.engine.faults

    def take(self, batch: Batch, tags: Sequence[Tag], now_s: float) -> list[Finding]:
        return self._told(self._records.take(batch, tags, now_s))

    def look(self, now_s: float) -> list[Finding]:
        return self._told(self._records.look(now_s))

    def _told(self, findings: list[Finding]) -> list[Finding]:
        for found in findings:
            state = "ended" if found.ended else f"sure {found.confidence:.2f}"
            who = {"id": found.id, "subject": f"{found.subject.kind} {found.subject.id}", "role": found.role}
            log.warning("finding", detector=found.detector, state=state, words=found.words, **who)
        for name, fault in self._records.engine.faults.items():
            if self._logged.get(name) != fault.times:
                self._logged[name] = fault.times
                log.error("detector_failed", detector=name, times=fault.times, reason=fault.last)
        return findings
