"""Detectors in a controller: what they find in samples and drops of its hosts is noted, as collectors' findings are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Never

import structlog

from suimon.detection.counters import CounterThresholds, of_drops, of_samples
from suimon.model.actor import SYSTEM
from suimon.model.errors import CallerError, Unavailable
from suimon.model.findings import Finding
from suimon.model.samples import Dropped, Sample
from suimon.resources.findings import MOST_AT_ONCE, note_findings
from suimon.store.store import Store

log = structlog.get_logger()

_RETRY_S: Final = 2.0


class Sampled:
    """`hear` takes what was metered just now (`Meters.listen`), `hear_drops` what was dropped; `run` notes what was
    found, until cancelled.
    """

    def __init__(self, thresholds: CounterThresholds, store: Store) -> None:
        self._samples, self._drops = of_samples(thresholds), of_drops(thresholds)
        self._store = store
        self._found: dict[str, Finding] = {}
        self._news = asyncio.Event()
        self._faults = 0

    def hear(self, samples: Sequence[Sample]) -> None:
        now_s = time.time()
        # Samples come all the time; what was dropped is over when nothing more is heard of it.
        self._note([*self._samples.step(samples, now_s), *self._drops.tick(now_s)])

    def hear_drops(self, dropped: Sequence[Dropped]) -> None:
        self._note(self._drops.step(dropped, time.time()))

    def _note(self, findings: Sequence[Finding]) -> None:
        for found in findings:
            self._found[found.id] = found
            self._news.set()
        while len(self._found) > MOST_AT_ONCE:
            # Detectors say again what goes on.
            del self._found[next(iter(self._found))]
        faults = self._samples.faults | self._drops.faults
        if (times := sum(each.times for each in faults.values())) != self._faults:
            self._faults = times
            log.error("detector_failed", faults={name: each.last for name, each in faults.items()})

    async def run(self) -> Never:
        while True:
            await self._news.wait()
            self._news.clear()
            telling, self._found = self._found, {}
            try:
                await self._store.write(lambda tx: note_findings(tx, SYSTEM, [*telling.values()]), SYSTEM)  # noqa: B023
            except CallerError as error:
                log.warning("findings_not_noted", reason=error.message, count=len(telling))
                if isinstance(error, Unavailable):
                    self._found = telling | self._found
                    await asyncio.sleep(_RETRY_S)
                    self._news.set()
