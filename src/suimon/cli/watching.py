"""Detectors beside a collector: what they find goes to the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final, Never

import structlog

from suimon.detection.engine import Records
from suimon.detection.seen import Tag
from suimon.model.findings import Finding
from suimon.model.records import Batch

log = structlog.get_logger()

_TICK_S: Final = 1.0


class Watching:
    """`take` is told of each batch; `run` looks at what was gathered, and at what has ended, when no more comes."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._faults: dict[str, int] = {}

    def take(self, batch: Batch, tags: Sequence[Tag], now_s: float) -> None:
        self._tell(self._records.take(batch, tags, now_s))

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_TICK_S)
            self._tell(self._records.flush(time.time()))

    def _tell(self, findings: Iterable[Finding]) -> None:
        for found in findings:
            state = "ended" if found.ended else f"sure {found.confidence:.2f}"
            who = {"id": found.id, "subject": f"{found.subject.kind} {found.subject.id}", "role": found.role}
            log.warning("finding", detector=found.detector, state=state, words=found.words, **who)
        for name, fault in self._records.engine.faults.items():
            if self._faults.get(name) != fault.times:
                self._faults[name] = fault.times
                log.error("detector_failed", detector=name, times=fault.times, reason=fault.last)
